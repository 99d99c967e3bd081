"""Accuracy lost and predictions changed, where policies have the same rate, energy or latency."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.report.break_even import HIGH
from accelsim.report.page import Column, Table
from accelsim.report.policy_build import held_out, seeds_of
from accelsim.report.policy_curves import RATE, Comparison, cost_of
from accelsim.report.policy_figures import MEASURES, Measure
from accelsim.report.policy_means import Key, average

CHANGES = {"lost": MEASURES[2], "changed": MEASURES[1]}
"""What is tabled, by the word for it in the head of a column."""
DECIMALS = 2


def at_cost(
    found: Comparison, policy: str, column: str, share: float, measure: Measure
) -> dict[Key, float]:
    """Return a measure of a policy where its cost is this share of `uniform-high`'s on the same
    network, or its recompute rate is; on a straight line between points.
    """
    measured = {}
    for key, curve in found.by_policy[policy].items():
        high = found.by_policy[HIGH].get(key)
        if high is None:
            continue
        whole = 1.0 if column == RATE else cost_of(high.rows[0], column)
        values = [measure.of(row, high.rows[0]) for row in curve.rows]
        value = curve.at(column, share * whole, values)
        if value is not None:
            measured[key] = value
    return measured


def changes_table(
    machine: Comparison, column: str, shares: Sequence[float], what: str, head: str
) -> tuple[Table, ...]:
    """Return accuracy lost and predictions changed at shares of a cost, by the seeds held out.

    `what` says in the caption what is equal, `head` in the heads of columns.
    """
    found = held_out(machine)
    rows = []
    for policy in found.by_policy:
        cells = []
        for measure in CHANGES.values():
            for share in shares:
                mean = average(at_cost(found, policy, column, share, measure))
                cells.append("" if mean is None else mean.text(DECIMALS, of=found.networks))
        if any(cells):
            rows.append((policy, *cells))
    table = Table(
        f"Points of accuracy lost to {HIGH} and predictions changed from the float32 network's (%)"
        f" at {what}, {seeds_of(found)}: means over networks with their confidence intervals, on a"
        " straight line between the points of a policy. One of a single point, or that redoes"
        " nothing, counts where it takes no more; where a policy has no such point on all"
        " networks, the number of those is said, and only means over all of them compare.",
        (
            Column("policy"),
            *(
                Column(f"{word} at {share:.0%} {head}".rstrip(), numbers=True)
                for word in CHANGES
                for share in shares
            ),
        ),
        tuple(rows),
    )
    return (table,) if rows else ()
