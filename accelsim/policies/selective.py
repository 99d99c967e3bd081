"""Recompute what is ill-conditioned: the rule of arXiv:2503.15568."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

import accelsim.numerics as numerics
from accelsim.numerics import Accumulator
from accelsim.numerics.conditioning import condition_number, gamma
from accelsim.policies.base import HIGH, THRESHOLD, LayerValues, LayerView, RecomputingPolicy
from accelsim.trace import Detector, Mask

EXACT_NUMERATOR = Detector("exact numerator", HIGH, multiplies_per_output=1, compares_per_output=1)
"""S is accumulated beside the sum, multiplied by a function of v, and compared with τ."""


class Selective(RecomputingPolicy):
    """Recompute an output in `high` where its condition number κ = κ_v·κ_φ exceeds `tau`.

    κ is taken from the low-precision result. `numerator` says where S = |W||h| in κ_v = S/|v|
    comes from: `exact` accumulates it beside the sum; `constant` is the layer's mean of S over
    the training set, which leaves one comparison of |v| with a constant.
    Outputs whose sum overflowed on the way are always recomputed. `tau=0` recomputes every output.
    """

    name: ClassVar[str] = "selective"
    summary: ClassVar[str] = "low first, then outputs with condition number above tau in high"
    always_shown: ClassVar[tuple[str, ...]] = ("tau", "numerator")
    needs_values: ClassVar[bool] = True

    tau: Annotated[float, Field(ge=0.0)] = 16.0
    numerator: Literal["exact", "constant"] = "constant"

    @property
    def detector(self) -> Detector:
        """One comparison, or the second accumulation as well."""
        return EXACT_NUMERATOR if self.numerator == "exact" else THRESHOLD

    def select(self, layer: LayerView) -> Mask:
        """Return κ > τ, or overflow, or everything for τ = 0."""
        values = layer.values
        if values is None:
            raise TypeError("selective recomputation needs the values of the layer")
        if self.tau == 0.0:
            return np.ones((layer.m, layer.n), np.bool_)
        numerator = self._numerator(values)
        bound = gamma(layer.k, self.low.unit_roundoff)
        # Rounding to a subnormal loses up to half of the smallest one at each step, whatever S is.
        lost = layer.k * self.low.min_subnormal / 2
        with np.errstate(invalid="ignore"):  # no bound times no terms: nothing is certain
            margin = bound * numerator + (1.0 + bound) * lost
        kappa = condition_number(values.activation, values.pre_activation, numerator, margin)
        return np.asarray((kappa > self.tau) | values.overflowed)

    def needed(self, layer: LayerView) -> Mask:
        """Return where the exact κ exceeds τ; `layer` holds the values of an exact first pass."""
        values = layer.values
        if values is None:
            raise TypeError("selective recomputation needs the values of the layer")
        numerator = numerics.matmul(np.abs(values.inputs), np.abs(values.weight), Accumulator(HIGH))
        kappa = condition_number(values.activation, values.pre_activation, numerator, 0.0)
        return np.asarray(kappa > self.tau)

    def _numerator(self, values: LayerValues) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        if self.numerator == "constant":
            return np.full((1, 1), values.mean_abs_sum, np.float32)
        return numerics.matmul(np.abs(values.inputs), np.abs(values.weight), Accumulator(HIGH))
