"""Where the numbers of a study over recompute units come from, and how far they can be trusted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from accelsim.energy import EnergyTable
from accelsim.energy.sensitivity import (
    LEAKAGE,
    Spread,
    Swing,
    constant_of,
    interval,
    records,
    saving,
    spreads,
    swings,
)
from accelsim.machine import parse_action
from accelsim.report.break_even import HIGH, LOOKED_AT, Curve, Row, value
from accelsim.report.leaks import areas_of, leaks
from accelsim.report.page import Column, Table
from accelsim.report.runs import leakage_by_part_pj
from accelsim.study import Study, with_shipped
from accelsim.study.table import to_csv

COUNTS, SOURCES, SPREADS = "unit-counts.csv", "unit-sources.csv", "unit-spreads.csv"
LEAKS, PARTS, AREAS = "unit-leakage.csv", "unit-parts.csv", "unit-areas.csv"
COUNTED = ("component", "action", "cause", "number", "unit")
SOURCED = ("action", "energy_pj_each", "kind", "node_nm", "voltage_v", "source")
MAX_NAMED = 4
"""Places that a sentence names: a table names all of them."""


def near(curve: Curve) -> Row:
    """Return the point at the rate that is looked at."""
    return min(curve.rows, key=lambda row: abs(row["recompute_rate"] - LOOKED_AT))


def files(
    study: Study, found: Sequence[Curve], tables: Sequence[EnergyTable] = ()
) -> dict[str, str]:
    """Return the counts, what each unit does at that rate, and the sources, what each action
    costs under every table and who says so. A count times a cost is a term of an energy, and what
    leaks under each table is the rest of it. The parts are what each unit's machine is built of,
    the areas what each part occupies under every one of `tables` and who says so. Where sources of
    a constant of `tables` disagree, the spreads say who is at either end.
    """
    at_hand = {table.name: table for table in tables}
    shown = [row for curve in found for row in (near(curve), *curve.against.values())]
    details = study.details(dict.fromkeys(row["point"] for row in shown))
    counts: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    parts: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    sources: dict[tuple[str, str], dict[str, Any]] = {}
    leaking: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for curve in found:
        for name, row in {curve.unit: near(curve), **curve.against}.items():
            detail = details[row["point"]]
            if detail is None:
                continue
            # How often anything is done does not depend on what it costs.
            key = (curve.hardware, curve.setting, curve.cluster * (name == curve.unit), name)
            head = dict(zip(("hardware", "setting", "cluster", "unit_or_policy"), key, strict=True))
            rate = {"recompute_rate": row["recompute_rate"]}
            if key not in counts:
                counts[key] = [
                    head | rate | {column: line[column] for column in COUNTED}
                    for line in detail["counts"]
                ]
            leaking.setdefault(
                (*key, curve.table),
                [
                    head | rate | leak
                    for leak in leaks(detail, at_hand.get(curve.table), PARTS, AREAS)
                ],
            )
            # Nor does what a machine is built of; older versions did not keep it.
            parts.setdefault(key, [head | rate | part for part in detail.get("built", ())])
            for line in detail["counts"]:
                sources[curve.table, line["action"]] = {"energy_table": curve.table} | {
                    column: line[column] for column in SOURCED
                }
    spread = [
        {
            "hardware": one.curve.hardware,
            "setting": one.curve.setting,
            "unit": one.curve.unit,
            "energy_table": one.curve.table,
            **record,
        }
        for one in trust(study, found, tables)
        for record in records(one.swings)
    ]
    written = {
        COUNTS: to_csv([*itertools.chain.from_iterable(counts.values())]),
        SOURCES: to_csv([sources[key] for key in sorted(sources)]),
    }
    leaked = [*itertools.chain.from_iterable(leaking.values())]
    built = [*itertools.chain.from_iterable(parts.values())]
    some = {LEAKS: leaked, PARTS: built, AREAS: _areas(built, found, tables), SPREADS: spread}
    return written | {name: to_csv(records) for name, records in some.items() if records}


def _areas(
    built: Sequence[dict[str, Any]], found: Sequence[Curve], tables: Sequence[EnergyTable]
) -> list[dict[str, Any]]:
    """Return what one of each part occupies under those tables of the study that are at hand."""
    areas = []
    charged = {curve.table for curve in found}
    for table in tables:
        for name, area in areas_of(table, built) if table.name in charged else ():
            areas.append(
                {
                    "energy_table": table.name,
                    "part": name,
                    "area_um2_each": area.area_um2,
                    "kind": area.kind,
                    "node_nm": area.node_nm,
                    "source": area.source,
                }
            )
    return areas


def survival(found: Sequence[Curve], cheap: str | None) -> str:
    """Say plainly whether it depends on the table if units pay at the rate that is looked at."""
    tables = sorted({curve.table for curve in found})
    parts, lost = [], 0
    for policy in (HIGH, *([] if cheap is None else [cheap])):
        verdicts = _verdicts(found, policy)
        changed = [place for place, both in verdicts.items() if len(both) > 1]
        lost += len(changed)
        same = len(verdicts) - len(changed)
        parts.append(
            f"against {policy} it is the same under all of them in {same} of {len(verdicts)} cases"
            + _exceptions(changed)
        )
    return (
        f"The conclusion {'does not survive' if lost else 'survives'} every table"
        f" ({', '.join(tables)}): whether a unit takes less energy at a rate of"
        f" {LOOKED_AT:.0%}, {'; '.join(parts)}."
    )


def verdict(found: Sequence[Curve], cheap: str | None) -> str:
    """Say in short of how many cases it depends on the table whether they pay."""
    tables = sorted({curve.table for curve in found})
    parts = []
    for policy in (HIGH, *([] if cheap is None else [cheap])):
        verdicts = _verdicts(found, policy)
        lost = sum(len(both) > 1 for both in verdicts.values())
        parts.append(f"{lost} of {len(verdicts)} cases against {policy}")
    return (
        f"Whether a unit takes less energy at a rate of {LOOKED_AT:.0%} depends on the energy"
        f" table ({', '.join(tables)}) in {' and in '.join(parts)}."
    )


def side_by_side(found: Sequence[Curve], cheap: str | None) -> Table:
    """Return what every unit takes at that rate under each table, against what redoes nothing."""
    tables = list(dict.fromkeys(curve.table for curve in found))
    policies = (HIGH, *([] if cheap is None else [cheap]))
    verdicts = [_verdicts(found, policy) for policy in policies]
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for curve in found:
        taken = value(near(curve), "energy")
        against = (taken / value(curve.against[policy], "energy") - 1.0 for policy in policies)
        cells.setdefault(_place(curve), {})[curve.table] = ", ".join(f"{x:+.1%}" for x in against)
    rows = tuple(
        (
            *place,
            *(under.get(table, "") for table in tables),
            " and ".join(
                policy
                for policy, said in zip(policies, verdicts, strict=True)
                if len(said[place]) > 1
            ),
        )
        for place, under in cells.items()
    )
    return Table(
        f"What each unit takes more at a rate of {LOOKED_AT:.0%} than"
        f" {', and than '.join(policies)}, under every table, and against which of these it depends"
        " on the table whether it pays.",
        tuple(
            Column(name)
            for name in (
                *("machine", "setting", "unit", "flags"),
                *(f"{table} (%)" for table in tables),
                "depends on the table",
            )
        ),
        rows,
    )


def _exceptions(places: Sequence[tuple[str, ...]]) -> str:
    """Name the places where it is not the same, or say where they stand if they are many."""
    if len(places) > MAX_NAMED:
        return f" (the table below says in which {len(places)} it is not)"
    return f", and not for {_grouped(places)}" if places else ""


def _grouped(places: Sequence[tuple[str, ...]]) -> str:
    """Return units by where they are: the machine, its setting, and how flags are drawn."""
    units: dict[tuple[str, ...], list[str]] = {}
    for machine, setting, unit, cluster in places:
        units.setdefault((machine, setting, cluster), []).append(unit)
    return "; ".join(
        f"{' | '.join(names)} (on {machine}{f', {setting}' if setting else ''}, flags {cluster})"
        for (machine, setting, cluster), names in units.items()
    )


def _verdicts(found: Sequence[Curve], policy: str) -> dict[tuple[str, ...], set[bool]]:
    """Return for each machine, setting, unit and cluster whether it pays, under any table."""
    verdicts: dict[tuple[str, ...], set[bool]] = {}
    for curve in found:
        pays = value(near(curve), "energy") < value(curve.against[policy], "energy")
        verdicts.setdefault(_place(curve), set()).add(pays)
    return verdicts


def _place(curve: Curve) -> tuple[str, ...]:
    return curve.hardware, curve.setting, curve.unit, curve.cluster


@dataclass(frozen=True)
class Trust:
    """What one unit of a machine saves against uniform-high, and what moves that."""

    curve: Curve
    ours: dict[str, float]
    theirs: dict[str, float]
    spreads: list[Spread]

    @property
    def where(self) -> str:
        """The machine, and its setting if there are several."""
        curve = self.curve
        return f"{curve.hardware} ({curve.setting})" if curve.setting else curve.hardware

    @cached_property
    def swings(self) -> list[Swing]:
        """What each constant does to the saving, the greatest first; those that do nothing not."""
        found = swings(self.ours, self.theirs, self.spreads)
        return [swing for swing in found if swing.size > 0.0]

    def sentence(self) -> str:
        """Return the saving, its interval, and what decides most, in words."""
        low, high = interval(self.ours, self.theirs, self.spreads)
        verdict = (
            "whatever of these holds, it pays"
            if low > 0.0
            else "whatever of these holds, it does not pay"
            if high <= 0.0
            else "the sources, and not the machine, decide whether it pays"
        )
        curve, most = self.curve, ""
        if self.swings:
            first = self.swings[0]
            ends = sorted((-first.at_low, -first.at_high))
            most = f" Most depends on {first.spread.constant}: {ends[0]:+.1%} to {ends[1]:+.1%}."
        return (
            f"{self.where}: at a rate of {LOOKED_AT:.0%}, flags {curve.cluster}, {curve.unit} takes"
            f" {-saving(self.ours, self.theirs):+.1%} against {HIGH} under {curve.table}, and"
            f" {-high:+.1%} to {-low:+.1%} with every constant anywhere between its sources:"
            f" {verdict}.{most}"
        )


def trust(study: Study, found: Sequence[Curve], tables: Sequence[EnergyTable]) -> list[Trust]:
    """Return, for each machine and setting, how far the saving of one unit can be trusted.

    It is the cheapest of those that pay under some tables and not under others, or of all if there
    is none of these, under the first table of the study that is one of `tables`. None if none is.
    """
    at_hand = {table.name: table for table in tables}
    own = next((at_hand[curve.table] for curve in found if curve.table in at_hand), None)
    if own is None:
        return []
    places: dict[tuple[str, str], list[Curve]] = {}
    for curve in found:
        if (curve.table, curve.cluster) == (own.name, found[0].cluster):
            places.setdefault((curve.hardware, curve.setting), []).append(curve)
    kept = []
    for curves in places.values():
        best = looked_at(curves, found)
        ours, theirs = _terms(study, near(best)), _terms(study, best.against[HIGH])
        if ours is None or theirs is None:
            continue
        actions = {**ours[1], **theirs[1]}
        spread = [
            one
            for one in spreads(actions.values(), own, with_shipped(tables))
            if {*one.moves} & {*ours[0], *theirs[0]}
        ]
        kept.append(Trust(best, ours[0], theirs[0], spread))
    return kept


def looked_at(curves: Sequence[Curve], found: Sequence[Curve]) -> Curve:
    """Return the cheapest of those that pay under some table of `found` and not under another, or
    of all if there is none of these.
    """
    verdicts = _verdicts(found, HIGH)
    torn = [curve for curve in curves if len(verdicts[_place(curve)]) > 1]
    return min(torn or curves, key=lambda curve: value(near(curve), "energy"))


def _terms(study: Study, row: Row) -> tuple[dict[str, float], dict[str, Any]] | None:
    """Return pJ by constant, leakage with them, and an action of each."""
    detail = study.detail(row["point"])
    if detail is None:
        return None
    terms: dict[str, float] = {}
    actions = {}
    for line in detail["counts"]:
        action = parse_action(line["action"])
        name = constant_of(action)
        terms[name] = terms.get(name, 0.0) + line["energy_pj"]
        actions[name] = action
    for part, leaked in leakage_by_part_pj(detail).items():
        terms[LEAKAGE[part]] = leaked
    return terms, actions
