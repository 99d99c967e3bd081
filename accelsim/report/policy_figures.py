"""Figures of policies: what they cost in accuracy against recompute rate, energy and latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator

from accelsim.report.break_even import HIGH, Row
from accelsim.report.page import Image
from accelsim.report.policy_curves import KL, LEAST_KL, RATE, Comparison, cost_of
from accelsim.report.policy_means import Key
from accelsim.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    drawing,
    legend_below,
    logarithmic,
    plain_numbers,
    svg,
    svg_of,
)

STYLES = [
    (colour, marker, line)
    for line, markers in (("-", "os^vDP"), ("--", "X*<>ph"), ("-.", "s^vDPo"), (":", "*<>phX"))
    for colour, marker in zip((BLUE, ORANGE, GREEN, PINK, RED, GREY), markers, strict=True)
]
"""No two have the same colour and marker, which is all that a policy of one point shows."""
PLAIN_LOOKS = tuple((c, marker) for c in (BLACK, RED) for marker in "xosv^D*Pd<>+X1234|_ph")
"""Colours and markers, not filled, of policies that redo nothing."""
ENTRY_HEIGHT = 0.165
"""Inches of an entry of the legend, which is below the axes, one under the other."""
LINEAR_BELOW = 0.1
"""Per cent or points below which their axes are not logarithmic: they may be nothing, or less."""
HOW_MEANT = (
    "geometric means of the KL divergence, and means of the share of predictions that changed and"
    " of the accuracy lost, over all networks and seeds"
)
Means = dict[str, list[tuple[float, float]]]
COSTS = {"energy": "energy", "latency": "latency_s"}


class Measure(NamedTuple):
    """What a policy costs in accuracy: a number of a row, given that of `uniform-high`."""

    label: str
    of: Callable[[Row, Row], float]
    geometric: bool = False


MEASURES = (
    Measure("KL divergence (nats)", lambda row, _: max(float(row[KL]), LEAST_KL), geometric=True),
    Measure("predictions changed (%)", lambda row, _: 100.0 * float(row["flip_rate"])),
    Measure(
        f"accuracy lost to\n{HIGH} (points)",
        lambda row, high: 100.0 * (float(high["accuracy"]) - float(row["accuracy"])),
    ),
)


def against_rate(found: Comparison) -> Image:
    """Draw the means over networks of what is measured at each rate of the study."""
    alt = (
        f"KL divergence, predictions changed and accuracy lost against recompute rate, a line for"
        f" each of {len(found.redoing)} policies that redo outputs, and a point for each of"
        f" {len(found.plain)} that do not."
    )
    return Image("policies-rate", alt, _panels(found, RATE, "recompute rate (share of outputs)"))


def against_cost(found: Comparison, name: str, number: int) -> Image:
    """Draw the same against energy at a place, or against latency on a machine, by their name."""
    title = found.place if name == "energy" else found.hardware
    alt = (
        f"KL divergence, predictions changed and accuracy lost against {name} over that of"
        f" {HIGH} on {title}, for {len(found.by_policy)} policies."
    )
    image = _panels(found, COSTS[name], f"{name} / {name} of {HIGH}", title)
    return Image(f"policies-{name}-{number}", alt, image)


def _panels(found: Comparison, column: str, label: str, title: str = "") -> bytes:
    """Draw each measure against a cost, one above the other, with one legend."""
    with drawing():
        size = 7.0, 7.5 + ENTRY_HEIGHT * len(found.by_policy)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(MEASURES), sharex=True)
        for axes, measure in zip(panels, MEASURES, strict=True):
            drawn = {policy: means(found, policy, column, measure) for policy in found.by_policy}
            _lines(axes, found, drawn)
            if measure.geometric:
                logarithmic(axes, "y")
            else:
                axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
                ticks = SymmetricalLogLocator(base=10, linthresh=LINEAR_BELOW, subs=[1, 2, 5])
                axes.yaxis.set_major_locator(ticks)
                axes.yaxis.set_major_formatter(plain_numbers())
            if column != RATE:
                axes.axvline(1.0, color=GREY, linewidth=0.8)
            axes.set_ylabel(measure.label, fontsize=9)
            axes.grid(alpha=0.3, which="both")
        panels[0].set_title(title, fontsize=9)
        panels[-1].set_xlabel(label)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=1, loc="outside lower center", fontsize=8)
        return svg_of(figure)


def by_network(found: Comparison, policy: str) -> Image:
    """Draw a policy's KL divergence at each rate over that at the least, a line a network."""
    lines: dict[str, list[list[tuple[float, float]]]] = {}
    for (network, _), curve in sorted(found.by_policy[policy].items()):
        ratios = np.exp(curve.log_kl - curve.log_kl[0])
        rates = [float(row[RATE]) for row in curve.rows]
        lines.setdefault(network, []).append(list(zip(rates, ratios.tolist(), strict=True)))
    alt = f"KL divergence of {policy} against recompute rate, a line for each network."
    panel = partial(_network_panel, lines=lines)
    return Image("policies-thresholds", alt, svg(panel, width=7.0, height=5.0))


def _network_panel(axes: Axes, lines: dict[str, list[list[tuple[float, float]]]]) -> None:
    for place, (network, seeds) in enumerate(lines.items()):
        colour, marker, line = STYLES[place % len(STYLES)]
        several = np.array([seed for seed in seeds if len(seed) == len(seeds[0])])
        axes.plot(
            several[:, :, 0].mean(axis=0), np.exp(np.log(several[:, :, 1]).mean(axis=0)),
            color=colour, marker=marker, linestyle=line, linewidth=1.2, markersize=5, label=network,
        )  # fmt: skip
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set_xlabel("recompute rate (share of outputs)")
    axes.set_ylabel("KL divergence over that at the least rate")
    axes.grid(alpha=0.3)
    legend_below(axes, columns=3)


def means(
    found: Comparison, policy: str, column: str, measure: Measure | None = None
) -> list[tuple[float, float]]:
    """Return (cost, measure) of a policy's points, the first of every network, the second, and so
    on: means of rates, geometric means of other costs. Without a measure, it is the KL divergence.
    """
    measure, points = measure or MEASURES[0], []
    for place in range(min(len(curve.rows) for curve in found.by_policy[policy].values())):
        values = measured(found, policy, place, measure)
        if not values:
            continue
        costs = []
        for key in values:
            row, whole = (
                found.by_policy[policy][key].rows[place],
                found.by_policy[HIGH][key].rows[0],
            )
            costs.append(cost_of(row, column) / (1.0 if column == RATE else cost_of(whole, column)))
        cost = _mean(costs, geometric=column != RATE)
        points.append((cost, _mean([*values.values()], geometric=measure.geometric)))
    return points


def measured(found: Comparison, policy: str, place: int, measure: Measure) -> dict[Key, float]:
    """Return a measure of a policy's point of this number on every network that has all high."""
    return {
        key: measure.of(curve.rows[place], found.by_policy[HIGH][key].rows[0])
        for key, curve in found.by_policy[policy].items()
        if key in found.by_policy[HIGH]
    }


def _mean(values: Sequence[float], *, geometric: bool) -> float:
    if geometric:
        return math.exp(math.fsum(map(math.log, values)) / len(values))
    return math.fsum(values) / len(values)


def _lines(axes: Axes, found: Comparison, drawn: Means) -> None:
    """Draw a line for each policy that redoes outputs, and a point for each that does not."""
    for place, policy in enumerate(found.redoing):
        colour, marker, line = STYLES[place % len(STYLES)]
        if not drawn[policy]:  # on no network that has all high as well
            continue
        costs, kls = zip(*drawn[policy], strict=True)
        axes.plot(
            costs, kls, color=colour, marker=marker, linestyle=line, linewidth=1.2, markersize=5,
            label=policy,
        )  # fmt: skip
    for place, policy in enumerate(found.plain):
        if not drawn[policy]:
            continue
        ((cost, kl), *_) = drawn[policy]
        colour, marker = PLAIN_LOOKS[place % len(PLAIN_LOOKS)]
        axes.plot(
            [cost], [kl], color=colour, linestyle="", markersize=8, markerfacecolor="none",
            marker=marker, label=policy,
        )  # fmt: skip
