"""Timelines: who is busy when at the beginning of a layer, from what is kept of a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from accelsim.report.style import BLACK, BLUE, GREEN, ORANGE, PINK, RED, YELLOW, legend_below
from accelsim.report.survey import label

UNITS = {"array": BLUE, "vector": GREEN, "gather": PINK, "recompute": RED, "dram": "#888888"}
"""Every unit, the one that works first."""
STALLS = {"dram": (YELLOW, "//"), "recompute": (ORANGE, "xx"), "scratchpad": (PINK, "||")}
OTHER = (BLACK, "")
Span = tuple[int, int]


@dataclass(frozen=True)
class Opening:
    """The first cycles of a layer: when each unit is busy, and when the first of them stalls."""

    layer: str
    cycles: int
    total_cycles: int
    clock_mhz: float | None
    busy: dict[str, tuple[Span, ...]]
    stalls: dict[str, tuple[Span, ...]]

    @classmethod
    def of(cls, detail: dict[str, Any] | None, clock_mhz: float | None = None) -> Self | None:
        """Return what is kept of a point, if a timeline is."""
        kept = None if detail is None else detail.get("opening")
        if not kept:
            return None
        busy, stalls = (
            {name: tuple((start, end) for start, end in spans) for name, spans in given.items()}
            for given in (kept["busy_cycles"], kept["stall_cycles"])
        )
        return cls(kept["layer"], kept["cycles"], kept["total_cycles"], clock_mhz, busy, stalls)

    @property
    def units(self) -> list[str]:
        """The units that are busy, the one that works first."""
        return [unit for unit in UNITS if unit in self.busy]

    def share(self, spans: tuple[Span, ...]) -> float:
        """Return the share of the time shown that spans take."""
        return sum(min(end, self.cycles) - start for start, end in spans) / self.cycles

    def sentence(self) -> str:
        """Say how busy each unit is, and what the first of them waits for."""
        busy = [f"{unit} {self.share(self.busy[unit]):.0%}" for unit in self.units]
        stalls = [
            f"{self.share(spans):.0%} for {cause}" for cause, spans in self.stalls.items() if spans
        ]
        waits = f"; the {self.units[0]} waits {', '.join(stalls)}" if stalls else ""
        return (
            f"in the first {self.cycles} of {self.total_cycles} cycles of {label(self.layer)},"
            f" busy are {', '.join(busy)} of the time{waits}."
        )


def gantt(axes: Axes, opening: Opening, title: str) -> None:
    """Draw a row a unit; stalls lie in the row of the unit that waits."""
    units = opening.units
    for row, unit in enumerate(units):
        spans = [(start, end - start) for start, end in opening.busy[unit]]
        axes.broken_barh(
            spans, (row - 0.38, 0.76), facecolor=UNITS[unit], edgecolor="white", linewidth=0.5
        )
    seen = []
    for cause, stalls in opening.stalls.items():
        colour, hatch = STALLS.get(cause, OTHER)
        spans = [(start, min(end, opening.cycles) - start) for start, end in stalls]
        if spans:
            seen.append(cause)
            axes.broken_barh(
                spans, (-0.38, 0.76), facecolor=colour, hatch=hatch, edgecolor="white",
                linewidth=0.5,
            )  # fmt: skip
    axes.set_yticks(range(len(units)), units)
    axes.set_ylim(len(units) - 0.5, -0.5)
    axes.set_xlim(0, opening.cycles)
    clock = f", of {1e3 / opening.clock_mhz:.4g} ns each" if opening.clock_mhz else ""
    axes.set_xlabel(f"time (cycles{clock})")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title(f"{title}\n{label(opening.layer)}", fontsize=8)
    handles = [Patch(facecolor=UNITS[u], edgecolor="white", label=f"{u} busy") for u in units]
    for cause in seen:
        colour, hatch = STALLS.get(cause, OTHER)
        handles.append(
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"stall: {cause}")
        )
    legend_below(axes, columns=4, handles=handles)
