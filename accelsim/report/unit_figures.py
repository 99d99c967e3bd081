"""Figures of recompute units: what each takes at each rate, and what makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from accelsim.energy.sensitivity import saving
from accelsim.report.break_even import HIGH, LOOKED_AT, MEASURES, SHARES, Curve
from accelsim.report.page import Image
from accelsim.report.style import (
    BLACK,
    BLUE,
    FILLS,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    legend_below,
    logarithmic,
)
from accelsim.report.style import svg as drawn
from accelsim.report.unit_sources import Trust

STYLES = [
    (BLUE, "o", "-"), (ORANGE, "s", "-"), (GREEN, "^", "-"), (GREEN, "v", "--"),
    (PINK, "D", "-"), (RED, "P", "-"), (RED, "X", "--"), (BLACK, "*", "-"),
]  # fmt: skip
LINES = [":", "-.", "--"]
BARS = 8
ENDS = [(BLUE, ""), (ORANGE, "//")]
"""A constant at the lowest, and at the highest of its sources."""
Place = tuple[str, str]


def draw(found: Sequence[Curve]) -> dict[str, tuple[Image, ...]]:
    """Return what units take by rate, by measure, and under `added` what recomputation adds.

    A picture for each machine and setting, of the first table and the first way to draw flags.
    """
    first = found[0]
    shown = [c for c in found if (c.table, c.cluster) == (first.table, first.cluster)]
    places = list(dict.fromkeys((curve.hardware, curve.setting) for curve in shown))
    units = list(dict.fromkeys(curve.unit for curve in shown))
    pictures: dict[str, tuple[Image, ...]] = {}
    for measure in MEASURES:
        images = []
        for number, place in enumerate(places, 1):
            mine = [curve for curve in shown if (curve.hardware, curve.setting) == place]
            ends = [curve.ratios(measure, HIGH)[-1] for curve in mine]
            alt = (
                f"{measure.capitalize()} over that of {HIGH} against the recompute rate on"
                f" {_title(place)}, a line for each of {len(mine)} units; at"
                f" {mine[0].rates[-1]:.0%} from {min(ends):.3g} to {max(ends):.3g}."
            )
            panel = partial(_ratios, mine=mine, measure=measure, units=units, place=place)
            images.append(Image(f"units-{measure}-{number}", alt, drawn(panel, height=4.9)))
        pictures[measure] = tuple(images)
    added = []
    for number, place in enumerate(places, 1):
        mine = [curve for curve in shown if (curve.hardware, curve.setting) == place]
        alt = (
            f"Bars of the energy that a recompute rate of {LOOKED_AT:.0%} adds on {_title(place)},"
            f" by part of the machine, one for each of {len(mine)} units."
        )
        panel = partial(_added, mine=mine[::-1], place=place)
        added.append(Image(f"units-added-{number}", alt, drawn(panel, height=3.9)))
    return pictures | {"added": tuple(added)}


def _title(place: Place) -> str:
    return ", ".join(part for part in place if part)


def _ratios(
    axes: Axes, mine: Sequence[Curve], measure: str, units: Sequence[str], place: Place
) -> None:
    """Draw what units take as a multiple of what all in high takes."""
    for curve in mine:
        colour, marker, line = STYLES[units.index(curve.unit) % len(STYLES)]
        # There is no rate of 0 on a logarithmic axis.
        some = [
            (rate, ratio)
            for rate, ratio in zip(curve.rates, curve.ratios(measure, HIGH), strict=True)
            if rate > 0.0
        ]
        axes.plot(
            *zip(*some, strict=True), color=colour, marker=marker, linestyle=line, linewidth=1.2,
            markersize=5, label=curve.unit,
        )  # fmt: skip
    for line, policy in zip(LINES, sorted(mine[0].against), strict=False):
        high = mine[0].ratios(measure, HIGH)[0]
        ratio = high / mine[0].ratios(measure, policy)[0]
        axes.axhline(ratio, color=GREY, linestyle=line, linewidth=1.2, label=policy)
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set_xlabel("recompute rate (share of outputs)")
    axes.set_ylabel(f"{measure} / {measure} of {HIGH}")
    axes.set_title(_title(place), fontsize=9)
    axes.grid(alpha=0.3)
    legend_below(axes)


def _added(axes: Axes, mine: Sequence[Curve], place: Place) -> None:
    """Draw the energy that recomputation adds at one rate, by part."""
    left = np.zeros(len(mine))
    added = [curve.added_pj(LOOKED_AT) for curve in mine]
    for name, (colour, hatch) in zip(SHARES, FILLS, strict=False):
        widths = np.array([parts[name] for parts in added])
        axes.barh(
            range(len(mine)), widths / 1e9, left=left / 1e9, color=colour, hatch=hatch,
            edgecolor="white", linewidth=0.3, label=name,
        )  # fmt: skip
        left += widths
    axes.set_yticks(range(len(mine)), [curve.unit for curve in mine], fontsize=8)
    axes.set_xlabel(f"added energy (mJ, {mine[0].table} table)")
    axes.set_title(_title(place), fontsize=9)
    legend_below(axes, columns=4)


def tornado(trusted: Sequence[Trust]) -> tuple[Image, ...]:
    """Draw what each constant does to what a unit takes, a picture a machine and setting."""
    images = []
    for number, one in enumerate(trusted, 1):
        place = one.curve.hardware, one.curve.setting
        alt = (
            f"Bars of how far each constant moves what {one.curve.unit} takes against {HIGH} on"
            f" {_title(place)}, from {-100 * saving(one.ours, one.theirs):+.1f} %."
        )
        panel = partial(_tornado, one=one, place=place)
        images.append(Image(f"units-sensitivity-{number}", alt, drawn(panel, height=3.6)))
    return tuple(images)


def _tornado(axes: Axes, one: Trust, place: Place) -> None:
    shown = one.swings[:BARS][::-1]
    base = -100 * saving(one.ours, one.theirs)
    for row, swing in enumerate(shown):
        for at, (colour, hatch) in zip((swing.at_low, swing.at_high), ENDS, strict=True):
            axes.barh(row, -100 * at - base, left=base, color=colour, hatch=hatch,
                      edgecolor="white")  # fmt: skip
    axes.axvline(base, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [swing.spread.constant for swing in shown], fontsize=8)
    axes.set_title(f"{one.curve.unit} on {_title(place)}", fontsize=9)
    axes.set_xlabel(f"energy against {HIGH} at a rate of {LOOKED_AT:.0%} (%)")
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"{end}est source")
        for (colour, hatch), end in zip(ENDS, ("low", "high"), strict=True)
    ]
    legend_below(axes, columns=2, handles=handles)
