"""What policies give at equal energy, and at equal latency, on one machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from accelsim.report import policy_figures
from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.policy_accuracy import changes_table
from accelsim.report.policy_answer import LOOKED_AT, SEED_RULE
from accelsim.report.policy_curves import AS_GOOD, FP16, NOTHING_DRAWN, Comparison
from accelsim.report.policy_means import cell, mean_ratio

SHARES = (0.8, 0.9, 1.0)
"""Energies at which policies are compared, as shares of the energy of uniform-high."""
LATENCIES = (1.0, 1.5, 2.0)
"""Latencies at which they are, as shares of that of uniform-high, which is the least there is."""
LESS = 0.25
"""By how much a better policy is to take less energy than fp16 throughout."""


def energy_section(found: Comparison, number: int) -> Section:
    """Return what policies give for the same energy on a machine under a table."""
    return Section(
        f"At equal energy: {found.place}",
        findings=tuple(_energy_findings(found)),
        figures=(
            Figure(
                f"The same against energy, as a multiple of {HIGH}'s, on {found.place}:"
                f" {policy_figures.HOW_MEANT}.",
                (policy_figures.against_cost(found, "energy", number),),
            ),
        ),
        tables=(
            _energy_table(found),
            *_equal_table(found, "energy", SHARES),
            *changes_table(
                found, "energy", SHARES, f"the same share of {HIGH}'s energy", "of the energy"
            ),
        ),
    )


def latency_section(found: Comparison, number: int) -> Section:
    """Return what policies give in equal time, which no energy table changes."""
    return Section(
        f"At equal latency: {found.hardware}",
        figures=(
            Figure(
                f"The same against latency, as a multiple of {HIGH}'s, on {found.hardware}:"
                f" {policy_figures.HOW_MEANT}. No energy table changes it.",
                (policy_figures.against_cost(found, "latency", number),),
            ),
        ),
        tables=(
            *_equal_table(found, "latency", LATENCIES),
            *changes_table(
                found, "latency_s", LATENCIES, f"the same multiple of {HIGH}'s latency",
                "of the latency",
            ),
        ),
    )  # fmt: skip


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
    costs = {
        policy: mean.ratio
        for policy in found.by_policy
        if (mean := found.cost_of(policy, "energy", HIGH)) is not None
    }
    if FP16 not in costs:
        return []
    wanted = (1.0 - LESS) * costs[FP16]
    least = min(costs, key=lambda policy: costs[policy])
    bar = f"{FP16} less {LESS:.0%} is {wanted:.3g} of the energy of {HIGH}"
    if costs[least] > wanted:
        first = costs.get(NOTHING_DRAWN, 0.0)
        none = (
            f" No rule whose first pass is {NOTHING_DRAWN} can get there: that takes {first:.3g}"
            " before anything is redone."
        )
        return [
            f"{bar}: the cheapest policy here, {least}, takes {costs[least]:.3g}."
            + (none if first > wanted else "")
        ]
    rule = found.one(SEED_RULE)
    there = [policy for policy, cost in costs.items() if cost <= wanted]
    divergences = [
        f"{policy} {mean}"
        for policy in there
        if policy in found.plain
        and (mean := found.at_rate(policy, rule, 0.0, LOOKED_AT)) is not None
    ]
    beside = (
        f" Of what redoes nothing there, the KL divergence as a ratio to that of {rule} at a rate"
        f" of {LOOKED_AT:.0%}: {', '.join(divergences)}."
    )
    return [
        f"{bar}: so little take {', '.join(there)}, at their least rate."
        + (beside if divergences else "")
    ]


def _energy_table(found: Comparison) -> Table:
    columns = [
        Column("policy"),
        Column(f"energy over {HIGH}'s at the least rate", numbers=True),
        Column("latency", numbers=True),
        Column("networks as accurate", numbers=True),
        Column("least energy if as accurate", numbers=True),
        Column("recompute rate there", numbers=True),
    ]
    areas = {policy: found.area_of(policy) for policy in found.by_policy}
    known = any(areas.values())
    if known:
        columns.append(Column("area", numbers=True))
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
                *(("" if (area := areas[policy]) is None else f"{area:.3g}",) if known else ()),
            )
        )
    return Table(
        f"Energy{', latency and area' if known else ' and latency'} as ratios to {HIGH}'s on the"
        f" same network. A network is as accurate if it loses no more than {100 * AS_GOOD:g}"
        " points; the least energy is that of the cheapest point that is.",
        tuple(columns),
        tuple(rows),
    )


def _equal_table(found: Comparison, what: str, shares: Sequence[float]) -> tuple[Table, ...]:
    """Compare all policies with the rule where both take the same share of what all high takes."""
    rule, column = found.one(SEED_RULE), policy_figures.COSTS[what]
    rows = []
    for policy in found.by_policy:
        means = [found.at_cost(policy, rule, column, share) for share in shares]
        if policy != rule and any(means):
            rows.append((policy, *(cell(mean) for mean in means)))
    itself = {share: found.at_cost(rule, rule, column, share) for share in shares}
    where = ", ".join(
        f"{mean.networks if mean else 0} networks at {share:.0%}" for share, mean in itself.items()
    )
    table = Table(
        f"KL divergence as a ratio to that of {rule} at the same {what}, a share of {HIGH}'s on the"
        f" same network, over those on which {rule} can be had for it ({where})."
        " What has one rate, or redoes nothing, counts where it takes no more.",
        (
            Column("policy"),
            *(Column(f"at {share:.0%} of the {what}", numbers=True) for share in shares),
        ),
        tuple(rows),
    )
    return (table,) if rows else ()
