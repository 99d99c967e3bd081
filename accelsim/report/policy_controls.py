"""How much of a rule's gain is how it splits its rate between layers, and how much which outputs.

A control of a rule redoes as many outputs of every layer, drawn by lot. What the rule has less than
it is due to which outputs it takes; what the control has less than a lottery of one rate for all
layers is due to how rates are split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accelsim.report.break_even import Row
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_curves import (
    CHANCE,
    NOTHING_DRAWN,
    RATE,
    Comparison,
    counts,
    family,
    log_kl,
    network_of,
)
from accelsim.report.policy_means import FEWEST, Average, Key, Mean, average, cell, mean_ratio
from accelsim.report.survey import CONTROL

LOOKED_AT = 0.1
"""The rate that sentences are about, or the nearest."""

ARITHMETIC = {"low", "high", "chunk", "redo", "overflow", "last"}
"""Parameters of how a policy computes, and not of what it redoes."""


@dataclass(frozen=True, eq=False)
class Controlled:
    """A policy as a study had it, beside its controls, on the networks and seeds held out.

    Logarithms are of the KL divergence: of the rule over its controls' geometric mean (`outputs`),
    of that over a lottery's at the same overall rate (`layers`), and of the rule over the
    lottery's (`both`).
    """

    policy: str
    rate: Average
    outputs: dict[Key, float]
    layers: dict[Key, float]
    both: dict[Key, float]


def controls_of(rows: Iterable[Row], found: Comparison) -> list[Controlled]:
    """Return the policies that have controls, with those of the networks and seeds of `found`.

    What machine they ran on makes no difference to what they computed: those of one are taken.
    """
    policies: dict[str, dict[Key, Row]] = {}
    drawn: dict[str, dict[Key, list[float]]] = {}
    known = {key for mine in found.by_policy.values() for key in mine}
    for row in rows:
        key = network_of(str(row["workload"]))
        here = (row["hardware"], row["energy_table"]) == (found.hardware, found.table)
        if not counts(row) or not here or key not in known:
            continue
        if (of := row.get(CONTROL)) is not None:
            drawn.setdefault(str(of), {}).setdefault(key, []).append(log_kl(row))
        else:
            policies.setdefault(str(row["policy"]), {})[key] = row
    return [
        _controlled(found, policy, policies[policy], mine)
        for policy, mine in drawn.items()
        if policies.get(policy, {}).keys() & mine.keys()
    ]


def _controlled(
    found: Comparison, policy: str, mine: dict[Key, Row], drawn: dict[Key, list[float]]
) -> Controlled:
    outputs, layers, both = {}, {}, {}
    rates, chance = {}, _lottery(found, policy)
    for key in mine.keys() & drawn.keys():
        own = log_kl(mine[key])
        control = math.fsum(drawn[key]) / len(drawn[key])
        rates[key] = 100.0 * float(mine[key][RATE])
        outputs[key] = own - control
        if chance is None:
            continue
        lottery = found.log_kl_of(chance, key, rates[key] / 100.0)
        if lottery is not None:
            layers[key], both[key] = control - lottery, own - lottery
    rate = average(rates)
    assert rate is not None
    return Controlled(policy, rate, outputs, layers, both)


def _lottery(found: Comparison, policy: str) -> str | None:
    """Return the lottery that computes and recomputes as a policy does; None if there is none."""
    lotteries = [one for one in found.by_policy if one.partition(":")[0] == CHANCE]
    wanted = {part for part in _parts(policy) if part.partition("=")[0] in ARITHMETIC}
    return next((one for one in lotteries if _parts(one) == wanted), None)


def _parts(policy: str) -> set[str]:
    return {part for part in policy.partition(":")[2].split(",") if part}


def controls_section(found: Sequence[Controlled], seeds: str) -> Section | None:
    """Return what rules have against their controls; None of a study without any."""
    if not found:
        return None
    rows = [
        (
            one.policy,
            one.rate.text(1),
            *(cell(mean_ratio(logs)) for logs in (one.outputs, one.layers, one.both)),
        )
        for one in found
    ]
    table = Table(
        f"KL divergence, {seeds}: of a rule over that of its controls, which redo as many outputs"
        " of every layer, drawn by lot; of its controls over that of a lottery that redoes the same"
        " share of every layer, at the same rate overall; and of the rule over that lottery's, the"
        f" product of both where all are known. The lottery is {CHANCE} with the same arithmetic,"
        f" at a rate of 0 {NOTHING_DRAWN}; empty where the study has none, or none at such a rate."
        " Geometric means over networks.",
        (
            Column("policy"),
            Column("recompute rate (%)", numbers=True),
            Column("which outputs: over its controls", numbers=True),
            Column("how rates are split: controls over random", numbers=True),
            Column("both: over random", numbers=True),
        ),
        tuple(rows),
    )
    return Section(
        "Which outputs, or how many of which layer",
        findings=tuple(_sentence(one) for one in _nearest(found)),
        tables=(table, _networks_table(found)),
    )


def _networks_table(found: Sequence[Controlled]) -> Table:
    """Return what is due to which outputs, network by network."""
    by_policy = [_by_network(one) for one in found]
    return Table(
        "Which outputs, network by network: KL divergence of a rule over that of its controls,"
        " geometric means over the seeds held out, with the least and the largest.",
        (Column("network"), *(Column(one.policy, numbers=True) for one in found)),
        tuple(
            (network, *(_seeds_cell(mine.get(network, [])) for mine in by_policy))
            for network in sorted({network for mine in by_policy for network in mine})
        ),
    )


def _by_network(one: Controlled) -> dict[str, list[float]]:
    """Return the logarithms of a rule over its controls, by network."""
    logs: dict[str, list[float]] = {}
    for (network, _), log in sorted(one.outputs.items()):
        logs.setdefault(network, []).append(log)
    return logs


def _seeds_cell(logs: Sequence[float]) -> str:
    if not logs:
        return ""
    mean, *ends = (f"{math.exp(log):.2f}" for log in (sum(logs) / len(logs), min(logs), max(logs)))
    return f"{mean} ({' to '.join(ends)})" if logs[1:] else mean


def control_answer(found: Sequence[Controlled], rule: str) -> str:
    """Say shortly what a rule, and the best of all, owe to which outputs they redo; nothing of a
    study without controls.
    """
    near = [one for one in _nearest(found) if one.both]
    mine = next((one for one in near if family(one.policy) == rule), None)
    best = min(near, key=lambda one: _log(one.both), default=None)
    shown = list(dict.fromkeys(one for one in (mine, best) if one is not None))
    if best is None:
        return ""
    against = " and ".join(f"{mean_ratio(one.outputs)} for {one.policy}" for one in shown)
    return (
        "Against as many outputs of every layer drawn by lot, the KL divergence is"
        f" {against} times as large; against the same share of every layer, that lottery with the"
        f" layers' rates of the {'latter' if shown[1:] else 'rule'} has {mean_ratio(best.layers)}"
        " times: what it gains by how many it redoes of which layer."
    )


def _nearest(found: Sequence[Controlled]) -> list[Controlled]:
    """Return of each rule the point nearest to the rate looked at."""
    nearest: dict[str, Controlled] = {}
    for one in found:
        kept = nearest.setdefault(family(one.policy), one)
        if _off(one) < _off(kept):
            nearest[family(one.policy)] = one
    return [*nearest.values()]


def _off(one: Controlled) -> float:
    return abs(one.rate.middle / 100.0 - LOOKED_AT)


def _log(logs: dict[Key, float]) -> float:
    mean = mean_ratio(logs)
    return math.inf if mean is None else math.log(mean.ratio)


def _sentence(one: Controlled) -> str:
    """Say what a point owes to which outputs it redoes, and what to how many of which layer."""
    outputs, layers = mean_ratio(one.outputs), mean_ratio(one.layers)
    assert outputs is not None
    text = (
        f"{one.policy} has {outputs} times the KL divergence of as many outputs of every layer"
        f" drawn by lot: which outputs it takes {_verdict(outputs)}"
    )
    text += _where(_by_network(one))
    if layers is None:
        return text + "."
    return (
        f"{text}; these have {layers} times that of the same share of every layer: how it splits"
        f" its rate between layers {_verdict(layers)}."
    )


def _where(logs: dict[str, list[float]]) -> str:
    """Say how far networks differ in what is due to which outputs, and if seeds agree."""
    if len(logs) < FEWEST:
        return ""
    means = {network: sum(mine) / len(mine) for network, mine in logs.items()}
    least, most = min(means, key=lambda one: means[one]), max(means, key=lambda one: means[one])
    return (
        f" on average, network by network from {math.exp(means[least]):.2f} times ({least}) to"
        f" {math.exp(means[most]):.2f} ({most}), less on all seeds of"
        f" {sum(max(mine) < 0.0 for mine in logs.values())} of {len(logs)} and more on all of"
        f" {sum(min(mine) > 0.0 for mine in logs.values())}"
    )


def _verdict(mean: Mean) -> str:
    """Say whether a ratio is less than 1, as far as its interval tells."""
    if mean.low is None or mean.high is None or mean.networks < FEWEST:
        return "is not known from so few networks"
    if mean.low <= 1.0 <= mean.high:
        return "makes no difference beyond its interval"
    return "helps" if mean.ratio < 1.0 else "does harm"
