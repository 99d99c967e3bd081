"""What policies give at equal cost: from the rows of a study of many networks and seeds.

A policy with a budget is a curve: a point for each `rate`, between which the logarithm of the KL
divergence is taken to be straight. One of a single rate is taken as it is at larger ones.
Policies are compared network by network where both curves reach; ratios of KL divergences are
averaged by their logarithms. Controls, which redo as much as a rule does, are no policies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from accelsim.report.break_even import HIGH, Row, value
from accelsim.report.policy_means import Key, Mean, mean_ratio
from accelsim.report.survey import CONTROL

KL = "kl_divergence_nats"
RATE = "recompute_rate"
AREA = "area_um2"
RATES = (0.03, 0.1, 0.3)
"""Recompute rates at which policies are compared."""
LEAST_KL = 1e-12
"""Nats that no smaller divergence counts as, so that it has a logarithm."""
BUDGETS = ("rate", "tau", "seed")
"""Parameters that tell the points of a curve apart, or the draws of a lot."""
LAYER_TAUS = "layer_taus"
"""The parameter that gives each layer a threshold of its own."""
Values = Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]
SEED = re.compile(r"(.+)-seed(\d+)")
"""How a workload is called that is a network trained again; without it, the seed is 0."""
NEAR = 1.05
"""Rates that differ by no more than this factor are the same: a budget is met in whole outputs."""
CHANCE, NOTHING_DRAWN, FP16 = "random", "uniform-low", "uniform:format=fp16"
AS_GOOD = 0.005
"""Accuracies that differ by no more than this, half a point, are as good."""


def family(policy: str, without: Sequence[str] = BUDGETS) -> str:
    """Return a policy's text without its budget: `selective:numerator=exact`."""
    name, _, given = policy.partition(":")
    kept = [part for part in given.split(",") if part and part.split("=")[0] not in without]
    return name + (":" + ",".join(kept) if kept else "")


def parameter(policy: str, name: str) -> str | None:
    """Return what a policy's text says of a parameter; None if it does not."""
    for part in policy.partition(":")[2].split(","):
        key, _, value = part.partition("=")
        if key == name:
            return value
    return None


def one_for_all(policy: str) -> str | None:
    """Return the family of a policy with a threshold for each layer as it is with one for all;
    None of any other policy.
    """
    if parameter(policy, LAYER_TAUS) is None:
        return None
    return family(policy, (*BUDGETS, LAYER_TAUS))


def network_of(workload: str) -> tuple[str, int]:
    """Return the network and the seed that a workload's name says."""
    match = SEED.fullmatch(workload)
    return (match[1], int(match[2])) if match else (workload, 0)


def energy(row: Row) -> float:
    """Return what a run takes, with leakage if it is known."""
    return value(row, "energy")


def cost_of(row: Row, column: str) -> float:
    """Return a column of a row, or its `energy`."""
    return energy(row) if column == "energy" else float(row[column])


def log_kl(row: Row) -> float:
    """Return the natural logarithm of a row's KL divergence in nats."""
    return math.log(max(float(row[KL]), LEAST_KL))


@dataclass(frozen=True)
class Curve:
    """One policy on one network of one seed, on one machine under one energy table.

    `rows` are in the order of the recompute rate: one, if nothing has a budget.
    """

    network: str
    seed: int
    policy: str
    hardware: str
    table: str
    rows: tuple[Row, ...]

    @cached_property
    def log_kl(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The natural logarithm of the KL divergence, row by row."""
        return np.array([log_kl(row) for row in self.rows])

    def log_kl_at(self, cost: str, least: float) -> float | None:
        """Return ln KL where `cost` is `least`, as `at` does."""
        return self.at(cost, least, self.log_kl)

    def at(self, cost: str, least: float, values: Values) -> float | None:
        """Return what is `values` row by row where `cost` (a column, or `energy`) is `least`; None
        beyond the curve. One of a single point reaches every cost that is not below its own.
        """
        costs = [cost_of(row, cost) for row in self.rows]
        near = NEAR if cost == RATE else 1.0
        if len(costs) == 1:
            return float(values[0]) if costs[0] <= near * least else None
        return _straight(costs, values, least, near)


def _straight(costs: Sequence[float], values: Values, at: float, near: float) -> float | None:
    """Return what lies between points, and so little beyond them as a factor of `near`."""
    distinct, place = np.unique(costs, return_inverse=True)
    if not distinct[0] <= near * at or not at <= near * distinct[-1]:
        return None
    means = np.bincount(place, values) / np.bincount(place)
    return float(np.interp(at, distinct, means))


def counts(row: Row) -> bool:
    """Whether a row is of a finished point with a finite KL divergence."""
    kl = row.get(KL)
    return bool(row["status"] == "done" and kl is not None and math.isfinite(kl))


def left_out(rows: Iterable[Row]) -> int:
    """Return of how many points the KL divergence is not finite."""
    return sum(row.get(KL) is not None and not counts(row) for row in rows)


def curves(rows: Iterable[Row]) -> list[Curve]:
    """Return a curve for each network, seed, policy, machine and table, of the finished rows that
    are no controls, and have no threshold for each layer where the same rule has one for all.
    """
    found: dict[tuple[str, int, str, str, str], list[Row]] = {}
    rows = [row for row in rows if counts(row) and row.get(CONTROL) is None]
    families = {family(str(row["policy"])) for row in rows}
    for row in rows:
        policy = str(row["policy"])
        if one_for_all(policy) in families:
            continue
        policy = family(policy)
        place = (*network_of(str(row["workload"])), policy)
        found.setdefault((*place, row["hardware"], row["energy_table"]), []).append(row)
    return [
        Curve(*key, tuple(sorted(mine, key=lambda row: float(row[RATE]))))
        for key, mine in found.items()
    ]


class _ByPolicy(dict[str, dict[Key, Curve]]):
    """Curves by policy; of one that was run elsewhere alone, none."""

    def __missing__(self, policy: str) -> dict[Key, Curve]:
        return {}


class Comparison:
    """All curves on one machine under one table, to be compared with each other."""

    def __init__(self, found: Sequence[Curve], hardware: str, table: str) -> None:
        self.hardware = hardware
        self.table = table
        self.by_policy = _ByPolicy()
        for curve in found:
            if (curve.hardware, curve.table) == (hardware, table):
                mine = self.by_policy.setdefault(curve.policy, {})
                mine[curve.network, curve.seed] = curve

    @property
    def place(self) -> str:
        """The machine and the table: `mid-32x32, 45nm`."""
        return f"{self.hardware}, {self.table}"

    @property
    def networks(self) -> int:
        """How many networks there are, each of one seed or more."""
        return len({network for mine in self.by_policy.values() for network, _ in mine})

    @property
    def redoing(self) -> list[str]:
        """The policies that redo outputs."""
        return [policy for policy in self.by_policy if self._redoes(policy)]

    @property
    def plain(self) -> list[str]:
        """The policies that redo nothing."""
        return [policy for policy in self.by_policy if not self._redoes(policy)]

    @property
    def of_one_rate(self) -> list[str]:
        """The policies that redo outputs, at one rate alone."""
        return [
            policy
            for policy in self.redoing
            if all(len(curve.rows) == 1 for curve in self.by_policy[policy].values())
        ]

    def _redoes(self, policy: str) -> bool:
        return any(row[RATE] for curve in self.by_policy[policy].values() for row in curve.rows)

    def one(self, name: str) -> str:
        """Return the first policy of a name, whatever its parameters."""
        return self.settings(name)[0]

    def settings(self, name: str) -> list[str]:
        """Return the policies of a name, one for each of its settings."""
        return [policy for policy in self.by_policy if policy.partition(":")[0] == name]

    def cheapest_as_good(self, policy: str, key: Key, within: float) -> float | None:
        """Return the energy, over that of `uniform-high`, of the cheapest point of a policy that
        loses at most `within` of its accuracy on a network and seed; None if none does.
        """
        row = self._as_good(policy, key, within)
        return None if row is None else energy(row) / energy(self.by_policy[HIGH][key].rows[0])

    def least_energy(self, policy: str, key: Key) -> float:
        """Return the energy, over that of `uniform-high`, of a policy at its least rate."""
        least, high = (energy(self.by_policy[one][key].rows[0]) for one in (policy, HIGH))
        return least / high

    def rate_as_good(self, policy: str, key: Key, within: float) -> float:
        """Return the recompute rate of that point."""
        row = self._as_good(policy, key, within)
        assert row is not None
        return float(row[RATE])

    def _as_good(self, policy: str, key: Key, within: float) -> Row | None:
        curve, high = self.by_policy[policy].get(key), self.by_policy[HIGH].get(key)
        if curve is None or high is None:
            return None
        wanted = float(high.rows[0]["accuracy"]) - within
        good = [row for row in curve.rows if float(row["accuracy"]) >= wanted]
        return min(good, key=energy, default=None)

    def at_rate(self, policy: str, than: str, rate: float, than_rate: float) -> Mean | None:
        """Return KL of a policy at a recompute rate as a ratio to that of another at its rate."""
        return mean_ratio(self.logs_at_rate(policy, than, rate, than_rate))

    def at_own_rate(self, policy: str, than: str) -> Mean | None:
        """Return KL of a policy of one rate as a ratio to that of another, at that rate."""
        logs = {}
        for key, curve in self.by_policy[policy].items():
            its = self.log_kl_of(than, key, float(curve.rows[0][RATE]))
            if its is not None:
                logs[key] = float(curve.log_kl[0]) - its
        return mean_ratio(logs)

    def own_rate(self, policy: str) -> float:
        """Return the rate of a policy of one rate, its mean over networks and seeds."""
        rates = [float(curve.rows[0][RATE]) for curve in self.by_policy[policy].values()]
        return math.fsum(rates) / len(rates)

    def logs_at_rate(
        self, policy: str, than: str, rate: float, than_rate: float
    ) -> dict[Key, float]:
        """Return the logarithms of these ratios, by network and seed."""
        logs = {}
        for key, curve in self.by_policy[policy].items():
            mine, its = curve.log_kl_at(RATE, rate), self.log_kl_of(than, key, than_rate)
            if mine is not None and its is not None:
                logs[key] = mine - its
        return logs

    def log_kl_of(self, policy: str, key: Key, rate: float) -> float | None:
        """Return ln KL at this very rate. A lottery that draws nothing is `uniform-low`."""
        curve = self.by_policy[policy].get(key)
        if curve is None:
            return None
        rates, logs = [float(row[RATE]) for row in curve.rows], [*map(float, curve.log_kl)]
        low = self.by_policy.get(NOTHING_DRAWN, {}).get(key)
        if policy == CHANCE and low is not None:
            rates, logs = [0.0, *rates], [float(low.log_kl[0]), *logs]
        return _straight(rates, logs, rate, NEAR)

    def cheaper(self, policy: str, whole: str) -> tuple[int, int]:
        """Return on how many networks and seeds a point of a policy takes less energy than `whole`,
        and of how many that is.
        """
        both = [
            (curve, self.by_policy[whole][key].rows[0])
            for key, curve in self.by_policy[policy].items()
            if key in self.by_policy[whole]
        ]
        less = sum(min(map(energy, curve.rows)) < energy(high) for curve, high in both)
        return less, len(both)

    def at_cost(self, policy: str, than: str, column: str, share: float) -> Mean | None:
        """Return KL of a policy as a ratio to that of another, both at a share of what
        `uniform-high` takes of a cost on the same network.
        """
        logs = {}
        for key, curve in self.by_policy[policy].items():
            other, high = self.by_policy[than].get(key), self.by_policy[HIGH].get(key)
            if other is None or high is None:
                continue
            budget = share * cost_of(high.rows[0], column)
            mine, its = (one.log_kl_at(column, budget) for one in (curve, other))
            if mine is not None and its is not None:
                logs[key] = mine - its
        return mean_ratio(logs)

    def cost_of(
        self, policy: str, column: str, whole: str, rate: float | None = None
    ) -> Mean | None:
        """Return the cost of a policy, at a recompute rate or its least, as a ratio to that of
        `whole`.
        """
        logs = {}
        for key, curve in self.by_policy[policy].items():
            high = self.by_policy[whole].get(key)
            costs = [cost_of(row, column) for row in curve.rows]
            mine = costs[0] if rate is None else curve.at(RATE, rate, costs)
            if high is not None and mine is not None:
                logs[key] = math.log(mine / cost_of(high.rows[0], column))
        return mean_ratio(logs)

    def area_of(self, policy: str) -> float | None:
        """Return a policy's area, at its least rate, over that of uniform-high; None where a table
        knows none.
        """
        if not self.knows_areas(policy, HIGH):
            return None
        mean = self.cost_of(policy, AREA, HIGH)
        return None if mean is None else mean.ratio

    def knows_areas(self, *policies: str) -> bool:
        """Return whether there is an area with every point of some policies."""
        return all(
            row.get(AREA) is not None
            for policy in policies
            for curve in self.by_policy[policy].values()
            for row in curve.rows
        )
