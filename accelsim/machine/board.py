"""What the units of a simulated machine share: the clock, the list of visits, and signals."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import simpy

from accelsim.machine.hardware import Hardware
from accelsim.machine.visits import Part, Pass, Visit
from accelsim.machine.watch import Watch

Behaviour = Generator[simpy.Event, Any, None]


@dataclass
class Job:
    """A part of a visit on its way from the array into scratchpad c.

    `flows`, if anyone waits for it: its first outputs enter c. `drained`: its last ones have, and
    those that are flagged are in the queue.
    """

    number: int
    index: int
    part: Part
    start: int
    flows: simpy.Event | None
    drained: simpy.Event | None


class Board:
    """The state that is not a unit's own.

    Visits are numbered as they come; those that are jumped over get no number. A signal has a name
    and the number of a visit; one unit tells it and one waits for it. With `steady`, what is under
    way is written down, so that states can be compared.
    """

    def __init__(
        self, env: simpy.Environment, work: Pass, hardware: Hardware, steady: bool
    ) -> None:
        self.env = env
        self.work = work
        self.hardware = hardware
        self.steady = steady
        self.watch = Watch(env, recording=not steady)
        pads = hardware.scratchpads
        self.depth = {"a": pads.a.depth, "b": pads.b.depth, "c": pads.c.depth}
        self.jumped = 0
        self.kinds: list[int] = work.sequence.tolist()
        self.signals: dict[tuple[str, int], simpy.Event] = {}
        self.waiting: dict[str, tuple[str, int]] = {}
        self.sleeping: list[tuple[int, str, int]] = []

    @property
    def end(self) -> int:
        """One more than the number of the last visit."""
        return len(self.kinds) - self.jumped

    def visit(self, number: int) -> Visit:
        """Return what visit `number` does."""
        return self.work.kinds[self.kinds[number + self.jumped]]

    def signal(self, name: str, number: int) -> simpy.Event:
        """Return a signal, whoever asks first; before visit 0 all of them have been told."""
        key = (name, number)
        if key not in self.signals:
            self.signals[key] = self.env.event()
            if number < 0:
                self.signals[key].succeed()
        return self.signals[key]

    def tell(self, name: str, number: int) -> None:
        """Give a signal."""
        self.signal(name, number).succeed()

    def wait(self, unit: str, name: str, number: int) -> Behaviour:
        """Let a unit wait for a signal."""
        self.waiting[unit] = (name, number)
        signal = self.signal(name, number)
        if not signal.triggered:
            yield signal
        del self.signals[name, number]

    @cached_property
    def refetches(self) -> bool:
        """Whether anything is ever fetched again to be redone."""
        return any(part.refetch_bytes for kind in self.work.kinds for part in kind.parts)

    def operands(self, job: Job) -> Behaviour:
        """Let the recompute unit wait for what is fetched again to redo a part's outputs."""
        if job.part.refetch_bytes:
            yield from self.wait("recompute", f"fetched {job.index}", job.number)

    def sleep(self, cycles: int, what: str, number: int) -> simpy.Event:
        """Return the end of what a unit does, `cycles` from now; its value is `number`."""
        if self.steady:
            self.sleeping.append((self.watch.now + cycles, what, number))
        return self.env.timeout(cycles, number)

    def state(self, first: int, now: int) -> tuple[object, ...]:
        """Return what is under way, seen from visit `first` and cycle `now`."""
        self.sleeping = [sleeper for sleeper in self.sleeping if sleeper[0] > now]
        return (
            tuple((end - now, what, number - first) for end, what, number in self.sleeping),
            tuple((unit, name, n - first) for unit, (name, n) in sorted(self.waiting.items())),
            frozenset((name, n - first, e.triggered) for (name, n), e in self.signals.items()),
        )
