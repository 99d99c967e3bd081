"""Timelines: who is busy when in a layer, from what is kept of a point."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from accelsim.report.style import BLACK, BLUE, GREEN, ORANGE, PINK, RED, WIDTH, YELLOW, legend_below
from accelsim.report.survey import label

UNITS = {"array": BLUE, "vector": GREEN, "gather": PINK, "recompute": RED, "dram": "#888888"}
"""Every unit, the one that works first."""
STALLS = {"dram": (YELLOW, "//"), "recompute": (ORANGE, "xx"), "scratchpad": (PINK, "||")}
OTHER = (BLACK, "")
POINTS_A_LETTER = 4.3
"""How wide a letter of a title is, on the whole: a title may be a bit wider than its axes."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Excerpt:
    """Some cycles of a layer: when each unit is busy, and when the first of them stalls."""

    layer: str
    start_cycles: int
    end_cycles: int
    total_cycles: int
    clock_mhz: float | None
    busy: dict[str, tuple[Span, ...]]
    stalls: dict[str, tuple[Span, ...]]

    @classmethod
    def of(cls, detail: dict[str, Any] | None, clock_mhz: float | None = None) -> Self | None:
        """Return what is kept of a point, if a timeline is."""
        kept = None if detail is None else detail.get("excerpt")
        if not kept:
            return None
        busy, stalls = (
            {name: tuple((start, end) for start, end in spans) for name, spans in given.items()}
            for given in (kept["busy_cycles"], kept["stall_cycles"])
        )
        cycles = kept["start_cycles"], kept["end_cycles"], kept["total_cycles"]
        return cls(kept["layer"], *cycles, clock_mhz, busy, stalls)

    @property
    def units(self) -> list[str]:
        """The units that are busy, and before them the one that works, even if it only waits."""
        waits = () if "vector" in self.busy else ("array",)
        return [unit for unit in UNITS if unit in waits or unit in self.busy]

    def share(self, spans: tuple[Span, ...]) -> float:
        """Return the share of the time shown that spans take."""
        shown = self.end_cycles - self.start_cycles
        return sum(min(end, self.end_cycles) - start for start, end in spans) / shown

    def sentence(self) -> str:
        """Say how busy each unit is, and what the first of them waits for."""
        busy = [f"{unit} {self.share(self.busy.get(unit, ())):.0%}" for unit in self.units]
        stalls = [
            f"{self.share(spans):.0%} for {cause}" for cause, spans in self.stalls.items() if spans
        ]
        waits = f"; the {self.units[0]} waits {', '.join(stalls)}" if stalls else ""
        return (
            f"in cycles {self.start_cycles} to {self.end_cycles} of {self.total_cycles} of"
            f" {label(self.layer)},"
            f" busy are {', '.join(busy)} of the time{waits}."
        )


def gantt(axes: Axes, excerpt: Excerpt, title: str) -> None:
    """Draw a row a unit; stalls lie in the row of the unit that waits."""
    units = excerpt.units
    for row, unit in enumerate(units):
        spans = [(start, end - start) for start, end in excerpt.busy.get(unit, ())]
        axes.broken_barh(
            spans, (row - 0.38, 0.76), facecolor=UNITS[unit], edgecolor="white", linewidth=0.5
        )
    seen = []
    for cause, stalls in excerpt.stalls.items():
        colour, hatch = STALLS.get(cause, OTHER)
        spans = [(start, min(end, excerpt.end_cycles) - start) for start, end in stalls]
        if spans:
            seen.append(cause)
            axes.broken_barh(
                spans, (-0.38, 0.76), facecolor=colour, hatch=hatch, edgecolor="white",
                linewidth=0.5,
            )  # fmt: skip
    axes.set_yticks(range(len(units)), units)
    axes.set_ylim(len(units) - 0.5, -0.5)
    axes.set_xlim(excerpt.start_cycles, excerpt.end_cycles)
    clock = f", of {1e3 / excerpt.clock_mhz:.4g} ns each" if excerpt.clock_mhz else ""
    axes.set_xlabel(f"time (cycles{clock})")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    room = _letters(axes)
    lines = [*textwrap.wrap(title, room), *textwrap.wrap(label(excerpt.layer), room)]
    axes.set_title("\n".join(lines), fontsize=8)
    handles = [
        Patch(facecolor=UNITS[unit], edgecolor="white", label=f"{unit} busy")
        for unit in units
        if unit in excerpt.busy
    ]
    for cause in seen:
        colour, hatch = STALLS.get(cause, OTHER)
        handles.append(
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"stall: {cause}")
        )
    legend_below(axes, columns=4, handles=handles)


def _letters(axes: Axes) -> int:
    """Return how many letters a line of a title has room for."""
    figure = axes.get_figure(root=True)
    inches = axes.get_position().width * (figure.get_figwidth() if figure else WIDTH)
    return max(1, int(inches * 72.0 / POINTS_A_LETTER))
