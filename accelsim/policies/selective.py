"""Recompute what is ill-conditioned: the rule of arXiv:2503.15568."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from accelsim.numerics.conditioning import condition_number
from accelsim.policies.base import LayerView, Score, Threshold
from accelsim.policies.cluster import Cluster
from accelsim.policies.numerators import Estimate, Numerator, source
from accelsim.policies.threshold import ThresholdPolicy
from accelsim.trace import Detector


class Selective(ThresholdPolicy):
    """Recompute an output in `high` where its condition number κ = κ_v·κ_φ exceeds `tau`.

    κ is taken from the low-precision result. With γ_n the bound of n roundings, τ = 8 says: redo
    what may have a relative error above 8·γ_n. With the running error R in the place of S, it says:
    redo what may have a relative error above 8·u.
    """

    name: ClassVar[str] = "selective"
    summary: ClassVar[str] = "low first, then outputs with condition number above tau in high"

    tau: Threshold = 16.0
    numerator: Numerator = "constant"

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return κ."""
        values = layer.require_values()
        return condition_number(values.activation, values.pre_activation, numerator, bound)

    def detector(self, layer: LayerView) -> Detector:
        """Return what it costs to compare |v| with numerator/τ, for tanh through a table of sinh.

        For ReLU, a negative v is compared with the bound of the error as well, unless that never
        decides: where factor·τ ≥ 1, it exceeds numerator/τ, and where it is 0, the sign is enough.

        With clusters, κ itself is needed: a reciprocal is two steps of Newton's iteration from a
        table, of two multiplications and an addition each.
        """
        cost = self._single(layer)
        if self.cluster == Cluster():
            return cost
        return self.combining(
            replace(
                cost,
                multiplies_per_output=cost.multiplies_per_output + 4,
                adds_per_output=cost.adds_per_output + 2,
            )
        )

    def _single(self, layer: LayerView) -> Detector:
        cost = source(self.numerator, self.low)
        if self.numerator == "constant":
            return replace(cost, compares_per_output=1)  # with a constant chosen by the sign
        relu = layer.values is not None and layer.values.activation == "relu"
        factor = self.factor(layer.k)
        if relu and factor > 0.0 and 0.0 <= factor * self.threshold(layer) < 1.0:
            adds = int(self.numerator != "running-error")  # what underflow adds is in it already
            return replace(
                cost, multiplies_per_output=2, adds_per_output=adds, compares_per_output=2
            )
        return replace(cost, multiplies_per_output=1, compares_per_output=1)
