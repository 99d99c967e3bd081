"""The answer of a study over policies: does redoing outputs save energy, when, and what should one
build instead? In one paragraph, and another of what stands behind it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from accelsim.report.break_even import HIGH
from accelsim.report.policy_build import UNKNOWABLE, front, held_out, points, seeds_of
from accelsim.report.policy_curves import AS_GOOD, NOTHING_DRAWN, Comparison
from accelsim.report.policy_means import Key
from accelsim.report.policy_when import cases, condition, counts, span

SEED_RULE = "selective"
"""The rule of arXiv:2503.15568, in whatever setting the study has it first."""
Reached = dict[Key, dict[str, float]]
"""By trained network, the policies that are as accurate, and their energy over uniform-high's."""


def answer(machines: Sequence[Comparison]) -> str:
    """Return the question's answer in short, over all places: machines and energy tables.

    A trained network is a case, on however many places; where numbers differ between places, the
    least and the largest are said.
    """
    rule = machines[0].one(SEED_RULE)
    found = cases(machines, rule)
    everywhere = [_reached(machine) for machine in machines]
    somewhere = [one for one in found if any(one.pays)]
    reached = everywhere[0]
    spared = sum(NOTHING_DRAWN in reached[one.key] for one in somewhere)
    never = sum(rule not in mine for mine in reached.values())
    cheapest = [_cheapest(mine) for mine in everywhere]
    redone = [sum(mine[policy] for policy in {*machines[0].redoing}) for mine in cheapest]
    text = (
        f"Does recomputing the outputs that the rule of arXiv:2503.15568 flags ({rule}) save"
        f" energy? {_verdict(bool(somewhere), any(redone))} At an accuracy no more than"
        f" {100 * AS_GOOD:g} points below that of all sums in high precision ({HIGH}), of"
        f" {len(found)} trained networks it takes less energy than these on"
        f" {counts(found, machines)}. {condition(found, machines)}"
        f" {_needless(len(somewhere), spared)} On {never} no point of it is so accurate. It is the"
        f" cheapest policy on {span(mine[rule] for mine in cheapest)}, and any rule that redoes"
        f" outputs is on {span(redone)}."
    )
    text = " ".join(text.split())
    return f"{text} {_instead(everywhere, cheapest)}" if any(cheapest) else text


def _verdict(pays: bool, best: bool) -> str:
    """Say it in short: whether the rule pays anywhere, and redoing is the cheapest anywhere."""
    if not pays:
        return "On none of these networks."
    return "On some networks." if best else "On some networks, but what redoes nothing saves more."


def _needless(somewhere: int, spared: int) -> str:
    if not somewhere:
        return ""
    return (
        f"On {spared} of the {somewhere} where it does, all sums in low precision"
        f" ({NOTHING_DRAWN}) are as accurate, and none is redone."
    )


def _reached(machine: Comparison) -> Reached:
    """Return what is as accurate as uniform-high, but for what no machine can know."""
    return {
        key: {
            policy: ratio
            for policy in machine.by_policy
            if policy != HIGH
            and not policy.startswith(UNKNOWABLE)
            and (ratio := machine.cheapest_as_good(policy, key, AS_GOOD)) is not None
        }
        for key in machine.by_policy[HIGH]
    }


def _cheapest(reached: Reached) -> Counter[str]:
    """Return on how many trained networks each policy is the cheapest."""
    return Counter(min(mine, key=lambda one: mine[one]) for mine in reached.values() if mine)


def _instead(everywhere: Sequence[Reached], cheapest: Sequence[Counter[str]]) -> str:
    """Say what is as accurate on the most networks for the least, and what is the cheapest."""
    ratios: dict[str, list[list[float]]] = {}
    for reached in everywhere:
        here: dict[str, list[float]] = {}
        for mine in reached.values():
            for policy, ratio in mine.items():
                here.setdefault(policy, []).append(ratio)
        for policy, listed in here.items():
            ratios.setdefault(policy, []).append(listed)
    numbers = {policy: max(map(len, listed)) for policy, listed in ratios.items()}
    most = max(numbers.values())
    surest = min(
        (policy for policy in ratios if numbers[policy] == most),
        key=lambda policy: _geometric_mean([one for place in ratios[policy] for one in place]),
    )
    means = sorted({f"{_geometric_mean(place):.2f}" for place in ratios[surest]})
    total = sum(cheapest, Counter())
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    named = (f"{name} on {span(mine[name] for mine in cheapest)}" for name, _ in ordered[:4])
    return (
        "What should one build instead? What is so accurate on the most trained networks,"
        f" {most}, at the least energy is {surest}, with"
        f" {' to '.join(dict.fromkeys((means[0], means[-1])))} of that of {HIGH}. The cheapest,"
        f" network by network, is {', '.join(named)}."
    )


def unbeaten(machines: Sequence[Comparison]) -> str:
    """Say what to build: what nothing beats in both energy and KL divergence, anywhere."""
    held = [held_out(comparison) for comparison in machines]
    fronts = [front(points(comparison)) for comparison in held]
    everywhere = [
        policy
        for policy in dict.fromkeys(point.policy for point in fronts[0])
        if all(policy in {point.policy for point in one} for one in fronts)
    ]
    redone = [sum(point.rate > 0.0 for point in one) for one in fronts]
    places = f"on each of {len(machines)} machines and energy tables" if machines[1:] else "there"
    return (
        f"Nothing beats these in both energy and KL divergence {places}, {seeds_of(held[0])}:"
        f" {', '.join(everywhere) or 'no policy'}. Of the points that nothing beats,"
        f" {span(redone)} redo{'es' if max(redone) == 1 else ''} outputs."
    )


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
