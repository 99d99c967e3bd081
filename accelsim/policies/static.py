"""Recompute the same outputs for every sample, chosen on the training set: no detector."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from accelsim.policies.base import Calibration, LayerView, Score, Threshold
from accelsim.policies.gauss_newton import GaussNewton
from accelsim.policies.recomputing import RatePolicy
from accelsim.policies.selective import Selective
from accelsim.trace import Mask

DEFAULT_TAU = 16.0


class Static(RatePolicy):
    """Recompute a fraction of every layer's columns: those where κ exceeds `tau` most often.

    κ is that of the low-precision results on the training set, its numerator exact; what overflows
    counts as above τ. Among columns that exceed it equally often, those of larger median κ come
    first. With `by=gauss-newton`, where τ has no part, the columns that overflow most often, and
    then those of largest mean square of what `gauss-newton` gives an output there, its numerator
    exact: the bound of the KL divergence that their errors make.
    Nothing is looked at in the run: an output outside of these columns is never redone, not even
    where it overflowed.
    """

    name: ClassVar[str] = "static"
    summary: ClassVar[str] = "low and, for the worst columns of the training set, high"
    needs_values: ClassVar[bool] = True
    always_shown: ClassVar[tuple[str, ...]] = ("rate", "tau")

    tau: Threshold = DEFAULT_TAU
    by: Literal["kappa", "gauss-newton"] = "kappa"

    @model_validator(mode="after")
    def _tau_by_kappa(self) -> Self:
        if self.by != "kappa" and self.tau != DEFAULT_TAU:
            raise ValueError(f"tau is {self.tau:g}, but columns are chosen by {self.by}, without τ")
        return self

    @property
    def needs_sensitivities(self) -> bool:
        """Whether columns are ordered by them."""
        return self.by == "gauss-newton"

    @property
    def calibrates(self) -> bool:
        """Always."""
        return True

    def scores(self, layer: LayerView) -> Score:
        """Return κ, or the error bound times the weight of the column."""
        if self.by == "kappa":
            return self._rule.scores(layer)
        return GaussNewton(numerator="exact", **self._sums).scores(layer)

    def calibrate(self, layer: LayerView, scores: Score) -> Calibration:
        """Return round(rate·n) columns."""
        if self.by == "kappa":
            often = np.mean(scores > self.tau, axis=0)
            median = [np.median(column) for column in scores.T]  # one at a time: each is copied
            worst = np.lexsort((-np.array(median), -often))
        else:
            beyond = np.isinf(scores)
            often = np.mean(beyond, axis=0)
            squares = np.mean(np.where(beyond, 0.0, scores) ** 2, axis=0)
            worst = np.lexsort((-squares, -often))
        columns = np.zeros(layer.n, np.bool_)
        columns[worst[: round(self.rate_of(layer.index) * layer.n)]] = True
        return Calibration(columns=columns)

    def select(self, layer: LayerView) -> Mask:
        """Return the columns, for every row."""
        if layer.calibration is None or layer.calibration.columns is None:
            raise TypeError("a static rule needs the training set first")
        return np.tile(layer.calibration.columns, (layer.m, 1))

    @property
    def has_needs(self) -> bool:
        """Whether there is a τ that says what is needed."""
        return self.by == "kappa"

    def needed(self, layer: LayerView) -> Mask:
        """Return where the exact κ exceeds τ."""
        return self._rule.needed(layer)

    @property
    def _rule(self) -> Selective:
        return Selective(tau=self.tau, numerator="exact", **self._sums)

    @property
    def _sums(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("low", "high", "chunk", "overflow")}
