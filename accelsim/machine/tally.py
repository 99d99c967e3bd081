"""What a layer does, counted: arithmetic, and bytes at every memory."""

from __future__ import annotations

from accelsim.machine.counts import Action, Arithmetic, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.flags import Flags
from accelsim.machine.hardware import Lanes, Rerun
from accelsim.machine.tiling import Nest, Tiling, bytes_of
from accelsim.numerics import FloatFormat
from accelsim.trace import Detector, LayerTrace

FP32 = FloatFormat.parse("fp32")
QUEUE_ENTRY_BYTES = 8
"""Two 16-bit indices and a 32-bit partial result or address."""
QUEUE_SRAM_BYTES = 8192
"""The queue is charged as the smallest memory the tables know."""


def tally(nest: Nest, tiling: Tiling, flags: Flags, b_on_chip: bool = False) -> Counts:
    """Return all actions of a layer; with `b_on_chip`, nothing of B is fetched."""
    return _arithmetic(nest.trace) + _memory(nest, tiling, flags, b_on_chip)


def _arithmetic(trace: LayerTrace) -> Counts:
    acc, again, detector = trace.accumulator, trace.recompute_accumulator, trace.detector
    redone = trace.recomputed_outputs
    entries: list[tuple[str, Action, int]] = [
        ("array", arithmetic("multiply", trace.operand_format), trace.macs),
        ("array", arithmetic("add", acc.format), trace.macs),
        # The bias is added in fp32, once more for every output that is redone.
        ("vector", arithmetic("add", FP32), trace.outputs + redone),
    ]
    if acc.chunk is not None:
        chunks = -(-trace.k // acc.chunk)
        entries.append(("array", arithmetic("add", acc.outer_format), trace.outputs * chunks))
    if again is not None:
        entries += [
            ("recompute", arithmetic("multiply", trace.operand_format), redone * trace.k),
            ("recompute", arithmetic("add", again.format), redone * trace.k),
        ]
    if detector is not None:
        entries += _detection(trace, detector)
    return Counts(entries + _registers(entries))


def _registers(entries: list[tuple[str, Action, int]]) -> list[tuple[str, Action, int]]:
    """Return the use of accumulators' registers: each of their additions writes and reads one."""
    return [
        (component, Arithmetic("register", action.format), number)
        for component, action, number in entries
        if component != "vector" and isinstance(action, Arithmetic) and action.operation == "add"
    ]


def _detection(trace: LayerTrace, detector: Detector) -> list[tuple[str, Action, int]]:
    """Return the operations that find the outputs to redo."""
    rows, outputs = trace.repeats * trace.m, trace.outputs
    words = rows * trace.k
    squares = words * detector.multiplies_per_word
    multiplies = rows * detector.multiplies_per_row
    adds = words * detector.adds_per_word + rows * detector.adds_per_row
    compares = words * detector.compares_per_word + rows * detector.compares_per_row
    entries: list[tuple[str, Action, int]] = [
        ("detector", arithmetic("multiply", trace.operand_format), squares),
        (
            "detector",
            arithmetic("multiply", FP32),
            multiplies + outputs * detector.multiplies_per_output,
        ),
        ("detector", arithmetic("add", FP32), adds + outputs * detector.adds_per_output),
        (
            "detector",
            arithmetic("compare", FP32),
            compares + outputs * detector.compares_per_output,
        ),
    ]
    if detector.numerator_format is not None:
        entries.append(("detector", arithmetic("add", detector.numerator_format), trace.macs))
    return entries


def _memory(nest: Nest, tiling: Tiling, flags: Flags, b_on_chip: bool) -> Counts:
    trace, pads, dram = nest.trace, nest.hardware.scratchpads, nest.hardware.dram.type
    moved = {
        key: int(nest.traffic_bytes(key, tiling.extents, key in tiling.keeps)) for key in "abc"
    }
    if b_on_chip:
        moved["b"] = 0
    read, again = _words(nest, tiling), flags.words_read_again()
    entries: list[tuple[str, Action, int]] = []
    for key, pad in (("a", pads.a), ("b", pads.b)):
        component, capacity = f"scratchpad_{key}", pad.capacity_bytes
        loaded = moved[key] + flags.refetch_bytes[key]
        words = bytes_of(read[key] + again[key], trace.operand_format.bits)
        entries += [
            ("dram", DramAccess("read", dram), loaded),
            (component, Sram("write", capacity), loaded),
            (component, Sram("read", capacity), words),
        ]
    out_bytes = int(nest.traffic_bytes("c", tiling.extents, keep=True))
    returned = (moved["c"] - out_bytes) // 2  # as many bytes of partial sums leave as come back
    redone_bytes = bytes_of(trace.recomputed_outputs, trace.output_format.bits)
    # Each fold of a chain but the last leaves its sums in c, and the next one takes them back.
    times = int(nest.folds_over_terms(tiling.extents)) - 1
    partial = bytes_of(trace.outputs * times, int(nest.widths(tiling.extents).partial))
    if isinstance(nest.hardware.recompute, Rerun) and trace.recompute_accumulator is not None:
        wide = trace.recompute_accumulator.outer_format.bits
        partial += bytes_of(trace.recomputed_outputs * times, wide)
    written, taken = out_bytes + redone_bytes + partial + returned, out_bytes + partial + returned
    entries += [
        ("scratchpad_c", Sram("write", pads.c.capacity_bytes), written),
        ("scratchpad_c", Sram("read", pads.c.capacity_bytes), taken),
        ("dram", DramAccess("read", dram), returned),
        ("dram", DramAccess("write", dram), out_bytes + returned),
    ]
    if isinstance(nest.hardware.recompute, Lanes):
        queued = trace.recomputed_outputs * QUEUE_ENTRY_BYTES
        entries += [
            ("queue", Sram("write", QUEUE_SRAM_BYTES), queued),
            ("queue", Sram("read", QUEUE_SRAM_BYTES), queued),
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
