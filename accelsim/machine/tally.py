"""What the first pass over a layer does, counted: arithmetic, and bytes at every memory."""

from __future__ import annotations

from accelsim.machine.adders import Adder, groups
from accelsim.machine.counts import (
    Action,
    Arithmetic,
    ByCause,
    Cause,
    Counts,
    DramAccess,
    Sram,
    arithmetic,
)
from accelsim.machine.hardware import Dual
from accelsim.machine.sums import moved_sum_bits
from accelsim.machine.tiling import Nest, Tiling, bytes_of
from accelsim.machine.vector import vector_operations
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.formats import Format
from accelsim.trace import LayerTrace

Entries = list[tuple[str, Action, int]]
FP32 = FloatFormat.parse("fp32")
WRITES = {"register", "operand"}
"""What writes a register, so that the clock has to reach it."""


def tally(nest: Nest, tiling: Tiling, b_on_chip: bool = False) -> ByCause:
    """Return all actions of the first pass; with `b_on_chip`, nothing of B is fetched."""
    trace = nest.trace
    dual = isinstance(nest.hardware.recompute, Dual)
    found: list[tuple[Cause, Entries]] = [
        *_arithmetic(trace, dual),
        *_operands(nest, tiling, dual),
        ("useful_low_work", _function(nest)),
        ("detection", _detector(nest)),
    ]
    parts = [(cause, clocked(entries)) for cause, entries in found]
    return ByCause([*parts, ("memory_first_pass", _memory(nest, tiling, b_on_chip))])


def clocked(entries: Entries) -> Counts:
    """Return counts with those of the clock: once for every register that is written."""
    clock: Entries = [
        ("clock", Arithmetic("clock", action.format), number)
        for _, action, number in entries
        if isinstance(action, Arithmetic) and action.operation in WRITES
    ]
    return Counts([*entries, *clock])


def _arithmetic(trace: LayerTrace, dual: bool) -> list[tuple[Cause, Entries]]:
    """Return the MACs. Of outputs that a mask known before the run names, only a dual unit does
    any, with its second adder; after a rule it clocks both adders on every product, which both
    need.
    """
    discarded, kept = _discarded(trace), trace.outputs - trace.recomputed_outputs
    acc = trace.accumulator
    spilled = _accumulate("array", Adder.of_sums(acc), trace.wide_additions, trace.operand_format)
    useful = _sums(trace, kept) + spilled
    if not dual:
        useful += _products(trace, kept)
        return [
            ("useful_low_work", useful),
            ("discarded_low_work", _sums(trace, discarded) + _products(trace, discarded)),
        ]
    found: list[tuple[Cause, Entries]] = [
        ("useful_low_work", useful + _products(trace, trace.outputs)),
        ("discarded_low_work", _sums(trace, discarded)),
    ]
    again, redone = trace.recompute_accumulator, trace.recomputed_outputs
    if again is not None:
        high = redone if trace.static else trace.outputs
        second = additions("recompute", again, high, trace)
        found.append(("recomputation", [*second, _bias(redone)]))
    return found


def _function(nest: Nest) -> Entries:
    """Return what the function of every output takes, which is done once: with redone outputs,
    when they are.
    """
    function, hardware = nest.trace.function, nest.hardware
    if function is None:
        return []
    done = function.by_table if hardware.vector.tables else function.operations
    return vector_operations(done, nest.trace.outputs, hardware)


def _discarded(trace: LayerTrace) -> int:
    """Return the outputs of the first pass that are then redone."""
    return 0 if trace.static else trace.recomputed_outputs


def _sums(trace: LayerTrace, outputs: int) -> Entries:
    """Return the additions of the first pass for so many outputs."""
    return [*additions("array", trace.accumulator, outputs, trace), _bias(outputs)]


def _products(trace: LayerTrace, outputs: int) -> Entries:
    return [("array", arithmetic("multiply", trace.operand_format), outputs * trace.k)]


def _bias(outputs: int) -> tuple[str, Action, int]:
    return ("vector", arithmetic("add", FP32), outputs)


def _operands(nest: Nest, tiling: Tiling, dual: bool) -> list[tuple[Cause, Entries]]:
    """Return what passing operands, and sums, from PE to PE takes in the first pass.

    An operand that streams is written into a register of every PE that it passes, which is once a
    MAC, whether the PE has anything to do for it or not.
    """
    trace, array = nest.trace, nest.hardware.array
    lost = 0 if dual else _discarded(trace)
    read = _words(nest, tiling)
    useful: Entries = []
    discarded: Entries = []
    for key in "ab":
        if key == nest.mapping.stationary:
            lines = read[key] // trace.k
            useful += passing("array", trace.operand_format, lines * filling(array.rows, trace.k))
        else:
            kept = (trace.outputs - lost) * trace.k
            useful += passing("array", trace.operand_format, kept)
            discarded += passing("array", trace.operand_format, lost * trace.k)
    again: Entries = []
    if nest.mapping.stationary:  # sums move on as well
        low, high, redone = trace.accumulator, trace.recompute_accumulator, trace.recomputed_outputs
        useful += moving("array", low, trace.outputs - redone, nest)
        discarded += moving("array", low, _discarded(trace), nest)
        if dual and high is not None:
            number = redone if trace.static else trace.outputs
            again += moving("recompute", high, number, nest)
    return [
        ("useful_low_work", useful),
        ("discarded_low_work", discarded),
        ("recomputation", again),
    ]


def passing(component: str, fmt: Format, writes: int) -> Entries:
    """Return operands that come over a wire and are written into the registers of PEs."""
    return [(component, Arithmetic("operand", fmt.name), writes), hop(fmt, writes)]


def moving(component: str, acc: Accumulator, outputs: int, nest: Nest) -> Entries:
    """Return what so many sums take that move on to the next PE with every MAC: the wires, and for
    a sum beside the accumulator's own the register that it is kept in, whether anything is added to
    it there or not. A chunk that ends with a fold leaves nothing beside it on the way.
    """
    terms = nest.trace.k
    macs = outputs * terms
    found: Entries = [hop(acc.format, macs)]
    added = nest.trace.wide_additions
    if acc.order == "kahan":  # the registers of both are written by its four additions
        found.append(hop(acc.format, macs))
    if acc.chunk is not None:
        added = outputs * -(-terms // acc.chunk)
        if acc.chunk >= terms or acc.chunk % nest.hardware.array.rows == 0:
            return found
    if acc.outer is not None:
        kept = arithmetic("register", acc.outer)
        found += [hop(acc.outer, macs), (component, kept, max(macs - added, 0))]
    return found


def hop(fmt: Format, words: int) -> tuple[str, Action, int]:
    """Return words that go from one PE to the next."""
    return ("wires", Arithmetic("hop", fmt.name), words)


def filling(rows: int, terms: int) -> int:
    """Return the registers that a line of so many terms passes on its way into the array.

    A fold takes `rows` of them, one for each PE of a column. They enter at its top: the word for
    the i-th PE is written into i registers.
    """
    full, rest = divmod(terms, rows)
    return full * (rows * (rows + 1) // 2) + rest * (rest + 1) // 2


def additions(component: str, acc: Accumulator, outputs: int, trace: LayerTrace) -> Entries:
    """Return the additions of so many sums of a layer, also of the chunks of a chunked accumulator,
    and all that a compensated one takes.
    """
    terms, operands, adder = trace.k, trace.operand_format, Adder.of(acc)
    each_term = adder.each_term(operands, acc.additions_per_term)
    entries: Entries = [(component, action, outputs * terms) for action in each_term]
    fused = outputs * groups(acc, terms)
    entries += [(component, action, fused) for action in adder.each_group(operands)]
    if acc.chunk is not None:
        chunks = outputs * -(-terms // acc.chunk)
        entries += _accumulate(component, Adder.of_sums(acc), chunks, acc.format)
    return entries


def _accumulate(component: str, adder: Adder, number: int, of: Format) -> Entries:
    """Return what adding so many values made of `of` to a sum takes."""
    return [(component, action, number) for action in adder.each_term(of)]


def _detector(nest: Nest) -> Entries:
    """Return the operations that find the outputs to redo."""
    trace, detector = nest.trace, nest.trace.detector
    if detector is None:
        return []
    rows, outputs = trace.repeats * trace.m, trace.outputs
    words = rows * trace.k

    def number(operation: str, *places: tuple[str, int]) -> int:
        return sum(times * getattr(detector, f"{operation}_per_{place}") for place, times in places)

    by_row, by_output = ("row", rows), ("output", outputs)
    entries: Entries = [
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
    entries += _accumulate("detector", Adder.of(FP32), number("adds", ("word", words)), FP32)
    if (numerator := detector.numerator_format) is not None:
        entries += _accumulate("detector", Adder.of(numerator), trace.macs, trace.operand_format)
        if nest.mapping.stationary:
            entries.append(hop(numerator, trace.macs))
    return entries


def _memory(nest: Nest, tiling: Tiling, b_on_chip: bool) -> Counts:
    trace, pads, dram = nest.trace, nest.hardware.scratchpads, nest.hardware.dram.type
    moved = {
        key: int(nest.traffic_bytes(key, tiling.extents, key in tiling.keeps)) for key in "abc"
    }
    if b_on_chip:
        moved["b"] = 0
    read = _words(nest, tiling)
    entries: Entries = []
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
    folds, terms = nest.folds_over_terms(tiling.extents), nest.mapping.fold_terms(tiling.extents)
    dual = isinstance(nest.hardware.recompute, Dual)
    partial = bytes_of(trace.outputs, moved_sum_bits(trace, int(terms), int(folds), dual))
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
