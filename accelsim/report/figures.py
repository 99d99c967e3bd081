"""Figures: the only door to matplotlib. Each function returns a PNG file as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from accelsim.energy import by_component
from accelsim.policies import Chunked, Random, Selective, Uniform, UniformHigh, UniformLow
from accelsim.report.findings import Case, Demo, shown_runs
from accelsim.report.robustness import robustness, strongest
from accelsim.result import COMPONENTS, LayerRun, Run
from accelsim.study import pareto_front

# Okabe and Ito's palette, which stays apart without colour vision.
BLACK, ORANGE, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
COMPONENT_STYLES = dict(
    zip(
        COMPONENTS,
        [(BLUE, ""), (RED, "//"), (YELLOW, "xx"), (BLACK, ""), (ORANGE, "//"),
         (ORANGE, ""), (PINK, ".."),
         (GREEN, ""), (GREEN, "//"), (GREEN, "xx"), ("#BBBBBB", "")],
        strict=True,
    )
)  # fmt: skip
UNIT_COLOURS = {"array": BLUE, "vector": GREEN, "gather": PINK, "recompute": RED, "dram": "#888888"}
STALL_STYLES = {"dram": (YELLOW, "//"), "recompute": (ORANGE, "xx"), "scratchpad": (PINK, "..")}
OTHER_STALL = (BLACK, "")
DPI = 130
TORNADO_BARS = 8


def recompute_rate(demo: Demo) -> bytes:
    """Draw accuracy and KL divergence against recompute rate, a column per workload."""
    figure = Figure(figsize=(5.2 * len(demo.workloads), 7.0), layout="constrained")
    axes = figure.subplots(2, len(demo.workloads), squeeze=False)
    for column, workload in enumerate(demo.workloads):
        case = demo.case(demo.machines[0], workload)
        for row, (value, label) in enumerate(
            ((_accuracy, "accuracy"), (_kl, "KL divergence (nats)"))
        ):
            axis = axes[row, column]
            _rate_panel(axis, case, value)
            axis.set_ylabel(label)
            axis.set_xlabel("recompute rate")
        axes[0, column].set_title(workload)
        axes[1, column].set_yscale("log")
    axes[0, 0].legend(fontsize=8, loc="lower right")
    return png(figure)


def energy_front(demo: Demo, workload: str) -> bytes:
    """Draw accuracy and KL divergence against energy with the Pareto front, a column a machine."""
    figure = Figure(figsize=(4.4 * len(demo.machines), 7.6), layout="constrained")
    axes = figure.subplots(2, len(demo.machines), squeeze=False)
    for column, machine in enumerate(demo.machines):
        case = demo.case(machine, workload)
        for row, (value, label, sign) in enumerate(
            ((_accuracy, "accuracy", -1.0), (_kl, "KL divergence (nats)", 1.0))
        ):
            axis = axes[row, column]
            _front_panel(axis, case, value, sign)
            axis.set_xlabel(f"energy per inference (nJ, {case.table.name} table)")
            axis.set_ylabel(label)
        axes[0, column].set_title(machine)
        axes[1, column].set_yscale("log")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="outside lower center", fontsize=9)
    figure.suptitle(workload)
    return png(figure)


def energy_by_component(demo: Demo, workload: str) -> bytes:
    """Draw stacked bars of energy by component, a panel a machine, a bar a policy."""
    figure = Figure(figsize=(4.6 * len(demo.machines), 6.2), layout="constrained")
    axes = figure.subplots(1, len(demo.machines), squeeze=False)[0]
    for axis, machine in zip(axes, demo.machines, strict=True):
        case = demo.case(machine, workload)
        runs = shown_runs(case)[::-1]
        left = np.zeros(len(runs))
        for component in COMPONENTS:
            colour, hatch = COMPONENT_STYLES[component]
            widths = np.array(
                [
                    by_component(run.energy_lines).get(component, 0.0)
                    / run.inference.trace.samples
                    / 1e3
                    for run in runs
                ]
            )
            axis.barh(
                range(len(runs)), widths, left=left, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0.3,
            )  # fmt: skip
            left += widths
        axis.axvline(
            case.high.energy_per_inference_pj / 1e3, color=BLACK, linestyle=":", linewidth=1
        )
        axis.set_yticks(range(len(runs)), [_short(run) for run in runs], fontsize=7)
        if machine != demo.machines[0]:
            axis.set_yticklabels([])
        axis.set_xlabel(f"energy per inference (nJ, {case.table.name} table)")
        axis.set_title(machine)
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
        for name, (colour, hatch) in COMPONENT_STYLES.items()
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower center", fontsize=8)
    figure.suptitle(f"{workload}; dotted: uniform-high")
    return png(figure)


def tornado(demo: Demo, workload: str) -> bytes:
    """Draw what each constant does to the saving of the best κ run, a row a machine.

    A bar goes from the lowest to the highest of the constant's sources, all others as they are.
    """
    figure = Figure(figsize=(8.0, 3.4 * len(demo.machines)), layout="constrained")
    axes = figure.subplots(len(demo.machines), 1, squeeze=False)[:, 0]
    for axis, machine in zip(axes, demo.machines, strict=True):
        found = robustness(demo, demo.case(machine, workload))
        bars = strongest(found, TORNADO_BARS)[::-1]
        base = found.saving * 100
        for end, colour, hatch in (("low", BLUE, ""), ("high", ORANGE, "//")):
            ends = [getattr(swing, f"at_{end}") * 100 - base for swing in bars]
            axis.barh(
                range(len(bars)), ends, left=base, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.3, label=f"{end}est source",
            )  # fmt: skip
        names = [
            f"{swing.spread.constant}, ×{swing.spread.low:.3g} to ×{swing.spread.high:.3g}"
            for swing in bars
        ]
        axis.set_yticks(range(len(bars)), names, fontsize=7)
        axis.axvline(base, color=BLACK, linewidth=1)
        axis.axvline(0.0, color=BLACK, linewidth=1, linestyle=":")
        axis.set_xlabel("energy saved against uniform-high (%)")
        low, high = found.interval
        axis.set_title(
            f"{machine}, {found.table.name} table, {found.case.best_selective.policy}:"
            f" {base:+.1f} %, all constants free {low * 100:+.1f} to {high * 100:+.1f} %",
            fontsize=8,
            loc="right",
        )
        axis.grid(alpha=0.3, axis="x")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, loc="outside lower center", fontsize=8)
    figure.suptitle(f"{workload}; dotted: neither saves nor takes more")
    return png(figure)


def gantt(picked: Sequence[tuple[Run, LayerRun]], folds: int) -> bytes:
    """Draw who is busy when, for the first folds of one layer on each machine: a row a unit.

    The stalls that the layer's stall cycles count lie in the row of the unit that waits.
    """
    figure = Figure(figsize=(11.0, 2.1 * len(picked) + 0.7), layout="constrained")
    axes = figure.subplots(len(picked), 1, squeeze=False)[:, 0]
    causes: list[str] = []
    for axis, (run, layer) in zip(axes, picked, strict=True):
        causes += [cause for cause in _gantt_panel(axis, run, layer, folds) if cause not in causes]
    handles = [
        Patch(facecolor=colour, edgecolor="white", label=f"{unit} busy")
        for unit, colour in UNIT_COLOURS.items()
        if any(unit in _units(layer) for _, layer in picked)
    ]
    handles += [_stall_patch(cause) for cause in causes]
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower center", fontsize=8)
    return png(figure)


def _gantt_panel(axis: Axes, run: Run, layer: LayerRun, folds: int) -> list[str]:
    """Draw one layer, and return the causes of the stalls that are seen."""
    timeline, units = layer.simulation.timeline, _units(layer)
    working = units[0]
    ends = sorted(i.end_cycles for i in timeline.intervals if i.unit == working)
    end = ends[min(folds, len(ends)) - 1]
    for row, unit in enumerate(units):
        spans = [
            (i.start_cycles, i.end_cycles - i.start_cycles)
            for i in timeline.intervals
            if i.unit == unit and i.start_cycles < end
        ]
        axis.broken_barh(
            spans, (row - 0.38, 0.76), facecolor=UNIT_COLOURS[unit], edgecolor="white",
            linewidth=0.5,
        )  # fmt: skip
    seen: dict[str, None] = {}
    for stall in timeline.stalls:
        if stall.start_cycles >= end:
            continue
        seen[stall.cause] = None
        length = min(stall.end_cycles, end) - stall.start_cycles
        colour, hatch = STALL_STYLES.get(stall.cause, OTHER_STALL)
        axis.broken_barh(
            [(stall.start_cycles, length)], (-0.38, 0.76), facecolor=colour, hatch=hatch,
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        if length > 0.06 * end:
            axis.text(
                stall.start_cycles + length / 2, 0, stall.cause, ha="center", va="center",
                fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    axis.set_yticks(range(len(units)), units)
    axis.set_ylim(len(units) - 0.5, -0.5)
    axis.set_xlim(0, end)
    axis.set_xlabel(f"cycles, of {1e3 / run.hardware.clock_mhz:.4g} ns each")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    pieces = "folds" if working == "array" else "pieces"
    axis.set_title(
        f"{run.hardware.name}: {run.workload}, {layer.trace.name}, {run.policy};"
        f" first {min(folds, len(ends))} of {len(ends)} {pieces}",
        fontsize=9,
    )
    return list(seen)


def _units(layer: LayerRun) -> list[str]:
    """Return the units of a layer, the one whose stalls are counted first."""
    busy = {interval.unit for interval in layer.simulation.timeline.intervals}
    return [unit for unit in UNIT_COLOURS if unit in busy]


def _stall_patch(cause: str) -> Patch:
    colour, hatch = STALL_STYLES.get(cause, OTHER_STALL)
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"stall: {cause}")


def _rate_panel(axis: Axes, case: Case, value: Callable[[Run], float]) -> None:
    for run, style, label in _levels(case):
        axis.axhline(value(run), label=label, linewidth=1, **style)
    matched = sorted(case.of(Selective), key=lambda run: run.recompute_rate)
    rates = [run.recompute_rate for run in matched]
    values = np.array([[value(control) for control in case.controls(run)] for run in matched])
    axis.plot(rates, values.mean(axis=1), color=ORANGE, marker="x", label="random (same rates)")
    axis.fill_between(rates, values.min(axis=1), values.max(axis=1), color=ORANGE, alpha=0.3)
    for numerator, colour, marker in (("constant", BLUE, "o"), ("exact", RED, "s")):
        runs = case.selective(numerator)
        axis.plot(
            [run.recompute_rate for run in runs],
            [value(run) for run in runs],
            color=colour, marker=marker, markersize=4, label=f"κ, {numerator} numerator",
        )  # fmt: skip
    axis.grid(alpha=0.3)


def _front_panel(axis: Axes, case: Case, value: Callable[[Run], float], sign: float) -> None:
    def energy(run: Run) -> float:
        return run.energy_per_inference_pj / 1e3

    groups: tuple[tuple[list[Run], dict[str, Any], str], ...] = (
        (case.of(Random), {"color": ORANGE, "marker": "x"}, "random"),
        (case.selective("constant"), {"color": BLUE, "marker": "o"}, "κ, constant numerator"),
        (case.selective("exact"), {"color": RED, "marker": "s"}, "κ, exact numerator"),
        (case.of(Chunked), {"color": GREEN, "marker": "^"}, "chunked"),
    )
    for runs, style, label in groups:
        axis.scatter(
            [energy(r) for r in runs], [value(r) for r in runs], s=18, label=label, **style
        )
    uniform = [run for run in case.without_recomputation if isinstance(run.policy, Uniform)]
    for place, run in enumerate(sorted(uniform, key=energy)):
        axis.scatter([energy(run)], [value(run)], color=BLACK, marker="D", s=22, zorder=3)
        axis.annotate(
            str(run.policy.first.format), (energy(run), value(run)), fontsize=7,
            xytext=(0, (5, -11)[place % 2]), textcoords="offset points", ha="center",
        )  # fmt: skip
    axis.margins(0.07)
    axis.scatter([], [], color=BLACK, marker="D", s=22, label="uniform")
    losses = [(energy(run), sign * value(run)) for run in case.runs]
    front = sorted(
        (energy(run), value(run))
        for run, on_front in zip(case.runs, pareto_front(losses), strict=True)
        if on_front
    )
    axis.plot(
        *zip(*front, strict=True), color=BLACK, linewidth=1, linestyle="--", label="Pareto front"
    )
    axis.grid(alpha=0.3)


def _levels(case: Case) -> list[tuple[Run, dict[str, Any], str]]:
    levels: list[tuple[Run, dict[str, Any], str]] = []
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


def _short(run: Run) -> str:
    return (
        str(run.policy)
        .replace("numerator=", "")
        .replace("selective:tau=", "κ, τ=")
        .replace("uniform:format=", "uniform ")
        .replace("chunked:chunk=", "chunked ")
    )


def _accuracy(run: Run) -> float:
    return run.accuracy if run.accuracy is not None else float("nan")


def _kl(run: Run) -> float:
    return run.kl_divergence if run.kl_divergence is not None else float("nan")


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a file, the same for the same figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "accelsim"})
    return stream.getvalue()
