"""The report of a study over recompute units: where each stops paying, and what decides it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from accelsim.energy import EnergyTable
from accelsim.errors import AccelsimError
from accelsim.report import unit_figures, unit_sources
from accelsim.report.break_even import HIGH, LOOKED_AT, MEASURES, Curve, curves, value
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.spread_table import spread_table
from accelsim.study import Study

CHEAP = "chunked"
STALLS = {
    "recompute": "waiting for the recompute unit, or for the array that redoes outputs",
    "dram": "waiting for DRAM",
    "scratchpad": "waiting for scratchpads",
}
TRUST = "Recompute units: between the sources of each constant"
NOT_AT_HAND = (
    "Of the study's energy tables only the costs are kept with its results, and not their other"
    " sources: how far the conclusion depends on single constants is not known."
)
TRACED = (
    "Energies at the rate that is looked at, and those of what redoes nothing, are sums over"
    f" {unit_sources.COUNTS}, which has how often each unit does what, times the cost of that"
    f" action in {unit_sources.SOURCES}, beside who says so, and of what logic and SRAM leak, in"
    f" {unit_sources.LEAKS}: area times a density, which has its source there, times the time"
    f" of the run. An area is a sum over {unit_sources.PARTS}, which has how many of each part a"
    f" machine is built of, times what one occupies, in {unit_sources.AREAS}, beside who says so"
    " (under tables that are at hand)."
    " Results of all other rates are in results.csv by component."
)


def units_section(study: Study, tables: Sequence[EnergyTable] = ()) -> Section | None:
    """Return what recompute units take at each rate; None of a study that does not compare them.

    `tables` are those whose sources are compared.
    """
    try:
        found = curves(study.rows, study.meta.get("swept", ()))
    except AccelsimError:
        return None
    pictures = unit_figures.draw(found)
    machines = sorted({curve.hardware for curve in found})
    parts = [Section("What was found", findings=tuple(findings(found)))]
    for measure in MEASURES:
        caption = (
            f"{measure.capitalize()} as a multiple of {HIGH}'s, flags drawn output by output,"
            f" {found[0].table} table; horizontal lines: what redoes nothing."
        )
        parts.append(
            Section(
                f"Recompute units: {measure}",
                figures=(Figure(caption, pictures[measure]),),
                tables=(_table(found, measure),),
            )
        )
    caption = (
        f"Energy that recomputation adds at a rate of {LOOKED_AT:.0%}, by part of the machine, on"
        f" {' and '.join(machines)}, {found[0].table} table."
    )
    parts.append(
        Section(
            f"What recomputation adds at a rate of {LOOKED_AT:.0%}",
            figures=(Figure(caption, pictures["added"]),),
            tables=(_added(found),),
        )
    )
    trusted = unit_sources.trust(study, found, tables)
    if not trusted:
        parts.append(Section(TRUST, paragraphs=(NOT_AT_HAND,)))
    else:
        known = trusted[0].curve.table
        caption = (
            f"What each constant of the {known} table does to what one unit takes"
            f" against {HIGH} at a rate of {LOOKED_AT:.0%}, where it goes from the lowest to the"
            " highest of its sources: the cheapest unit of those that pay under some of the tables"
            " and not under others, or of all if there is none of these."
        )
        parts.append(
            Section(
                TRUST,
                paragraphs=_not_first(found, known),
                findings=tuple(one.sentence() for one in trusted),
                figures=(Figure(caption, unit_figures.tornado(trusted), unit_sources.SPREADS),),
                tables=tuple(
                    spread_table(
                        one.where,
                        one.curve.table,
                        one.curve.unit,
                        one.swings[: unit_figures.BARS],
                        unit_sources.SPREADS,
                    )
                    for one in trusted
                ),
            )
        )
    parts.append(Section("Where a number comes from", paragraphs=(TRACED,)))
    cheap = _policy(found[0], CHEAP)
    parts.insert(
        1,
        Section("Under every energy table", tables=(unit_sources.side_by_side(found, cheap),)),
    )
    survives = unit_sources.survival(found, cheap)
    return Section(
        "At which recompute rate does a unit stop paying?",
        paragraphs=(answer(found), survives, *_introduction(study, found)),
        sections=tuple(parts),
    )


def _not_first(found: Sequence[Curve], shown: str) -> tuple[str, ...]:
    """Say if the table whose sources are compared is not the one of the other figures."""
    if found[0].table == shown:
        return ()
    return (
        f"Of {found[0].table} only the costs are kept with these results; what follows is under"
        f" {shown}.",
    )


def unit_files(study: Study, tables: Sequence[EnergyTable] = ()) -> dict[str, str]:
    """Return the counts and costs of a study that compares units, by the name of the file."""
    try:
        found = curves(study.rows, study.meta.get("swept", ()))
    except AccelsimError:
        return {}
    return unit_sources.files(study, found, tables)


def _introduction(study: Study, found: list[Curve]) -> list[str]:
    machines = sorted({curve.hardware for curve in found})
    tables = sorted({curve.table for curve in found})
    plain = sorted(found[0].against)
    unweighted = all(row.get("accuracy") is None for row in study.rows)
    rates = (
        " There are no weights and so no accuracies here: whether a rate is enough is for other"
        " studies to say; which rate is too much is said here."
    )
    return [
        f"{study.rows[0]['workload']} on {' and '.join(machines)}, each unit at"
        f" {len(found[0].rows)} recompute rates, under the energy tables {', '.join(tables)}. All"
        " outputs are accumulated in the low format first, and the flagged ones again in the high"
        f" one. Compared with {', '.join(plain)}, which redo nothing. Energy includes what leaks in"
        f" the time that a run takes. Between two rates of the study, costs are taken to be on a"
        f" straight line.{rates if unweighted else ''}"
    ]


def answer(found: list[Curve]) -> str:
    """Return the question's answer in short, over all machines, settings and tables."""
    lot = [curve for curve in found if curve.cluster == found[0].cluster]
    spans = []
    for unit, mine in _by_unit(lot):
        rates = [curve.break_even("energy", HIGH) for curve in mine]
        spans.append((max(rate or 0.0 for rate in rates), f"{_range(rates)} ({unit})"))
    spans.sort(key=lambda span: -span[0])
    quick = [curve for curve in lot if (curve.break_even("time", HIGH) or 0.0) > 0.001]
    parts = [
        "In short, of flags drawn by lot, over all machines and tables: recomputation takes"
        f" less energy than {HIGH} up to a rate of {'; '.join(text for _, text in spans)}."
    ]
    if (policy := _policy(lot[0], CHEAP)) is not None:
        rates = [curve.break_even("energy", policy) for curve in lot]
        parts.append(
            f"Against {policy}, which redoes nothing, the best unit pays up to"
            f" {_rate(max(rates, key=lambda rate: rate or 0.0))} under the kindest table."
        )
    places = sorted({_named(curve) for curve in quick})
    parts.append(
        f"It takes less time than {HIGH}, at a rate above 0.1%, "
        + (f"only with {', '.join(places)}." if places else "with no unit.")
    )
    parts.append(unit_sources.verdict(found, _policy(found[0], CHEAP)))
    return " ".join(parts)


def findings(found: list[Curve]) -> list[str]:
    """Return what the curves say, in sentences whose numbers are computed."""
    sentences = []
    for (machine, setting), group in _grouped(found):
        lot = [curve for curve in group if curve.cluster == found[0].cluster]
        where = machine + (f" ({setting})" if setting else "")
        for measure in MEASURES:
            sentences.append(f"{where}, {measure}: {_order(lot, measure)}.")
        sentences.append(f"{where}: {_cheap(lot)}")
    sentences += [_survival(found), _clusters(found), _decides(found), _decides_time(found)]
    return [sentence for sentence in sentences if sentence]


def _order(group: list[Curve], measure: str) -> str:
    """Say up to which rate each unit takes less than all in high, over the tables."""
    parts = []
    for unit, mine in _by_unit(group):
        rates = [curve.break_even(measure, HIGH) for curve in mine]
        parts.append(f"{_range(rates)} ({unit})")
    return f"less than {HIGH} up to a rate of " + "; ".join(parts)


def _range(rates: Sequence[float | None]) -> str:
    """Return the least and the greatest of some rates."""
    ordered = sorted(rates, key=lambda rate: -1.0 if rate is None else rate)
    low, high = _rate(ordered[0]), _rate(ordered[-1])
    return low if low == high else f"{low} to {high}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "never"
    if rate == 0.0:
        return "less than any rate of the study"
    return "100%" if math.isinf(rate) else f"{100 * rate:.2g}%"


def _cheap(group: list[Curve]) -> str:
    """Say whether anything that redoes outputs beats a cheap accumulator that redoes none."""
    policy = _policy(group[0], CHEAP)
    if policy is None:
        return ""
    ratios = [ratio for curve in group for ratio in curve.ratios("energy", policy)[1:]]
    least = min(ratios)
    if least >= 1.0:
        return (
            f"at none of the rates above 0 does any unit take less energy than {policy}, under any"
            f" table (at best {least:.3f} times as much)."
        )
    best = max(rate for curve in group if (rate := curve.break_even("energy", policy)) is not None)
    return (
        f"some unit takes less energy than {policy} up to a rate of {_rate(best)} under one of the"
        f" tables (at best {least:.3f} times as much)."
    )


def _survival(found: list[Curve]) -> str:
    """Say whether the order of the units is that of every table, and where they stop paying."""
    same = alike = total = 0
    for _, group in _grouped(found):
        lot = [curve for curve in group if curve.cluster == found[0].cluster]
        orders = set()
        for table in {curve.table for curve in lot}:
            mine = [curve for curve in lot if curve.table == table]
            mine.sort(key=lambda curve: value(curve.rows[len(curve.rows) // 2], "energy"))
            orders.add(tuple(curve.unit for curve in mine))
        total += 1
        same += len(orders) == 1
        stops = ({curve.break_even("energy", HIGH) for curve in mine} for _, mine in _by_unit(lot))
        alike += all(len(rates) == 1 for rates in stops)
    return (
        "Of what the tables agree on: the order of the units by energy (at the middle one of the"
        f" rates) is the same under every table in {same} of {total} cases, and the rates at which"
        f" they stop paying against {HIGH} are in {alike} of {total}."
    )


def _clusters(found: list[Curve]) -> str:
    """Say what it changes if flags come in whole rows."""
    kinds = list(dict.fromkeys(curve.cluster for curve in found))
    if len(kinds) < 2:
        return ""
    changes = []
    by_place = {(c.hardware, c.setting, c.table, c.unit, c.cluster): c for c in found}
    for curve in found:
        if curve.cluster != kinds[0]:
            continue
        place = (curve.hardware, curve.setting, curve.table, curve.unit)
        other = by_place.get((*place, kinds[1]))
        if other is None or len(other.rows) != len(curve.rows):
            continue
        at = min(range(len(curve.rows)), key=lambda i: abs(curve.rates[i] - LOOKED_AT))
        change = value(other.rows[at], "energy") / value(curve.rows[at], "energy") - 1.0
        changes.append((change, curve))
    low, high = min(changes, key=lambda c: c[0]), max(changes, key=lambda c: c[0])
    return (
        f"Flags that come in clusters of {kinds[1]} and not of {kinds[0]} change the energy at a"
        f" rate of {LOOKED_AT:.0%} by {low[0]:+.1%} ({_named(low[1])}, {low[1].table} table) to"
        f" {high[0]:+.1%} ({_named(high[1])}, {high[1].table} table)."
    )


def _decides(found: list[Curve]) -> str:
    """Say which part of the machine makes up most of what recomputation adds."""
    firsts: dict[str, list[str]] = {}
    for curve in found:
        parts = curve.what_grows(curve.where_it_stops("energy"))
        # Of dual accumulators nothing grows but the additions of the bias to the other sum.
        if curve.cluster == found[0].cluster and parts and parts[0][0] != "the vector unit":
            firsts.setdefault(parts[0][0], []).append(curve.unit)
    total = sum(len(units) for units in firsts.values())
    cases = Counter(unit for units in firsts.values() for unit in units)
    parts_said = [
        f"{name} in {len(units)} ("
        + "; ".join(f"{unit} in {n} of {cases[unit]}" for unit, n in Counter(units).items())
        + ")"
        for name, units in sorted(firsts.items(), key=lambda item: -len(item[1]))
    ]
    return (
        "What decides it: of the energy that recomputation adds at the rate where it stops paying"
        f" against {HIGH} ({LOOKED_AT:.0%} if it does at none), the largest part is"
        f" that of {', '.join(parts_said)}, of {total} cases. A unit stops paying where this has"
        f" eaten what the narrow accumulator saves to begin with, " + _saved(found) + "."
    )


def _decides_time(found: list[Curve]) -> str:
    """Say which cause of stalls makes up most of the cycles that recomputation adds."""
    firsts: dict[str, list[str]] = {}
    for curve in found:
        if curve.cluster != found[0].cluster or curve.table != found[0].table:
            continue
        rate = curve.where_it_stops("time")
        grown = {cause: curve.growth(f"{cause}_stall_cycles", rate) for cause in STALLS}
        if any(cycles > 0 for cycles in grown.values()):
            cause = max(grown, key=lambda cause: grown[cause])
            firsts.setdefault(STALLS[cause], []).append(curve.unit)
    if not firsts:
        return ""
    parts = [
        f"{name} in {len(units)} ({'; '.join(dict.fromkeys(units))})"
        for name, units in sorted(firsts.items(), key=lambda item: -len(item[1]))
    ]
    total = sum(map(len, firsts.values()))
    return (
        "What decides time: of the cycles that recomputation adds at the rate where it stops"
        f" paying, or {LOOKED_AT:.0%}, the largest part is {', '.join(parts)}, of {total} cases."
    )


def _saved(found: list[Curve]) -> str:
    saved = {
        (_where(curve), curve.table): 1.0 - curve.ratios("energy", HIGH)[0]
        for curve in found
        if curve.unit != "dual accumulators"
    }
    return "; ".join(f"{share:.0%} on {m} under {t}" for (m, t), share in saved.items())


def _where(curve: Curve) -> str:
    return f"{curve.hardware} ({curve.setting})" if curve.setting else curve.hardware


def _named(curve: Curve) -> str:
    return f"{curve.unit} on {_where(curve)}"


def _table(found: list[Curve], measure: str) -> Table:
    """Return up to which rate each unit pays; of time, once for all tables, which say nothing."""
    plain = sorted(found[0].against)
    heads = (Column("machine"), Column("setting"), Column("table"), Column("unit"), Column("flags"))
    rows = []
    for curve in found:
        rates = [_rate(curve.break_even(measure, policy)) for policy in plain]
        table = "any" if measure == "time" else curve.table
        names = (curve.hardware, curve.setting, table, curve.unit, curve.cluster)
        rows.append((*names, *rates))
    return Table(
        f"Up to which recompute rate each unit takes less {measure} than what redoes nothing.",
        (*heads, *(Column(f"pays against {policy} (% of outputs)", True) for policy in plain)),
        tuple(dict.fromkeys(rows)),
    )


def _added(found: list[Curve]) -> Table:
    rows = []
    for curve in found:
        if curve.cluster == found[0].cluster:
            shares = curve.what_grows(LOOKED_AT)
            text = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.005)
            rows.append((curve.hardware, curve.setting, curve.table, curve.unit, text or "none"))
    heads = ("machine", "setting", "table", "unit", "added energy, by part")
    return Table(
        f"What the added energy consists of at a rate of {LOOKED_AT:.0%}.",
        tuple(Column(name) for name in heads),
        tuple(rows),
    )


def _policy(curve: Curve, start: str) -> str | None:
    return next((name for name in curve.against if name.startswith(start)), None)


def _by_unit(group: list[Curve]) -> list[tuple[str, list[Curve]]]:
    names = dict.fromkeys(curve.unit for curve in group)
    return [(name, [curve for curve in group if curve.unit == name]) for name in names]


def _grouped(found: list[Curve]) -> list[tuple[tuple[str, str], list[Curve]]]:
    ordered = sorted(found, key=lambda curve: (curve.hardware, curve.setting))
    groups = itertools.groupby(ordered, key=lambda curve: (curve.hardware, curve.setting))
    return [(key, list(group)) for key, group in groups]
