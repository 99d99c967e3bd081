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
from dataclasses import dataclass
from typing import Any

import simpy

from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.lower import Fold, LoweredLayer
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
    timeline: Timeline


def simulate(layer: LoweredLayer, hardware: Hardware, progress: Progress = silent) -> Simulation:
    """Run one layer from an empty machine until its last output is in DRAM."""
    return _Machine(layer, hardware, progress).run()


class _Machine:
    def __init__(self, layer: LoweredLayer, hardware: Hardware, progress: Progress) -> None:
        self.layer = layer
        self.progress = progress
        self.hardware = hardware
        self.env = env = simpy.Environment()
        self.channel_free_at = 0
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
        self.drained = [env.event() for _ in layer.folds]
        self.redone = [env.event() for _ in layer.folds]
        self.stored = [env.event() for _ in layer.folds]
        # When the loader, and the drain port, waited for recomputation.
        self.load_blocked: deque[tuple[int, int]] = deque()
        self.drain_blocked: deque[tuple[int, int]] = deque()
        self.intervals: list[Interval] = []
        self.stalls: list[Stall] = []
        self.levels = {"operand buffers": 0, "output buffers": 0, "queue": 0}
        self.changes = [Level(counter, 0, 0) for counter in self.levels]
        self.array_end = 0
        self.last_redone = 0

    def run(self) -> Simulation:
        env = self.env
        env.process(self.load())
        env.process(self.compute())
        if self.lanes is not None:
            env.process(self.recompute_on_lanes(self.lanes))
        env.run(until=env.all_of(self.stored))
        total = self.now
        redone = min(max(self.last_redone, self.array_end), total)
        self.stall("recompute", self.array_end, redone)
        self.stall("dram", redone, total)
        cycles = {"dram": 0, "recompute": 0}
        for stall in self.stalls:
            cycles[stall.cause] += stall.end_cycles - stall.start_cycles
        return Simulation(
            total_cycles=total,
            compute_cycles=self.layer.compute_cycles,
            stall_cycles=cycles,
            timeline=Timeline(
                self.layer.trace.name,
                total,
                tuple(self.intervals),
                tuple(self.stalls),
                tuple(self.changes),
            ),
        )

    @property
    def now(self) -> int:
        """The cycle it is; SimPy itself also allows fractions."""
        return int(self.env.now)

    def load(self) -> Behaviour:
        """Fetch the operands of each fold, one buffer ahead of the array."""
        env = self.env
        for number, fold in enumerate(self.layer.folds):
            since = self.now
            held_until = yield self.operand_buffers.get()
            self.change("operand buffers", 1)
            if held_until > since:
                self.load_blocked.append((since, held_until))
            if fold.load_bytes:
                yield self.transfer(fold.load_bytes, f"load fold {number}")
                # The channel is free for the next transfer while this one is on its way.
                arrival = env.timeout(self.hardware.dram_latency_cycles, number)
                arrival.callbacks.append(self.deliver)
            else:
                yield self.loaded.put(number)

    def deliver(self, arrival: simpy.Event) -> None:
        """Tell the array that operands have arrived."""
        self.loaded.put(arrival.value)

    def compute(self) -> Behaviour:
        """Run the folds in order, and on a machine without lanes redo what was flagged."""
        env, layer = self.env, self.layer
        folds = self.progress(layer.folds, f"simulate {layer.trace.name}")
        for number, fold in enumerate(folds):
            since = self.now
            yield self.drains.get(1)
            self.attribute_stall(since, self.drain_blocked)
            since = self.now
            yield self.loaded.get()
            self.attribute_stall(since, self.load_blocked)
            start = self.now
            yield env.timeout(layer.interval_cycles)
            self.note("array", start, f"fold {number}")
            self.array_end = self.now + layer.drain_cycles
            if not fold.flagged:
                self.change("operand buffers", -1)
                yield self.operand_buffers.put(0)
            env.process(self.drain(number, fold))
            if fold.flagged and self.lanes is None:
                yield from self.rerun(number)

    def rerun(self, number: int) -> Behaviour:
        """Redo the flagged outputs of a fold on the array, once it is drained: a tile's time."""
        env, layer = self.env, self.layer
        last = number == len(layer.folds) - 1
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
        env = self.env
        yield env.timeout(self.layer.drain_cycles)
        with self.drain_port.request() as turn:
            yield turn
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
        if not fold.closes:
            self.stored[number].succeed()
            return
        if fold.flagged:
            yield self.redone[number]
        redone_at = self.now if fold.flagged else 0
        yield self.transfer(fold.store_bytes, f"store fold {number}")
        self.change("output buffers", -1)
        yield self.output_buffers.put(redone_at)
        self.stored[number].succeed()

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
        size_bytes = self.layer.folds[number].refetch_bytes
        if size_bytes:
            yield self.transfer(size_bytes, f"fetch again for fold {number}")
            yield self.env.timeout(self.hardware.dram_latency_cycles)

    def finish_redoing(self, number: int) -> None:
        """Free the operands of a fold whose flagged outputs are all redone."""
        self.last_redone = self.now
        self.change("operand buffers", -1)
        self.operand_buffers.put(self.now)
        self.redone[number].succeed()

    def transfer(self, size_bytes: int, label: str) -> simpy.Event:
        """Occupy the DRAM channel for `size_bytes`, after the transfers asked for before."""
        start = max(self.now, self.channel_free_at)
        self.channel_free_at = end = start + self.hardware.transfer_cycles(size_bytes)
        if end > start:
            self.intervals.append(Interval("dram", start, end, label))
        return self.env.timeout(end - self.now)

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
            self.stalls.append(Stall(cause, start, end))

    def change(self, counter: str, by: int) -> None:
        """Record that the queue, or the number of buffers in use, grew or shrank."""
        self.levels[counter] += by
        self.changes.append(Level(counter, self.now, self.levels[counter]))

    def note(self, unit: str, start: int, label: str) -> None:
        """Record that a unit was busy until now."""
        if self.now > start:
            self.intervals.append(Interval(unit, start, self.now, label))
