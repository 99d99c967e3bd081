"""Recompute what may do the next layer most harm."""

from __future__ import annotations

from typing import ClassVar

from accelsim.policies.absolute import Absolute, weighted
from accelsim.policies.base import LayerView, Score
from accelsim.policies.numerators import Estimate


class NextLayer(Absolute):
    """Recompute an output where its error bound, times the 2-norm of the weights that it meets in
    the next layer, exceeds `tau`: the bound of the error that it alone makes there.

    Outputs of the last layer count as they are. The norms are known before the run and divide the
    thresholds, so that the machine does the work of `absolute`, with a threshold a column.
    """

    name: ClassVar[str] = "next-layer"
    summary: ClassVar[str] = "as absolute, the bound weighted by what the next layer makes of it"

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return the error bound of φ(v) times the norm."""
        norms = layer.require_values().next_column_norms
        assert norms is not None
        error = super().score(layer, numerator, bound)
        return weighted(error, norms)
