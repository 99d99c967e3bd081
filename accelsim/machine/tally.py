"""What the first pass over a layer does, counted: arithmetic, and bytes at every memory."""

from __future__ import annotations

from accelsim.machine.counts import Action, Arithmetic, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.hardware import Dual
from accelsim.machine.tiling import Nest, Tiling, bytes_of
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.formats import Format
from accelsim.trace import LayerTrace

FP32 = FloatFormat.parse("fp32")


def tally(nest: Nest, tiling: Tiling, b_on_chip: bool = False) -> Counts:
    """Return all actions of the first pass; with `b_on_chip`, nothing of B is fetched."""
    dual = isinstance(nest.hardware.recompute, Dual)
    return _arithmetic(nest.trace, dual) + _detector(nest.trace) + _memory(nest, tiling, b_on_chip)


def _arithmetic(trace: LayerTrace, dual: bool) -> Counts:
    """Return the MACs. Of outputs that a mask known before the run names, only a dual unit does
    any, with its second adder; after a rule it clocks both adders on every product.
    """
    masked = trace.recomputed_outputs if trace.static else 0
    first = trace.outputs - masked
    entries: list[tuple[str, Action, int]] = []
    multiplied, biased = first, first
    entries += additions("array", trace.accumulator, first, trace.k)
    entries += _accumulate("array", trace.accumulator.outer_format, trace.wide_additions)
    again = trace.recompute_accumulator
    if dual and again is not None:
        multiplied = trace.outputs
        high = masked if trace.static else trace.outputs
        biased = first + trace.recomputed_outputs
        entries += additions("recompute", again, high, trace.k)
    entries += [
        ("array", arithmetic("multiply", trace.operand_format), multiplied * trace.k),
        ("vector", arithmetic("add", FP32), biased),  # the bias, to every sum that may be used
    ]
    return Counts(entries)


def additions(
    component: str, acc: Accumulator, outputs: int, terms: int
) -> list[tuple[str, Action, int]]:
    """Return the additions of so many sums, also of the chunks of a chunked accumulator, and all
    that a compensated one takes.
    """
    entries = _accumulate(component, acc.format, outputs * terms * acc.additions_per_term)
    if acc.chunk is not None:
        entries += _accumulate(component, acc.outer_format, outputs * -(-terms // acc.chunk))
    return entries


def _accumulate(component: str, fmt: Format, number: int) -> list[tuple[str, Action, int]]:
    """Return additions to a sum, each of which reads and writes the register that it is in."""
    return [
        (component, arithmetic("add", fmt), number),
        (component, Arithmetic("register", fmt.name), number),
    ]


def _detector(trace: LayerTrace) -> Counts:
    """Return the operations that find the outputs to redo."""
    detector = trace.detector
    if detector is None:
        return Counts()
    rows, outputs = trace.repeats * trace.m, trace.outputs
    words = rows * trace.k

    def number(operation: str, *places: tuple[str, int]) -> int:
        return sum(times * getattr(detector, f"{operation}_per_{place}") for place, times in places)

    by_row, by_output = ("row", rows), ("output", outputs)
    entries: list[tuple[str, Action, int]] = [
        (
            "detector",
            arithmetic("multiply", trace.operand_format),
            number("multiplies", ("word", words)),
        ),
        ("detector", arithmetic("multiply", FP32), number("multiplies", by_row, by_output)),
        ("detector", arithmetic("add", FP32), number("adds", by_row, by_output)),
        (
            "detector",
            arithmetic("compare", FP32),
            number("compares", ("word", words), by_row, by_output),
        ),
    ]
    entries += _accumulate("detector", FP32, number("adds", ("word", words)))
    if detector.numerator_format is not None:
        entries += _accumulate("detector", detector.numerator_format, trace.macs)
    return Counts(entries)


def _memory(nest: Nest, tiling: Tiling, b_on_chip: bool) -> Counts:
    trace, pads, dram = nest.trace, nest.hardware.scratchpads, nest.hardware.dram.type
    moved = {
        key: int(nest.traffic_bytes(key, tiling.extents, key in tiling.keeps)) for key in "abc"
    }
    if b_on_chip:
        moved["b"] = 0
    read = _words(nest, tiling)
    entries: list[tuple[str, Action, int]] = []
    for key, pad in (("a", pads.a), ("b", pads.b)):
        component, capacity = f"scratchpad_{key}", pad.capacity_bytes
        words = bytes_of(read[key], trace.operand_format.bits)
        entries += [
            ("dram", DramAccess("read", dram), moved[key]),
            (component, Sram("write", capacity), moved[key]),
            (component, Sram("read", capacity), words),
        ]
    out_bytes = int(nest.traffic_bytes("c", tiling.extents, keep=True))
    returned = (moved["c"] - out_bytes) // 2  # as many bytes of partial sums leave as come back
    # Each fold of a chain but the last leaves its sums in c, and the next one takes them back.
    times = int(nest.folds_over_terms(tiling.extents)) - 1
    partial = bytes_of(trace.outputs * times, int(nest.widths(tiling.extents).partial))
    inside = out_bytes + partial + returned
    entries += [
        ("scratchpad_c", Sram("write", pads.c.capacity_bytes), inside),
        ("scratchpad_c", Sram("read", pads.c.capacity_bytes), inside),
        ("dram", DramAccess("read", dram), returned),
        ("dram", DramAccess("write", dram), out_bytes + returned),
    ]
    return Counts(entries)


def _words(nest: Nest, tiling: Tiling) -> dict[str, int]:
    """Return the words of each operand that the arrays read in the first pass.

    What streams through an array is read once for every unit that it passes, what stays in it
    once for every tile that streams past.
    """
    trace = nest.trace
    rows, cols = nest.mapping.unit(tiling.extents)
    # Tiles are whole multiples of a unit, so that none straddles two of them.
    high, wide = -(-trace.m // rows), -(-trace.n // cols)
    return {
        "a": trace.repeats * trace.m * trace.k * wide,
        "b": trace.repeats * trace.k * trace.n * high,
    }
