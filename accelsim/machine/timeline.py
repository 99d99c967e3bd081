"""Who did what when, in cycles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A unit (`array`, `dram`, `recompute`) busy from `start_cycles` to `end_cycles`."""

    unit: str
    start_cycles: int
    end_cycles: int
    label: str

    def __str__(self) -> str:
        return f"{self.start_cycles:>8} {self.end_cycles:>8} {self.unit:<9} {self.label}"


@dataclass(frozen=True)
class Timeline:
    """All intervals of a layer, in the order in which they were known; prints as a log."""

    layer: str
    total_cycles: int
    intervals: tuple[Interval, ...]

    def busy_cycles(self, unit: str) -> int:
        """Return how long `unit` was busy."""
        return sum(i.end_cycles - i.start_cycles for i in self.intervals if i.unit == unit)

    def __str__(self) -> str:
        return "\n".join(str(interval) for interval in self.intervals)
