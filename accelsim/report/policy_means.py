"""Means over networks and their confidence intervals: Student's, of the means over a network's
seeds, so that a network trained often, or run on many machines, counts once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95
FEWEST = 3
"""Networks of which an interval is shown."""
Key = tuple[str, int]
"""A network and the seed that it was trained from."""


@dataclass(frozen=True)
class Mean:
    """A geometric mean of ratios over networks, its confidence interval, and how many they are.

    With one network there is no interval; with two it says nothing, and their number is shown.
    """

    ratio: float
    low: float | None
    high: float | None
    networks: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{_short(self.ratio)} (1 network)"
        if self.networks < FEWEST:
            return f"{_short(self.ratio)} ({self.networks} networks)"
        return f"{_short(self.ratio)} ({_short(self.low)}–{_short(self.high)})"


@dataclass(frozen=True)
class Average:
    """An arithmetic mean over networks, half of its confidence interval, and how many they are."""

    middle: float
    half: float | None
    networks: int

    def text(self, decimals: int, unit: str = "", of: int | None = None) -> str:
        """Return it with its interval; and the number of networks, if they are not all `of`."""
        shown = f"{self.middle:z.{decimals}f}{unit}"
        few = f"{self.networks} network{'s' * (self.networks != 1)}"
        if self.half is None or self.networks < FEWEST:
            return f"{shown} ({few})"
        low, high = self.middle - self.half, self.middle + self.half
        left = "" if of is None or of == self.networks else f"; {few}"
        return f"{shown} ({low:z.{decimals}f} to {high:z.{decimals}f}{left})"


def cell(mean: Mean | None) -> str:
    """Return a mean as it stands in a table."""
    return "" if mean is None else str(mean)


def _short(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio >= 0.1 else f"{ratio:.2g}"


def mean_ratio(logs: Mapping[Key, float]) -> Mean | None:
    """Return the mean of ratios of which (network, seed) -> logarithm is given."""
    mean = average(logs)
    if mean is None:
        return None
    if mean.half is None:
        return Mean(math.exp(mean.middle), None, None, 1)
    low, high = mean.middle - mean.half, mean.middle + mean.half
    return Mean(math.exp(mean.middle), math.exp(low), math.exp(high), mean.networks)


def average(values: Mapping[Key, float]) -> Average | None:
    """Return the mean of (network, seed) -> value: over the seeds of each, then over networks."""
    if not values:
        return None
    by_network: dict[str, list[float]] = {}
    for (network, _), value in values.items():
        by_network.setdefault(network, []).append(value)
    means = np.array([np.mean(mine) for mine in by_network.values()])
    middle = float(means.mean())
    if means.size == 1:
        return Average(middle, None, 1)
    error = float(means.std(ddof=1)) / math.sqrt(means.size)
    half = float(student.ppf((1 + CONFIDENCE) / 2, means.size - 1)) * error
    return Average(middle, half, means.size)
