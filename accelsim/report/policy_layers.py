"""Whether each layer should have a threshold of its own: tables of them, beside one for all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accelsim.report.break_even import Row
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_curves import (
    LAYER_TAUS,
    RATE,
    RATES,
    Comparison,
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


@dataclass(frozen=True)
class Tabled:
    """A trained network under a threshold for each layer.

    `log_gain` is the logarithm of its KL divergence over that of the same rule with one threshold
    for all layers at the same recompute rate; None at a rate that this does not reach.
    """

    key: Key
    taus: str
    rate: float
    log_gain: float | None


@dataclass(frozen=True)
class Choice:
    """The tables of a network near a rate, and the best of seed 0, if seed 0 has enough."""

    network: str
    near: dict[Key, list[tuple[float, Tabled]]]
    best: Tabled | None


def tabled(found: Comparison, rows: Iterable[Row]) -> dict[str, list[Tabled]]:
    """Return the points with a threshold for each layer, by the same rule with one for all."""
    by_rule: dict[str, list[Tabled]] = {}
    for row in rows:
        policy = str(row["policy"])
        rule, taus = one_for_all(policy), parameter(policy, LAYER_TAUS)
        here = (row["hardware"], row["energy_table"]) == (found.hardware, found.table)
        if not here or rule not in found.by_policy or row.get(CONTROL) is not None:
            continue
        if counts(row) and rule is not None and taus is not None:
            key, rate = network_of(str(row["workload"])), float(row[RATE])
            its = found.log_kl_of(rule, key, rate)
            gain = None if its is None else log_kl(row) - its
            by_rule.setdefault(rule, []).append(Tabled(key, taus, rate, gain))
    return by_rule


def layers_section(found: Comparison, rows: Iterable[Row]) -> Section | None:
    """Return what a threshold for each layer gains; None of a study that has none."""
    by_rule = tabled(found, rows)
    if not by_rule:
        return None
    findings, lines, chosen = [], [], []
    for rule, points in by_rule.items():
        for rate in RATES:
            choices = [one for one in _choices(points, rate) if one.near]
            if not choices:
                continue
            median, best, held = _median(choices), _best(choices), _held_out(choices, points)
            several = f"{_tables(choices):.0f}"
            lines.append((rule, f"{rate:.0%}", several, cell(median), cell(best), cell(held)))
            chosen += [_chosen_line(rule, rate, one, points) for one in choices if one.best]
            findings.append(
                f"At rates of about {rate:.0%}, {rule} with a threshold for each layer has"
                f" {median} times the KL divergence of one threshold for all at the same rate, the"
                f" median of {several} tables; the best by hindsight has {best} times"
                + ("." if held is None else f", and that of seed 0 {held} times on the others.")
            )
    return Section(
        "One threshold for all layers, or one for each",
        paragraphs=(
            "Points with a threshold for each layer, beside the same rule with one for all at the"
            " recompute rate that they come to, on a straight line between its points. The best"
            " of many tables by hindsight is better than what could have been known; so the table"
            " that is the best of a network trained from seed 0 is also looked at on the same"
            " trained from the other seeds, at the rates that it comes to there. These tables are"
            " not among the settings of a rule elsewhere.",
        ),
        findings=tuple(findings),
        tables=(_gain_table(lines), _chosen_table(chosen)),
    )


def _choices(points: Sequence[Tabled], rate: float) -> Iterable[Choice]:
    """Yield for each network its tables near a rate, of each seed, and the best of seed 0."""
    by_network: dict[str, dict[Key, list[tuple[float, Tabled]]]] = {}
    for one in points:
        near = by_network.setdefault(one.key[0], {})
        if one.log_gain is not None and rate / ABOUT <= one.rate <= rate * ABOUT:
            near.setdefault(one.key, []).append((one.log_gain, one))
    for network, near in by_network.items():
        first = near.get((network, 0), [])
        best = min(first, key=_gain)[1] if len(first) >= FEWEST else None
        yield Choice(network, near, best)


def _gain(pair: tuple[float, Tabled]) -> float:
    return pair[0]


def _tables(choices: Sequence[Choice]) -> float:
    """Return the mean number of tables of a trained network."""
    return statistics.fmean(len(pairs) for one in choices for pairs in one.near.values())


def _median(choices: Sequence[Choice]) -> Mean | None:
    return mean_ratio(
        {
            key: statistics.median(map(_gain, pairs))
            for one in choices
            for key, pairs in one.near.items()
        }
    )


def _best(choices: Sequence[Choice]) -> Mean | None:
    return mean_ratio(
        {key: min(map(_gain, pairs)) for one in choices for key, pairs in one.near.items()}
    )


def _held_out(choices: Sequence[Choice], points: Sequence[Tabled]) -> Mean | None:
    return mean_ratio(
        {
            point.key: point.log_gain
            for one in choices
            for point in _elsewhere(one, points)
            if point.log_gain is not None
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
    rule: str, rate: float, choice: Choice, points: Sequence[Tabled]
) -> tuple[str, ...]:
    assert choice.best is not None
    assert choice.best.log_gain is not None
    others = _elsewhere(choice, points)
    known = [point.log_gain for point in others if point.log_gain is not None]
    return (
        rule,
        f"{rate:.0%}",
        choice.network,
        choice.best.taus,
        f"{100 * choice.best.rate:.1f}",
        f"{math.exp(choice.best.log_gain):.3g}",
        f"{100 * statistics.fmean(point.rate for point in others):.1f}" if others else "",
        f"{math.exp(statistics.fmean(known)):.3g}" if known else "",
    )


def _gain_table(lines: Sequence[tuple[str, ...]]) -> Table:
    return Table(
        f"KL divergence with a threshold for each layer over that with one for all at the same"
        f" rate, of tables whose rates are within a factor of {ABOUT:g}: geometric means over"
        " networks.",
        (
            Column("policy"),
            Column("rates about", numbers=True),
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
            Column("network"),
            Column("thresholds"),
            Column("its rate (%)", numbers=True),
            Column("KL over one threshold's", numbers=True),
            Column("rate on other seeds (%)", numbers=True),
            Column("KL over one threshold's there", numbers=True),
        ),
        tuple(lines),
    )
