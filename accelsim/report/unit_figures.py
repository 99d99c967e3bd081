"""Figures of recompute units: what each takes at each rate, and what makes it so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from accelsim.energy.sensitivity import saving
from accelsim.report.break_even import HIGH, LOOKED_AT, MEASURES, SHARES, Curve
from accelsim.report.figures import BLACK, BLUE, GREEN, ORANGE, PINK, RED, YELLOW, png
from accelsim.report.unit_sources import Trust

STYLES = [
    (BLUE, "o", "-"), (ORANGE, "s", "-"), (GREEN, "^", "-"), (GREEN, "v", "--"),
    (PINK, "D", "-"), (RED, "P", "-"), (RED, "X", "--"), (BLACK, "*", "-"),
]  # fmt: skip
LINES = [":", "-.", "--"]
BARS = 8
ENDS = [(BLUE, ""), (ORANGE, "//")]
"""A constant at the lowest, and at the highest of its sources."""
PARTS = [
    (BLUE, ""), (RED, "//"), (PINK, ".."), (YELLOW, "xx"), (GREEN, ""), ("#BBBBBB", ""),
    (BLACK, ""), (ORANGE, "//"),
]  # fmt: skip


def draw(found: list[Curve]) -> dict[str, bytes]:
    """Return name -> PNG: what units take by rate, and what recomputation adds."""
    first = found[0]
    shown = [c for c in found if (c.table, c.cluster) == (first.table, first.cluster)]
    return {measure: _ratios(shown, measure) for measure in MEASURES} | {"added": _added(shown)}


def _ratios(shown: list[Curve], measure: str) -> bytes:
    """Draw what units take as a multiple of uniform-high, a panel a machine and setting."""
    places = list(dict.fromkeys((curve.hardware, curve.setting) for curve in shown))
    units = list(dict.fromkeys(curve.unit for curve in shown))
    figure = Figure(figsize=(5.0 * len(places), 5.2), layout="constrained")
    axes = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
    for axis, place in zip(axes, places, strict=True):
        mine = [curve for curve in shown if (curve.hardware, curve.setting) == place]
        for curve in mine:
            colour, marker, line = STYLES[units.index(curve.unit) % len(STYLES)]
            axis.plot(
                curve.rates[1:], curve.ratios(measure, HIGH)[1:], color=colour,
                marker=marker, linestyle=line, linewidth=1.2, markersize=5, label=curve.unit,
            )  # fmt: skip
        for line, policy in zip(LINES, sorted(mine[0].against), strict=False):
            high = mine[0].ratios(measure, HIGH)[0]
            ratio = high / mine[0].ratios(measure, policy)[0]
            axis.axhline(ratio, color="#666666", linestyle=line, linewidth=1.2, label=policy)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("recompute rate")
        axis.set_title("\n".join(part for part in place if part), fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{measure} / {measure} of {HIGH}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="outside lower center", fontsize=8)
    return png(figure)


def _added(shown: list[Curve]) -> bytes:
    """Draw the energy that recomputation adds at one rate, by part, a panel a machine."""
    places = list(dict.fromkeys((curve.hardware, curve.setting) for curve in shown))
    figure = Figure(figsize=(5.0 * len(places), 4.2), layout="constrained")
    axes = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
    for axis, place in zip(axes, places, strict=True):
        mine = [curve for curve in shown if (curve.hardware, curve.setting) == place][::-1]
        left = np.zeros(len(mine))
        for (name, columns), (colour, hatch) in zip(SHARES.items(), PARTS, strict=True):
            widths = np.array(
                [sum(curve.growth(column, LOOKED_AT) for column in columns) for curve in mine]
            )
            axis.barh(
                range(len(mine)), widths / 1e9, left=left / 1e9, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0.3, label=name,
            )  # fmt: skip
            left += widths
        axis.set_yticks(range(len(mine)), [curve.unit for curve in mine], fontsize=8)
        axis.set_xlabel(f"added energy at a rate of {LOOKED_AT:.0%} (mJ, {mine[0].table} table)")
        axis.set_title("\n".join(part for part in place if part), fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="outside lower center", fontsize=8)
    return png(figure)


def tornado(trusted: Sequence[Trust]) -> bytes:
    """Draw what each constant does to what the best unit takes, a panel a machine and setting."""
    figure = Figure(figsize=(5.0 * len(trusted), 3.6), layout="constrained")
    axes = figure.subplots(1, len(trusted), squeeze=False)[0]
    for axis, one in zip(axes, trusted, strict=True):
        shown = one.swings[:BARS][::-1]
        base = -100 * saving(one.ours, one.theirs)
        for row, swing in enumerate(shown):
            for at, (colour, hatch) in zip((swing.at_low, swing.at_high), ENDS, strict=True):
                axis.barh(
                    row, -100 * at - base, left=base, color=colour, hatch=hatch, edgecolor="white"
                )
        axis.axvline(base, color=BLACK, linewidth=0.8)
        axis.set_yticks(range(len(shown)), [s.spread.constant for s in shown], fontsize=8)
        curve = one.curve
        axis.set_title(f"{curve.unit} on {curve.hardware}\n{curve.setting}", fontsize=9)
        axis.set_xlabel(f"energy against {HIGH} at a rate of {LOOKED_AT:.0%} (%)", fontsize=9)
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"{end}est source")
        for (colour, hatch), end in zip(ENDS, ("low", "high"), strict=True)
    ]
    figure.legend(handles=handles, ncols=2, loc="outside lower center", fontsize=8)
    return png(figure)
