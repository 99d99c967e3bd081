"""Recompute what may change the class probabilities most."""

from __future__ import annotations

from typing import ClassVar

from accelsim.policies.absolute import Absolute, weighted
from accelsim.policies.base import LayerView, Score
from accelsim.policies.numerators import Estimate


class GaussNewton(Absolute):
    """Recompute an output where its error bound, times the root g of its element of the
    Gauss-Newton diagonal, exceeds `tau`.

    An error e in one output of a layer makes a KL divergence of g²e²/2 between class probabilities,
    on average over the training set and to second order. The g are learned there, by
    backpropagation through the float32 network; they divide the thresholds, so that the machine
    does the work of `absolute`, with a threshold a column.
    """

    name: ClassVar[str] = "gauss-newton"
    summary: ClassVar[str] = "as absolute, the bound weighted by what it does to the probabilities"

    @property
    def needs_sensitivities(self) -> bool:
        """Always."""
        return True

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return the error bound of φ(v) times g."""
        weights = layer.require_values().sensitivities
        assert weights is not None
        error = super().score(layer, numerator, bound)
        return weighted(error, weights)
