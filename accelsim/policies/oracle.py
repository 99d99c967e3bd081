"""The other control: redo what is most wrong, which no machine can know."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from accelsim.policies.base import THRESHOLD, Calibration, LayerView, Score
from accelsim.policies.recomputing import RatePolicy
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

    def scores(self, layer: LayerView) -> Score:
        """Return the error of each output, infinite where it is NaN."""
        values = layer.require_values()
        assert values.exact is not None
        with np.errstate(invalid="ignore"):
            error = np.abs(values.pre_activation.astype(np.float64) - values.exact)
        error[np.isnan(error)] = np.inf
        return error

    def calibrate(self, layer: LayerView, scores: Score) -> Calibration:
        """Return round(rate·m·n) outputs."""
        number = round(self.rate_of(layer.index) * scores.size)
        if number == 0:
            return Calibration(outputs=np.zeros(scores.shape, np.bool_))
        least = np.partition(scores, scores.size - number, axis=None)[scores.size - number]
        outputs = scores > least
        ties = np.flatnonzero(scores == least)
        outputs.reshape(-1)[ties[: number - np.count_nonzero(outputs)]] = True
        return Calibration(outputs=outputs)

    def select(self, layer: LayerView) -> Mask:
        """Return those outputs."""
        if layer.calibration is None or layer.calibration.outputs is None:
            raise TypeError("an oracle needs the test set first")
        return layer.calibration.outputs
