"""The answer of a study over policies in one paragraph: does redoing outputs save energy, when, and
what should one build instead?
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from accelsim.report.break_even import HIGH
from accelsim.report.policy_build import UNKNOWABLE, front, held_out, points, seeds_of
from accelsim.report.policy_curves import AS_GOOD, NOTHING_DRAWN, Comparison

SEED_RULE = "selective"
"""The rule of arXiv:2503.15568, in whatever setting the study has it first."""


def answer(machines: Sequence[Comparison]) -> str:
    """Return the question's answer in short, over all machines and tables."""
    rule = machines[0].one(SEED_RULE)
    cases = spared = 0
    ratios: dict[str, list[float]] = {}
    cheapest: dict[str, int] = {}
    for comparison in machines:
        for key in comparison.by_policy[HIGH]:
            cases += 1
            reached = {
                policy: ratio
                for policy in comparison.by_policy
                if policy != HIGH
                and not policy.startswith(UNKNOWABLE)
                and (ratio := comparison.cheapest_as_good(policy, key, AS_GOOD)) is not None
            }
            spared += reached.get(rule, 1.0) < 1.0 and NOTHING_DRAWN in reached
            for policy, ratio in reached.items():
                ratios.setdefault(policy, []).append(ratio)
            if reached:
                best = min(reached, key=lambda policy: reached[policy])
                cheapest[best] = cheapest.get(best, 0) + 1
    mine = ratios.get(rule, [])
    text = (
        f"Does recomputing the outputs that {rule} flags save energy? At an accuracy no more than"
        f" {100 * AS_GOOD:g} points below that of {HIGH} it takes less in"
        f" {sum(ratio < 1.0 for ratio in mine)} of {cases} cases (network, seed, machine and energy"
        f" table); in {spared} of these {NOTHING_DRAWN} is as accurate, which redoes nothing. It is"
        f" the cheapest of all policies in {cheapest.get(rule, 0)}, and in {cases - len(mine)} no"
        " point of it is so accurate."
    )
    if not ratios:
        return text
    most = max(map(len, ratios.values()))
    surest = min(
        (policy for policy in ratios if len(ratios[policy]) == most),
        key=lambda policy: _geometric_mean(ratios[policy]),
    )
    counted = sorted(cheapest.items(), key=lambda item: (-item[1], item[0]))
    return (
        f"{text} What should one build instead? What is so accurate in the most cases, {most}, at"
        f" the least energy is {surest}, with {_geometric_mean(ratios[surest]):.2f} of that of"
        f" {HIGH}. The cheapest, case by case, is "
        + ", ".join(f"{name} in {n}" for name, n in counted[:4])
        + f". {_unbeaten(machines)}"
    )


def _unbeaten(machines: Sequence[Comparison]) -> str:
    """Say what to build: what nothing beats in both energy and KL divergence, anywhere."""
    held = [held_out(comparison) for comparison in machines]
    fronts = [front(points(comparison)) for comparison in held]
    everywhere = [
        policy
        for policy in dict.fromkeys(point.policy for point in fronts[0])
        if all(policy in {point.policy for point in one} for one in fronts)
    ]
    redone = sum(point.rate > 0.0 for one in fronts for point in one)
    places = (
        "on the machine" if len(machines) == 1 else f"on all {len(machines)} machines or tables"
    )
    return (
        f"Nothing beats these in both energy and KL divergence {places}, {seeds_of(held[0])}:"
        f" {', '.join(everywhere) or 'no policy'}. Of the points that nothing beats on one of them"
        f" {redone} redo{'es' if redone == 1 else ''} outputs."
    )


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
