"""The answer of a study over policies: does redoing outputs save energy, when, and what should one
build instead? In one paragraph, and another of what stands behind it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from accelsim.report.break_even import HIGH
from accelsim.report.policy_build import UNKNOWABLE, front, held_out, points, seeds_of
from accelsim.report.policy_curves import (
    AREA,
    AS_GOOD,
    FP16,
    NOTHING_DRAWN,
    Comparison,
    family,
    parameter,
)
from accelsim.report.policy_means import Key
from accelsim.report.policy_when import (
    MOST_NAMED,
    Trained,
    cases,
    condition,
    counts,
    paying,
    span,
)

SEED_RULE = "selective"
"""The rule of arXiv:2503.15568, in whatever setting the study has it first."""
SPILLING = "spill"
NEARLY = 1.02
"""What takes no more than so many times the least energy takes nearly as little."""
LOOKED_AT = 0.1
"""The recompute rate at which the answer says what redoing costs."""
Reached = dict[Key, dict[str, float]]
"""By trained network, the policies that are as accurate, and their energy over uniform-high's."""


def answer(machines: Sequence[Comparison]) -> str:
    """Return the question's answer in short, over all places: machines and energy tables.

    A trained network is a case, on however many places; where numbers differ between places, the
    least and the largest are said.
    """
    settings, found, everywhere, cheapest, redone = _standing(machines)
    pays = any(any(one.pays) for one in found)
    text = (
        "Does recomputing the outputs that the rule of arXiv:2503.15568 flags save energy?"
        f" {_verdict(pays, redone, [mine.total() for mine in cheapest])} When? At an accuracy no"
        f" more than {100 * AS_GOOD:g} percentage points below that of all sums in fp32 ({HIGH}),"
        f" of {len(found)} trained networks the rule{_of_settings(machines[0], settings)} takes"
        f" less energy than these on {counts(found, machines)}{_than_fp16(machines, settings)}."
        f" {_when(machines, settings, everywhere, found)}"
    )
    if any(cheapest):
        text += f" {_instead(machines, everywhere, cheapest)}"
    return " ".join(text.split())


def behind(machines: Sequence[Comparison]) -> str:
    """Return what stands behind the answer: how the rule fares otherwise, and why."""
    settings, found, everywhere, cheapest, redone = _standing(machines)
    written = cases(machines, settings[0])
    somewhere = [one for one in found if any(one.pays)]
    never = sum(not {*settings} & {*mine} for mine in everywhere[0].values())
    by_itself = (
        f"{settings[0]} alone takes less energy than {HIGH} on"
        f" {span(paying(written, n) for n in range(len(machines)))}."
        if settings[1:]
        else ""
    )
    first = [sum(mine[one] for one in settings) for mine in cheapest]
    alone = _first_passes(machines, settings)
    short = f"; on {never} no point of it is so accurate" if never else ""
    text = (
        f"The rule is the cheapest policy on {span(first)} of these networks, and any rule that"
        f" redoes outputs is on {span(redone)}{short}. {by_itself}"
        f" {_needless([one.key for one in somewhere], everywhere[0], alone)}"
    )
    if any(cheapest):
        text += f" {_why(machines, settings[0], _surest(everywhere))}"
    return " ".join(text.split())


class _Standing(NamedTuple):
    """How the rule stands: its settings, the networks and where it pays on them, and, place by
    place, what is as accurate, how often each policy is the cheapest, and any that redoes outputs.
    """

    settings: list[str]
    found: list[Trained]
    everywhere: list[Reached]
    cheapest: list[Counter[str]]
    redone: list[int]


def _standing(machines: Sequence[Comparison]) -> _Standing:
    settings = machines[0].settings(SEED_RULE)
    everywhere = [_reached(machine) for machine in machines]
    cheapest = [_cheapest(mine) for mine in everywhere]
    redone = [sum(mine[policy] for policy in {*machines[0].redoing}) for mine in cheapest]
    return _Standing(settings, cases(machines, *settings), everywhere, cheapest, redone)


def _than_fp16(machines: Sequence[Comparison], settings: Sequence[str]) -> str:
    """Say on how many the rule takes less energy than fp16 throughout, if that was run."""
    if any(
        {*machine.by_policy.get(FP16, ())} != {*machine.by_policy[HIGH]} for machine in machines
    ):
        return ""
    found = cases(machines, *settings, than=FP16)
    return f", and less than all sums in fp16 ({FP16}) on {counts(found, machines, named=False)}"


def _of_settings(machine: Comparison, settings: Sequence[str]) -> str:
    if not settings[1:]:
        return f" ({settings[0]})"
    curves = [machine.by_policy[one] for one in settings]
    points = sum(max(len(curve.rows) for curve in mine.values()) for mine in curves)
    return f", in the best of its {len(settings)} settings and {points} points here for each,"


def _verdict(pays: bool, redone: Sequence[int], reached: Sequence[int]) -> str:
    """Say it in short: whether the rule pays anywhere, and on how many of the networks on which
    anything is so accurate what redoes nothing is the cheapest, place by place.
    """
    if not pays:
        return "On none of these networks."
    plain = (total - number for total, number in zip(reached, redone, strict=True))
    others = f"on {span(plain)} of {span(reached)}" if any(redone) else "on all"
    return f"On some networks, but what redoes nothing saves more {others}."


def _first_passes(machines: Sequence[Comparison], settings: Sequence[str]) -> list[str]:
    """Return what the rule, in any of its settings, does before it redoes anything, and the same
    with a wider last layer, of what was run.
    """
    lows = {parameter(setting, "low") for setting in settings}
    return [
        policy
        for policy in machines[0].plain
        if (policy.partition(":")[0] == NOTHING_DRAWN and None in lows)
        or family(policy, ("last",)) in {f"uniform:format={low}" for low in lows}
    ]


def _when(
    machines: Sequence[Comparison],
    settings: Sequence[str],
    everywhere: Sequence[Reached],
    found: Sequence[Trained],
) -> str:
    """Say on how many of the networks where the rule pays it is needed, and on which."""
    alone = {*_first_passes(machines, settings)}
    if not alone or not any(any(one.pays) for one in found):
        return condition(found, machines)
    needed = [
        replace(
            one,
            pays=tuple(
                pays and not alone & {*reached[one.key]}
                for pays, reached in zip(one.pays, everywhere, strict=True)
            ),
        )
        for one in found
    ]
    return (
        "Of the networks where it does, it is needed on"
        f" {counts(needed, machines, named=False)}: on the others its first pass is as accurate"
        " with nothing redone, or with a wider last layer."
        f" {condition(needed, machines, 'It is needed')}"
    )


def _needless(pays: Sequence[Key], reached: Reached, alone: Sequence[str]) -> str:
    """Say on how many of these networks the first pass is as accurate by itself."""
    if not pays or not alone:
        return ""
    spared = sum(any(policy in reached[key] for policy in alone) for key in pays)
    each = (f"{policy} on {sum(policy in reached[key] for key in pays)}" for policy in alone)
    return (
        f"Of the {len(pays)} where it does somewhere, its first pass by itself, or with a wider"
        f" last layer, is as accurate on {spared}: {', '.join(each)}."
    )


def _why(machines: Sequence[Comparison], rule: str, best: str) -> str:
    """Say what a rule takes at a recompute rate beside what redoes nothing."""

    def of(policy: str, column: str, rate: float | None = None) -> str:
        """Return the least and the largest ratio to uniform-high's, place by place."""
        means = [machine.cost_of(policy, column, HIGH, rate) for machine in machines]
        return _least_to_most([mean.ratio for mean in means if mean is not None])

    def on(policy: str, rate: float | None = None) -> str:
        """Return the words for the area, if every table knows areas."""
        return f" on {of(policy, AREA, rate)} times the area" if known else ""

    known = all(machine.knows_areas(*machine.by_policy) for machine in machines)
    redoing = of(rule, "energy", LOOKED_AT)
    if not redoing or NOTHING_DRAWN not in machines[0].by_policy:
        return ""
    return (
        f"Why? With {LOOKED_AT:.0%} of the outputs redone {rule} takes {redoing} times the energy"
        f" of {HIGH}{on(rule, LOOKED_AT)}, and {of(rule, 'latency_s', LOOKED_AT)} times its time;"
        f" all sums in e4m3fn ({NOTHING_DRAWN}) take {of(NOTHING_DRAWN, 'energy')} times the"
        f" energy{on(NOTHING_DRAWN)}"
        + (f", {best} {of(best, 'energy')}{on(best)}." if best != NOTHING_DRAWN else ".")
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


def _surest(everywhere: Sequence[Reached]) -> str:
    """Return what is as accurate on the most networks, and of such the cheapest."""
    ratios = _ratios(everywhere)
    numbers = {policy: max(map(len, places)) for policy, places in ratios.items()}
    return min(
        (policy for policy in ratios if numbers[policy] == max(numbers.values())),
        key=lambda policy: _geometric_mean([one for place in ratios[policy] for one in place]),
    )


def _ratios(everywhere: Sequence[Reached]) -> dict[str, list[list[float]]]:
    """Return by policy and place the energies over uniform-high's where it is as accurate."""
    ratios: dict[str, list[list[float]]] = {}
    for reached in everywhere:
        here: dict[str, list[float]] = {}
        for mine in reached.values():
            for policy, ratio in mine.items():
                here.setdefault(policy, []).append(ratio)
        for policy, listed in here.items():
            ratios.setdefault(policy, []).append(listed)
    return ratios


def _instead(
    machines: Sequence[Comparison], everywhere: Sequence[Reached], cheapest: Sequence[Counter[str]]
) -> str:
    """Say what is as accurate on the most networks for the least, and what is the cheapest."""
    best: dict[str, list[int]] = {}
    for place, reached in enumerate(everywhere):
        if any(reached.values()):
            best.setdefault(_surest([reached]), []).append(place)
    most = max(
        sum(policy in mine for mine in everywhere[place].values())
        for policy, places in best.items()
        for place in places
    )
    named = [
        f"{policy}, with {_energies([everywhere[place] for place in places], policy)} of that of"
        f" {HIGH}{_places(places, machines, everywhere) if len(best) > 1 else ''}"
        for policy, places in sorted(best.items(), key=lambda item: -len(item[1]))
    ]
    total = sum(cheapest, Counter())
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    often = (f"{name} on {span(mine[name] for mine in cheapest)}" for name, _ in ordered[:4])
    return (
        "What should one build instead? Of the policies here the one that is so accurate on the"
        f" most trained networks, {most}, at the least energy is {', and '.join(named)}."
        f"{_on_less_area(machines, everywhere)} The cheapest, network by network, is"
        f" {', '.join(often)}.{_of_fixed_point(machines[0])}"
    )


def _of_fixed_point(found: Comparison) -> str:
    """Say what fixed point has for nothing, and what it needs, if some was run."""
    names = {
        parameter(policy, key) or "" for policy in found.plain for key in ("format", "low", "high")
    }
    if not any(name.startswith("fixed") for name in names):
        return ""
    spilling = any(policy.partition(":")[0] == SPILLING for policy in found.plain)
    return (
        " Fixed point (fixed13.7 is 13 bits, seven of them behind the point) is charged for the"
        " shift of products to the point and not for rounding, and its range and its last place"
        " have to suit the sums."
    ) + (" A sum that spills goes from low to high before it overflows." if spilling else "")


def _on_less_area(machines: Sequence[Comparison], everywhere: Sequence[Reached]) -> str:
    """Say what else is as accurate on as many networks for nearly as little, on the least area."""
    areas: dict[str, list[tuple[float, float]]] = {}
    for machine, reached in zip(machines, everywhere, strict=True):
        if not any(reached.values()):
            continue
        best = _surest([reached])
        number = sum(best in mine for mine in reached.values())
        near = {}
        for policy in {policy for mine in reached.values() for policy in mine}:
            area, there = machine.area_of(policy), sum(policy in mine for mine in reached.values())
            cheap = _ratio(reached, policy) <= NEARLY * _ratio(reached, best)
            if area is not None and there == number and cheap:
                near[policy] = area
        least = min(sorted(near), key=lambda policy: near[policy], default=best)
        if least != best and best in near:
            areas.setdefault(least, []).append((near[least], near[best]))
    return "".join(
        f" For no more than {NEARLY - 1.0:.0%} more energy {policy} is so accurate on as many, on"
        f" {_least_to_most([small for small, _ in pairs])} times the area of {HIGH}, where the"
        f" cheapest has {_least_to_most([large for _, large in pairs])}"
        + ("." if len(pairs) == len(machines) else f", at {len(pairs)} of {len(machines)} places.")
        for policy, pairs in areas.items()
    )


def _ratio(reached: Reached, policy: str) -> float:
    """Return the mean energy of a policy where it is as accurate, over that of uniform-high."""
    return _geometric_mean([mine[policy] for mine in reached.values() if policy in mine])


def _energies(everywhere: Sequence[Reached], policy: str) -> str:
    """Return the least and the largest energy of a policy where it is as accurate, place by place,
    over that of uniform-high.
    """
    return _least_to_most([*map(_geometric_mean, _ratios(everywhere)[policy])])


def _places(
    places: Sequence[int], machines: Sequence[Comparison], everywhere: Sequence[Reached]
) -> str:
    """Return the words for some of the places; of many, how many they are, and how many if those
    are one at which whatever redoes nothing takes the same.
    """
    if len(machines) <= MOST_NAMED:
        return f" on {'; '.join(machines[place].place for place in places)}"
    plain = {*machines[0].plain}
    kinds = [
        frozenset(
            (key, *one) for key, mine in reached.items() for one in mine.items() if one[0] in plain
        )
        for reached in everywhere
    ]
    some, all_ = (len({kinds[place] for place in which}) for which in (places, range(len(kinds))))
    alike = f" ({some} of {all_} but for their units to redo outputs)" if all_ < len(kinds) else ""
    return f" at {len(places)} of the {len(machines)} places{alike}"


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
        f"Of the policies here nothing beats these in both energy and KL divergence {places},"
        f" {seeds_of(held[0])}:"
        f" {', '.join(everywhere) or 'no policy'}. Of the points that nothing beats,"
        f" {span(redone)} redo{'es' if {*redone} == {1} else ''} outputs."
    )


def _least_to_most(ratios: Sequence[float]) -> str:
    """Return the ends of some ratios: `0.62 to 0.75`, or one that they all round to."""
    ends = (f"{end:.2f}" for end in (min(ratios), max(ratios))) if ratios else ()
    return " to ".join(dict.fromkeys(ends))


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
