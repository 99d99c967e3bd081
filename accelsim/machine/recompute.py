"""The units that do flagged outputs again in the pass that left them.

Each has the same four doors: `processes` of its own, what the `port` does with flagged outputs,
what the array does after a wave that left some (`after_wave`, if the unit `holds_array`), and the
`state` that it is in. `ledger` hears when a part is redone.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import simpy

from accelsim.machine.board import Behaviour, Board, Job
from accelsim.machine.hardware import Lanes
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
    unit = board.hardware.recompute
    return WideLanes(board, ledger, unit) if isinstance(unit, Lanes) else SameArray(board, ledger)


class SameArray:
    """The array redoes what its last wave left flagged, before it goes on."""

    holds_array = True

    def __init__(self, board: Board, ledger: Ledger) -> None:
        self.board = board
        self.ledger = ledger
        self.refetches = _refetches(board)

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
        yield from _operands(board, job)
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
        return None if self.refetches and self.ledger.redoing else ()


class WideLanes:
    """Lanes beside the array, behind a queue.

    Where nobody wants to see every round of the lanes, and none of them waits for operands that
    are fetched again, their times are known as soon as outputs reach the queue, and rounds take no
    events of their own: `foresees`.
    """

    holds_array = False

    def __init__(self, board: Board, ledger: Ledger, lanes: Lanes) -> None:
        self.board = board
        self.ledger = ledger
        self.lanes = lanes
        self.foresees = board.steady and not _refetches(board)
        self.queue = simpy.Container(board.env, capacity=lanes.queue_capacity)
        self.rounds = simpy.Store(board.env)
        # What is foreseen: when each round in the queue begins, of how many, and the last one ends.
        self.begins: deque[tuple[int, int]] = deque()
        self.held = 0
        self.free_at = 0

    def processes(self) -> list[Behaviour]:
        """Return the lanes, which go through rounds."""
        return [self._run()]

    def port(self, job: Job) -> Behaviour:
        """Put flagged outputs in the queue, as many at a time as the lanes take."""
        if not job.part.flagged:
            return
        if self.foresees:
            yield from self._foresee(job)
            return
        flagged, width = job.part.flagged, self.lanes.width
        for taken in range(0, flagged, width):
            size = min(width, flagged - taken)
            yield self.queue.put(size)
            self.board.watch.change("queue", size)
            yield self.rounds.put((job, size, taken == 0, taken + size == flagged))

    def after_wave(self, job: Job, drained: simpy.Event) -> Behaviour:
        """Let the array go on."""
        yield from ()

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return when what is in the queue begins, and when the lanes are free."""
        if self.ledger.redoing and not self.foresees:
            return None
        self._pass(now)
        queued = tuple((start - now, size) for start, size in self.begins)
        return queued, max(0, self.free_at - now)

    def _foresee(self, job: Job) -> Behaviour:
        """Do what `port` and `_run` do, in as many steps as others can notice."""
        board, enters, width = self.board, self.board.watch.now, self.lanes.width
        capacity, cycles, begins = self.lanes.queue_capacity, job.part.redo_cycles, self.begins
        self._pass(enters)
        start, left = max(enters, self.free_at), job.part.flagged
        if left and start == enters:  # the lanes take these from the queue at once
            start, left = start + cycles, left - min(width, left)
        room, full = capacity // width, left // width
        if full > room:  # the last of these enters when the queue holds nothing but such rounds
            enters, self.held = start + (full - 1 - room) * cycles, room * width
            begins.clear()
            begins.extend((start + n * cycles, width) for n in range(full - room, full))
            start, left = start + full * cycles, left - full * width
        while left:
            size = min(width, left)
            while self.held + size > capacity:
                enters, gone = begins.popleft()
                self.held -= gone
            begins.append((start, size))
            start, left, self.held = start + cycles, left - size, self.held + size
        self.free_at = start
        end = board.sleep(self.free_at - board.watch.now, "redo", job.number)
        end.callbacks.append(lambda _: self.ledger.redone(job.number))
        if enters > board.watch.now:
            yield board.sleep(enters - board.watch.now, "enqueue", job.number)

    def _pass(self, now: int) -> None:
        """Take rounds that have begun from the queue."""
        while self.begins and self.begins[0][0] <= now:
            self.held -= self.begins.popleft()[1]

    def _run(self) -> Behaviour:
        """Redo the outputs of one round side by side, each lane one MAC a cycle."""
        board = self.board
        while True:
            job, size, first, last = yield self.rounds.get()
            yield self.queue.get(size)
            board.watch.change("queue", -size)
            if first:
                yield from _operands(board, job)
            start = board.watch.now
            yield board.env.timeout(job.part.redo_cycles)
            board.watch.note("recompute", start, f"redo {size} of tile {job.number}")
            if last:
                self.ledger.redone(job.number)


def _refetches(board: Board) -> bool:
    """Say whether anything is ever fetched again to be redone."""
    return any(part.refetch_bytes for kind in board.work.kinds for part in kind.parts)


def _operands(board: Board, job: Job) -> Behaviour:
    """Wait for what is fetched again to redo the flagged outputs of a part."""
    if job.part.refetch_bytes:
        yield from board.wait("recompute", f"fetched {job.index}", job.number)
