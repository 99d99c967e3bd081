"""The discrete-event model, fold by fold: the only door to SimPy.

Units: the DRAM channel, the array, the recompute unit. A fold
  1. waits for a free operand buffer (there are two) and is loaded over the DRAM channel;
  2. keeps the array for its interval; inside a fold time is closed form;
  3. drains into a free output buffer (there are two), where the detector flags outputs;
  4. has its flagged outputs redone, on lanes through a queue or by the array again;
  5. is stored over the DRAM channel.
A fold with flagged outputs keeps its operand buffer until they are redone. Where a tile takes
several folds, the first takes the output buffer and the last goes on to steps 4 and 5; operands
of the earlier ones that have left the scratchpads are then fetched again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import simpy

from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.lower import Fold, LoweredLayer
from accelsim.machine.steady import Moment, SteadyState
from accelsim.machine.timeline import Interval, Level, Stall, Timeline
from accelsim.progress import Progress, silent

Behaviour = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Simulation:
    """The time of one layer. total = compute + all stalls; `timeline` says who did what when.

    Stall causes: `dram` (the array waits for operands, or for outputs to leave) and `recompute`
    (it waits for the recompute unit, or redoes outputs itself).
    """

    total_cycles: int
    compute_cycles: int
    stall_cycles: dict[str, int]
    layer: LoweredLayer = field(repr=False, compare=False)
    hardware: Hardware = field(repr=False, compare=False)

    @cached_property
    def timeline(self) -> Timeline:
        """Every interval of every fold, which is simulated when first asked for."""
        return simulate_every_fold(self.layer, self.hardware)[1]


def simulate(layer: LoweredLayer, hardware: Hardware, progress: Progress = silent) -> Simulation:
    """Run one layer from an empty machine until its last output is in DRAM.

    Rounds of folds that repeat exactly are jumped over, to the same integers.
    """
    return _Machine(layer, hardware, progress, SteadyState(layer.folds)).run()[0]


def simulate_every_fold(
    layer: LoweredLayer, hardware: Hardware, progress: Progress = silent
) -> tuple[Simulation, Timeline]:
    """Run one layer without jumps, and return what happened as well."""
    return _Machine(layer, hardware, progress, None).run()


class _Machine:
    def __init__(
        self,
        layer: LoweredLayer,
        hardware: Hardware,
        progress: Progress,
        steady: SteadyState | None,
    ) -> None:
        self.layer = layer
        self.hardware = hardware
        self.steady = steady
        self.ticks = iter(progress(layer.folds, f"simulate {layer.trace.name}"))
        self.env = env = simpy.Environment()
        self.channel_free_at = 0
        self.arrives_at = 0
        self.loaded = simpy.Store(env)
        # A free buffer carries the time until which recomputation held it.
        self.operand_buffers = simpy.Store(env)
        self.output_buffers = simpy.Store(env)
        for buffers in (self.operand_buffers, self.output_buffers):
            buffers.items = [0, 0]
        # Folds that may be in the array or draining: as many as overlap when nothing waits.
        in_flight = 1 + -(-layer.drain_cycles // layer.interval_cycles)
        self.drains = simpy.Container(env, capacity=in_flight, init=in_flight)
        self.drain_port = simpy.Resource(env)
        unit = hardware.recompute
        self.lanes = unit if isinstance(unit, Lanes) else None
        if self.lanes is not None:
            self.queue = simpy.Container(env, capacity=self.lanes.queue_capacity)
            self.rounds = simpy.Store(env)
        # The next fold to load, and how many have been given a number since the start.
        self.cursor = self.issued = self.started = 0
        self.folds: dict[int, Fold] = {}
        self.drained: dict[int, simpy.Event] = {}
        self.redone: dict[int, simpy.Event] = {}
        self.stages: dict[int, str] = {}
        self.sleeping: list[tuple[int, str, int]] = []
        self.done = env.event()
        # When the loader, and the drain port, waited for recomputation.
        self.load_blocked: deque[tuple[int, int]] = deque()
        self.drain_blocked: deque[tuple[int, int]] = deque()
        self.intervals: list[Interval] = []
        self.stalls: list[Stall] = []
        self.stall_cycles = {"dram": 0, "recompute": 0}
        self.skipped_cycles = 0
        self.levels = {"operand buffers": 0, "output buffers": 0, "queue": 0}
        self.changes = [Level(counter, 0, 0) for counter in self.levels]
        self.array_end = 0
        self.last_redone = 0

    def run(self) -> tuple[Simulation, Timeline]:
        env = self.env
        env.process(self.load())
        env.process(self.compute())
        if self.lanes is not None:
            env.process(self.recompute_on_lanes(self.lanes))
        env.run(until=self.done)
        redone = min(max(self.last_redone, self.array_end), self.now)
        self.stall("recompute", self.array_end, redone)
        self.stall("dram", redone, self.now)
        total, name = self.now + self.skipped_cycles, self.layer.trace.name
        records = tuple(self.intervals), tuple(self.stalls), tuple(self.changes)
        simulation = Simulation(
            total_cycles=total,
            compute_cycles=self.layer.compute_cycles,
            stall_cycles=self.stall_cycles,
            layer=self.layer,
            hardware=self.hardware,
        )
        return simulation, Timeline(name, total, *records)

    @property
    def now(self) -> int:
        """The cycle it is; SimPy itself also allows fractions."""
        return int(self.env.now)

    def load(self) -> Behaviour:
        """Fetch the operands of each fold, one buffer ahead of the array."""
        while self.cursor < len(self.layer.folds):
            since = self.now
            held_until = yield self.operand_buffers.get()
            self.change("operand buffers", 1)
            if held_until > since:
                self.load_blocked.append((since, held_until))
            fold, number = self.layer.folds[self.cursor], self.issued
            self.folds[number] = fold
            self.cursor += 1
            self.issued += 1
            if fold.load_bytes:
                yield self.transfer(fold.load_bytes, "load", number)
                self.arrives_at = self.now + self.hardware.dram_latency_cycles
            # The channel is free for the next transfer while this one is on its way; a fold that
            # fetches nothing is ready when those before it are.
            if self.arrives_at > self.now:
                arrival = self.sleep(self.arrives_at - self.now, "arrive", number)
                arrival.callbacks.append(self.deliver)
            else:
                yield self.loaded.put(number)

    def deliver(self, arrival: simpy.Event) -> None:
        """Tell the array that operands have arrived."""
        self.loaded.put(arrival.value)

    def compute(self) -> Behaviour:
        """Run the folds in order, and on a machine without lanes redo what was flagged."""
        env, layer = self.env, self.layer
        while self.started < self.issued or self.cursor < len(layer.folds):
            since = self.now
            yield self.drains.get(1)
            self.attribute_stall(since, self.drain_blocked)
            since = self.now
            yield self.loaded.get()
            self.attribute_stall(since, self.load_blocked)
            start, number = self.now, self.started
            self.started += 1
            next(self.ticks)
            fold = self.folds[number]
            self.drained[number], self.redone[number] = env.event(), env.event()
            if self.steady is not None and fold.flagged:
                self.steady.forget()
            elif self.steady is not None:
                # Half a cycle later, all that happens in this cycle has happened.
                env.timeout(0.5).callbacks.append(self.jump)
            yield self.sleep(layer.interval_cycles, "compute", number)
            self.note("array", start, f"fold {number}")
            self.array_end = self.now + layer.drain_cycles
            if not fold.flagged:
                self.change("operand buffers", -1)
                yield self.operand_buffers.put(0)
            env.process(self.drain(number, fold))
            if fold.flagged and self.lanes is None:
                yield from self.rerun(number)

    def jump(self, _: simpy.Event) -> None:
        """Leave out the folds that would do again what has been done since this state before."""
        assert self.steady is not None
        now, first = self.now, self.started
        if any(fold.flagged for number, fold in self.folds.items() if number < first):
            self.steady.forget()
            return
        self.sleeping = [sleeper for sleeper in self.sleeping if sleeper[0] > now]
        state = (
            tuple((end - now, what, number - first) for end, what, number in self.sleeping),
            tuple((number - first, stage) for number, stage in self.stages.items()),
            tuple((number - first, fold) for number, fold in self.folds.items()),
            tuple(number - first for number in self.loaded.items),
            max(0, self.channel_free_at - now),
            len(self.operand_buffers.items),
            len(self.output_buffers.items),
            self.drains.level,
        )
        passed = Moment(self.cursor, now + self.skipped_cycles, tuple(self.stall_cycles.values()))
        jump = self.steady.visit(state, passed)
        if jump is None:
            return
        self.cursor += jump.folds
        self.skipped_cycles += jump.cycles
        for cause, cycles in zip(self.stall_cycles, jump.stalls, strict=True):
            self.stall_cycles[cause] += cycles
        deque(islice(self.ticks, jump.folds), maxlen=0)

    def rerun(self, number: int) -> Behaviour:
        """Redo the flagged outputs of a fold on the array, once it is drained: a tile's time."""
        env, layer = self.env, self.layer
        last = self.cursor == len(layer.folds) and self.started == self.issued
        yield env.timeout(layer.drain_cycles)
        if not last:  # the drain of the last fold is already part of the compute cycles
            self.stall("recompute", self.now - layer.drain_cycles, self.now)
        since = self.now
        yield self.drained[number]
        self.attribute_stall(since, self.drain_blocked)
        since = self.now
        yield from self.refetch(number)
        self.stall("dram", since, self.now)
        start = self.now
        yield env.timeout(layer.tile_cycles)
        self.note("recompute", start, f"redo fold {number}")
        self.stall("recompute", start, self.now)
        self.array_end = self.now
        self.finish_redoing(number)

    def drain(self, number: int, fold: Fold) -> Behaviour:
        """Move a fold's outputs to an output buffer, hand on what is flagged, store the rest."""
        self.stages[number] = "drain"
        yield self.sleep(self.layer.drain_cycles, "drain", number)
        self.stages[number] = "wait for the port"
        with self.drain_port.request() as turn:
            yield turn
            self.stages[number] = "wait for a buffer"
            since = self.now
            if fold.opens:
                held_until = yield self.output_buffers.get()
                self.change("output buffers", 1)
                if held_until > since:
                    self.drain_blocked.append((since, held_until))
            since = self.now
            if self.lanes is not None:
                yield from self.enqueue(number, fold.flagged, self.lanes)
            if self.now > since:
                self.drain_blocked.append((since, self.now))
        self.drained[number].succeed()
        yield self.drains.put(1)
        if fold.closes:
            self.stages[number] = "store"
            if fold.flagged:
                yield self.redone[number]
            redone_at = self.now if fold.flagged else 0
            yield self.transfer(fold.store_bytes, "store", number)
            self.change("output buffers", -1)
            yield self.output_buffers.put(redone_at)
        self.finish(number)

    def finish(self, number: int) -> None:
        """Forget a fold that is stored; the layer is done when it was the last."""
        for table in (self.folds, self.drained, self.redone, self.stages):
            del table[number]
        if not self.folds and self.cursor == len(self.layer.folds):
            self.done.succeed()

    def enqueue(self, number: int, flagged: int, unit: Lanes) -> Behaviour:
        """Put flagged outputs in the queue, as many at a time as the lanes take."""
        for taken in range(0, flagged, unit.width):
            size = min(unit.width, flagged - taken)
            yield self.queue.put(size)
            self.change("queue", size)
            yield self.rounds.put((number, size, taken == 0, taken + size == flagged))

    def recompute_on_lanes(self, unit: Lanes) -> Behaviour:
        """Redo the outputs of one round side by side, each lane one MAC a cycle."""
        env, terms = self.env, self.layer.trace.k
        while True:
            number, size, first, last = yield self.rounds.get()
            yield self.queue.get(size)
            self.change("queue", -size)
            if first:
                yield from self.refetch(number)
            start = self.now
            yield env.timeout(terms)
            self.note("recompute", start, f"redo {size} of fold {number}")
            if last:
                self.finish_redoing(number)

    def refetch(self, number: int) -> Behaviour:
        """Fetch what redoing a tile needs of its earlier folds, through the buffer it holds."""
        size_bytes = self.folds[number].refetch_bytes
        if size_bytes:
            yield self.transfer(size_bytes, "fetch again for", number)
            yield self.env.timeout(self.hardware.dram_latency_cycles)

    def finish_redoing(self, number: int) -> None:
        """Free the operands of a fold whose flagged outputs are all redone."""
        self.last_redone = self.now
        self.change("operand buffers", -1)
        self.operand_buffers.put(self.now)
        self.redone[number].succeed()

    def sleep(self, cycles: int, what: str, number: int) -> simpy.Event:
        """Return an event `cycles` from now: the end of what a fold does."""
        if self.steady is not None:
            self.sleeping.append((self.now + cycles, what, number))
        return self.env.timeout(cycles, number)

    def transfer(self, size_bytes: int, what: str, number: int) -> simpy.Event:
        """Occupy the DRAM channel for `size_bytes`, after the transfers asked for before."""
        start = max(self.now, self.channel_free_at)
        self.channel_free_at = end = start + self.hardware.transfer_cycles(size_bytes)
        if end > start and self.steady is None:
            self.intervals.append(Interval("dram", start, end, f"{what} fold {number}"))
        return self.sleep(end - self.now, what, number)

    def attribute_stall(self, since: int, blocked: deque[tuple[int, int]]) -> None:
        """Book the array's wait until now: to `recompute` while that blocked, else to `dram`."""
        while blocked and blocked[0][1] <= since:
            blocked.popleft()
        booked = since
        for start, end in blocked:
            start, end = max(start, booked), min(end, self.now)
            if start < end:
                self.stall("dram", booked, start)
                self.stall("recompute", start, end)
                booked = end
        self.stall("dram", booked, self.now)

    def stall(self, cause: str, start: int, end: int) -> None:
        """Book a wait of the array."""
        if end > start:
            self.stall_cycles[cause] += end - start
        if end > start and self.steady is None:
            self.stalls.append(Stall(cause, start, end))

    def change(self, counter: str, by: int) -> None:
        """Record that the queue, or the number of buffers in use, grew or shrank."""
        self.levels[counter] += by
        if self.steady is None:
            self.changes.append(Level(counter, self.now, self.levels[counter]))

    def note(self, unit: str, start: int, label: str) -> None:
        """Record that a unit was busy until now."""
        if self.now > start and self.steady is None:
            self.intervals.append(Interval(unit, start, self.now, label))
