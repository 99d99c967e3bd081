"""Lanes beside the array, behind a queue: round by round, and two faster ways to the same times.

`WideLanes` is the definition, and what timelines are made from. The others know that rounds follow
one another, and need no events for each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import simpy

from accelsim.machine.board import Behaviour, Board, Job
from accelsim.machine.hardware import Lanes
from accelsim.machine.ledger import Ledger


class _Lanes:
    """What all lanes have: they work beside the array, and never keep it."""

    holds_array = False

    def __init__(self, board: Board, ledger: Ledger, lanes: Lanes) -> None:
        self.board = board
        self.ledger = ledger
        self.lanes = lanes

    def after_wave(self, job: Job, drained: simpy.Event) -> Behaviour:
        """Let the array go on."""
        yield from ()


class WideLanes(_Lanes):
    """Lanes beside the array, behind a queue."""

    def __init__(self, board: Board, ledger: Ledger, lanes: Lanes) -> None:
        super().__init__(board, ledger, lanes)
        self.queue = simpy.Container(board.env, capacity=lanes.queue_capacity)
        self.rounds = simpy.Store(board.env)

    def processes(self) -> list[Behaviour]:
        """Return the lanes, which go through rounds."""
        return [self._run()]

    def port(self, job: Job) -> Behaviour:
        """Put flagged outputs in the queue, as many at a time as the lanes take."""
        flagged, width = job.part.flagged, self.lanes.width
        for taken in range(0, flagged, width):
            size = min(width, flagged - taken)
            yield self.queue.put(size)
            self.board.watch.change("queue", size)
            yield self.rounds.put((job, size, taken == 0, taken + size == flagged))

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return nothing if all is redone: rounds under way are not written down."""
        return None if self.ledger.redoing else ()

    def _run(self) -> Behaviour:
        """Redo the outputs of one round side by side, each lane one MAC a cycle."""
        board = self.board
        while True:
            job, size, first, last = yield self.rounds.get()
            yield self.queue.get(size)
            board.watch.change("queue", -size)
            if first:
                yield from board.operands(job)
            start = board.watch.now
            yield board.env.timeout(job.part.redo_cycles)
            board.watch.note("recompute", start, f"redo {size} of tile {job.number}")
            if last:
                self.ledger.redone(job.number)


class ForeseenLanes(_Lanes):
    """The same lanes, in as many steps as others can notice.

    Where nothing is fetched again, all times are known as soon as outputs reach the queue.
    """

    def __init__(self, board: Board, ledger: Ledger, lanes: Lanes) -> None:
        super().__init__(board, ledger, lanes)
        # When each round in the queue begins, of how many, and when the last one ends.
        self.begins: deque[tuple[int, int]] = deque()
        self.held = 0
        self.free_at = 0

    def processes(self) -> list[Behaviour]:
        """Return nothing: the port foresees it all."""
        return []

    def port(self, job: Job) -> Behaviour:
        """Put flagged outputs in the queue; when the lanes will have redone them is known, too."""
        if not job.part.flagged:
            return
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

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return when what is in the queue begins, and when the lanes are free."""
        self._pass(now)
        queued = tuple((start - now, size) for start, size in self.begins)
        return queued, max(0, self.free_at - now)

    def _pass(self, now: int) -> None:
        """Take rounds that have begun from the queue."""
        while self.begins and self.begins[0][0] <= now:
            self.held -= self.begins.popleft()[1]


@dataclass
class _Batch:
    """The flagged outputs of a part, and when the lanes begin the first round of them."""

    job: Job
    begins: int | None = None


class _Round(NamedTuple):
    """The how manyth round of which batch, and of how many outputs."""

    batch: _Batch
    place: int
    size: int


class LanesByPart(_Lanes):
    """The same lanes, whose rounds follow one another once what a part needs has been fetched."""

    def __init__(self, board: Board, ledger: Ledger, lanes: Lanes) -> None:
        super().__init__(board, ledger, lanes)
        self.batches = simpy.Store(board.env)
        # Rounds that have not begun, or of which the port has not noticed it.
        self.queue: deque[_Round] = deque()
        self.held = 0
        self.known = board.env.event()

    def processes(self) -> list[Behaviour]:
        """Return the lanes, which go through batches."""
        return [self._run()]

    def port(self, job: Job) -> Behaviour:
        """Put flagged outputs in the queue, as those before them are taken from it."""
        board, width, batch = self.board, self.lanes.width, _Batch(job)
        enters = board.watch.now
        for index, taken in enumerate(range(0, job.part.flagged, width)):
            size = min(width, job.part.flagged - taken)
            while self.held + size > self.lanes.queue_capacity:
                before, place, _ = self.queue[0]
                if before.begins is None:
                    self.known = board.env.event()
                    yield self.known
                else:
                    enters = before.begins + place * before.job.part.redo_cycles
                    self._leaves()
            self.queue.append(_Round(batch, index, size))
            self.held += size
            if index == 0:
                if enters > board.watch.now:
                    yield board.sleep(enters - board.watch.now, "enqueue", job.number)
                self.batches.put(batch)
        if enters > board.watch.now:
            yield board.sleep(enters - board.watch.now, "enqueue", job.number)

    def state(self, now: int) -> tuple[object, ...] | None:
        """Return nothing if all is redone: what is fetched again is not written down."""
        return None if self.ledger.redoing else ()

    def _run(self) -> Behaviour:
        """Take the first round of a batch, wait for its operands, and go through all of them."""
        board = self.board
        while True:
            batch: _Batch = yield self.batches.get()
            while self.queue[0].batch is not batch:  # these left before, unnoticed
                self._leaves()
            self._leaves()
            self._tell()
            yield from board.operands(batch.job)
            batch.begins = board.watch.now
            self._tell()
            part = batch.job.part
            yield board.env.timeout(-(-part.flagged // self.lanes.width) * part.redo_cycles)
            self.ledger.redone(batch.job.number)

    def _leaves(self) -> None:
        """Let the first round leave the queue."""
        self.held -= self.queue.popleft().size

    def _tell(self) -> None:
        """Let the port know that more is known of when rounds leave the queue."""
        if not self.known.triggered:
            self.known.succeed()
