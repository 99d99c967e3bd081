"""Recompute the outputs that may be the largest: what an arg-max asks for, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from accelsim.policies.base import AccumulatorFormat, LayerView, Policy, Score, Threshold
from accelsim.policies.chunked import Chunked
from accelsim.policies.numerators import Estimate, Numerator, estimate, source
from accelsim.policies.threshold import ScoredPolicy
from accelsim.policies.uniform import Uniform
from accelsim.trace import Detector, Mask


class LookAhead(ScoredPolicy):
    """Recompute the contenders of the last layer in `high`; hidden layers are left in `hidden`.

    An output lies in v̂ ± E, E the bound of its error divided by `tau`. Contenders are the outputs
    whose interval overlaps that of every larger one, and the largest itself if there are others.
    With `tau=1`, and a numerator that is a bound, the arg-max is that of exact sums, as far as
    `high` can tell. An output that overflowed may be anything, and always contends.
    """

    name: ClassVar[str] = "look-ahead"
    summary: ClassVar[str] = "low first, then the last layer's contenders for the arg-max in high"

    tau: Threshold = 1.0
    numerator: Numerator = "running-error"
    hidden: AccumulatorFormat | None = None
    """The format of the layers before the last one; that of `low` unless given."""

    def at(self, index: int, number: int) -> Policy:
        """Return a uniform rule, but for the last layer."""
        if index == number - 1:
            return self
        if self.chunk is not None and self.hidden is None:
            return Chunked(chunk=self.chunk, low=self.low, high=self.high, overflow=self.overflow)
        return Uniform(format=self.hidden or self.low, overflow=self.overflow)

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return the least `tau` at which the output is no contender."""
        values = layer.require_values()
        lost = values.overflowed | ~np.isfinite(values.pre_activation)
        v = np.where(lost, 0.0, values.pre_activation.astype(np.float64))
        found = overlap(v, np.where(lost, np.inf, np.broadcast_to(bound, v.shape)))
        return np.where(lost, np.inf, found)

    def needed(self, layer: LayerView) -> Mask:
        """Return the contenders among exact values, as they would have to be told apart."""
        kind: Numerator = "running-error" if self.numerator == "running-error" else "exact"
        numerator = estimate(kind, layer, self.low)
        bound = self.bound(kind, layer.k, numerator)
        return np.asarray(self.score(layer, numerator, bound) > self.threshold(layer))

    def detector(self, layer: LayerView) -> Detector:
        """Return what it costs to make E, both ends of the interval, the largest lower end of a
        sample, and to compare upper ends with that.
        """
        adds = 2 if self.numerator == "running-error" else 3  # what underflow adds
        cost = source(self.numerator, self.low)
        return replace(cost, multiplies_per_output=1, adds_per_output=adds, compares_per_output=2)


def overlap(v: Score, bound: Score) -> Score:
    """Return for each output (m,n) the τ up to which it contends for the largest of its row.

    Output i contends where v_i + E_i > v_j - E_j for all j, E = `bound`/τ: where τ is less than
    (bound_i + bound_j)/(v_j - v_i) for every larger v_j. The largest contends if another does.
    Infinite where the largest is not alone, or bounds are infinite.
    """
    rows = np.arange(len(v))
    largest = np.argmax(v, axis=1)
    found = np.full(v.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for j in range(v.shape[1]):
            gap = v[:, j : j + 1] - v
            ratio = (bound + bound[:, j : j + 1]) / gap
            found = np.where(gap > 0.0, np.minimum(found, ratio), found)
    found[rows, largest] = -np.inf
    found[rows, largest] = np.maximum(found.max(axis=1), 0.0)
    return found
