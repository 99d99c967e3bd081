"""How flags lie together, which decides what hardware can use, and what detectors miss."""

from __future__ import annotations

import re
from collections.abc import Iterable

from accelsim.report.page import Column, Section, Table
from accelsim.report.policy_build import held_out, seeds_of
from accelsim.report.policy_curves import RATE, Comparison, Curve
from accelsim.report.policy_means import Average, average

AT = 0.1
"""The rate at which clusters are looked at, or the nearest."""
FLAGGED = re.compile(r"flagged_(.+)_by_lot")


def clusters_section(machine: Comparison, rule: str) -> Section:
    """Return how flags lie together, and what detectors miss, by the seeds held out."""
    found = held_out(machine)
    if rule not in found.by_policy:  # it was run on seed 0 alone
        found = machine
    missed = _missed_table(found)
    return Section(
        "How flags lie together, and what detectors miss",
        findings=(_cluster_sentence(found, rule),),
        tables=(_cluster_table(found), *((missed,) if missed.rows else ())),
    )


def _blocks(found: Comparison) -> list[str]:
    """Return the kinds of blocks of outputs of which rows say how many are flagged."""
    rows = [
        row for mine in found.by_policy.values() for curve in mine.values() for row in curve.rows
    ]
    named = [match[1] for column in rows[0] if (match := FLAGGED.fullmatch(column))]
    return [
        block for block in named if all(row.get(f"flagged_{block}") is not None for row in rows)
    ]


def _share(mine: Iterable[Curve], column: str) -> Average:
    """Return a column in per cent at the rate nearest to `AT`."""
    near = {
        (curve.network, curve.seed): min(curve.rows, key=lambda row: abs(row[RATE] - AT))
        for curve in mine
    }
    mean = average({key: 100.0 * float(row[column]) for key, row in near.items()})
    assert mean is not None
    return mean


def _cluster_sentence(found: Comparison, rule: str) -> str:
    mine = found.by_policy[rule].values()
    parts = [
        f"{_share(mine, f'flagged_{block}').text(0, '%')} of {_words(block)}"
        f" (by lot {_share(mine, f'flagged_{block}_by_lot').text(0, '%')})"
        for block in _blocks(found)
    ]
    return f"At a rate near {AT:.0%}, flags of {rule} touch {', '.join(parts)}."


def _words(block: str) -> str:
    return block.replace("_", " ")


def _cluster_table(found: Comparison) -> Table:
    blocks = _blocks(found)
    rows = []
    for policy in found.redoing:
        mine = found.by_policy[policy].values()
        cells = [_share(mine, RATE).text(1, of=found.networks)]
        for block in blocks:
            flagged, by_lot = (
                _share(mine, column) for column in (f"flagged_{block}", f"flagged_{block}_by_lot")
            )
            cells.append(f"{flagged.text(0)}, by lot {by_lot.text(0)}")
        rows.append((policy, *cells))
    return Table(
        f"At the rate nearest to {AT:.0%}, {seeds_of(found)}: the share (%) of rows (samples),"
        " columns (neurons) and blocks of outputs that hold a flag, and what it is if as many are"
        " drawn by lot. Means over networks, with their confidence intervals.",
        (
            Column("policy"),
            Column("recompute rate (%)", numbers=True),
            *(Column(f"{_words(block)} (%)", numbers=True) for block in blocks),
        ),
        tuple(rows),
    )


def _missed_table(found: Comparison) -> Table:
    """Return the false negatives of every rule at each of its rates."""
    rows = []
    for policy in found.redoing:
        mine = found.by_policy[policy]
        for place in range(min(len(curve.rows) for curve in mine.values())):
            points = {key: curve.rows[place] for key, curve in mine.items()}
            missed = average(
                {
                    key: 100.0 * float(row["false_negative_rate"])
                    for key, row in points.items()
                    if row["false_negative_rate"] is not None
                }
            )
            rate = average({key: 100.0 * float(row[RATE]) for key, row in points.items()})
            if missed is not None and rate is not None:
                shown = missed.text(1, of=found.networks)
                rows.append((policy, f"{rate.middle:.1f}", shown))
    return Table(
        f"False negatives, {seeds_of(found)}: of the outputs that a rule would redo if it saw exact"
        " sums, the share (%) that it did not. Each rule is held to its own exact score and its own"
        " threshold, so that different rules are asked for different outputs: one whose bound is"
        " far above the true error meets its rate by a threshold that few outputs exceed in truth,"
        " and misses few, without being the better detector. The rates of one rule may be compared;"
        " rules with each other by KL divergence at the same rate alone. Means over the networks"
        " on which exact sums would have anything redone, with their confidence intervals.",
        (
            Column("policy"),
            Column("recompute rate (%)", numbers=True),
            Column("false negatives (%)", numbers=True),
        ),
        tuple(rows),
    )
