"""Doing flagged outputs again: on lanes behind a queue, or on the array that left them."""

from __future__ import annotations

from dataclasses import dataclass

import simpy

from accelsim.machine.board import Behaviour, Board, Job
from accelsim.machine.hardware import Lanes
from accelsim.machine.lower import Visit


@dataclass
class _Redoing:
    """A visit with flagged outputs: parts yet to be redone, and since when nothing else is
    missing for its operands to be released, and for its outputs to be stored.
    """

    parts: int
    computed_at: int | None = None
    drained_at: int | None = None
    released: bool = False
    complete: bool = False


class Recompute:
    """The recompute unit, and what it has yet to do.

    A visit with flagged outputs releases its operands, and hands on its outputs, when the flagged
    ones are redone.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        unit = board.hardware.recompute
        self.lanes = unit if isinstance(unit, Lanes) else None
        if self.lanes is not None:
            self.queue = simpy.Container(board.env, capacity=self.lanes.queue_capacity)
            self.rounds = simpy.Store(board.env)
        self.redoing: dict[int, _Redoing] = {}
        self.ended_at = 0

    @property
    def idle(self) -> bool:
        """Whether no visit with flagged outputs is under way."""
        return not self.redoing

    def expect(self, number: int, visit: Visit) -> None:
        """Note that a visit with flagged outputs begins."""
        self.redoing[number] = _Redoing(sum(part.flagged > 0 for part in visit.parts))

    def computed(self, number: int) -> None:
        """Note that the array is done with a visit."""
        self.redoing[number].computed_at = self.board.watch.now
        self._settle(number)

    def drained(self, number: int) -> None:
        """Note that all outputs of a visit are in scratchpad c."""
        self.redoing[number].drained_at = self.board.watch.now
        self._settle(number)

    def computed_at(self, number: int) -> int:
        """Return when the array was done with a visit."""
        at = self.redoing[number].computed_at
        assert at is not None
        return at

    def forget(self, number: int) -> int:
        """Forget a visit that is complete; return when its outputs had drained."""
        at = self.redoing.pop(number).drained_at
        assert at is not None
        return at

    def enqueue(self, job: Job) -> Behaviour:
        """Put flagged outputs in the queue, as many at a time as the lanes take."""
        if self.lanes is None:
            return
        flagged, width = job.part.flagged, self.lanes.width
        for taken in range(0, flagged, width):
            size = min(width, flagged - taken)
            yield self.queue.put(size)
            self.board.watch.change("queue", size)
            yield self.rounds.put((job, size, taken == 0, taken + size == flagged))

    def run_lanes(self) -> Behaviour:
        """Redo the outputs of one round side by side, each lane one MAC a cycle."""
        board = self.board
        while True:
            job, size, first, last = yield self.rounds.get()
            yield self.queue.get(size)
            board.watch.change("queue", -size)
            if first:
                yield from self._wait_for_operands(job)
            start = board.watch.now
            yield board.env.timeout(board.layer.trace.k)
            board.watch.note("recompute", start, f"redo {size} of tile {job.number}")
            if last:
                self._finish(job.number)

    def rerun(self, job: Job, visit: Visit) -> Behaviour:
        """Redo the flagged outputs of a wave on the array, once they have drained."""
        board, watch = self.board, self.board.watch
        last = job.number + 1 == board.end and job.index + 1 == len(visit.parts)
        yield board.env.timeout(visit.drain_cycles)
        if not last:  # the drain of the last visit is already part of the compute cycles
            watch.stall("recompute", watch.now - visit.drain_cycles, watch.now)
        since = watch.now
        yield job.drained
        watch.attribute(since)
        since = watch.now
        yield from self._wait_for_operands(job)
        watch.stall("dram", since, watch.now)
        start = watch.now
        yield board.env.timeout(visit.redo_cycles)
        watch.note("recompute", start, f"redo tile {job.number}")
        watch.stall("recompute", start, watch.now)
        self._finish(job.number)

    def _wait_for_operands(self, job: Job) -> Behaviour:
        """Wait for what is fetched again to redo the flagged outputs of a wave."""
        if job.part.refetch_bytes:
            yield from self.board.wait("recompute", f"fetched {job.index}", job.number)

    def _finish(self, number: int) -> None:
        """Note that the flagged outputs of a wave are all redone."""
        self.ended_at = self.board.watch.now
        self.redoing[number].parts -= 1
        self._settle(number)

    def _settle(self, number: int) -> None:
        """Release the operands, and hand on the outputs, of a visit whose last part is redone."""
        redoing = self.redoing[number]
        if redoing.parts:
            return
        if redoing.computed_at is not None and not redoing.released:
            redoing.released = True
            self.board.tell("released", number)
        if redoing.drained_at is not None and not redoing.complete:
            redoing.complete = True
            self.board.tell("complete", number)
