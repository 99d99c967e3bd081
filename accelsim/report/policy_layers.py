"""Whether each layer should have a threshold of its own: tables of them, beside one for all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelsim.report.break_even import Row
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_curves import (
    LAYER_TAUS,
    RATE,
    RATES,
    Comparison,
    Curve,
    cost_of,
    counts,
    log_kl,
    network_of,
    one_for_all,
    parameter,
)
from accelsim.report.policy_means import Key, Mean, cell, mean_ratio
from accelsim.report.survey import CONTROL

ABOUT = 1.5
"""Tables are compared whose rates differ from one of these by no more than this factor."""
FEWEST = 3
"""The best of fewer tables is not chosen from any."""
LAST = "last=fp32"
SAME_RATE = "same rate"
SAME_ENERGY = f"same energy, with all of the last layer redone, {LAST}, or neither"
"""What one threshold for all may take, beside which a table is seen."""


@dataclass(frozen=True)
class Tabled:
    """A trained network under a threshold for each layer.

    `log_gain` is the logarithm of its KL divergence over that of the same rule with one threshold
    for all layers, of `SAME_RATE` or `SAME_ENERGY`; without those that this does not reach.
    """

    key: Key
    taus: str
    rate: float
    log_gain: Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """What tables near a rate gain on a network, trained network by trained network, and which of
    them is the best of seed 0, if seed 0 has enough of them.
    """

    network: str
    gains: Mapping[Key, Sequence[float]]
    best: Tabled | None


def tabled(found: Comparison, rows: Iterable[Row]) -> dict[str, list[Tabled]]:
    """Return the points with a threshold for each layer, by the same rule with one for all."""
    by_network: dict[tuple[str, Key], list[Row]] = {}
    for row in rows:
        rule = one_for_all(str(row["policy"]))
        here = (row["hardware"], row["energy_table"]) == (found.hardware, found.table)
        if rule in found.by_policy and rule and here and counts(row) and row.get(CONTROL) is None:
            by_network.setdefault((rule, network_of(str(row["workload"]))), []).append(row)
    by_rule: dict[str, list[Tabled]] = {}
    for (rule, key), tables in by_network.items():
        curves = _with_one(found, rule, key, tables)
        for row in tables:
            its = {
                SAME_RATE: found.log_kl_of(rule, key, float(row[RATE])),
                SAME_ENERGY: _at_energy(curves, cost_of(row, "energy")),
            }
            gain = {how: log_kl(row) - log for how, log in its.items() if log is not None}
            by_rule.setdefault(rule, []).append(Tabled(key, _taus(row), float(row[RATE]), gain))
    return by_rule


def _taus(row: Row) -> str:
    return parameter(str(row["policy"]), LAYER_TAUS) or ""


def _with_one(found: Comparison, rule: str, key: Key, tables: Sequence[Row]) -> list[Curve]:
    """Return a rule with one threshold: for all layers; for all with the last in fp32; and, from
    the tables, for the hidden ones with all of the last redone.
    """
    whole = []
    for row in tables:
        *hidden, last = _taus(row).split("/")
        if float(last) == 0.0 and len({*hidden}) == 1:
            whole.append(row)
    high = f"{rule}{',' if ':' in rule else ':'}{LAST}"
    found_here = [found.by_policy[policy].get(key) for policy in (rule, high)]
    if whole:
        in_order = tuple(sorted(whole, key=lambda row: float(row[RATE])))
        found_here.append(Curve(*key, rule, found.hardware, found.table, in_order))
    return [curve for curve in found_here if curve is not None]


def _at_energy(curves: Sequence[Curve], energy: float) -> float | None:
    """Return the least ln KL that any of these has for this energy; None if all take more."""
    logs = []
    for curve in curves:
        most = max(cost_of(row, "energy") for row in curve.rows)
        logs.append(curve.log_kl_at("energy", min(energy, most)))
    return min((log for log in logs if log is not None), default=None)


def layers_section(found: Comparison, rows: Iterable[Row]) -> Section | None:
    """Return what a threshold for each layer gains; None of a study that has none."""
    by_rule = tabled(found, rows)
    if not by_rule:
        return None
    findings, lines, chosen = [], [], []
    for rule, points in by_rule.items():
        for rate in RATES:
            said = []
            for how in (SAME_RATE, SAME_ENERGY):
                choices = [one for one in _choices(points, rate, how) if one.gains]
                if not choices:
                    continue
                median, best = _over_all(choices, statistics.median), _over_all(choices, min)
                held = _held_out(choices, points, how)
                tables = f"{_tables(choices):.0f}"
                numbers = (cell(median), cell(best), cell(held))
                lines.append((rule, f"{rate:.0%}", how, tables, *numbers))
                said.append(
                    f"beside one threshold for all at the {how}, the median of {tables} tables has"
                    f" {median} times the KL divergence, the best by hindsight {best}"
                    + ("" if held is None else f", and that of seed 0 {held} on the other seeds")
                    + f", over {len(choices)} networks"
                )
                chosen += [
                    _chosen_line(rule, rate, how, one, points) for one in choices if one.best
                ]
            if said:
                findings.append(
                    f"{rule} with a threshold for each layer, at rates of about {rate:.0%}:"
                    f" {'; '.join(said)}."
                )
    return Section(
        "One threshold for all layers, or one for each",
        paragraphs=(
            "Points with a threshold for each layer, 0 where all of a layer is redone, beside the"
            " same rule with one for all: at the recompute rate that they come to, and at the"
            " energy that they take, for which the last layer may also be redone as a whole, or be"
            " in fp32 from the beginning; between points on a straight line. The best of many"
            " tables by hindsight is better than what could have been known; so the table that is"
            " the best of a network trained from seed 0 is also looked at on the same trained from"
            " the other seeds, at the rates that it comes to there. These tables are not among the"
            " settings of a rule elsewhere.",
        ),
        findings=tuple(findings),
        tables=(_gain_table(lines), _chosen_table(chosen)),
    )


def _choices(points: Sequence[Tabled], rate: float, how: str) -> Iterable[Choice]:
    """Yield for each network what its tables near a rate gain, and the best of seed 0."""
    by_network: dict[str, dict[Key, list[Tabled]]] = {}
    for one in points:
        near = by_network.setdefault(one.key[0], {})
        if how in one.log_gain and rate / ABOUT <= one.rate <= rate * ABOUT:
            near.setdefault(one.key, []).append(one)
    for network, near in by_network.items():
        first = near.get((network, 0), [])
        enough = len(first) >= FEWEST
        best = min(first, key=lambda one: one.log_gain[how]) if enough else None
        gains = {key: [one.log_gain[how] for one in mine] for key, mine in near.items()}
        yield Choice(network, gains, best)


def _tables(choices: Sequence[Choice]) -> float:
    """Return the mean number of tables of a trained network."""
    return statistics.fmean(len(gains) for one in choices for gains in one.gains.values())


def _over_all(choices: Sequence[Choice], of: Callable[[Sequence[float]], float]) -> Mean | None:
    return mean_ratio({key: of(gains) for one in choices for key, gains in one.gains.items()})


def _held_out(choices: Sequence[Choice], points: Sequence[Tabled], how: str) -> Mean | None:
    return mean_ratio(
        {
            point.key: point.log_gain[how]
            for one in choices
            for point in _elsewhere(one, points)
            if how in point.log_gain
        }
    )


def _elsewhere(choice: Choice, points: Sequence[Tabled]) -> list[Tabled]:
    """Return the points of the table that was chosen, on seeds that did not choose it."""
    return [
        point
        for point in points
        if choice.best is not None
        and point.key[0] == choice.network
        and point.key[1]
        and point.taus == choice.best.taus
    ]


def _chosen_line(
    rule: str, rate: float, how: str, choice: Choice, points: Sequence[Tabled]
) -> tuple[str, ...]:
    assert choice.best is not None
    others = _elsewhere(choice, points)
    known = [point.log_gain[how] for point in others if how in point.log_gain]
    return (
        rule,
        f"{rate:.0%}",
        how,
        choice.network,
        choice.best.taus,
        f"{100 * choice.best.rate:.1f}",
        f"{math.exp(choice.best.log_gain[how]):.3g}",
        f"{100 * statistics.fmean(point.rate for point in others):.1f}" if others else "",
        f"{math.exp(statistics.fmean(known)):.3g}" if known else "",
    )


def _gain_table(lines: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        "KL divergence with a threshold for each layer over that with one for all, of tables whose"
        f" rates are within a factor of {ABOUT:g}: geometric means over networks.",
        (
            Column("policy"),
            Column("rates about", numbers=True),
            Column("beside one for all at the"),
            Column("tables there", numbers=True),
            Column("the median table", numbers=True),
            Column("the best by hindsight", numbers=True),
            Column("the best of seed 0, on other seeds", numbers=True),
        ),
        tuple(lines),
    )


def _chosen_table(lines: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        "The table that is best on seed 0, network by network, and the same on the other seeds.",
        (
            Column("policy"),
            Column("rates about", numbers=True),
            Column("beside one for all at the"),
            Column("network"),
            Column("thresholds"),
            Column("its rate (%)", numbers=True),
            Column("KL over one threshold's", numbers=True),
            Column("rate on other seeds (%)", numbers=True),
            Column("KL over one threshold's there", numbers=True),
        ),
        tuple(lines),
    )
