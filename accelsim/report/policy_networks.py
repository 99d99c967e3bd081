"""Where redoing outputs is the cheapest way to an accuracy, where chunks are, and where neither is
needed: network by network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_curves import AS_GOOD, NOTHING_DRAWN, Comparison

NEITHER = "neither is needed"
REDO, PLAIN = "the rule wins", "what redoes nothing wins"
NONE = "nothing is cheaper"


def networks_section(machines: Sequence[Comparison], rule: str) -> Section | None:
    """Return which way is the cheapest on which networks; None without anything to compare."""
    if not all(NOTHING_DRAWN in found.by_policy and _others(found) for found in machines):
        return None
    return Section(
        "Where redoing wins, where it does not, and where neither matters",
        paragraphs=(
            f"A network trained from one seed needs neither where {NOTHING_DRAWN} loses no more"
            f" than {100 * AS_GOOD:g} points of accuracy to {HIGH}. Elsewhere the cheapest point"
            f" that loses no more wins: of {rule}, or of what redoes nothing; or nothing does that"
            f" takes less energy than {HIGH}.",
        ),
        findings=tuple(_sentence(found, rule) for found in machines),
        tables=tuple(_table(found, rule) for found in machines),
    )


def _others(found: Comparison) -> list[str]:
    return [policy for policy in found.plain if policy not in (HIGH, NOTHING_DRAWN)]


def winner(found: Comparison, rule: str, key: tuple[str, int]) -> tuple[str, str]:
    """Return what wins on a network and seed, and the policy that does."""
    if found.cheapest_as_good(NOTHING_DRAWN, key, AS_GOOD) is not None:
        return NEITHER, NOTHING_DRAWN
    ratios = {
        policy: ratio
        for policy in (rule, *_others(found))
        if (ratio := found.cheapest_as_good(policy, key, AS_GOOD)) is not None and ratio < 1.0
    }
    if not ratios:
        return NONE, HIGH
    best = min(ratios, key=lambda policy: ratios[policy])
    return (REDO if best == rule else PLAIN), best


def _sentence(found: Comparison, rule: str) -> str:
    won = [winner(found, rule, key) for key in found.by_policy[HIGH]]
    counts = Counter(how for how, _ in won)
    plain = Counter(policy for how, policy in won if how == PLAIN)
    which = f" ({', '.join(f'{name} {n}' for name, n in plain.most_common(3))})" if plain else ""
    return (
        f"On {found.hardware}, {found.table} table, of {len(won)} trained networks"
        f" {counts[NEITHER]} need neither; of the others {rule} is the cheapest on {counts[REDO]},"
        f" what redoes nothing on {counts[PLAIN]}{which}, and nothing takes less energy than"
        f" {HIGH} on {counts[NONE]}."
    )


def _table(found: Comparison, rule: str) -> Table:
    by_network: dict[str, list[tuple[str, str]]] = {}
    for network, seed in sorted(found.by_policy[HIGH]):
        by_network.setdefault(network, []).append(winner(found, rule, (network, seed)))
    kinds = (NEITHER, REDO, PLAIN, NONE)
    rows = []
    for network, won in by_network.items():
        counts, best = Counter(how for how, _ in won), Counter(policy for _, policy in won)
        rows.append((network, *(str(counts[how]) for how in kinds), best.most_common(1)[0][0]))
    return Table(
        f"On {found.hardware}, {found.table} table: of how many seeds of each network what wins,"
        " and the policy that does most often.",
        (
            Column("network"),
            *(Column(how, numbers=True) for how in kinds),
            Column("most often"),
        ),
        tuple(rows),
    )
