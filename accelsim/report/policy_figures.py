"""Figures of policies: KL divergence against recompute rate, energy and latency."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from accelsim.report.break_even import HIGH, Row
from accelsim.report.page import Image
from accelsim.report.policy_curves import RATE, Comparison, energy
from accelsim.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    legend_below,
    logarithmic,
    svg,
)

STYLES = [
    (colour, marker, line)
    for line, markers in (("-", "os^vDP"), ("--", "X*<>ph"))
    for colour, marker in zip((BLUE, ORANGE, GREEN, PINK, RED, GREY), markers, strict=True)
]
PLAIN_MARKERS = "xosv^D*Pphd8<>+X"
ENTRY_HEIGHT = 0.165
"""Inches of an entry of the legend, which is below the axes, one under the other."""
Means = dict[str, list[tuple[float, float]]]
COSTS = {"energy": "energy", "latency": "latency_s"}


def against_rate(found: Comparison) -> Image:
    """Draw the means over networks of the KL divergence at each rate of the study."""
    drawn = {policy: means(found, policy, RATE) for policy in found.by_policy}
    alt = (
        f"KL divergence against recompute rate, a line for each of {len(found.redoing)} policies"
        f" that redo outputs, and a point for each of {len(found.plain)} that do not."
    )
    panel = partial(_rate_panel, found=found, drawn=drawn)
    return Image("policies-rate", alt, svg(panel, width=7.0, height=_height(drawn)))


def against_cost(found: Comparison, number: int) -> tuple[Image, ...]:
    """Draw the same against what it costs on a machine."""
    images = []
    for name, column in COSTS.items():
        drawn = {policy: means(found, policy, column) for policy in found.by_policy}
        alt = (
            f"KL divergence against {name} over that of {HIGH} on {found.hardware},"
            f" {found.table} table, for {len(drawn)} policies."
        )
        panel = partial(_cost_panel, found=found, drawn=drawn, name=name)
        image = svg(panel, width=7.0, height=_height(drawn))
        images.append(Image(f"policies-{name}-{number}", alt, image))
    return tuple(images)


def _height(drawn: Means) -> float:
    """Return the inches of a figure with a legend of so many policies."""
    return 4.0 + ENTRY_HEIGHT * len(drawn)


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


def means(found: Comparison, policy: str, column: str) -> list[tuple[float, float]]:
    """Return (cost, KL) of a policy's points, the first of every network, the second, and so on:
    means of rates, geometric means of all else.
    """
    mine = found.by_policy[policy]
    number = min(len(curve.rows) for curve in mine.values())
    points = []
    for place in range(number):
        costs, logs = [], []
        for key, curve in mine.items():
            if column == RATE:
                costs.append(float(curve.rows[place][RATE]))
            elif key in found.by_policy[HIGH]:
                whole = found.by_policy[HIGH][key].rows[0]
                costs.append(math.log(_cost(curve.rows[place], column) / _cost(whole, column)))
            logs.append(float(curve.log_kl[place]))
        cost = math.fsum(costs) / len(costs)
        points.append(
            (cost if column == RATE else math.exp(cost), math.exp(math.fsum(logs) / len(logs)))
        )
    return points


def _cost(row: Row, column: str) -> float:
    return energy(row) if column == "energy" else float(row[column])


def _rate_panel(axes: Axes, found: Comparison, drawn: Means) -> None:
    _lines(axes, found, drawn)
    axes.set_xlabel("recompute rate (share of outputs)")
    _finish(axes)


def _cost_panel(axes: Axes, found: Comparison, drawn: Means, name: str) -> None:
    _lines(axes, found, drawn)
    axes.axvline(1.0, color=GREY, linewidth=0.8)
    axes.set_xlabel(f"{name} / {name} of {HIGH}")
    axes.set_title(f"{found.hardware}, {found.table} table", fontsize=9)
    _finish(axes)


def _lines(axes: Axes, found: Comparison, drawn: Means) -> None:
    """Draw a line for each policy that redoes outputs, and a point for each that does not."""
    for place, policy in enumerate(found.redoing):
        colour, marker, line = STYLES[place % len(STYLES)]
        costs, kls = zip(*drawn[policy], strict=True)
        axes.plot(
            costs, kls, color=colour, marker=marker, linestyle=line, linewidth=1.2, markersize=5,
            label=policy,
        )  # fmt: skip
    for place, policy in enumerate(found.plain):
        ((cost, kl), *_) = drawn[policy]
        axes.plot(
            [cost], [kl], color=BLACK, linestyle="", markersize=8, markerfacecolor="none",
            marker=PLAIN_MARKERS[place % len(PLAIN_MARKERS)], label=policy,
        )  # fmt: skip


def _finish(axes: Axes) -> None:
    logarithmic(axes, "y")
    axes.set_ylabel("KL divergence (nats)")
    axes.grid(alpha=0.3, which="both")
    legend_below(axes, columns=1)
