"""The control: as many outputs recomputed, but chosen by lot."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from accelsim.policies.base import THRESHOLD, LayerView, RecomputingPolicy
from accelsim.trace import Detector, Mask


class Random(RecomputingPolicy):
    """Recompute a fraction `rate` of every layer's outputs, drawn without replacement.

    The draw depends on `seed` and the layer's place alone. The machine is charged one comparison
    an output, as for the cheapest real detector.
    """

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "low first, then a random fraction of the outputs in high"
    always_shown: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def detector(self) -> Detector:
        """One comparison, of a random number with the rate."""
        return THRESHOLD

    def select(self, layer: LayerView) -> Mask:
        """Return a mask with round(rate·m·n) outputs set."""
        generator = np.random.Generator(np.random.PCG64([self.seed, layer.index]))
        outputs = layer.m * layer.n
        mask = np.zeros(outputs, np.bool_)
        mask[generator.permutation(outputs)[: round(self.rate * outputs)]] = True
        return mask.reshape(layer.m, layer.n)
