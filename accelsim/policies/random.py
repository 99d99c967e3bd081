"""The control: as many outputs recomputed, but chosen by lot."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from accelsim.errors import AccelsimError
from accelsim.policies.base import THRESHOLD, LayerView, RecomputingPolicy
from accelsim.trace import Detector, Mask


def _split(value: object) -> object:
    return tuple(value.split("/")) if isinstance(value, str) else value


Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class Random(RecomputingPolicy):
    """Recompute a fraction `rate` of every layer's outputs, drawn without replacement.

    `layer_rates`, written `0.1/0.5/0.9`, gives each layer its own fraction instead. The draw
    depends on `seed` and the layer's place alone. The machine is charged one comparison an output,
    as for the cheapest real detector.
    """

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "low first, then a random fraction of the outputs in high"
    always_shown: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Rate = 0.1
    layer_rates: Annotated[tuple[Rate, ...] | None, BeforeValidator(_split)] = None
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
        mask[generator.permutation(outputs)[: round(self._rate(layer.index) * outputs)]] = True
        return mask.reshape(layer.m, layer.n)

    def _rate(self, index: int) -> float:
        if self.layer_rates is None:
            return self.rate
        if index >= len(self.layer_rates):
            raise AccelsimError(
                f"policy random: layer_rates has {len(self.layer_rates)} values, and the workload"
                " has more layers"
            )
        return self.layer_rates[index]

    def _shown(self) -> list[str]:
        hidden = "layer_rates" if self.layer_rates is None else "rate"
        return [key for key in super()._shown() if key != hidden]
