"""Vector work on a machine: pieces through scratchpad c, past the vector unit.

A layer of vector work is cut into pieces of whole rows that fit half of scratchpad c. A piece
  1. waits for a free half and is loaded over the DRAM channel;
  2. keeps the vector unit for ⌈operations / operations_per_cycle⌉ cycles;
  3. replaces its inputs, and is stored over the DRAM channel.
Loads and stores take turns on the channel from the second load on. Fused work takes the outputs
of the layer before, and leaves its own, where they are: only what else it takes is loaded, and
nothing is stored, since the layer before is charged for that. Repeats follow one another and
never overlap.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from accelsim.errors import AccelsimError
from accelsim.machine.counts import Action, ByCause, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.hardware import FUNCTION_BYTES, Hardware
from accelsim.machine.timeline import Interval, Level, Stall, Timeline, joined
from accelsim.numerics import FloatFormat
from accelsim.trace import VectorOperations, VectorTrace

FP32 = FloatFormat.parse("fp32")
MAX_PIECES = 2_000_000
"""Pieces are gone through one by one: more would take minutes."""


class Piece(NamedTuple):
    """Some rows: what they load and store, and the cycles that they keep the vector unit."""

    load_bytes: int
    store_bytes: int
    work_cycles: int


@dataclass(frozen=True)
class LoweredVector:
    """A layer of vector work as the machine does it, once; `trace` says how often."""

    trace: VectorTrace
    pieces: tuple[Piece, ...]
    by_cause: ByCause

    @cached_property
    def counts(self) -> Counts:
        """All actions, whatever they are done for."""
        return self.by_cause.total

    @property
    def compute_cycles(self) -> int:
        """Cycles of the vector unit, all repeats."""
        return self.trace.repeats * sum(piece.work_cycles for piece in self.pieces)


@dataclass(frozen=True)
class VectorSimulation:
    """The time of a layer of vector work. total = compute + stalls, which are all of `dram`."""

    total_cycles: int
    compute_cycles: int
    stall_cycles: dict[str, int]
    layer: LoweredVector = field(repr=False, compare=False)
    hardware: Hardware = field(repr=False, compare=False)

    @cached_property
    def timeline(self) -> Timeline:
        """Every interval of every piece."""
        once = _once(self.layer, self.hardware)
        return joined(once.layer, [once] * self.layer.trace.repeats)


def lower_vector(trace: VectorTrace, hardware: Hardware) -> LoweredVector:
    """Cut vector work into pieces.

    Raises AccelsimError if a row does not fit half of scratchpad c, or all of it the DRAM.
    """
    bits, pad = trace.value_format.bits, hardware.scratchpads.c
    half_bytes = pad.capacity_bytes // 2
    row_bytes = -(-max(trace.row_inputs, trace.row_outputs) * bits // 8)
    where = f"layer {trace.name} on {hardware.name}"
    if row_bytes > half_bytes:
        raise AccelsimError(
            f"{where}: a row of {trace.row_inputs} values takes {row_bytes} bytes, but half of"
            f" scratchpads.c holds {half_bytes}; capacity_bytes of at least"
            f" {2 * row_bytes} would fit"
        )
    _check_memory(trace, hardware)
    step = half_bytes // row_bytes
    count = -(-trace.rows // step)
    if count > MAX_PIECES:
        raise AccelsimError(
            f"{where}: {trace.rows} rows are {count} pieces of half of scratchpads.c, and at most"
            f" {MAX_PIECES} can be simulated"
        )
    stored = 0 if trace.fused else trace.row_outputs
    ends = [min((index + 1) * step, trace.rows) for index in range(count)]
    loads = [-(-end * trace.fetched_inputs * bits // 8) for end in ends]
    stores = [-(-end * stored * bits // 8) for end in ends]
    pieces = []
    operations = trace.operations(hardware.vector.tables).total
    for index, end in enumerate(ends):
        before = index - 1
        rows = end - (ends[before] if index else 0)
        pieces.append(
            Piece(
                loads[index] - (loads[before] if index else 0),
                stores[index] - (stores[before] if index else 0),
                -(-rows * operations // hardware.vector_operations_per_cycle),
            )
        )
    return LoweredVector(trace, tuple(pieces), _counts(trace, hardware, loads[-1], stores[-1]))


def _check_memory(trace: VectorTrace, hardware: Hardware) -> None:
    """Raise AccelsimError if what all repeats take, or what they leave, exceeds the DRAM."""
    values = trace.repeats * trace.rows * max(trace.row_inputs, trace.row_outputs)
    size_bytes, held_bytes = -(-values * trace.value_format.bits // 8), hardware.dram.capacity_bytes
    if held_bytes is not None and size_bytes > held_bytes:
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: {values} values take {size_bytes} bytes, but"
            f" dram.capacity_bytes is {held_bytes}; at least {size_bytes} would fit"
        )


def simulate_vector(layer: LoweredVector, hardware: Hardware) -> VectorSimulation:
    """Run vector work from an idle machine until its last output is in DRAM."""
    repeats, once = layer.trace.repeats, _once(layer, hardware)
    total = repeats * once.total_cycles
    return VectorSimulation(
        total_cycles=total,
        compute_cycles=layer.compute_cycles,
        stall_cycles={"dram": total - layer.compute_cycles, "scratchpad": 0, "recompute": 0},
        layer=layer,
        hardware=hardware,
    )


def _counts(trace: VectorTrace, hardware: Hardware, loaded: int, stored: int) -> ByCause:
    """Return the counts of all repeats.

    Every value is read once from scratchpad c and every result written once: what a row needs
    between its passes stays in the vector unit.
    """
    times, rows, bits = trace.repeats, trace.rows, trace.value_format.bits
    capacity, dram = hardware.scratchpads.c.capacity_bytes, hardware.dram.type
    taken = -(-rows * trace.row_inputs * bits // 8)
    made = -(-rows * trace.row_outputs * bits // 8)
    done = trace.operations(hardware.vector.tables)
    operations = Counts(vector_operations(done, times * rows, hardware))
    memory = Counts(
        [
            ("scratchpad_c", Sram("write", capacity), times * (loaded + made)),
            ("scratchpad_c", Sram("read", capacity), times * (taken + stored)),
            ("dram", DramAccess("read", dram), times * loaded),
            ("dram", DramAccess("write", dram), times * stored),
        ]
    )
    return ByCause([("useful_low_work", operations), ("memory_first_pass", memory)])


def vector_operations(
    done: VectorOperations, times: int, hardware: Hardware
) -> list[tuple[str, Action, int]]:
    """Return so many times these operations; a value from a table is four bytes of it."""
    return [
        ("vector", arithmetic("add", FP32), times * done.adds),
        ("vector", arithmetic("multiply", FP32), times * done.multiplies),
        ("vector", arithmetic("compare", FP32), times * done.compares),
        (
            "vector",
            Sram("read", hardware.vector.table_bytes),
            times * done.lookups * FUNCTION_BYTES,
        ),
    ]


def _once(layer: LoweredVector, hardware: Hardware) -> Timeline:
    """Return who does what when in one repeat."""
    intervals: list[Interval] = []
    stalls: list[Stall] = []
    changes = [(0, 0)]
    channel = worked = arrived = 0
    stored = [0, 0]  # when the last pieces but one, and the last, gave their halves back

    def transfer(size_bytes: int, asked: int, label: str) -> int:
        """Occupy the channel from when it is free, and return the end."""
        nonlocal channel
        cycles = hardware.transfer_cycles(size_bytes)
        if not cycles:
            return asked
        start = max(channel, asked)
        channel = start + cycles
        intervals.append(Interval("dram", start, channel, label))
        return channel

    def load(number: int) -> int:
        """Load a piece into the half that is free first, and return when it has arrived."""
        piece = layer.pieces[number]
        changes.append((stored[0], 1))
        end = transfer(piece.load_bytes, stored[0], f"load piece {number}")
        return max(arrived, end + (hardware.dram_latency_cycles if piece.load_bytes else 0))

    arrived = load(0)
    for number, piece in enumerate(layer.pieces):
        ready = arrived
        stored.pop(0)
        if number + 1 < len(layer.pieces):
            arrived = load(number + 1)
        start = max(ready, worked)
        if start > worked:
            stalls.append(Stall("dram", worked, start))
        worked = start + piece.work_cycles
        intervals.append(Interval("vector", start, worked, f"piece {number}"))
        stored.append(transfer(piece.store_bytes, worked, f"store piece {number}"))
        changes.append((stored[-1], -1))
    total = stored[-1]
    if total > worked:
        stalls.append(Stall("dram", worked, total))
    return Timeline(
        layer.trace.name, total, tuple(intervals), tuple(stalls), tuple(_levels(changes))
    )


def _levels(changes: list[tuple[int, int]]) -> list[Level]:
    """Return how many halves are in use, from (cycle, change), one value a cycle."""
    by_cycle: dict[int, int] = {}
    for cycle, change in changes:
        by_cycle[cycle] = by_cycle.get(cycle, 0) + change
    in_use = itertools.accumulate(by_cycle[cycle] for cycle in sorted(by_cycle))
    return [Level("vector buffers", *entry) for entry in zip(sorted(by_cycle), in_use, strict=True)]
