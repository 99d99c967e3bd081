"""What is seen of a simulation: stalls by cause, and on demand who did what when."""

from __future__ import annotations

from collections import deque

import simpy

from accelsim.machine.timeline import CAUSES, COUNTERS, Interval, Level, Stall, Timeline


class Watch:
    """Counts stalls, and records intervals, stalls and levels if `recording`."""

    def __init__(self, env: simpy.Environment, *, recording: bool) -> None:
        self.env = env
        self.recording = recording
        self.stall_cycles = dict.fromkeys(CAUSES, 0)
        # When these waited for recomputation.
        self.waits: dict[str, deque[tuple[int, int]]] = {"memory": deque(), "port": deque()}
        self.intervals: list[Interval] = []
        self.stalls: list[Stall] = []
        self.levels = dict.fromkeys(COUNTERS, 0)
        self.changes = [Level(counter, 0, 0) for counter in COUNTERS]

    @property
    def now(self) -> int:
        """The cycle it is."""
        return self.env.now  # type: ignore[return-value]  # nothing here lasts a fraction of one

    def blocked(self, unit: str, since: int) -> None:
        """Note that `memory` or the `port` has waited for recomputation until now."""
        if self.now > since:
            self.waits[unit].append((since, self.now))

    def attribute(self, since: int, *, port: bool) -> None:
        """Book the array's wait until now, for operands or for the `port`: to `recompute` while
        that blocked what it waited for, else to `dram`.

        Memory blocked until this very cycle has not moved anything since: it is not the reason.
        """
        for waits in self.waits.values():
            while waits and waits[0][1] <= since:
                waits.popleft()
        blocked = [wait for wait in self.waits["memory"] if wait[1] < self.now]
        if port:
            blocked += self.waits["port"]
        booked = since
        for start, end in sorted(blocked):
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
            if self.recording:
                self.stalls.append(Stall(cause, start, end))

    def change(self, counter: str, by: int) -> None:
        """Record that a level grew or shrank."""
        self.levels[counter] += by
        if self.recording:
            self.changes.append(Level(counter, self.now, self.levels[counter]))

    def note(self, unit: str, start: int, label: str) -> None:
        """Record that a unit was busy until now."""
        if self.recording and self.now > start:
            self.intervals.append(Interval(unit, start, self.now, label))

    def timeline(self, layer: str, total_cycles: int) -> Timeline:
        """Return what was recorded."""
        records = tuple(self.intervals), tuple(self.stalls), tuple(self.changes)
        return Timeline(layer, total_cycles, *records)
