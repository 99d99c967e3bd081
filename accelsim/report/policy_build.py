"""What one should build: the policies that no other beats, on seeds that chose none of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from accelsim.report import policy_figures
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_curves import RATE, Comparison
from accelsim.report.policy_means import average, cell, mean_ratio
from accelsim.report.policy_thresholds import no_worse

CHANGES = ("predictions changed (%)", "accuracy lost (points)")
UNKNOWABLE = "oracle"
"""How controls are called that look at what no machine knows."""
HALF_RATES = (0.1, 0.3)
BAR_RATE, BAR_SHARE = 0.1, 0.8
"""A better policy than a rule: at half of this rate no worse on this share of the networks."""


class Point(NamedTuple):
    """A policy's means over networks and seeds: its energy over that of all in high precision, its
    KL divergence (nats) and its recompute rate; `number` counts those of a policy from 0.
    """

    policy: str
    energy: float
    kl: float
    rate: float
    number: int


def build_section(machines: Sequence[Comparison], rule: str) -> Section:
    """Return which policies are worth building, machine by machine, by the seeds held out."""
    held = [held_out(comparison) for comparison in machines]
    seeds = seeds_of(held[0])
    networks = {network for mine in held[0].by_policy.values() for network, _ in mine}
    return Section(
        "What one should build",
        paragraphs=(
            f"Policies are chosen by seed 0, which is left out here unless there is no other: of"
            f" {len(networks)} networks, {seeds}.",
        ),
        findings=(
            *(front_sentence(comparison) for comparison in held),
            *(
                sentence
                for setting in held[0].settings(rule.partition(":")[0])
                for sentence in _bar_sentences(held[0], setting)
            ),
        ),
        tables=(
            *(_front_table(comparison) for comparison in held),
            half_table(held[0], rule),
        ),
    )


def held_out(found: Comparison) -> Comparison:
    """Return the same without seed 0, by which policies are chosen; all of it if that is all."""
    curves = [curve for mine in found.by_policy.values() for curve in mine.values()]
    return Comparison(
        [curve for curve in curves if curve.seed] or curves, found.hardware, found.table
    )


def seeds_of(found: Comparison) -> str:
    """Return the seeds of training in words: `seeds 1, 2`."""
    seeds = sorted({seed for mine in found.by_policy.values() for _, seed in mine})
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def points(found: Comparison) -> list[Point]:
    """Return the points of all policies that a machine can have, in the order of their energy."""
    listed = []
    for policy in found.by_policy:
        if policy.startswith(UNKNOWABLE):
            continue
        costs = policy_figures.means(found, policy, "energy")
        rates = policy_figures.means(found, policy, RATE)
        for number, ((rate, _), (cost, kl)) in enumerate(zip(rates, costs, strict=True)):
            listed.append(Point(policy, cost, kl, rate, number))
    return sorted(listed, key=lambda point: (point.energy, point.kl))


def front(listed: Sequence[Point]) -> list[Point]:
    """Return the points, given in the order of their energy, that no other matches in KL divergence
    for as little energy.
    """
    kept: list[Point] = []
    for point in listed:
        if not kept or point.kl < kept[-1].kl:
            kept.append(point)
    return kept


def front_sentence(found: Comparison) -> str:
    """Say which policies nothing beats on a machine, and whether any of them redoes outputs."""
    best = front(points(found))
    named = ", ".join(f"{one.policy} ({one.energy:.2f}, {one.kl:.2g})" for one in best)
    redone = [point for point in best if point.rate > 0.0]
    verdict = (
        "None of them redoes an output."
        if not redone
        else f"{len(redone)} of these {len(best)} points redo outputs."
    )
    return (
        f"On {found.place}, nothing has both less energy and less KL"
        f" divergence than {named}: in brackets energy over that of uniform-high, and nats."
        f" {verdict}"
    )


def _front_table(found: Comparison) -> Table:
    columns = [
        Column("policy"),
        *(Column(name, numbers=True) for name in ("rate", "energy", "KL (nats)", *CHANGES)),
        Column("beaten by"),
    ]
    listed = points(found)
    best = front(listed)
    rows = []
    for point in listed:
        better = (one.policy for one in best if one.energy <= point.energy and one.kl <= point.kl)
        rows.append(
            (
                point.policy,
                f"{point.rate:.1%}",
                f"{point.energy:.3f}",
                *_intervals(found, point),
                "" if point in best else next(better),
            )
        )
    return Table(
        f"Every point on {found.place}, in the order of its energy over"
        " that of uniform-high, with the cheapest policy that takes no more and has no more KL"
        " divergence. Means over networks, geometric of energy and KL divergence, with confidence"
        " intervals of what is lost.",
        tuple(columns),
        tuple(rows),
    )


def _intervals(found: Comparison, point: Point) -> list[str]:
    """Return the KL divergence, predictions changed and accuracy lost, each with its interval."""
    cells = []
    for measure in policy_figures.MEASURES:
        values = policy_figures.measured(found, point.policy, point.number, measure)
        if measure.geometric:
            cells.append(cell(mean_ratio({key: math.log(one) for key, one in values.items()})))
        else:
            mean = average(values)
            cells.append("" if mean is None else mean.text(2, of=found.networks))
    return cells


def _bar_sentences(found: Comparison, rule: str) -> list[str]:
    """Say what is no worse at half of the rule's rate on most networks."""
    reached, asked = [], 0
    for policy in found.redoing:
        if policy.startswith(UNKNOWABLE) or policy.partition(":")[0] == rule.partition(":")[0]:
            continue
        logs = found.logs_at_rate(policy, rule, BAR_RATE / 2, BAR_RATE)
        better, networks = no_worse(logs)
        if not networks:
            continue
        asked += 1
        if better >= BAR_SHARE * networks:
            reached.append(f"{policy} ({better} of {networks}, KL {mean_ratio(logs)} times)")
    if not asked:
        return []
    return [
        f"At half the rate of {rule}, {BAR_RATE / 2:.0%} against {BAR_RATE:.0%}, of the {asked}"
        f" other rule{'s' * (asked > 1)} run at such rates these have no more KL"
        f" divergence on at least {BAR_SHARE:.0%} of the networks: "
        + (", ".join(reached) or "none")
        + "."
    ]


def half_table(found: Comparison, rule: str) -> Table:
    """Compare every policy at half of its rate with the rule of the paper."""
    rows = []
    for policy in found.by_policy:
        cells = []
        for rate in HALF_RATES:
            mine = rate / 2 if policy in found.redoing else 0.0
            logs = found.logs_at_rate(policy, rule, mine, rate)
            better, networks = no_worse(logs)
            cells += [cell(mean_ratio(logs)), f"{better} of {networks}"] if logs else ["", ""]
        if any(cells):
            rows.append((policy, *cells))
    columns = [Column("policy")]
    for rate in HALF_RATES:
        columns.append(Column(f"KL over {rule}'s at {rate:.0%}", numbers=True))
        columns.append(Column(f"networks no worse ({rate:.0%})", numbers=True))
    return Table(
        f"Every policy at half the recompute rate of {rule}, or as it is if it has none: KL"
        " divergence as a ratio, and on how many networks its mean over seeds is no larger.",
        tuple(columns),
        tuple(rows),
    )
