"""The other control: redo what is most wrong, which no machine can know."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from accelsim.policies.base import THRESHOLD, LayerView, RatePolicy
from accelsim.trace import Detector, Mask


class Oracle(RatePolicy):
    """Recompute the fraction of every layer's outputs whose sums are furthest from what the high
    accumulator gives.

    Among equals the first in row-major order are taken. The machine is charged one comparison an
    output, as for the cheapest real detector.
    """

    name: ClassVar[str] = "oracle"
    summary: ClassVar[str] = "low first, then the outputs with the largest true error in high"
    needs_values: ClassVar[bool] = True
    needs_exact: ClassVar[bool] = True

    def detector(self, layer: LayerView) -> Detector:
        """One comparison an output."""
        return THRESHOLD

    def select(self, layer: LayerView) -> Mask:
        """Return a mask with round(rate·m·n) outputs set."""
        values = layer.require_values()
        assert values.exact is not None
        with np.errstate(invalid="ignore"):
            error = np.abs(values.pre_activation.astype(np.float64) - values.exact)
        error[np.isnan(error)] = np.inf
        order = np.argsort(-error, axis=None, kind="stable")
        mask = np.zeros(error.size, np.bool_)
        mask[order[: round(self.rate_of(layer.index) * error.size)]] = True
        return mask.reshape(error.shape)
