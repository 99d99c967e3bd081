"""The cheapest way to an accuracy, network by network: redoing outputs, or redoing none.

Where all low is as accurate as all high, neither is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_build import UNKNOWABLE
from accelsim.report.policy_curves import AS_GOOD, CHANCE, NOTHING_DRAWN, Comparison
from accelsim.report.policy_when import cases, conditions, when_table

NEITHER = "neither is needed"
REDO, OTHER, PLAIN = "the rule wins", "another rule wins", "what redoes nothing wins"
NONE = "nothing is cheaper"


def networks_section(machines: Sequence[Comparison], rules: Sequence[str]) -> Section | None:
    """Return which way is the cheapest on which networks; None without anything to compare."""
    if not all(NOTHING_DRAWN in found.by_policy for found in machines):
        return None
    trained = cases(machines, *rules)
    return Section(
        "Where redoing wins, where it does not, and where neither matters",
        paragraphs=(
            f"A network trained from one seed needs neither where {NOTHING_DRAWN} loses no more"
            f" than {100 * AS_GOOD:g} points of accuracy to {HIGH}. Elsewhere the cheapest point"
            f" that loses no more wins: of the rule of arXiv:2503.15568 ({' or '.join(rules)}), of"
            " another rule that a machine could follow, or of what redoes nothing; or nothing does"
            f" that takes less energy than {HIGH}.",
        ),
        findings=(*(_sentence(found, rules) for found in machines), *conditions(trained, machines)),
        tables=(
            when_table(trained, machines),
            *(_table(found, rules) for found in machines),
        ),
    )


def winner(found: Comparison, rules: Sequence[str], key: tuple[str, int]) -> tuple[str, str]:
    """Return what wins on a network and seed, and the policy that does."""
    if found.cheapest_as_good(NOTHING_DRAWN, key, AS_GOOD) is not None:
        return NEITHER, NOTHING_DRAWN
    ratios = {
        policy: ratio
        for policy in found.by_policy
        if not policy.startswith((UNKNOWABLE, CHANCE))
        and (ratio := found.cheapest_as_good(policy, key, AS_GOOD)) is not None
        and ratio < 1.0
    }
    if not ratios:
        return NONE, HIGH
    best = min(ratios, key=lambda policy: ratios[policy])
    if best in rules:
        return REDO, best
    return (OTHER if best in found.redoing else PLAIN), best


def _sentence(found: Comparison, rules: Sequence[str]) -> str:
    won = [winner(found, rules, key) for key in found.by_policy[HIGH]]
    counts = Counter(how for how, _ in won)
    return (
        f"On {found.place}, of {len(won)} trained networks"
        f" {counts[NEITHER]} need neither; of the others the rule is the cheapest on"
        f" {counts[REDO]}{_named(won, REDO)}, another rule on {counts[OTHER]}{_named(won, OTHER)},"
        f" what redoes nothing on {counts[PLAIN]}{_named(won, PLAIN)}, and nothing takes less"
        f" energy than {HIGH} on {counts[NONE]}."
    )


def _named(won: Sequence[tuple[str, str]], kind: str) -> str:
    policies = Counter(policy for how, policy in won if how == kind)
    named = ", ".join(f"{policy} {number}" for policy, number in policies.most_common(3))
    return f" ({named})" if named else ""


def _table(found: Comparison, rules: Sequence[str]) -> Table:
    by_network: dict[str, list[tuple[str, str]]] = {}
    for network, seed in sorted(found.by_policy[HIGH]):
        by_network.setdefault(network, []).append(winner(found, rules, (network, seed)))
    kinds = (NEITHER, REDO, OTHER, PLAIN, NONE)
    rows = []
    for network, won in by_network.items():
        counts, best = Counter(how for how, _ in won), Counter(policy for _, policy in won)
        rows.append((network, *(str(counts[how]) for how in kinds), best.most_common(1)[0][0]))
    return Table(
        f"On {found.place}: of how many seeds of each network what wins,"
        " and the policy that does most often.",
        (
            Column("network"),
            *(Column(how, numbers=True) for how in kinds),
            Column("most often"),
        ),
        tuple(rows),
    )
