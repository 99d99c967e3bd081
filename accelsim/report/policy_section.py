"""The report of a study over policies: which outputs to redo, and whether to redo any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from accelsim.policies import POLICIES
from accelsim.report import policy_figures
from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.policy_accuracy import changes_table
from accelsim.report.policy_answer import SEED_RULE, answer, behind, unbeaten
from accelsim.report.policy_build import build_section, held_out, seeds_of
from accelsim.report.policy_clusters import clusters_section
from accelsim.report.policy_controls import control_answer, controls_of, controls_section
from accelsim.report.policy_costs import energy_section, latency_section
from accelsim.report.policy_curves import (
    CHANCE,
    NEAR,
    RATE,
    RATES,
    Comparison,
    curves,
    left_out,
)
from accelsim.report.policy_layers import layers_section
from accelsim.report.policy_means import CONFIDENCE, cell
from accelsim.report.policy_networks import networks_section
from accelsim.report.policy_thresholds import thresholds_section
from accelsim.study import Study

LEAST_NETWORKS = 2
ANSWERS = 3


def policies_section(study: Study) -> Section | None:
    """Return what policies give at equal rates and energies; None of a study without the rule of
    arXiv:2503.15568, a control by lot and uniform-high on at least a few networks.

    Its first `ANSWERS` paragraphs are the answer of the whole.
    """
    found = curves(study.rows)
    places = sorted({(curve.hardware, curve.table) for curve in found})
    machines = [
        machine
        for machine in (Comparison(found, *place) for place in places)
        if all(machine.settings(name) for name in (HIGH, SEED_RULE, CHANCE))
        and machine.networks >= LEAST_NETWORKS
    ]
    if not machines:
        return None
    first, places = machines[0], [(machine.hardware, machine.table) for machine in machines]
    trained = sorted({(curve.network, curve.seed) for curve in found})
    seeds = dict(Counter(network for network, _ in trained))
    rule = first.one(SEED_RULE)
    controlled = controls_of(study.rows, held_out(first))
    optional = (
        controls_section(controlled, seeds_of(held_out(first))),
        thresholds_section(first, rule),
        layers_section(first, study.rows),
    )
    networks = networks_section(machines, first.settings(SEED_RULE))
    by_machine = {machine.hardware: machine for machine in reversed(machines)}
    return Section(
        "Which outputs to redo, and whether to redo any",
        paragraphs=(
            answer(machines),
            behind(machines),
            f"{unbeaten(machines)} {control_answer(controlled, rule)}".rstrip(),
            _introduction(seeds, places) + _omission(left_out(study.rows)),
        ),
        tables=(_names_table(first),),
        sections=(
            Section(
                "At equal recompute rates",
                findings=tuple(_rate_findings(first)),
                figures=(
                    Figure(
                        f"What policies cost in accuracy, against the recompute rate:"
                        f" {policy_figures.HOW_MEANT}; points at 0: what redoes nothing.",
                        (policy_figures.against_rate(first),),
                    ),
                ),
                tables=(
                    *_rate_tables(first, first.one(CHANCE)),
                    *changes_table(first, RATE, RATES, "the same recompute rate", ""),
                ),
            ),
            *(section for section in optional if section is not None),
            build_section(machines, rule),
            *(() if networks is None else (networks,)),
            *(energy_section(machine, number) for number, machine in enumerate(machines)),
            *(
                latency_section(by_machine[hardware], number)
                for number, hardware in enumerate(sorted(by_machine))
            ),
            clusters_section(first, rule),
        ),
    )


def _span(numbers: Iterable[int]) -> str:
    low, *_, high = sorted([*numbers] * 2)
    return str(low) if low == high else f"{low} to {high}"


def _introduction(seeds: dict[str, int], places: Sequence[tuple[str, str]]) -> str:
    """Say what was compared; `seeds` are the number of them by network."""
    return (
        f"{len(seeds)} networks ({', '.join(seeds)}), trained {_span(seeds.values())} times each"
        f" with different seeds, {sum(seeds.values())} in all, whole test sets; machine and energy"
        f" table: {'; '.join(f'{hardware}, {table}' for hardware, table in places)}. What is"
        " computed, recompute rates and latency are the same under every table, and are counted"
        " once. Ratios of KL divergences are geometric means over the seeds of a network and then"
        f" over networks, those of other numbers arithmetic; in brackets the {CONFIDENCE:.0%}"
        " confidence interval, Student's, over networks, taken as independent even where they share"
        " their data. They are of all seeds where none are named. Between the points of a study the"
        " logarithm of the KL divergence is taken to be straight, and so is what else is measured."
    )


def _omission(points: int) -> str:
    """Say what is not in any mean."""
    if not points:
        return ""
    return (
        f" In no mean are {points} points whose KL divergence is not finite: sums that overflowed"
        " to infinities or NaN spoiled their outputs."
    )


def _names_table(found: Comparison) -> Table:
    """Say what policies do, by the first words of their names."""
    names = dict.fromkeys(policy.partition(":")[0] for policy in found.by_policy)
    return Table(
        "What the policies do. Unless they say otherwise, low is e4m3fn and high is fp32. last=…"
        " is the format of the last layer, of which nothing is redone; rate=… is the share of"
        " outputs that is redone, by thresholds found on the training set, one for each layer or,"
        " with across=network, one for all. An output that ReLU sets to zero is redone unless"
        " rounding alone cannot have made it negative; with margin=0, never.",
        (Column("policy"), Column("what it does")),
        tuple((name, POLICIES[name].summary) for name in names if name in POLICIES),
    )


def _rate_findings(found: Comparison) -> list[str]:
    rule, chance = found.one(SEED_RULE), found.one(CHANCE)
    sentences = []
    against = found.at_rate(rule, chance, 0.1, 0.1)
    if against is not None:
        sentences.append(
            f"At a rate of 10%, {rule} has {against} times the KL divergence of as many outputs"
            f" drawn by lot, over {against.networks} networks."
        )
    better = [
        (mean.ratio, f"{policy}{_at_less(found, policy)} ({mean})")
        for policy in found.redoing
        if policy not in (rule, chance)
        and (mean := found.at_rate(policy, rule, 0.1, 0.1)) is not None
        and (mean.high or mean.ratio) < 1.0
    ]
    if better:
        sentences.append(
            "At a rate of 10% these have less than the rule of arXiv:2503.15568, as a ratio: "
            + ", ".join(text for _, text in sorted(better))
            + "."
        )
    still = [
        (mean.ratio, f"{policy} ({mean})")
        for policy in found.plain
        if policy != HIGH and (mean := found.at_rate(policy, rule, 0.0, 0.1)) is not None
    ]
    if still:
        sentences.append(
            "And what redoes nothing has, as a ratio to that rule at 10%: "
            + ", ".join(text for _, text in sorted(still))
            + "."
        )
    return sentences


def _at_less(found: Comparison, policy: str) -> str:
    """Say the rate of a policy that has one, if that is less than the tenth it is compared at."""
    if policy not in found.of_one_rate or found.own_rate(policy) * NEAR > 0.1:
        return ""
    return f" at {found.own_rate(policy):.1%}"


def _rate_tables(found: Comparison, than: str) -> tuple[Table, ...]:
    """Compare all policies with one at the same rates, and those of another rate at that."""
    rows = []
    for policy in found.of_one_rate:
        rate, mean = found.own_rate(policy), found.at_own_rate(policy, than)
        if mean is not None and all(max(rate, one) > NEAR * min(rate, one) for one in RATES):
            rows.append((policy, f"{rate:.1%}", str(mean)))
    own = Table(
        f"The same of policies of another rate, at that: its mean over networks and seeds, and the"
        f" KL divergence as a ratio to {than} there; below the least rate of {than} on a straight"
        " line to uniform-low, which redoes nothing.",
        (
            Column("policy"),
            Column("its rate", numbers=True),
            Column(f"KL over that of {than}", numbers=True),
        ),
        tuple(rows),
    )
    return (_rate_table(found, than), *((own,) if rows else ()))


def _rate_table(found: Comparison, than: str) -> Table:
    columns = [Column("policy"), *(Column(f"rate {rate:.0%}", numbers=True) for rate in RATES)]
    rows = []
    for policy in found.by_policy:
        means = [
            found.at_rate(policy, than, rate if policy in found.redoing else 0.0, rate)
            for rate in RATES
        ]
        if any(means):
            rows.append((policy, *map(cell, means)))
    return Table(
        f"KL divergence as a ratio to {than} at the same recompute rate; policies that redo"
        " nothing, or have one smaller rate, are compared with it as they are.",
        tuple(columns),
        tuple(rows),
    )
