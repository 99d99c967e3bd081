"""Where the energy goes: the cheapest point of each kind, by component and by cause."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from accelsim.report import plots
from accelsim.report.page import Figure, Image, Section
from accelsim.report.style import WIDTH, svg
from accelsim.report.survey import (
    CONTROL,
    ENERGY,
    MAX_SCOPES,
    Scope,
    Survey,
    is_number,
    label,
    some_of,
)
from accelsim.study.table import TOTAL, Row

MAX_BARS = 24
"""Bars of one picture: more would not be looked at."""


def energies(survey: Survey, drawn: int = MAX_SCOPES) -> Section | None:
    """Return where the energy goes: the cheapest point of each kind, by component and cause, of
    which the first scopes are `drawn`.
    """
    findings, figures = [], []
    for number, scope in enumerate(survey.scopes[:MAX_SCOPES], 1):
        rows, kind = bars(survey, scope)
        if not rows:
            continue
        findings.append(_energy_sentence(survey, scope, rows))
        if number > drawn:
            continue
        names = [bar_name(survey, survey.rows[row], kind) for row in rows]
        images = []
        for by in plots.PARTS:
            draw = partial(plots.energy, survey=survey, rows=rows, names=names, by=by)
            height = 1.9 + 0.24 * len(rows)
            alt = f"Bars of energy by {by}. {_energy_sentence(survey, scope, rows, by)}"
            images.append(Image(f"energy-{number}-{by}", alt, svg(draw, WIDTH, height)))
        left = f" The {MAX_BARS} cheapest." if len(rows) == MAX_BARS else ""
        figures.append(
            Figure(
                f"{scope}: energy per inference by component and by cause, of the point with the"
                f" least energy for each {kind}, {_with_or_without(survey, scope)}.{left}",
                tuple(images),
            )
        )
    if not figures:
        return None
    return Section(
        "Where the energy goes",
        paragraphs=some_of(survey, len(figures)),
        findings=tuple(findings),
        figures=tuple(figures),
    )


def bars(survey: Survey, scope: Scope) -> tuple[list[int], str]:
    """Return the cheapest rows of a scope, one for each policy, machine or value swept; and which.

    Controls are left out: they show what chance does, and are no way to run a network.
    """
    column = charged(survey, scope)
    values = survey.column(column)[scope.rows]
    own = [
        int(row)
        for row, value in zip(scope.rows, values, strict=True)
        if not np.isnan(value) and survey.rows[row].get(CONTROL) is None
    ]
    kinds = {
        "policy": [survey.rows[row]["policy"] for row in own],
        "machine": [survey.rows[row]["hardware"] for row in own],
    }
    kinds |= {
        key.key: [str(key.values[key.codes[row]]) for row in own]
        for key in survey.dimensions
        if key.key not in ("policy", "hardware")
    }
    kind = next((k for k, names in kinds.items() if len({*names}) > 1), "policy")
    best: dict[str, int] = {}
    for row, name in zip(own, kinds[kind], strict=True):
        kept = best.setdefault(str(name), row)
        if survey.rows[row][column] < survey.rows[kept][column]:
            best[str(name)] = row
    ordered = sorted(best.values(), key=lambda row: survey.rows[row][column])
    return ordered[:MAX_BARS], kind


def charged(survey: Survey, scope: Scope) -> str:
    """Return the column that points are compared by: with what leaks, if it is known of all."""
    known = survey.column(TOTAL)[scope.rows], survey.column(ENERGY)[scope.rows]
    leaks, all_else = (~np.isnan(values) for values in known)
    return TOTAL if leaks.any() and bool((leaks | ~all_else).all()) else ENERGY


def _with_or_without(survey: Survey, scope: Scope) -> str:
    leaks = charged(survey, scope) == TOTAL
    return "with what leaks" if leaks else "without what leaks, which is not known"


def bar_name(survey: Survey, row: Row, kind: str) -> str:
    """Return what a bar is called: by its policy, its machine, or the value that it is for."""
    if kind == "policy":
        return survey.policy_name(row)
    if kind == "machine":
        return str(row["hardware"])
    return label(row.get(kind))


def _energy_sentence(
    survey: Survey, scope: Scope, rows: Sequence[int], by: str | None = None
) -> str:
    """Say what the energy of the cheapest point consists of."""
    row = survey.rows[rows[0]]
    leaks = charged(survey, scope) == TOTAL
    per_inference_pj = 1e3 * row[TOTAL] / row["samples"] if leaks else row[ENERGY]
    said = []
    for kind in (by,) if by else plots.PARTS:
        sizes = []
        for column, name in plots.part_columns(kind):
            value = row.get(column)
            if is_number(value) and value:
                sizes.append((float(value) * plots.pj_in(column), name))
        total = sum(size for size, _ in sizes)
        sizes.sort(key=lambda item: (-item[0], item[1]))
        parts = [f"{size / total:.0%} {name}" for size, name in sizes[:4]]
        said.append(f"by {kind}: {', '.join(parts)}")
    return (
        f"{scope}: {survey.name(row)} takes {survey.quantity(ENERGY).text(per_inference_pj)} per"
        f" inference {_with_or_without(survey, scope)}, the least; {'; '.join(said)}."
    )
