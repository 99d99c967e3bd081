"""The discrete-event model, tile by tile; the modules it imports units from use SimPy as well.

Four units work side by side, each through a list that is fixed before anything runs; they wait for
one another, and never choose. So no delay can reorder anything, and nothing that makes one unit
faster makes the whole slower.

* **memory** (`memory`): the DRAM channel, one transfer after the other.
* **array**: waits for the operands of a visit, and works for the time of its waves. Inside a visit
  time is closed form, cut only where a wave leaves flagged outputs.
* **port**: takes outputs from the arrays into scratchpad c, once there is room for the visit's,
  and puts flagged ones into the queue. Two waves' outputs cannot pass at once; the array stands
  still where the port cannot follow.
* **lanes** (`recompute`), if there are any, redo what is in the queue. Without them the array
  redoes what a wave left flagged before it goes on.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

import simpy

from accelsim.machine.board import Behaviour, Board, Job
from accelsim.machine.hardware import Hardware
from accelsim.machine.ledger import Ledger
from accelsim.machine.lower import LoweredLayer
from accelsim.machine.memory import Memory
from accelsim.machine.recompute import recompute_unit
from accelsim.machine.steady import Moment, SteadyState
from accelsim.machine.timeline import Timeline
from accelsim.machine.visits import Part, Pass, Visit
from accelsim.progress import Progress


class Ran(NamedTuple):
    """The time of one pass."""

    total_cycles: int
    stall_cycles: dict[str, int]


class EventModel:
    """One pass of a layer on a machine, which `run` goes through once.

    With a `SteadyState` rounds of visits that repeat are jumped over; without, all is recorded.
    """

    def __init__(
        self,
        layer: LoweredLayer,
        work: Pass,
        hardware: Hardware,
        progress: Progress,
        steady: SteadyState | None,
    ) -> None:
        self.layer = layer
        self.worker = "array" if work.name == layer.first.name else "recompute"
        self.hardware = hardware
        self.steady = steady
        visits = range(len(work.sequence))
        self.ticks = iter(progress(visits, f"simulate {layer.trace.name}"))
        self.env = simpy.Environment()
        self.board = Board(self.env, work, hardware, steady=steady is not None)
        self.watch = self.board.watch
        self.ledger = Ledger(self.board)
        self.unit = recompute_unit(self.board, self.ledger)
        self.memory = Memory(self.board, self.ledger)
        # Parts that may be in the arrays or draining: as many as overlap when nothing waits.
        self.room = 1 + max(kind.overlapping_waves for kind in work.kinds)
        self.jobs: deque[Job] = deque()
        self.new_job, self.new_room = self.env.event(), self.env.event()
        self.started = 0
        self.skipped_cycles = 0
        self.array_end = 0

    def run(self) -> Ran:
        """Run the pass to its end."""
        self.env.run(until=self.start())
        return self.end()

    def start(self) -> simpy.Event:
        """Set every unit to work, and return what happens when all is done."""
        done = self.env.process(self.memory.run())
        for process in (self.array(), self.port(), *self.unit.processes()):
            self.env.process(process)
        if any(kind.gather_cycles for kind in self.board.work.kinds):
            self.env.process(self.gather())
        return done

    def run_some(self, first: int, number: int) -> tuple[int, Timeline]:
        """Run until the array has worked `number` times since it began the `first` visit and what
        the other units were at by then is over, or till it has worked twice as often, or all is
        done; return when that visit began, and what happened.
        """
        done, seen, worked = self.start(), 0, 0
        intervals, last_end = self.watch.intervals, dict.fromkeys((self.worker,), 0)
        began = 0 if first == 0 else None
        cut: int | None = None
        while not done.processed:
            self.env.step()
            if began is None and self.started >= first:
                began = self.watch.now
            for interval in intervals[seen:]:
                last_end[interval.unit] = interval.end_cycles
                # The visit before may be over in the very step in which the first one begins.
                if began is not None and interval.start_cycles >= began:
                    worked += interval.unit == self.worker
            seen = len(intervals)
            if cut is None and worked >= number:
                cut = self.watch.now
            if cut is not None and (worked >= 2 * number or min(last_end.values()) > cut):
                break
        if done.processed:
            self.end()
        return began or 0, self.timeline()

    def end(self) -> Ran:
        """Book what the array waited for at the end, and return the time of the pass."""
        watch = self.watch
        redone = min(max(self.ledger.ended_at, self.array_end), watch.now)
        watch.stall("recompute", self.array_end, redone)
        watch.stall("dram", redone, watch.now)
        return Ran(watch.now + self.skipped_cycles, watch.stall_cycles)

    def timeline(self) -> Timeline:
        """Return what has happened; nothing was jumped over."""
        return self.watch.timeline(self.layer.trace.name, self.watch.now)

    def gather(self) -> Behaviour:
        """Copy the lines of each visit of a deferred pass, with room for those of two."""
        board, watch, number = self.board, self.watch, 0
        while number < board.end:
            yield from board.wait("gather", "left gather", number - 2)
            yield from self.arrival("gather", number)
            cycles = board.visit(number).gather_cycles
            yield board.sleep(cycles, "gather", number)
            watch.note("gather", watch.now - cycles, f"lines of {board.work.name} {number}")
            board.tell("gathered", number)
            number += 1

    def array(self) -> Behaviour:
        """Do the visits in order, and on a machine without lanes redo what was flagged."""
        board, watch = self.board, self.watch
        number = 0
        while number < board.end:
            visit = board.visit(number)
            for index, part in enumerate(visit.parts):
                since = watch.now
                if not self.room:
                    self.new_room = self.env.event()
                    board.waiting["array"] = ("room", number)
                    yield self.new_room
                    watch.attribute(since, port=True)
                self.room -= 1
                if index == 0:
                    since = watch.now
                    yield from self.operands(visit, number)
                    watch.attribute(since, port=False)
                if index == 0:
                    self.begin(number, visit)
                yield from self.work(number, index, visit, part)
            if visit.flagged:
                self.ledger.computed(number)
            else:
                board.tell("released", number)
            if visit.gather_cycles:
                board.tell("left gather", number)
            number += 1

    def operands(self, visit: Visit, number: int) -> Behaviour:
        """Let the array wait until a visit's operands are there, in dense order if they must be."""
        if visit.gather_cycles:
            yield from self.board.wait("array", "gathered", number)
        else:
            yield from self.arrival("array", number)

    def arrival(self, unit: str, number: int) -> Behaviour:
        """Let a unit wait until all that a visit loads is there."""
        if self.board.visit(number).transfers:
            yield from self.board.wait(unit, "ready", number)
            self.watch.change("tiles ahead", -1)

    def begin(self, number: int, visit: Visit) -> None:
        """Count a visit, and look for a jump."""
        self.started = number
        next(self.ticks)
        if visit.flagged:
            self.ledger.expect(number, visit)
        if self.steady is not None and self.steady.may_return(number + self.board.jumped):
            # Half a cycle later, all that happens in this cycle has happened.
            self.env.timeout(0.5, self.watch.now).callbacks.append(self.jump)

    def work(self, number: int, index: int, visit: Visit, part: Part) -> Behaviour:
        """Do some waves of a visit; stand still while the first outputs cannot leave.

        A part that is over before its first outputs come out is followed by the next meanwhile.
        """
        board, watch, start = self.board, self.watch, self.watch.now
        reruns = part.flagged > 0 and self.unit.holds_array
        stands = (part.waves - 1) * part.time.interval > part.time.drain
        flows, drained = (self.env.event() if needed else None for needed in (stands, reruns))
        job = Job(number, index, part, start, flows, drained)
        busy, slow = part.waves * part.slow_wave_cycles, part.waves * part.time.stretch
        label = f"{board.work.name} {number}"
        if len(visit.parts) > 1:
            label += f" part {index}"
        self.jobs.append(job)
        if not self.new_job.triggered:
            self.new_job.succeed()
        if flows is not None:
            first = part.slow_wave_cycles + part.time.drain
            yield board.sleep(first, "array", number)
            watch.note(self.worker, start, label)
            watch.stall("scratchpad", watch.now - min(slow, first), watch.now)
            since = watch.now
            board.waiting["array"] = ("flows", number)
            yield flows
            watch.attribute(since, port=True)
            start, busy, slow = watch.now, busy - first, max(0, slow - first)
        yield board.sleep(busy, "array", number)
        watch.note(self.worker, start, label)
        watch.stall("scratchpad", watch.now - slow, watch.now)
        self.array_end = watch.now + part.time.drain
        if drained is not None:
            yield from self.unit.after_wave(job, drained)
            self.array_end = watch.now
        last = number + 1 == board.end and index + 1 == len(visit.parts)
        if part.held_cycles and not last:  # nothing follows that could be late
            since = watch.now
            yield board.sleep(part.held_cycles, "array", number)
            watch.stall("scratchpad", since, watch.now)

    def port(self) -> Behaviour:
        """Take outputs to scratchpad c, part by part, and hand on what is flagged."""
        board, watch = self.board, self.watch
        while True:
            if not self.jobs:
                self.new_job = self.env.event()
                board.waiting["port"] = ("job", self.started)
                yield self.new_job
            job = self.jobs.popleft()
            visit, number, part = board.visit(job.number), job.number, job.part
            arrival = job.start + part.slow_wave_cycles + part.time.drain
            if arrival > watch.now:
                yield board.sleep(arrival - watch.now, "port", number)
            if job.index == 0:
                yield from board.wait("port", "left", number - board.depth["c"])
                watch.change("tiles in c", 1)
            if job.flows is not None:
                job.flows.succeed()
            if part.waves > 1:
                yield board.sleep((part.waves - 1) * part.slow_wave_cycles, "drain", number)
            if part.refetch_bytes:
                board.tell(f"flagged {job.index}", number)
            since = watch.now
            yield from self.unit.port(job)
            watch.blocked("port", since)
            if job.drained is not None:
                job.drained.succeed()
            self.room += 1
            if not self.new_room.triggered:
                self.new_room.succeed()
            if job.index + 1 < len(visit.parts):
                continue
            if visit.flagged:
                self.ledger.drained(number)
            else:
                board.tell("complete", number)

    def jump(self, checkpoint: simpy.Event) -> None:
        """Leave out the visits that would do again what has been done since this state before."""
        assert self.steady is not None
        board, memory, first = self.board, self.memory, self.started
        now = int(checkpoint.value or 0)
        redoing = self.unit.state(now)
        if redoing is None:
            self.steady.forget()
            return
        state = (
            board.state(first, now),
            (self.ledger.state(first, now), redoing),
            (memory.turn - first, memory.stored - first, self.room),
            tuple((number - first, left) for number, left in memory.loads_left.items()),
            tuple(job.number - first for job in self.jobs),
            # What is still on its way was of some kind, too.
            self.steady.kinds[memory.stored + board.jumped : first + board.jumped].tobytes(),
        )
        causes = self.watch.stall_cycles
        cycles = now + self.skipped_cycles
        jump = self.steady.visit(state, Moment(first + board.jumped, cycles, (*causes.values(),)))
        if jump is None:
            return
        board.jumped += jump.visits
        self.skipped_cycles += jump.cycles
        for cause, more in zip(causes, jump.stalls, strict=True):
            causes[cause] += more
        deque(islice(self.ticks, jump.visits), maxlen=0)
