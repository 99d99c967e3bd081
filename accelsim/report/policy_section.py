"""The report of a study over policies: which outputs to redo, and whether to redo any."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from accelsim.report import policy_figures
from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.policy_answer import SEED_RULE, answer
from accelsim.report.policy_build import build_section
from accelsim.report.policy_curves import (
    AS_GOOD,
    CHANCE,
    CONFIDENCE,
    NEAR,
    RATE,
    Comparison,
    Curve,
    cell,
    curves,
    mean_ratio,
)
from accelsim.report.policy_networks import networks_section
from accelsim.report.policy_thresholds import thresholds_section
from accelsim.study import Study

RATES = (0.03, 0.1, 0.3)
SHARES = (0.8, 0.9, 1.0)
"""Energies at which policies are compared, as shares of the energy of uniform-high."""
LEAST_NETWORKS = 2
FP16, LESS = "uniform:format=fp16", 0.25
"""What a better policy is to take less energy than, and by how much."""
BLOCKS = ("rows", "columns", "blocks_1x16", "blocks_16x1", "blocks_8x8")


def policies_section(study: Study) -> Section | None:
    """Return what policies give at equal rates and energies; None of a study without the rule of
    arXiv:2503.15568, a control by lot and uniform-high on at least a few networks.
    """
    found = curves(study.rows)
    seen = {curve.policy.partition(":")[0] for curve in found}
    several = len({curve.network for curve in found}) >= LEAST_NETWORKS
    if not {HIGH, SEED_RULE, CHANCE} <= seen or not several:
        return None
    places = sorted({(curve.hardware, curve.table) for curve in found})
    machines = [Comparison(found, *place) for place in places]
    first = machines[0]
    trained = sorted({(curve.network, curve.seed) for curve in found})
    seeds = dict(Counter(network for network, _ in trained))
    rule = first.one(SEED_RULE)
    thresholds = thresholds_section(first, rule)
    networks = networks_section(machines, rule)
    return Section(
        "Which outputs to redo, and whether to redo any",
        paragraphs=(answer(machines), _introduction(seeds, places)),
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
                tables=_rate_tables(first, first.one(CHANCE)),
            ),
            *(() if thresholds is None else (thresholds,)),
            build_section(machines, rule),
            *(() if networks is None else (networks,)),
            *(_machine_section(comparison, number) for number, comparison in enumerate(machines)),
            Section(
                "How flags lie together, and what detectors miss",
                findings=tuple(_cluster_findings(first)),
                tables=(_cluster_table(first),),
            ),
        ),
    )


def _span(numbers: Iterable[int]) -> str:
    low, *_, high = sorted([*numbers] * 2)
    return str(low) if low == high else f"{low} to {high}"


def _introduction(seeds: dict[str, int], places: Sequence[tuple[str, str]]) -> str:
    """Say what was compared; `seeds` are the number of them by network."""
    machines = sorted({hardware for hardware, _ in places})
    tables = sorted({table for _, table in places})
    return (
        f"{len(seeds)} networks ({', '.join(seeds)}), trained {_span(seeds.values())} times each"
        f" with different seeds, {sum(seeds.values())} in all, whole test sets, on"
        f" {', '.join(machines)}, under the energy tables {', '.join(tables)}. Ratios of KL"
        " divergences are geometric means over the seeds of a network and then over networks; in"
        f" brackets the {CONFIDENCE:.0%} confidence interval, Student's, over networks. Between the"
        " points of a study the logarithm of the KL divergence is taken to be straight."
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


def _machine_section(found: Comparison, number: int) -> Section:
    where = f"{found.hardware}, {found.table} table"
    return Section(
        f"At equal energy: {where}",
        findings=tuple(_energy_findings(found)),
        figures=(
            Figure(
                f"The same against energy and latency, as multiples of {HIGH}'s, on {where}:"
                f" {policy_figures.HOW_MEANT}.",
                policy_figures.against_cost(found, number),
            ),
        ),
        tables=(_energy_table(found), *_equal_energy_table(found)),
    )


def _energy_findings(found: Comparison) -> list[str]:
    rule = found.one(SEED_RULE)
    cheap = [
        (mean.ratio, f"{policy} {mean}")
        for policy in found.plain
        if policy != HIGH and (mean := found.cost_of(policy, "energy", HIGH)) is not None
    ]
    sentences = []
    if cheap:
        sentences.append(
            f"What redoes nothing takes, as a ratio to the energy of {HIGH}: "
            + ", ".join(text for _, text in sorted(cheap))
            + "."
        )
    less, total = found.cheaper(rule, HIGH)
    sentences.append(
        f"{rule} takes less energy than {HIGH} at some rate of the study on {less} of {total}"
        " trained networks."
    )
    return [*sentences, *_bar(found)]


def _bar(found: Comparison) -> list[str]:
    """Say whether anything takes so much less energy than fp16 throughout."""
    if FP16 not in found.by_policy:
        return []
    costs = {
        policy: mean.ratio
        for policy in found.by_policy
        if (mean := found.cost_of(policy, "energy", HIGH)) is not None
    }
    wanted = (1.0 - LESS) * costs[FP16]
    least = min(costs, key=lambda policy: costs[policy])
    bar = f"{FP16} less {LESS:.0%} is {wanted:.3g} of the energy of {HIGH}"
    if costs[least] > wanted:
        return [
            f"{bar}: the cheapest policy, {least}, takes {costs[least]:.3g}, so that no rule about"
            " what to redo can get there."
        ]
    there = ", ".join(policy for policy, cost in costs.items() if cost <= wanted)
    return [f"{bar}: so little take {there}, at their least rate."]


def _energy_table(found: Comparison) -> Table:
    columns = [
        Column("policy"),
        Column(f"energy over {HIGH}'s at the least rate", numbers=True),
        Column("latency", numbers=True),
        Column("networks as accurate", numbers=True),
        Column("least energy if as accurate", numbers=True),
        Column("recompute rate there", numbers=True),
    ]
    rows = []
    for policy, mine in found.by_policy.items():
        least = {
            key: ratio
            for key in mine
            if (ratio := found.cheapest_as_good(policy, key, AS_GOOD)) is not None
        }
        rates = [found.rate_as_good(policy, key, AS_GOOD) for key in least]
        rows.append(
            (
                policy,
                cell(found.cost_of(policy, "energy", HIGH)),
                cell(found.cost_of(policy, "latency_s", HIGH)),
                f"{len(least)} of {len(mine)}",
                cell(mean_ratio({key: math.log(ratio) for key, ratio in least.items()})),
                f"{sum(rates) / len(rates):.1%}" if rates else "",
            )
        )
    return Table(
        f"Energy and latency as ratios to {HIGH}'s on the same network. A network is as accurate"
        f" if it loses no more than {100 * AS_GOOD:g} points; the least energy is that of the"
        " cheapest point that is.",
        tuple(columns),
        tuple(rows),
    )


def _equal_energy_table(found: Comparison) -> tuple[Table, ...]:
    """Compare all policies with the rule where both take the same share of what all high takes."""
    rule = found.one(SEED_RULE)
    rows = []
    for policy in found.by_policy:
        means = [found.at_energy(policy, rule, HIGH, share) for share in SHARES]
        if policy != rule and any(means):
            rows.append((policy, *(cell(mean) for mean in means)))
    itself = {share: found.at_energy(rule, rule, HIGH, share) for share in SHARES}
    where = ", ".join(
        f"{mean.networks if mean else 0} networks at {share:.0%}" for share, mean in itself.items()
    )
    table = Table(
        f"KL divergence as a ratio to that of {rule} at the same energy, a share of {HIGH}'s on the"
        f" same network, over those on which {rule} can be had for it ({where})."
        f" What has one rate, or redoes nothing, counts where it takes no more.",
        (
            Column("policy"),
            *(Column(f"at {share:.0%} of the energy", numbers=True) for share in SHARES),
        ),
        tuple(rows),
    )
    return (table,) if rows else ()


def _cluster_findings(found: Comparison) -> list[str]:
    rule = found.one(SEED_RULE)
    parts = []
    for block in BLOCKS:
        flagged, by_lot = _clusters(found.by_policy[rule].values(), block)
        parts.append(f"{flagged:.0%} of {block.replace('_', ' ')} (by lot {by_lot:.0%})")
    return [f"At a rate near 10%, flags of {rule} touch {', '.join(parts)}."]


def _clusters(mine: Iterable[Curve], block: str) -> tuple[float, float]:
    rows = [min(curve.rows, key=lambda row: abs(row[RATE] - 0.1)) for curve in mine]
    columns = f"flagged_{block}", f"flagged_{block}_by_lot"
    flagged, by_lot = (sum(float(row[c]) for row in rows) / len(rows) for c in columns)
    return flagged, by_lot


def _cluster_table(found: Comparison) -> Table:
    columns = [Column("policy"), Column("false negatives", numbers=True)]
    columns += [Column(block.replace("_", " "), numbers=True) for block in BLOCKS]
    rows = []
    for policy in found.redoing:
        mine = found.by_policy[policy].values()
        near = [min(curve.rows, key=lambda row: abs(row[RATE] - 0.1)) for curve in mine]
        missed = [row["false_negative_rate"] for row in near]
        known = [rate for rate in missed if rate is not None]
        cells = [f"{sum(known) / len(known):.1%}" if known else ""]
        for block in BLOCKS:
            flagged, by_lot = _clusters(mine, block)
            cells.append(f"{flagged:.0%} ({by_lot:.0%})")
        rows.append((policy, *cells))
    return Table(
        "At the rate nearest to 10%: the share of outputs that exact values would have redone and"
        " the detector did not; and the share of rows (samples), columns (neurons) and blocks of"
        " outputs that hold a flag, in brackets if as many were drawn by lot. Means over networks"
        " and seeds.",
        tuple(columns),
        tuple(rows),
    )
