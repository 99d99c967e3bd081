"""What any study says: fronts, what matters, where the energy goes, rates, and timelines."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from accelsim.report import plots
from accelsim.report.energies import energies
from accelsim.report.gantt import Excerpt, gantt
from accelsim.report.page import Figure, Image, Section
from accelsim.report.points import front_table
from accelsim.report.rates import rate_curves
from accelsim.report.style import HEIGHT, RASTER, WIDTH, svg
from accelsim.report.survey import (
    CONTROL,
    MAX_SCOPES,
    REST,
    SEED,
    Dimension,
    Scope,
    Survey,
    pairs,
    some_of,
)
from accelsim.study.table import counted

MAX_FRONTS, MAX_MAPS = 12, 6
"""Pictures of a section: more would not be looked at. Findings are of every scope."""
MAX_GANTTS = 4
"""Of points that are best in something."""
RATE_SHOWN = 0.1
"""The share of outputs that is redone where a recompute unit is shown at work."""
LEAST_FULL = 0.75
"""A heat map with fewer of its cells filled says little."""


def sections(
    survey: Survey, excerpts: Mapping[int, Excerpt], energies_drawn: int = MAX_SCOPES
) -> list[Section]:
    """Return the sections of a study with points, those that have anything to say."""
    found = [fronts(survey), influences(survey), energies(survey, energies_drawn), rates(survey)]
    found += [timelines(survey, excerpts)]
    return [one for one in found if one is not None]


def timed_rows(survey: Survey) -> list[int]:
    """Return the rows whose timelines are shown: the best of each objective, scope by scope, and
    each recompute unit at work, if units were swept.
    """
    rows = [
        survey.best(scope, column, sign)
        for scope in survey.scopes[:MAX_SCOPES]
        for column, sign in survey.usual_signs().items()
    ]
    best = list(dict.fromkeys(row for row in rows if row is not None))[:MAX_GANTTS]
    return list(dict.fromkeys([*best, *_at_work(survey)]))


def _at_work(survey: Survey) -> list[int]:
    """Return a row for each recompute unit of the first machine, at about `RATE_SHOWN`."""
    found: dict[str, tuple[float, int]] = {}
    for index, row in enumerate(survey.rows):
        unit, rate = row.get("recompute"), row["recompute_rate"]
        if unit is None or not rate or row["hardware"] != survey.rows[0]["hardware"]:
            continue
        off = abs(math.log(rate / RATE_SHOWN))
        found[str(unit)] = min(found.get(str(unit), (math.inf, index)), (off, index))
    return [index for _, index in found.values()]


def summary(survey: Survey) -> list[str]:
    """Return how many points there are, and the best of each objective."""
    study = survey.study
    states = Counter(str(row["status"]) for row in study.rows)
    counts = [f"{states[s]} {s}" for s in ("done", "failed", "missing") if states[s]]
    said = f"{counted(len(study.rows))}: {', '.join(counts) or 'none'}."
    if survey.left_out:
        said += (
            f" {survey.left_out} of them are controls, which are compared with what they are"
            " controls of and are no points of fronts, figures and tables."
        )
    if study.meta.get("constraints"):
        said += f" {len(survey.rows)} of them are within the constraints, {_bounds(survey)}."
    if not survey.rows:
        return [said + " There is nothing to compare."]
    found = [said]
    for scope in survey.scopes[:MAX_SCOPES]:
        parts = []
        for column, sign in survey.usual_signs().items():
            row = survey.best(scope, column, sign)
            if row is not None:
                shown, chosen = survey.quantity(column), survey.rows[row]
                extreme = "the most" if sign > 0 else "the least"
                parts.append(
                    f"{extreme} {shown.label}, {shown.text(chosen[column])}, has"
                    f" {survey.name(chosen)}"
                )
        if parts:
            found.append(f"{scope}: {'; '.join(parts)}.")
    return found + _left_out(survey)


def _left_out(survey: Survey) -> list[str]:
    more = len(survey.scopes) - MAX_SCOPES
    if more <= 0:
        return []
    return [
        f"{more} more pairs of workload and energy table have no figures of their own here; {REST}."
    ]


def _bounds(survey: Survey) -> str:
    parts = []
    for column, bounds in survey.study.meta["constraints"].items():
        shown = survey.quantity(column)
        if bounds["min"] is not None:
            parts.append(f"{shown.label} at least {shown.text(bounds['min'])}")
        if bounds["max"] is not None:
            parts.append(f"{shown.label} at most {shown.text(bounds['max'])}")
    return ", ".join(parts)


def fronts(survey: Survey) -> Section | None:
    """Return the Pareto fronts of every scope, pair by pair."""
    drawn = pairs(survey)
    if not drawn:
        return None
    findings: list[str] = []
    figures = []
    for number, scope in enumerate(survey.scopes[:MAX_SCOPES], 1):
        images: list[Image] = []
        for upward, sign, across in drawn:
            front = survey.front(scope, {across: -1, upward: sign})
            if not front:
                continue
            sentence = _front_sentence(survey, scope, (upward, sign, across), front)
            findings.append(sentence)
            if number > 1 and number * len(drawn) > MAX_FRONTS:
                continue
            draw = partial(
                plots.pareto, survey=survey, scope=scope, pair=(upward, sign, across), front=front
            )
            name = f"front-{number}-{slug(upward)}-{slug(across)}"
            images.append(Image(name, f"Scatter plot with its Pareto front. {sentence}", svg(draw)))
        raster = " Points are drawn as pixels, the front as it is." * (len(scope.rows) > RASTER)
        caption = (
            f"{scope}: every point that is within the constraints ({len(scope.rows)}), and, dashed"
            f" and ringed, those that no other beats in both directions.{raster}"
        )
        figures.append(Figure(caption, tuple(images)))
    if survey.study.meta.get("swept") and any(row.get(SEED) is not None for row in survey.rows):
        findings.append(
            "Seeds are points of their own here, so that a front takes the luckiest of them."
        )
    tables = [front_table(survey, scope) for scope in survey.scopes[:MAX_SCOPES]]
    shown = tuple(figure for figure in figures if figure.images)
    return Section(
        "Pareto fronts",
        paragraphs=some_of(survey, len(shown)),
        findings=tuple(findings),
        figures=shown,
        tables=tuple(table for table in tables if table.rows),
    )


def _front_sentence(
    survey: Survey, scope: Scope, pair: tuple[str, int, str], front: Sequence[int]
) -> str:
    upward, _, across = pair
    y, x = survey.quantity(upward), survey.quantity(across)
    first, last = survey.rows[front[0]], survey.rows[front[-1]]
    start = (
        f"{scope}, {y.label} against {x.label}: {len(front)} of {len(scope.rows)} points"
        f" {'is' if len(front) == 1 else 'are'} on the front"
    )
    if first[across] == last[across]:
        return f"{start}, at {x.text(first[across])} and {y.text(first[upward])}."
    ratio = last[across] / first[across] if first[across] else float("inf")
    return (
        f"{start}, from {x.text(first[across])} and {y.text(first[upward])}"
        f" to {x.text(last[across])} ({ratio:.3g} times as much) and {y.text(last[upward])}."
    )


def influences(survey: Survey) -> Section | None:
    """Return what matters: the effect of each dimension, heat maps, parallel coordinates."""
    signs = survey.usual_signs()
    if not survey.dimensions or not signs:
        return None
    findings = [
        sentence
        for scope in survey.scopes[:MAX_SCOPES]
        for column in signs
        if (sentence := _effect_sentence(survey, scope, column))
    ]
    figures = [*_maps(survey, signs), *_coordinates(survey, signs)]
    return Section("What matters", findings=tuple(findings), figures=tuple(figures))


def effects(survey: Survey, scope: Scope, column: str) -> list[tuple[Dimension, float]]:
    """Return what each dimension does to a column, the greatest first."""
    found = [(key, survey.effect(scope, key, column)) for key in survey.dimensions]
    return sorted(found, key=lambda item: -item[1])


def _effect_sentence(survey: Survey, scope: Scope, column: str) -> str:
    shown = [(key, f"{effect:.3g}") for key, effect in effects(survey, scope, column)]
    parts = [f"{key.key} ({effect} times)" for key, effect in shown if effect != "1"]
    if not parts:
        return ""
    return (
        f"{scope}: what moves {survey.quantity(column).label} most, all else being equal, by the"
        f" median ratio of the greatest to the least: {', '.join(parts)}."
    )


def _maps(survey: Survey, signs: Mapping[str, int]) -> Iterator[Figure]:
    """Yield heat maps over the dimensions that matter most to each objective, two at a time."""
    number = 0
    for scope, (column, sign) in itertools.product(survey.scopes[:MAX_SCOPES], signs.items()):
        keys = [key for key, effect in effects(survey, scope, column) if effect > 1.0]
        images: list[Image] = []
        least = "most" if sign > 0 else "least"
        shown = survey.quantity(column)
        for across, upward in itertools.combinations(keys[:4], 2):
            full = np.isfinite(plots.cells(survey, scope, across, upward, column, sign)).mean()
            if number == MAX_MAPS or len(images) == MAX_MAPS // 2 or full < LEAST_FULL:
                continue
            number += 1
            ordered = sorted((across, upward), key=lambda key: (not key.numeric, -len(key.values)))
            draw = partial(
                plots.heatmap, survey=survey, scope=scope, keys=(ordered[0], ordered[1]),
                column=column, sign=sign,
            )  # fmt: skip
            alt = (
                f"Heat map of the {least} {shown.axis} over {ordered[0].key} and {ordered[1].key}."
                f" {_map_sentence(survey, scope, (ordered[0], ordered[1]), column, sign)}"
            )
            height = min(9.0, max(HEIGHT, 1.6 + 0.28 * min(len(ordered[1].values), 24)))
            images.append(Image(f"map-{number}", alt, svg(draw, WIDTH, height)))
        if images:
            yield Figure(
                f"{scope}: the {least} {shown.label} that is reached where two of what is swept"
                " have given values, the best of all else. Hatched: no point.",
                tuple(images),
            )


def _map_sentence(
    survey: Survey, scope: Scope, keys: tuple[Dimension, Dimension], column: str, sign: int
) -> str:
    table = plots.cells(survey, scope, *keys, column, sign)
    row, place = np.unravel_index(int(np.nanargmin(-sign * table)), table.shape)
    where = f"{keys[0].key} {keys[0].labels[place]}, {keys[1].key} {keys[1].labels[row]}"
    return f"The best is {survey.quantity(column).text(float(table[row, place]))} at {where}."


def _coordinates(survey: Survey, signs: Mapping[str, int]) -> Iterator[Figure]:
    """Yield parallel coordinates of the first scopes."""
    for number, scope in enumerate(survey.scopes[:2], 1):
        given = coordinates(survey, scope)
        if len(given) < 1 or len(given) + len(survey.dimensions) < 3:
            continue
        front, last = survey.front(scope, signs), given[-1]
        draw = partial(plots.parallel, survey=survey, scope=scope, columns=given, front=front)
        names = ", ".join([*(d.key for d in survey.dimensions), *given])
        yield Figure(
            f"{scope}: points as lines over what is swept and what they gave; dashed, those on the"
            f" front of {', '.join(signs)}. {_drawn(survey, scope, last, front)}",
            (
                Image(
                    f"coordinates-{number}",
                    f"Parallel coordinates of {len(scope.rows)} points over {names}.",
                    svg(draw, breadth(survey, given), HEIGHT),
                    broad=True,
                ),
            ),
        )


def breadth(survey: Survey, columns: Sequence[str]) -> float:
    """Return how wide parallel coordinates are, in inches, for their names to stand apart."""
    return max(WIDTH, 1.1 * (len(columns) + len(survey.dimensions)) + 1.5)


def _drawn(survey: Survey, scope: Scope, column: str, front: Sequence[int]) -> str:
    """Say how many of the points, and of those on the front, are drawn."""
    lines = len(plots.thinned(survey, scope, column))
    best = len(plots.evenly(front, plots.MAX_FRONT))
    if (lines, best) == (len(scope.rows), len(front)):
        return f"All {lines} points are drawn, and {best} of them are on the front."
    return (
        f"Drawn are {lines} of {len(scope.rows)} points, evenly along {column}, and {best} of"
        f" {len(front)} on the front."
    )


def coordinates(survey: Survey, scope: Scope) -> list[str]:
    """Return the columns that differ within a scope, energy last."""
    found = []
    for column in (*survey.gains, *survey.costs):
        values = survey.column(column)[scope.rows]
        if len(np.unique(values[np.isfinite(values)])) > 1:
            found.append(column)
    return sorted(found, key=lambda column: "energy" in column)


def rates(survey: Survey) -> Section | None:
    """Return the recompute rate against τ, for rules that have one."""
    curves = rate_curves(row for row in survey.done if row.get(CONTROL) is None)
    if not curves:
        return None
    findings = [
        f"{curve.name}: {curve.rates[0]:.2%} of the outputs are redone at τ = {curve.taus[0]:.4g},"
        f" {curve.rates[-1]:.2%} at τ = {curve.taus[-1]:.4g}."
        for curve in curves
    ]
    shown = curves[: plots.MAX_CURVES]
    left = f" The first {len(shown)} of {len(curves)} rules." if len(shown) < len(curves) else ""
    image = Image(
        "rate-tau",
        f"Recompute rate against τ, one line for each of {len(shown)} rules. {findings[0]}",
        svg(partial(plots.rates, found=shown), WIDTH, HEIGHT + 0.25 * len(shown)),
    )
    caption = (
        "The share of outputs that is redone against τ, on a logarithmic axis with 0 and ∞ at its"
        f" edges; no machine changes it.{left}"
    )
    return Section(
        "Recompute rate against τ",
        findings=tuple(findings[: len(shown)]),
        figures=(Figure(caption, (image,)),),
    )


def timelines(survey: Survey, excerpts: Mapping[int, Excerpt]) -> Section | None:
    """Return who is busy when in the longest layer of the points shown."""
    rows = timed_rows(survey)
    if not rows:
        return None
    findings, images = [], []
    for number, row in enumerate(rows, 1):
        excerpt = excerpts.get(row)
        if excerpt is None:
            continue
        name = survey.name(survey.rows[row])
        findings.append(f"{name}: {excerpt.sentence()}")
        draw = partial(gantt, excerpt=excerpt, title=name)
        images.append(
            Image(
                f"timeline-{number}",
                f"Gantt chart of {name}. {excerpt.sentence()}",
                svg(draw, WIDTH * 1.2, 1.6 + 0.42 * len(excerpt.units)),
            )
        )
    if not images:
        return Section(
            "Timelines", paragraphs=("No timelines are kept of the best points of this study.",)
        )
    units = (
        f", and of one for each recompute unit that was swept, at a rate of about {RATE_SHOWN:.0%}"
    )
    caption = (
        "Who is busy when in the longest layer, of the points that are best in an objective"
        f"{units * bool(_at_work(survey))}: from where outputs are first redone, or from the"
        " beginning where none are; a row a unit, and in the row of the unit that works its"
        " stalls by cause."
    )
    return Section(
        "Timelines",
        findings=tuple(findings),
        figures=(Figure(caption, tuple(images), "details.json"),),
    )


def slug(column: str) -> str:
    """Return the name of a column as part of a file's."""
    return column.lower().replace("_", "-").replace(".", "-")
