"""Who did what when, in cycles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

CAUSES = ("dram", "scratchpad", "recompute")
"""Why the array stalls."""
COUNTERS = ("tiles ahead", "tiles in c", "queue")
"""Levels: tiles whose operands have arrived and that the array has not begun; tiles of outputs
with room in scratchpad c, until they have left for DRAM; entries of the queue.
"""


@dataclass(frozen=True)
class Interval:
    """A unit (`array`, `dram`, `gather`, `recompute`, `vector`) busy from `start_cycles` to
    `end_cycles`.
    """

    unit: str
    start_cycles: int
    end_cycles: int
    label: str

    def __str__(self) -> str:
        return f"{self.start_cycles:>8} {self.end_cycles:>8} {self.unit:<9} {self.label}"


@dataclass(frozen=True)
class Stall:
    """The array idle, or redoing outputs, because of `cause`, one of `CAUSES`.

    In a layer of vector work it is the vector unit that is idle.
    """

    cause: str
    start_cycles: int
    end_cycles: int


@dataclass(frozen=True)
class Level:
    """From `cycle` on, `counter` stands at `value`."""

    counter: str
    cycle: int
    value: int


@dataclass(frozen=True)
class Timeline:
    """All intervals of a layer, in the order in which they were known; prints as a log.

    `stalls` are those that the layer's stall cycles count, and no two overlap.
    """

    layer: str
    total_cycles: int
    intervals: tuple[Interval, ...]
    stalls: tuple[Stall, ...] = ()
    levels: tuple[Level, ...] = ()

    def busy_cycles(self, unit: str) -> int:
        """Return how long `unit` was busy."""
        return sum(i.end_cycles - i.start_cycles for i in self.intervals if i.unit == unit)

    def __str__(self) -> str:
        return "\n".join(str(interval) for interval in self.intervals)


def joined(layer: str, parts: Iterable[Timeline]) -> Timeline:
    """Return timelines one after the other as one."""
    intervals: list[Interval] = []
    stalls: list[Stall] = []
    levels: list[Level] = []
    start = 0
    for part in parts:
        for interval in part.intervals:
            span = start + interval.start_cycles, start + interval.end_cycles
            intervals.append(Interval(interval.unit, *span, interval.label))
        for stall in part.stalls:
            span = start + stall.start_cycles, start + stall.end_cycles
            stalls.append(Stall(stall.cause, *span))
        levels += [replace(level, cycle=start + level.cycle) for level in part.levels]
        start += part.total_cycles
    return Timeline(layer, start, tuple(intervals), tuple(stalls), tuple(levels))
