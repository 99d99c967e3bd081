"""What redoing outputs does, counted: arithmetic, and bytes at every memory."""

from __future__ import annotations

from accelsim.machine.counts import Arithmetic, ByCause, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.redo import ENTRY_BYTES, Work
from accelsim.machine.tally import FP32, Entries, additions, clocked, filling, moving, passing
from accelsim.machine.tiling import Nest, Tiling, bytes_of


def tally_redo(nest: Nest, tiling: Tiling, work: Work) -> ByCause:
    """Return all actions that `work` adds to those of the first pass."""
    trace, again = nest.trace, nest.trace.recompute_accumulator
    if again is None or not work.outputs:
        return ByCause()
    passes = trace.recompute_passes
    macs = work.outputs * trace.k * passes
    entries: Entries = [
        ("recompute", arithmetic("multiply", trace.operand_format), macs),
        # The passes are added up, and the bias once more.
        ("vector", arithmetic("add", FP32), work.outputs * passes),
    ]
    entries += additions("recompute", again, work.outputs * passes, trace)
    entries += _passed(nest, work)
    queue = waiting_bytes(nest.hardware, work.list_bytes)
    passed = work.entries * ENTRY_BYTES
    entries += [
        ("queue", Sram("write", queue), passed),
        ("queue", Sram("read", queue), passed),
    ]
    return ByCause(
        [
            ("recomputation", clocked(entries)),
            ("memory_recomputation", _operands(nest, work) + _outputs(nest, tiling, work)),
        ]
    )


def waiting_bytes(hardware: Hardware, list_bytes: int) -> int:
    """Return the size of the memory in which outputs wait to be redone: the queue of lanes, or the
    list of what comes later.
    """
    unit = hardware.recompute
    if isinstance(unit, Lanes) and unit.schedule == "inline":
        return unit.queue_capacity * ENTRY_BYTES
    return list_bytes


def _passed(nest: Nest, work: Work) -> Entries:
    """Return what operands and sums take on their way to the PEs, or into the lanes.

    A lane has two registers of its own, and nothing passes it on.
    """
    trace, entries = nest.trace, Entries()
    macs = work.outputs * trace.k * trace.recompute_passes
    if isinstance(nest.hardware.recompute, Lanes):
        return [("recompute", Arithmetic("operand", trace.operand_format.name), 2 * macs)]
    for index, key in enumerate("ab"):
        writes = work.passed[index]
        if key == nest.mapping.stationary:
            writes = work.words[index] // trace.k * filling(nest.hardware.array.rows, trace.k)
        entries += passing("recompute", trace.operand_format, writes)
    if nest.mapping.stationary and trace.recompute_accumulator is not None:
        entries += moving("recompute", trace.recompute_accumulator, macs // trace.k, nest)
    return entries


def _operands(nest: Nest, work: Work) -> Counts:
    """Return what is fetched again, copied into dense order, and read."""
    entries: Entries = []
    for index, key in enumerate("ab"):
        capacity = getattr(nest.hardware.scratchpads, key).capacity_bytes
        fetched, copied = work.fetched_bytes[index], work.copied_bytes[index]
        words = bytes_of(work.words[index], nest.trace.operand_format.bits)
        entries += [
            ("dram", DramAccess("read", nest.hardware.dram.type), fetched),
            (f"scratchpad_{key}", Sram("write", capacity), fetched + copied),
            (f"scratchpad_{key}", Sram("read", capacity), words + copied),
        ]
    return Counts(entries)


def _outputs(nest: Nest, tiling: Tiling, work: Work) -> Counts:
    """Return what goes to scratchpad c, comes back, and goes to DRAM a second time.

    Sums of a pass are there between its folds, those of passes between passes.
    """
    capacity, passes = nest.hardware.scratchpads.c.capacity_bytes, nest.trace.recompute_passes
    partial = bytes_of(work.outputs * (passes - 1), nest.slice_sum_bits)
    if nest.redo_sum_bits is not None:
        times = nest.redo_folds_over_terms(tiling.extents) - 1
        partial += bytes_of(work.outputs * times * passes, nest.redo_sum_bits)
    results = work.stored_bytes or bytes_of(work.outputs, nest.trace.output_format.bits)
    return Counts(
        [
            ("scratchpad_c", Sram("write", capacity), results + partial),
            ("scratchpad_c", Sram("read", capacity), work.stored_bytes + partial),
            ("dram", DramAccess("write", nest.hardware.dram.type), work.stored_bytes),
        ]
    )
