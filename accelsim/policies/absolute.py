"""Recompute what may have a large absolute error, whatever the size of the output."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from accelsim.numerics.conditioning import absolute_error
from accelsim.policies.base import LayerView, Score, Threshold
from accelsim.policies.numerators import Estimate, source
from accelsim.policies.threshold import ThresholdPolicy
from accelsim.trace import Detector


class Absolute(ThresholdPolicy):
    """Recompute an output in `high` where its error bound S·|φ'(v)| exceeds `tau`.

    In units of γ_n: τ = 8 says, redo what may have an absolute error above 8·γ_n. With the running
    error R in the place of S, the unit is u. A constant numerator would tell outputs apart by φ'
    alone, and is not offered.
    """

    name: ClassVar[str] = "absolute"
    summary: ClassVar[str] = "low first, then outputs with error bound above tau in high"

    tau: Threshold = 1.0
    numerator: Literal["exact", "l2", "l1-inf", "low", "running-error"] = "exact"

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return the error bound of φ(v), to first order."""
        values = layer.require_values()
        return absolute_error(values.activation, values.pre_activation, numerator, bound)

    def detector(self, layer: LayerView) -> Detector:
        """Return what it costs to compare the numerator with τ, for tanh after a product with φ'.

        φ' comes from a table. For ReLU, v is compared with the bound of the error as well, unless
        there is none, or it is 0 and the sign is enough. With clusters, scores are weighted and
        added up.
        """
        return self.combining(self._single(layer))

    def _single(self, layer: LayerView) -> Detector:
        cost = replace(source(self.numerator, self.low), compares_per_output=1)
        activation = layer.require_values().activation
        if activation == "tanh":
            return replace(cost, multiplies_per_output=1)
        factor = self.factor(layer.k)
        if activation == "relu" and 0.0 < factor < float("inf"):
            adds = int(self.numerator != "running-error")  # what underflow adds is in it already
            return replace(
                cost, multiplies_per_output=1, adds_per_output=adds, compares_per_output=2
            )
        return cost


def weighted(error: Score, weights: Score) -> Score:
    """Return errors (m,n) times the weight of each column (n,): infinite ones remain so, since what
    is not finite spoils the layers that follow in any case.
    """
    with np.errstate(invalid="ignore"):
        scores = error * weights
    scores[np.isnan(scores)] = np.inf  # of a column without weight
    return scores
