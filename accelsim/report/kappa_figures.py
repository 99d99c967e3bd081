"""Figures of studies of κ: what a recompute rate buys, and which constants decide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from accelsim.policies import Chunked, Selective, UniformHigh, UniformLow
from accelsim.report.case import Case
from accelsim.report.findings import Demo
from accelsim.report.page import Image
from accelsim.report.robustness import robustness, strongest
from accelsim.report.runs import KeptRun
from accelsim.report.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    legend_below,
    logarithmic,
    svg,
)

BARS = 8


def recompute_rate(demo: Demo) -> tuple[Image, ...]:
    """Return accuracy and KL divergence against recompute rate, for each workload."""
    images = []
    for number, workload in enumerate(demo.workloads, 1):
        case = demo.case(demo.machines[0], workload)
        for name, value, axis in (
            ("accuracy", _accuracy, "accuracy (share of test samples)"),
            ("kl", _kl, "KL divergence (nats)"),
        ):
            draw = partial(_rate_panel, case=case, value=value, axis=axis)
            low, high = value(case.low), value(case.high)
            alt = (
                f"{workload}: {axis} against the recompute rate, for κ with two numerators, for as"
                f" many outputs at random, and, as lines, for what redoes nothing; from {low:.4g}"
                f" of uniform-low to {high:.4g} of uniform-high."
            )
            images.append(Image(f"kappa-{name}-{number}", alt, svg(draw, height=4.6)))
    return tuple(images)


def tornado(demo: Demo) -> tuple[Image, ...]:
    """Return what each constant does to the saving of the best κ run, for each case."""
    images = []
    for number, case in enumerate(demo.known_cases, 1):
        alt = f"Bars of the saving by constant. {robustness(demo, case).sentence()}"
        draw = partial(_tornado_panel, demo=demo, case=case)
        images.append(Image(f"sensitivity-{number}", alt, svg(draw, height=3.6)))
    return tuple(images)


def _tornado_panel(axes: Axes, demo: Demo, case: Case) -> None:
    """Draw bars from the lowest to the highest of a constant's sources, all others as they are."""
    found = robustness(demo, case)
    bars = strongest(found, BARS)[::-1]
    base = found.saving * 100
    for end, colour, hatch in (("low", BLUE, ""), ("high", ORANGE, "//")):
        ends = [getattr(swing, f"at_{end}") * 100 - base for swing in bars]
        axes.barh(
            range(len(bars)), ends, left=base, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.3, label=f"{end}est source",
        )  # fmt: skip
    names = [
        f"{swing.spread.constant}, ×{swing.spread.low:.3g} to ×{swing.spread.high:.3g}"
        for swing in bars
    ]
    axes.set_yticks(range(len(bars)), names, fontsize=7)
    axes.axvline(base, color=BLACK, linewidth=1)
    axes.axvline(0.0, color=BLACK, linewidth=1, linestyle=":")
    axes.set_xlabel("energy saved against uniform-high (%)")
    low, high = found.interval
    axes.set_title(
        f"{case.workload} on {case.hardware}, {found.table.name} table\n"
        f"{case.best_selective.policy}: {base:+.1f} %, all constants free {low * 100:+.1f} to"
        f" {high * 100:+.1f} %",
        fontsize=8,
        loc="right",
    )
    axes.grid(alpha=0.3, axis="x")
    legend_below(axes)


def _rate_panel(axes: Axes, case: Case, value: Callable[[KeptRun], float], axis: str) -> None:
    for run, style, label in _levels(case):
        axes.axhline(value(run), label=label, linewidth=1, **style)
    matched = sorted(case.of(Selective), key=lambda run: run.recompute_rate)
    rates = [run.recompute_rate for run in matched]
    values = np.array([[value(control) for control in case.controls(run)] for run in matched])
    axes.plot(rates, values.mean(axis=1), color=ORANGE, marker="x", label="random (same rates)")
    axes.fill_between(rates, values.min(axis=1), values.max(axis=1), color=ORANGE, alpha=0.3)
    for numerator, colour, marker in (("constant", BLUE, "o"), ("exact", RED, "s")):
        runs = case.selective(numerator)
        axes.plot(
            [run.recompute_rate for run in runs], [value(run) for run in runs], color=colour,
            marker=marker, markersize=4, label=f"κ, {numerator} numerator",
        )  # fmt: skip
    if value is _kl:
        logarithmic(axes, "y")
    axes.set_xlabel("recompute rate (share of outputs)")
    axes.set_ylabel(axis)
    axes.set_title(case.workload, fontsize=9)
    axes.grid(alpha=0.3)
    legend_below(axes)


def _levels(case: Case) -> list[tuple[KeptRun, dict[str, Any], str]]:
    levels: list[tuple[KeptRun, dict[str, Any], str]] = []
    for run in case.without_recomputation:
        if isinstance(run.policy, UniformHigh):
            levels.append(
                (run, {"color": BLACK, "linestyle": "-"}, f"uniform {run.policy.first.format}")
            )
        elif isinstance(run.policy, UniformLow):
            levels.append(
                (run, {"color": BLACK, "linestyle": ":"}, f"uniform {run.policy.first.format}")
            )
        elif isinstance(run.policy, Chunked):
            dash = "--" if run.policy.chunk <= 16 else "-."
            levels.append(
                (run, {"color": GREEN, "linestyle": dash}, f"chunks of {run.policy.chunk}")
            )
    return levels


def _accuracy(run: KeptRun) -> float:
    return run.accuracy if run.accuracy is not None else float("nan")


def _kl(run: KeptRun) -> float:
    return run.kl_divergence if run.kl_divergence is not None else float("nan")
