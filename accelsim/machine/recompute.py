"""The units that do flagged outputs again in the pass that left them.

Each has the same four doors: `processes` of its own, what the `port` does with flagged outputs,
what the array does after a wave that left some (`after_wave`, if the unit `holds_array`), and the
`state` that it is in. `ledger` hears when a part is redone.
"""

from __future__ import annotations

from typing import Protocol

import simpy

from accelsim.machine.board import Behaviour, Board, Job
from accelsim.machine.hardware import Lanes
from accelsim.machine.lanes import ForeseenLanes, LanesByPart, WideLanes
from accelsim.machine.ledger import Ledger


class Unit(Protocol):
    """A recompute unit, as the array and the port see it."""

    holds_array: bool

    def processes(self) -> list[Behaviour]:
        """Return what the unit does by itself."""

    def port(self, job: Job) -> Behaviour:
        """Take the flagged outputs of a part, which have just reached scratchpad c."""

    def after_wave(self, job: Job, drained: simpy.Event) -> Behaviour:
        """Keep the array after a part that leaves flagged outputs, which have yet to drain."""

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return what is under way, seen from cycle `now`, or None if it cannot be told."""


def recompute_unit(board: Board, ledger: Ledger) -> Unit:
    """Return the machine's unit."""
    lanes = board.hardware.recompute
    if not isinstance(lanes, Lanes):
        return SameArray(board, ledger)
    if not board.steady:  # someone wants to see every round
        return WideLanes(board, ledger, lanes)
    return (LanesByPart if board.refetches else ForeseenLanes)(board, ledger, lanes)


class SameArray:
    """The array redoes what its last wave left flagged, before it goes on."""

    holds_array = True

    def __init__(self, board: Board, ledger: Ledger) -> None:
        self.board = board
        self.ledger = ledger

    def processes(self) -> list[Behaviour]:
        """Return nothing: the array does it all."""
        return []

    def port(self, job: Job) -> Behaviour:
        """Leave flagged outputs in scratchpad c."""
        yield from ()

    def after_wave(self, job: Job, drained: simpy.Event) -> Behaviour:
        """Wait until the outputs have drained and operands are there, and redo what is flagged."""
        board, watch, part = self.board, self.board.watch, job.part
        last = job.number + 1 == board.end and job.index + 1 == len(board.visit(job.number).parts)
        if part.time.drain:
            yield board.env.timeout(part.time.drain)
        if not last:  # the drain of the last visit is already part of the compute cycles
            watch.stall("recompute", watch.now - part.time.drain, watch.now)
        since = watch.now
        yield drained
        watch.attribute(since, port=True)
        since = watch.now
        yield from board.operands(job)
        watch.stall("dram", since, watch.now)
        start = watch.now
        if part.gather_cycles:
            yield board.env.timeout(part.gather_cycles)
            watch.note("gather", start, f"lines of tile {job.number}")
        redo = watch.now
        yield board.env.timeout(part.redo_cycles)
        watch.note("recompute", redo, f"redo tile {job.number}")
        watch.stall("recompute", start, watch.now)
        self.ledger.redone(job.number)

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return nothing, as the array begins no visit meanwhile; but what is fetched again for
        one that is redone is not written down.
        """
        return None if self.board.refetches and self.ledger.redoing else ()
