"""What a threshold does: whether a lower one always helps, and whether one serves all layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from accelsim.policies import POLICIES
from accelsim.policies.threshold import ScoredPolicy
from accelsim.report import policy_figures
from accelsim.report.break_even import HIGH, Row
from accelsim.report.page import Column, Figure, Section, Table
from accelsim.report.policy_curves import (
    NOTHING_DRAWN,
    RATE,
    Comparison,
    Curve,
    energy,
    log_kl,
    parameter,
)
from accelsim.report.policy_means import Average, Key, Mean, average, cell, mean_ratio

ACROSS = "across=network"
AT = 0.1
"""The rate at which thresholds for a layer are compared with one for all."""


@dataclass(frozen=True)
class Steps:
    """What became worse from one threshold to the next lower one, over all networks and seeds."""

    number: int
    kl_rose: int
    accuracy_fell: int
    largest_rise: float
    """Of the KL divergence, as a ratio; 1 where it never rose."""


def thresholds_section(found: Comparison, rule: str) -> Section | None:
    """Return how sensitive results are to thresholds; None where the rule has one alone."""
    scored = [policy for policy in found.redoing if _has_score(policy)]
    taken = {policy: one for policy in scored if (one := steps(found, policy)).number}
    if rule not in taken:
        return None
    by_tau = [policy for policy in taken if _taus(found, policy)]
    findings = [_monotone_sentence(rule, taken[rule]), _tried_sentence(found, rule, taken)]
    findings += [
        sentence for policy in scored if (sentence := _across_sentence(found, policy)) is not None
    ]
    return Section(
        "Sensitivity to the threshold",
        paragraphs=(
            "A lower threshold redoes more outputs: points of a policy, in the order of their"
            " recompute rates, are in the order of falling thresholds.",
        ),
        findings=tuple(findings),
        figures=(
            Figure(
                f"KL divergence of {rule} on each network against its recompute rate, geometric"
                " means over seeds, over that at its least rate.",
                (policy_figures.by_network(found, rule),),
            ),
        ),
        tables=(_steps_table(found, taken), *(_tau_table(found, policy) for policy in by_tau)),
    )


def _has_score(policy: str) -> bool:
    kind = POLICIES.get(policy.partition(":")[0])
    return kind is not None and issubclass(kind, ScoredPolicy)


def steps(found: Comparison, policy: str) -> Steps:
    """Count where a policy's next point, which redoes more, is worse."""
    pairs = [pair for curve in found.by_policy[policy].values() for pair in _neighbours(curve)]
    rises = [math.exp(later - sooner) for (sooner, later), _ in pairs]
    return Steps(
        number=len(pairs),
        kl_rose=sum(rise > 1.0 for rise in rises),
        accuracy_fell=sum(later < sooner for _, (sooner, later) in pairs),
        largest_rise=max([1.0, *rises]),
    )


def _neighbours(curve: Curve) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return (ln KL, ln KL) and (accuracy, accuracy) of points next to each other."""
    found = []
    for place in range(len(curve.rows) - 1):
        sooner, later = curve.rows[place : place + 2]
        if sooner[RATE] < later[RATE]:
            logs = float(curve.log_kl[place]), float(curve.log_kl[place + 1])
            found.append((logs, (float(sooner["accuracy"]), float(later["accuracy"]))))
    return found


def _monotone_sentence(rule: str, taken: Steps) -> str:
    if not taken.kl_rose and not taken.accuracy_fell:
        return (
            f"{rule} is monotone wherever it was looked at: in {taken.number} steps to a lower"
            " threshold neither did the KL divergence rise nor the accuracy fall."
        )
    worse = []
    if taken.kl_rose:
        worse.append(
            f"in {taken.kl_rose} of {taken.number} steps to a lower threshold the KL divergence"
            f" rises, by up to {taken.largest_rise - 1.0:.2%}"
        )
    if taken.accuracy_fell:
        steps_named = "" if worse else f" of {taken.number} steps to a lower threshold"
        worse.append(f"in {taken.accuracy_fell}{steps_named} the accuracy falls")
    return f"{rule} is not monotone: {', and '.join(worse)}."


def tried(found: Comparison, policy: str) -> list[float]:
    """Return the recompute rates that a policy was tried at, in per cent: means over networks, of
    every `tau` or, where thresholds were found from rates, of the first rate, the second and so on.
    """
    by_threshold: dict[str | int, dict[Key, float]] = {}
    for key, curve in found.by_policy[policy].items():
        for place, row in enumerate(curve.rows):
            tau = parameter(str(row["policy"]), "tau")
            by_threshold.setdefault(tau or place, {})[key] = 100.0 * row[RATE]
    means = (average(rates) for rates in by_threshold.values())
    return sorted(mean.middle for mean in means if mean is not None)


def _tried_sentence(found: Comparison, rule: str, taken: dict[str, Steps]) -> str:
    """Say of how few points all this is known."""
    rates = tried(found, rule)
    numbers = sorted({len(tried(found, policy)) for policy in taken if policy != rule})
    ends = " to ".join(dict.fromkeys(map(str, (numbers[0], numbers[-1]) if numbers else ())))
    others = f", and of {ends} of the other rules here" if ends else ""
    return (
        f"That is known of {len(rates)} thresholds of {rule}, at rates of"
        f" {', '.join(f'{rate:.1f}%' for rate in rates)}{others}. What lies between is not seen."
    )


def _across_sentence(found: Comparison, policy: str) -> str | None:
    """Compare a policy with one threshold for all layers with the same that has one for each."""
    name, _, given = policy.partition(":")
    parts = given.split(",")
    if ACROSS not in parts:
        return None
    rest = ",".join(part for part in parts if part != ACROSS)
    other = f"{name}:{rest}" if rest else name
    if other not in found.by_policy:
        return None
    logs = found.logs_at_rate(policy, other, AT, AT)
    mean = found.at_rate(policy, other, AT, AT)
    if mean is None:
        return None
    better, networks = no_worse(logs)
    setting = f" ({rest})" if rest else ""
    return (
        f"At a rate of {AT:.0%}, {name}{setting} has {mean} times the KL divergence with one"
        " threshold for all layers than with one for each that gives all of them the same share;"
        f" no more on {better} of {networks} networks."
    )


def no_worse(logs: dict[tuple[str, int], float]) -> tuple[int, int]:
    """Return on how many networks the mean over seeds of these logarithms is at most zero, and how
    many networks there are.
    """
    by_network: dict[str, list[float]] = {}
    for (network, _), log in logs.items():
        by_network.setdefault(network, []).append(log)
    return sum(sum(mine) <= 0.0 for mine in by_network.values()), len(by_network)


def _steps_table(found: Comparison, taken: dict[str, Steps]) -> Table:
    columns = [Column("policy"), Column("rates tried (%)")]
    for name in ("steps", "KL rises", "accuracy falls", "largest rise of KL"):
        columns.append(Column(name, numbers=True))
    rows = [
        (
            policy,
            ", ".join(f"{rate:.1f}" for rate in tried(found, policy)),
            str(one.number),
            str(one.kl_rose),
            str(one.accuracy_fell),
            f"{one.largest_rise - 1.0:.2%}" if one.kl_rose else "",
        )
        for policy, one in taken.items()
        if one.number
    ]
    return Table(
        "Steps from a threshold to the next lower one, over networks and seeds, and what became"
        " worse with them.",
        tuple(columns),
        tuple(rows),
    )


def _taus(found: Comparison, policy: str) -> list[str]:
    """Return the thresholds that a policy was given, as they are written, the largest first; none
    where they were found from rates.
    """
    given = {
        parameter(str(row["policy"]), "tau")
        for curve in found.by_policy[policy].values()
        for row in curve.rows
    }
    return sorted((tau for tau in given if tau is not None), key=float, reverse=True)


def _tau_table(found: Comparison, policy: str) -> Table:
    """Return what each threshold of a policy does."""
    rows = []
    for tau in _taus(found, policy):
        at = {
            key: row
            for key, curve in found.by_policy[policy].items()
            for row in curve.rows
            if parameter(str(row["policy"]), "tau") == tau
        }
        rates = sorted(100.0 * row[RATE] for row in at.values())
        rows.append(
            (
                tau,
                _text(average({key: 100.0 * row[RATE] for key, row in at.items()}), 1),
                f"{rates[0]:.1f} to {rates[-1]:.1f}",
                cell(_over(found, at, NOTHING_DRAWN, log_kl)),
                _text(_lost(found, at), 2),
                _text(average({key: 100.0 * row["flip_rate"] for key, row in at.items()}), 2),
                cell(_over(found, at, HIGH, lambda row: math.log(energy(row)))),
            )
        )
    return Table(
        f"What the threshold of {policy} does, on {found.place}: means over networks with their"
        " confidence intervals, and the least and the largest rate of any network.",
        (
            Column("τ", numbers=True),
            Column("recompute rate (%)", numbers=True),
            Column("from, to (%)", numbers=True),
            Column(f"KL over that of {NOTHING_DRAWN}", numbers=True),
            Column(f"accuracy lost to {HIGH} (points)", numbers=True),
            Column("predictions changed (%)", numbers=True),
            Column(f"energy over that of {HIGH}", numbers=True),
        ),
        tuple(rows),
    )


def _over(
    found: Comparison, at: Mapping[Key, Row], than: str, log: Callable[[Row], float]
) -> Mean | None:
    """Return the ratio of what has this logarithm to that of a policy that redoes nothing."""
    its = found.by_policy.get(than, {})
    return mean_ratio(
        {key: log(row) - log(its[key].rows[0]) for key, row in at.items() if key in its}
    )


def _lost(found: Comparison, at: Mapping[Key, Row]) -> Average | None:
    high = found.by_policy.get(HIGH, {})
    return average(
        {
            key: 100.0 * (high[key].rows[0]["accuracy"] - row["accuracy"])
            for key, row in at.items()
            if key in high
        }
    )


def _text(mean: Average | None, decimals: int) -> str:
    return "" if mean is None else mean.text(decimals)
