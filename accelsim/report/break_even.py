"""At which recompute rate a unit stops paying: from the rows of a study that sweeps both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from accelsim.errors import AccelsimError

Row = dict[str, Any]
MEASURES = {
    "energy": ("total_energy_nj", "energy_pj"),
    "time": ("latency_s",),
}
"""What is compared, and the columns that say it: the first that a row has. Leakage counts if known.
"""
HIGH = "uniform-high"
LOOKED_AT = 0.1
"""The rate at which the added energy is taken apart."""
PLAIN = ("uniform", "chunked")
NEEDED = ("recompute", "policy.rate")
SHARES = {
    "the array": ("array_pj",),
    "the recompute unit": ("recompute_pj",),
    "its queue": ("queue_pj",),
    "detection": ("detector_pj",),
    "scratchpads": ("scratchpad_a_pj", "scratchpad_b_pj", "scratchpad_c_pj"),
    "DRAM": ("dram_pj",),
    "the vector unit": ("vector_pj",),
    "wires and clock": ("wires_pj", "clock_pj"),
    "leakage": ("leakage_nj",),
}
"""Parts of the energy, and the columns that add up to each: every component, and what leaks."""


def unit_name(unit: dict[str, Any]) -> str:
    """Return a recompute unit in a few words."""
    schedule = ", deferred" if unit.get("schedule") == "deferred" else ""
    match unit["unit"]:
        case "lanes":
            return f"{unit['lanes']} lanes{schedule}"
        case "dual":
            return "dual accumulators"
    how = {"tile": "array, whole waves", "row": "array, gathered rows"}
    how["column"] = "array, gathered columns"
    return how.get(unit.get("granularity", "element"), "array, flagged PEs") + schedule


@dataclass(frozen=True)
class Curve:
    """What one unit takes at each rate, on one machine under one table, flags drawn one way.

    `setting` says what else is swept.
    `rows` are in the order of the rate; `against` are the rows without recomputation, by policy.
    """

    hardware: str
    setting: str
    table: str
    cluster: str
    unit: str
    rows: tuple[Row, ...]
    against: dict[str, Row]

    def ratios(self, measure: str, policy: str) -> list[float]:
        """Return what the unit takes at each rate as a multiple of what a policy does."""
        whole = value(self.against[policy], measure)
        return [value(row, measure) / whole for row in self.rows]

    @cached_property
    def rates(self) -> list[float]:
        """The share of outputs that were flagged."""
        return [float(row["recompute_rate"]) for row in self.rows]

    def break_even(self, measure: str, policy: str) -> float | None:
        """Return the rate at which the unit begins to take more than a policy does.

        Between two rates of the study it is read off a straight line; 0 if it is less than the
        least of them that is not 0, where costs that begin to saturate at once leave no line to
        draw. None if it takes more at every rate, infinity if at none.
        """
        points = list(zip(self.rates, self.ratios(measure, policy), strict=True))
        if points[0][1] >= 1.0:
            return None
        for (rate, below), (beyond, above) in itertools.pairwise(points):
            if above >= 1.0 and rate == 0.0:
                return 0.0
            if above >= 1.0:
                return rate + (beyond - rate) * (1.0 - below) / (above - below)
        return math.inf

    def where_it_stops(self, measure: str) -> float:
        """Return the rate at which the unit begins to take more than `uniform-high`, the least of
        the study if that is less, or `LOOKED_AT` if there is no such rate.
        """
        stops = self.break_even(measure, HIGH)
        if stops is None or math.isinf(stops):
            return LOOKED_AT
        return max(stops, min((rate for rate in self.rates if rate > 0.0), default=0.0))

    def growth(self, column: str, rate: float) -> float:
        """Return how much a column grows from rate 0 to the row nearest to `rate`."""
        near = min(self.rows, key=lambda row: abs(row["recompute_rate"] - rate))
        return float(near[column] - self.rows[0][column])

    def added_pj(self, rate: float) -> dict[str, float]:
        """Return the energy that recomputation adds at a rate by part, which add up to the growth
        of what units are compared by: without leakage, if that is not known.
        """
        return {
            name: math.fsum(
                self.growth(column, rate) * (1e3 if column.endswith("_nj") else 1.0)
                for column in columns
                if self.rows[0][column] is not None
            )
            for name, columns in SHARES.items()
        }

    def what_grows(self, rate: float) -> list[tuple[str, float]]:
        """Return the parts of the energy that recomputation adds at a rate, the largest first."""
        parts = self.added_pj(rate)
        total = math.fsum(parts.values())
        shares = [(name, part / total) for name, part in parts.items() if part and total > 0]
        return sorted(shares, key=lambda share: -share[1])


def value(row: Row, measure: str) -> float:
    """Return what a row takes."""
    for column in MEASURES[measure]:
        if row.get(column) is not None:
            return float(row[column])
    raise AccelsimError(f"point {row['point']}: has no {' or '.join(MEASURES[measure])}")


def curves(rows: Sequence[Row], swept: Sequence[str]) -> list[Curve]:
    """Return a curve for each machine, setting, table, way of drawing flags and unit.

    Raises AccelsimError if the study has no unit to compare, or nothing to compare it with.
    """
    missing = [key for key in NEEDED if key not in swept]
    if missing:
        raise AccelsimError(f"the study does not sweep {' and '.join(missing)}")
    done = [row for row in rows if row["status"] == "done"]
    others = [key for key in swept if key not in (*NEEDED, "policy.cluster", "energy_table")]
    found: dict[tuple[str, str, str, str, str], dict[float, Row]] = {}
    against: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in done:
        setting = ", ".join(f"{key} {_plain(row.get(key))}" for key in others)
        place = (row["hardware"], setting, row["energy_table"])
        name = str(row["policy"])
        if name.startswith(PLAIN):
            # Without recomputation the unit makes no difference but for the area that leaks.
            before = against.setdefault(place, {}).setdefault(name, row)
            if value(row, "energy") < value(before, "energy"):
                against[place][name] = row
        elif row.get("recompute"):  # the grid of this point sweeps units
            cluster = str(row.get("policy.cluster") or "1x1")
            key = (*place, cluster, unit_name(row["recompute"]))
            found.setdefault(key, {})[float(row["recompute_rate"])] = row
    found = {key: by_rate for key, by_rate in found.items() if len(by_rate) > 1}
    # What all are compared with is one list of policies, with `uniform-high` in it.
    compared = {key[:3] for key in found if HIGH in against.get(key[:3], {})}
    if not compared:
        raise AccelsimError(
            f"the study has no finished points both of several recompute rates and of {HIGH}"
        )
    common = set.intersection(*({*against[place]} for place in compared))
    return [
        Curve(
            *key,
            tuple(by_rate[rate] for rate in sorted(by_rate)),
            {name: row for name, row in against[key[:3]].items() if name in common},
        )
        for key, by_rate in found.items()
        if key[:3] in compared
    ]


def _plain(given: object) -> str:
    if isinstance(given, dict):
        return ", ".join(f"{key}: {value}" for key, value in given.items()) or "as it is"
    return str(given)
