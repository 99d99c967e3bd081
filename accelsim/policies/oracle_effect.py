"""A control that knows the end of the story: redo what changes the network's outputs most."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from accelsim.policies.base import LayerView, Score
from accelsim.policies.oracle import Oracle


class OracleEffect(Oracle):
    """Recompute the fraction of every layer's outputs whose correction alone, to what the high
    accumulator gives, changes the class probabilities most.

    `effect` is the KL divergence that it makes: to first order in the logits, or from a pass
    through the layers behind for each output (`exact`).
    """

    name: ClassVar[str] = "oracle-effect"
    summary: ClassVar[str] = "low first, then the outputs that change the network's most in high"
    always_shown: ClassVar[tuple[str, ...]] = ("rate", "effect")

    effect: Literal["first-order", "exact"] = "first-order"

    @property
    def needs_effects(self) -> Literal["exact", "first-order"]:
        """How effects are to be found."""
        return self.effect

    def scores(self, layer: LayerView) -> Score:
        """Return the effect of each output, infinite where an error is NaN or infinite."""
        effects = layer.require_values().effects
        assert effects is not None
        return np.where(np.isfinite(super().scores(layer)), effects, np.inf)
