"""Drawings of a survey, each onto given axes: fronts, heat maps, energies, coordinates, rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from accelsim.energy import CAUSES
from accelsim.report.rates import RateCurve
from accelsim.report.style import (
    BLACK,
    FILLS,
    GREY,
    MAP,
    MARKS,
    RASTER,
    legend_below,
    logarithmic,
    plain_numbers,
)
from accelsim.report.survey import Dimension, Numbers, Scope, Survey, label
from accelsim.result import COMPONENTS

OTHERS = "all others"
MAX_NUMBERS = 80
"""Cells of a heat map that have their number written in them."""
MAX_TICKS = 24
MAX_TAUS = 10
"""Thresholds named on their axis."""
MAX_CURVES = 2 * (len(MARKS) - 1)
MAX_LINES = 300
MAX_FRONT = 100
"""Lines of parallel coordinates, and of those on the front: more would be a blot."""
MAX_END = 18
"""Letters of a value of a parallel coordinate, beside those of its neighbours."""
MAX_BETWEEN = 8
"""Values between the ends of a parallel coordinate that are named, one above the other."""
WIDE = 20.0
"""Where the largest is more than this many times the smallest, colours are logarithmic."""
BEHIND = {"facecolor": "white", "alpha": 0.75, "linewidth": 0.0, "pad": 0.5}
"""What stands between lines and a text that lies on them."""
PARTS = {"component": COMPONENTS, "cause": CAUSES}


def pareto(
    axes: Axes, survey: Survey, scope: Scope, pair: tuple[str, int, str], front: Sequence[int]
) -> None:
    """Draw all points of a scope, a gain or a cost against a cost, and the front among them."""
    upward, _, across = pair
    y, x = survey.quantity(upward), survey.quantity(across)
    ys, xs = survey.column(upward) * y.factor, survey.column(across) * x.factor
    raster = len(scope.rows) > RASTER
    for rows, name, (colour, marker) in marked(survey.groups, scope.rows):
        if len(rows):
            axes.scatter(
                xs[rows], ys[rows], s=9 if raster else 20, color=colour, marker=marker,
                alpha=0.75, linewidths=0.5, rasterized=raster, label=name,
                zorder=1.0 if name == OTHERS else 1.5,
            )  # fmt: skip
    order = np.argsort(xs[list(front)], kind="stable")
    best = np.array(front, np.int64)[order]
    axes.plot(
        xs[best], ys[best], color=BLACK, linestyle="--", linewidth=1.1, marker="o", markersize=7,
        drawstyle="steps-post",
        markerfacecolor="none", label="Pareto front",
    )  # fmt: skip
    _log_if_wide(axes, "x", xs[scope.rows])
    if upward != "accuracy":
        _log_if_wide(axes, "y", ys[scope.rows])
    axes.set_xlabel(x.axis)
    axes.set_ylabel(y.axis)
    axes.set_title(str(scope), fontsize=9)
    axes.grid(alpha=0.3)
    legend_below(axes)


def marked(
    groups: Dimension | None, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], str, tuple[str, str]]]:
    """Yield rows, what they are called, and their mark: a group with each, as long as there are
    marks; of more groups those of the fewest points have the last together.
    """
    if groups is None:
        yield rows, "points", MARKS[0]
        return
    codes, places = groups.codes[rows], list(range(len(groups.labels)))
    if len(places) > len(MARKS):
        points = np.bincount(groups.codes)
        places = sorted(sorted(places, key=lambda place: -points[place])[: len(MARKS) - 1])
    for place, mark in zip(places, MARKS, strict=False):
        name = groups.labels[place]
        named = name if groups.key in ("policy", "hardware") else f"{groups.key} {name}"
        yield rows[codes == place], named, mark
    if len(places) < len(groups.labels):
        yield rows[~np.isin(codes, places)], OTHERS, MARKS[-1]


def _log_if_wide(axes: Axes, which: str, values: Numbers) -> None:
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0.0 and finite.max() > WIDE * finite.min():
        logarithmic(axes, which)


def cells(
    survey: Survey, scope: Scope, across: Dimension, upward: Dimension, column: str, sign: int
) -> Numbers:
    """Return the best of a column where two dimensions have given values; NaN without points."""
    values = -sign * survey.column(column)[scope.rows]
    table = np.full((len(upward.values), len(across.values)), np.inf)
    there = ~np.isnan(values)
    place = upward.codes[scope.rows][there], across.codes[scope.rows][there]
    np.minimum.at(table, place, values[there])
    return np.where(np.isinf(table), np.nan, -sign * table)


def heatmap(
    axes: Axes,
    survey: Survey,
    scope: Scope,
    keys: tuple[Dimension, Dimension],
    column: str,
    sign: int,
) -> None:
    """Draw the best of a column over all else, where two dimensions have given values."""
    across, upward = keys
    shown = survey.quantity(column)
    table = cells(survey, scope, across, upward, column, sign) * shown.factor
    finite = table[np.isfinite(table)]
    wide = len(finite) and finite.min() > 0.0 and finite.max() > WIDE * finite.min()
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    norm = LogNorm(low, high) if wide else Normalize(low, high)
    axes.set_facecolor("white")
    axes.patch.set_hatch("////")
    axes.patch.set_edgecolor("#BBBBBB")
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(table), cmap=MAP, norm=norm, edgecolors="white", linewidth=0.5,
        rasterized=table.size > RASTER,
    )  # fmt: skip
    figure = axes.get_figure(root=True)
    if figure is not None:
        ticks = LogLocator(subs=(1.0, 2.0, 5.0)) if wide else None
        form = plain_numbers() if wide else None
        bar = figure.colorbar(mesh, ax=axes, label=shown.axis, ticks=ticks, format=form)
        bar.minorticks_off()
    if table.size <= MAX_NUMBERS:
        for (row, place), value in np.ndenumerate(table):
            if math.isfinite(value):
                dark = norm(value) < 0.55
                axes.text(
                    place + 0.5, row + 0.5, in_cell(value), ha="center", va="center", fontsize=7,
                    color="white" if dark else BLACK,
                )  # fmt: skip
    for axis, key in ((axes.xaxis, across), (axes.yaxis, upward)):
        step = -(-len(key.values) // MAX_TICKS)
        axis.set_ticks(np.arange(0, len(key.values), step) + 0.5, labels=key.labels[::step])
        axis.set_label_text(key.key)
    axes.tick_params(labelsize=8)
    if max(map(len, across.labels)) * min(len(across.values), MAX_TICKS) > 36:
        axes.tick_params(axis="x", labelrotation=40)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
            tick.set_rotation_mode("anchor")
    axes.set_title(str(scope), fontsize=9)


def in_cell(value: float) -> str:
    """Return a number in a few letters: three digits, and no exponent as far as five digits go."""
    return f"{value:.0f}" if 999.5 <= abs(value) < 99999.5 else f"{value:.3g}"


def energy(axes: Axes, survey: Survey, rows: Sequence[int], names: Sequence[str], by: str) -> None:
    """Draw the energy of some points as bars, stacked by `component` or by `cause`."""
    parts = part_columns(by)
    each = [_per_inference(survey, column)[list(rows)] for column, _ in parts]
    totals = np.sum(each, axis=0)
    shown = survey.quantity("energy_per_inference_pj")
    left = np.zeros(len(rows))
    heights = np.arange(len(rows))[::-1]
    for place, ((_, name), widths) in enumerate(zip(parts, each, strict=True)):
        colour, hatch = FILLS[place]
        axes.barh(
            heights, widths * shown.factor, left=left * shown.factor, color=colour, hatch=hatch,
            edgecolor="white", linewidth=0.3, label=name if widths.any() else None,
        )  # fmt: skip
        left += widths
    axes.set_yticks(heights, [label(name) for name in names], fontsize=8)
    axes.set_xlim(0.0, 1.03 * float(totals.max(initial=0.0)) * shown.factor or 1.0)
    axes.set_xlabel(shown.axis)
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    legend_below(axes)


def part_columns(by: str) -> list[tuple[str, str]]:
    """Return the columns that energy is made of, and what each is called: leakage is a cause, and
    beside components it is one more part, so that either way they add up to the same.
    """
    suffix = "pj" if by == "component" else "nj"
    found = [(f"{part}_{suffix}", part.replace("_", " ")) for part in PARTS[by]]
    return found if by == "cause" else [*found, ("leakage_nj", "leakage")]


def pj_in(column: str) -> float:
    """Return how many pJ the unit of a column is."""
    return 1e3 if column.endswith("_nj") else 1.0


def _per_inference(survey: Survey, column: str) -> Numbers:
    """Return a part of the energy in pJ per inference; zero where it is not known."""
    values = np.nan_to_num(survey.column(column)) * pj_in(column)
    part: Numbers = values / np.maximum(survey.column("samples"), 1.0)
    return part


class Coordinate(NamedTuple):
    """An axis of parallel coordinates: its name, its ends, and (height, value) between them."""

    name: str
    low: str
    high: str
    between: Sequence[tuple[float, str]] = ()


def parallel(
    axes: Axes, survey: Survey, scope: Scope, columns: Sequence[str], front: Sequence[int]
) -> None:
    """Draw each point as a line over what is swept and what it gave; the front on top.

    Every axis goes from its least to its greatest value. Lines are coloured by the last column.
    """
    places, ticks = _coordinates(survey, scope, columns)
    chosen = thinned(survey, scope, columns[-1])
    rank = {int(row): index for index, row in enumerate(scope.rows)}
    lines = places[[rank[row] for row in chosen]]
    xs = np.arange(len(ticks))
    points = np.stack([np.broadcast_to(xs, lines.shape), lines], axis=2)
    colours = LineCollection(
        list(points), array=lines[:, -1], cmap=MAP, norm=Normalize(0.0, 1.0), linewidths=0.8,
    )  # fmt: skip
    axes.add_collection(colours)
    for row in evenly(front, MAX_FRONT):
        axes.plot(xs, places[rank[row]], color=BLACK, linewidth=1.3, linestyle="--")
    axes.plot([], [], color=BLACK, linestyle="--", label="on the Pareto front")
    legend_below(axes)  # before there is a scale of colours, which is a second pair of axes
    for x, (name, low, high, between) in enumerate(ticks):
        axes.axvline(x, color=GREY, linewidth=0.8)
        for height, text in between:
            axes.text(x + 0.03, height, text, ha="left", va="center", fontsize=6, bbox=BEHIND)
        axes.text(x, -0.03, low, ha="center", va="top", fontsize=7)
        axes.text(x, 1.02, high, ha="center", va="bottom", fontsize=7)
        axes.text(x + 0.03, -0.09, name, ha="right", va="top", fontsize=8, rotation=30,
                  rotation_mode="anchor")  # fmt: skip
    axes.set_ylim(-0.01, 1.01)
    axes.set_xlim(-0.4, len(ticks) - 0.6)
    axes.axis("off")
    axes.set_title(str(scope), fontsize=9, pad=18)
    figure = axes.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(
            ScalarMappable(Normalize(0.0, 1.0), MAP), ax=axes, label=ticks[-1].name, pad=0.02
        )
        bar.set_ticks([0.0, 1.0], labels=[ticks[-1].low, ticks[-1].high])
        bar.ax.tick_params(labelsize=7)


def _coordinates(
    survey: Survey, scope: Scope, columns: Sequence[str]
) -> tuple[Numbers, list[Coordinate]]:
    """Return where each row of a scope lies on every axis, from 0 to 1, and the axes."""
    places, ticks = [], []
    for key in survey.dimensions:
        codes = np.unique(key.codes[scope.rows], return_inverse=True)[1].reshape(-1)
        last = codes.max(initial=0)
        if last == 0:
            continue
        inside = np.unique(key.codes[scope.rows])
        places.append(codes / last)
        names = [_short(label(key.values[place])) for place in inside]
        between = [(n / last, names[n]) for n in evenly(range(1, last), MAX_BETWEEN)]
        ticks.append(Coordinate(key.key, names[0], names[-1], between))
    for column in columns:
        shown = survey.quantity(column)
        values = survey.column(column)[scope.rows] * shown.factor
        finite = values[np.isfinite(values)]
        low, high = float(finite.min()), float(finite.max())
        wide = low > 0.0 and high > WIDE * low
        scaled = np.log(values) if wide else values
        first, last = (math.log(low), math.log(high)) if wide else (low, high)
        places.append(np.clip((scaled - first) / ((last - first) or 1.0), 0.0, 1.0))
        ticks.append(Coordinate(shown.axis, f"{low:.4g}", f"{high:.4g}"))
    return np.nan_to_num(np.stack(places, axis=1)), ticks


def _short(text: str) -> str:
    return text if len(text) <= MAX_END else f"{text[: MAX_END - 1]}…"


def evenly(rows: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of some rows, the first and the last among them, at even distances."""
    if len(rows) <= most:
        return list(rows)
    return [rows[place] for place in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def thinned(survey: Survey, scope: Scope, column: str) -> list[int]:
    """Return at most `MAX_LINES` rows of a scope, evenly along a column."""
    values = survey.column(column)[scope.rows]
    return evenly([int(row) for row in scope.rows[np.argsort(values, kind="stable")]], MAX_LINES)


def _apart(values: Sequence[float]) -> list[float]:
    """Return those of ascending values whose ticks do not touch on a logarithmic axis."""
    kept = list(values[:1])
    for value in values[1:]:
        if math.log(value / kept[-1]) * MAX_TAUS >= math.log(values[-1] / values[0]):
            kept.append(value)
    return kept


def rates(axes: Axes, found: Sequence[RateCurve]) -> None:
    """Draw the recompute rate against τ, a line a workload and rule; τ = 0 and ∞ at the edges."""
    finite = sorted({tau for curve in found for tau in curve.taus if 0.0 < tau < math.inf})
    low, high = (finite[0], finite[-1]) if finite else (1.0, 1.0)
    edges = {0.0: low / 3.0, math.inf: high * 3.0}
    for place, curve in enumerate(found):
        colour, marker = MARKS[place % (len(MARKS) - 1)]
        style = ("-", "--", ":")[place // (len(MARKS) - 1) % 3]
        axes.plot(
            [edges.get(tau, tau) for tau in curve.taus], curve.rates, color=colour, marker=marker,
            linestyle=style, markersize=5, linewidth=1.2, label=curve.name,
        )  # fmt: skip
    taus = {tau for curve in found for tau in curve.taus}
    logarithmic(axes, "x")
    special = [(edges[tau], text) for tau, text in ((0.0, "0"), (math.inf, "∞")) if tau in taus]
    ticks = [(tau, f"{tau:.4g}") for tau in _apart(finite)] + special
    axes.set_xticks([tau for tau, _ in ticks], labels=[text for _, text in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("τ, the threshold")
    axes.set_ylabel("recompute rate (share of outputs)")
    axes.grid(alpha=0.3)
    legend_below(axes, columns=2)
