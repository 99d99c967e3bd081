"""Doing flagged outputs again: on lanes behind a queue, or on the array that left them."""

from __future__ import annotations

from collections import deque
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
    ones are redone. Where nobody wants to see every round of the lanes, and none of them waits for
    operands that are fetched again, their times are known as soon as outputs reach the queue, and
    rounds take no events of their own: `foresees`.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        unit = board.hardware.recompute
        self.lanes = unit if isinstance(unit, Lanes) else None
        parts = [part for kind in board.layer.kinds for part in kind.parts]
        self.foresees = board.steady and not any(part.refetch_bytes for part in parts)
        if self.lanes is not None:
            self.queue = simpy.Container(board.env, capacity=self.lanes.queue_capacity)
            self.rounds = simpy.Store(board.env)
        self.redoing: dict[int, _Redoing] = {}
        # What is foreseen: when each round in the queue begins, of how many, and the last one ends.
        self.begins: deque[tuple[int, int]] = deque()
        self.free_at = 0
        self.ended_at = 0

    def state(self, first: int, now: int) -> tuple[object, ...] | None:
        """Return what is under way, seen from visit `first` and cycle `now`, or None if it cannot
        be told.
        """
        if self.redoing and not self.foresees:
            return None
        while self.begins and self.begins[0][0] <= now:
            self.begins.popleft()
        since = tuple(
            (
                number - first,
                (redoing.parts, redoing.released, redoing.complete),
                None if redoing.computed_at is None else now - redoing.computed_at,
                None if redoing.drained_at is None else now - redoing.drained_at,
            )
            for number, redoing in self.redoing.items()
        )
        queued = tuple((start - now, size) for start, size in self.begins)
        return since, queued, max(0, self.free_at - now)

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
        if self.lanes is None or not job.part.flagged:
            return
        if self.foresees:
            yield from self._foresee(job, self.lanes)
            return
        flagged, width = job.part.flagged, self.lanes.width
        for taken in range(0, flagged, width):
            size = min(width, flagged - taken)
            yield self.queue.put(size)
            self.board.watch.change("queue", size)
            yield self.rounds.put((job, size, taken == 0, taken + size == flagged))

    def _foresee(self, job: Job, unit: Lanes) -> Behaviour:
        """Do what `enqueue` and `run_lanes` do, in as many steps as others can notice."""
        board, enters = self.board, self.board.watch.now
        for taken in range(0, job.part.flagged, unit.width):
            size = min(unit.width, job.part.flagged - taken)
            while self.begins and self.begins[0][0] <= enters:
                self.begins.popleft()
            held = sum(size for _, size in self.begins)
            while held + size > unit.queue_capacity:
                enters, gone = self.begins.popleft()
                held -= gone
            start = max(enters, self.free_at)
            self.begins.append((start, size))
            self.free_at = start + board.layer.trace.k
        end = board.sleep(self.free_at - board.watch.now, "redo", job.number)
        end.callbacks.append(lambda _: self._finish(job.number))
        if enters > board.watch.now:
            yield board.sleep(enters - board.watch.now, "enqueue", job.number)

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

    def rerun(self, job: Job, drained: simpy.Event, visit: Visit) -> Behaviour:
        """Redo the flagged outputs of a wave on the array, once they have drained."""
        board, watch = self.board, self.board.watch
        last = job.number + 1 == board.end and job.index + 1 == len(visit.parts)
        if visit.drain_cycles:
            yield board.env.timeout(visit.drain_cycles)
        if not last:  # the drain of the last visit is already part of the compute cycles
            watch.stall("recompute", watch.now - visit.drain_cycles, watch.now)
        since = watch.now
        yield drained
        watch.attribute(since, port=True)
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
