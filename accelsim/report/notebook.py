"""Figures of a study for notebooks and scripts: what `Study.plot_…` draws, on axes of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot
from matplotlib.axes import Axes

from accelsim.errors import AccelsimError
from accelsim.report import energies, overview, plots
from accelsim.report.gantt import Excerpt, gantt
from accelsim.report.rates import rate_curves
from accelsim.report.style import HEIGHT, WIDTH, settings
from accelsim.report.survey import ENERGY, GAINS, LATENCY, Dimension, Scope, Survey, is_number
from accelsim.study import Study
from accelsim.study.table import USUAL


def plot_pareto(
    study: Study,
    x: str | None,
    y: str | None,
    workload: str | None,
    energy_table: str | None,
    ax: Axes | None,
) -> Axes:
    """Draw the points of one workload under one table, and the front of two columns."""
    survey = _survey(study)
    scope = _scope(survey, workload, energy_table)
    across = _column(survey, x or survey.costs[0])
    usual = next(iter(survey.gains), LATENCY if across != LATENCY else ENERGY)
    upward = _column(survey, y or usual)
    signs = {column: _sign(survey, column) for column in (across, upward)}
    front = survey.front(scope, signs)
    with pyplot.rc_context(settings()):
        axes = _axes(ax)
        plots.pareto(axes, survey, scope, (upward, signs[upward], across), front)
    return axes


def plot_heatmap(
    study: Study,
    x: str,
    y: str,
    value: str | None,
    workload: str | None,
    energy_table: str | None,
    ax: Axes | None,
) -> Axes:
    """Draw the best of a column where two of what differs between points have given values."""
    survey = _survey(study)
    scope = _scope(survey, workload, energy_table)
    column = _column(survey, value or next(iter(survey.usual_signs()), ENERGY))
    keys = _dimension(survey, x), _dimension(survey, y)
    with pyplot.rc_context(settings()):
        axes = _axes(ax)
        plots.heatmap(axes, survey, scope, keys, column, _sign(survey, column))
    return axes


def plot_energy(
    study: Study,
    by: str,
    points: Sequence[int] | None,
    workload: str | None,
    energy_table: str | None,
    ax: Axes | None,
) -> Axes:
    """Draw the energy of points as bars; without any, of the cheapest of each kind."""
    if by not in plots.PARTS:
        raise AccelsimError(f"by: got {by!r}, expected {' or '.join(plots.PARTS)}")
    survey = _survey(study)
    if points is None:
        rows, kind = energies.bars(survey, _scope(survey, workload, energy_table))
        names = [energies.bar_name(survey, survey.rows[row], kind) for row in rows]
    else:
        rows = [_row(survey, point) for point in points]
        names = [survey.name(survey.rows[row]) for row in rows]
    with pyplot.rc_context(settings()):
        axes = _axes(ax)
        plots.energy(axes, survey, rows, names, by)
    return axes


def plot_parallel(
    study: Study, workload: str | None, energy_table: str | None, ax: Axes | None
) -> Axes:
    """Draw every point as a line over what is swept and what it gave."""
    survey = _survey(study)
    scope = _scope(survey, workload, energy_table)
    front = survey.front(scope, survey.usual_signs())
    columns = overview.coordinates(survey, scope)
    with pyplot.rc_context(settings()):
        axes = _axes(ax, overview.breadth(survey, columns))
        plots.parallel(axes, survey, scope, columns, front)
    return axes


def plot_rates(study: Study, ax: Axes | None) -> Axes:
    """Draw the recompute rate against τ."""
    found = rate_curves(Survey(study).done)
    if not found:
        raise AccelsimError(f"study {study.name} has no policy at several values of tau")
    with pyplot.rc_context(settings()):
        axes = _axes(ax)
        plots.rates(axes, found)
    return axes


def plot_timeline(study: Study, point: int, ax: Axes | None) -> Axes:
    """Draw who is busy when in the longest layer of a point."""
    survey = _survey(study)
    row = survey.rows[_row(survey, point)]
    excerpt = Excerpt.of(study.detail(point), row["total_cycles"] / row["latency_s"] / 1e6)
    if excerpt is None:
        raise AccelsimError(f"no timeline is kept of point {point}")
    with pyplot.rc_context(settings()):
        axes = _axes(ax)
        gantt(axes, excerpt, survey.name(row))
    return axes


def _axes(ax: Axes | None, width: float = WIDTH) -> Axes:
    # pyplot, and not a bare figure: that is what a notebook shows when the cell is done.
    size = width, HEIGHT
    return pyplot.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _survey(study: Study) -> Survey:
    survey = Survey(study)
    if not survey.rows:
        raise AccelsimError(f"study {study.name} has no feasible point to draw")
    return survey


def _scope(survey: Survey, workload: str | None, table: str | None) -> Scope:
    found = [
        scope
        for scope in survey.scopes
        if workload in (None, scope.workload) and table in (None, scope.table)
    ]
    if not found:
        known = "; ".join(f"{scope.workload} under {scope.table}" for scope in survey.scopes)
        asked = f" of workload {workload}" * (workload is not None)
        asked += f" under energy table {table}" * (table is not None)
        raise AccelsimError(f"no points{asked}; there are {known}")
    return found[0]


def _column(survey: Survey, name: str) -> str:
    known = {key for row in survey.rows for key, value in row.items() if is_number(value)}
    if name not in known:
        raise AccelsimError(
            f"no result has numbers in {name!r}; allowed: {', '.join(sorted(known))}"
        )
    return name


def _dimension(survey: Survey, name: str) -> Dimension:
    known = {key.key: key for key in survey.dimensions}
    if name not in known:
        raise AccelsimError(
            f"{name!r} does not differ between the points; allowed: {', '.join(sorted(known))}"
        )
    return known[name]


def _row(survey: Survey, point: int) -> int:
    for index, row in enumerate(survey.rows):
        if row["point"] == point:
            return index
    raise AccelsimError(f"study {survey.study.name} has no finished point {point}")


def _sign(survey: Survey, column: str) -> int:
    known: dict[str, Any] = USUAL | GAINS | survey.study.objectives
    return int(known.get(column, -1))
