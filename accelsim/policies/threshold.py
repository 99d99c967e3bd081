"""Rules that give each output a score, and recompute those above a threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from accelsim.policies.base import (
    ByLayer,
    Calibration,
    LayerView,
    Rate,
    Score,
    Threshold,
)
from accelsim.policies.cluster import Cluster, together
from accelsim.policies.numerators import (
    Chunks,
    Estimate,
    Numerator,
    error_bound,
    error_factor,
    estimate,
)
from accelsim.policies.recomputing import RecomputingPolicy
from accelsim.trace import Detector, Mask


class ScoredPolicy(RecomputingPolicy):
    """Recompute an output in `high` where its score exceeds `tau`.

    With `rate`, the threshold of a layer is the least that flags no more than this share of its
    outputs on the training set, and does not change in the run. Outputs whose sum overflowed on
    the way are always recomputed. `tau=0` recomputes every output.

    `numerator` says what the bound of the error is made of: |v̂ - v| ≤ factor·numerator. `margin`
    replaces the factor, in units of u; unless given, it is infinite for accumulators so narrow
    that n·u ≥ 1, but for the running error.
    """

    always_shown: ClassVar[tuple[str, ...]] = ("tau", "numerator")
    one_of: ClassVar[tuple[str, ...]] = ("tau", "rate")
    needs_values: ClassVar[bool] = True
    selects_by_values: ClassVar[bool] = True

    tau: Threshold = 16.0
    rate: Rate | None = None
    numerator: Numerator = "exact"
    margin: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _knows_chunks(self) -> Self:
        if self.chunk is not None and self.numerator in ("low", "running-error"):
            raise ValueError(
                f"numerator is {self.numerator}, allowed are exact, constant, l2, l1-inf with chunk"
            )
        return self

    def score(self, layer: LayerView, numerator: Estimate, bound: Score | float) -> Score:
        """Return the score of each output, infinite where v is not finite.

        `bound` is what |v̂ - v| is at most.
        """
        raise NotImplementedError

    @property
    def calibrates(self) -> bool:
        """Whether thresholds are to be found on the training set."""
        return self.rate is not None

    @property
    def has_needs(self) -> bool:
        """Always."""
        return True

    @property
    def needs_mean_abs_sum(self) -> bool:
        """Whether the numerator is that mean."""
        return self.numerator == "constant"

    @property
    def needs_running(self) -> bool:
        """Whether the numerator is the running error."""
        return self.numerator == "running-error"

    def calibrate(self, layer: LayerView, scores: Score) -> Calibration | None:
        """Return the least threshold above which no more than `rate` of the outputs are."""
        return None if self.rate is None else Calibration(least_threshold(scores, self.rate))

    def select(self, layer: LayerView) -> Mask:
        """Return where the score exceeds the threshold, or the sum overflowed."""
        layer.require_values()
        if self.threshold(layer) < 0.0:
            return np.ones((layer.m, layer.n), np.bool_)
        return self.select_by(layer, self.scores(layer))

    def select_by(self, layer: LayerView, scores: Score) -> Mask:
        """Return where these scores exceed the threshold, or the sum overflowed."""
        return np.asarray((scores > self.threshold(layer)) | layer.require_values().overflowed)

    def needed(self, layer: LayerView) -> Mask:
        """Return where the score of exact values exceeds the threshold."""
        kind: Numerator = "running-error" if self.numerator == "running-error" else "exact"
        score = self.score(layer, estimate(kind, layer, self.low), 0.0)
        return np.asarray(self.combined(score) > self.threshold(layer))

    def threshold(self, layer: LayerView) -> float:
        """Return the threshold of a layer; below zero where everything is recomputed."""
        if self.rate is not None:
            if layer.calibration is None or layer.calibration.threshold is None:
                raise TypeError("a rule with a rate needs the training set first")
            return layer.calibration.threshold
        tau = self.tau_of(layer.index)
        return tau if tau > 0.0 else -1.0

    def tau_of(self, index: int) -> float:
        """Return the `tau` of a layer."""
        return self.tau

    def factor(self, terms: int) -> float:
        """Return what the numerator is multiplied by to bound the error of so many terms."""
        return error_factor(self.numerator, terms, self.low, self.margin, self._chunks)

    def bound(self, kind: Numerator, terms: int, numerator: Estimate) -> Score:
        """Return what |v̂ - v| is at most, by an estimate of that kind."""
        return error_bound(kind, numerator, terms, self.low, self.margin, self._chunks)

    @property
    def _chunks(self) -> Chunks | None:
        return None if self.chunk is None else Chunks(self.chunk, self.high)

    def scores(self, layer: LayerView) -> Score:
        """Return the score of each output (m,n), infinite where the sum overflowed on the way."""
        values = layer.require_values()
        numerator = estimate(self.numerator, layer, self.low)
        bound = self.bound(self.numerator, layer.k, numerator)
        score = np.where(values.overflowed, np.inf, self.score(layer, numerator, bound))
        return self.combined(score)

    def combined(self, scores: Score) -> Score:
        """Return the scores that outputs are chosen by."""
        return scores


class ThresholdPolicy(ScoredPolicy):
    """Recompute outputs of any layer where their scores exceed `tau`.

    `layer_taus`, written `4/8/16`, gives each layer a threshold of its own. With `across=network`,
    `rate` is a share of the outputs of all layers, and finds one threshold for all of them. With
    ReLU, a v̂ is taken for certainly negative below minus the bound of its error.

    `cluster`, written `1x16` for sixteen columns of a row, recomputes rectangles of a fixed grid,
    `1x*` whole rows: where the root of the mean square of their scores exceeds the threshold.
    """

    one_of: ClassVar[tuple[str, ...]] = ("tau", "layer_taus", "rate")
    by_layer: ClassVar[tuple[str, ...]] = ("layer_taus",)

    layer_taus: Annotated[tuple[Threshold, ...] | None, ByLayer] = None
    across: Literal["layer", "network"] = "layer"
    cluster: Annotated[Cluster, BeforeValidator(Cluster.parse)] = Cluster()

    @field_validator("cluster")
    @classmethod
    def _of_few_rows(cls, cluster: Cluster) -> Cluster:
        if cluster.rows is None:
            raise ValueError(
                f"{cluster} waits for all samples, allowed is a number of rows, such as 1x* or 8x1"
            )
        return cluster

    @model_validator(mode="after")
    def _rate_across(self) -> Self:
        if self.across == "network" and self.rate is None:
            raise ValueError("across is network, which needs a rate, as in rate=0.1,across=network")
        return self

    @property
    def rate_across(self) -> float | None:
        """The rate, if it is one for the network."""
        return self.rate if self.across == "network" else None

    @property
    def rows_together(self) -> int:
        """The rows of a cluster."""
        return self.cluster.rows or 1

    def combined(self, scores: Score) -> Score:
        """Return the score of the rectangle that each output is in."""
        return scores if self.cluster == Cluster() else together(scores, self.cluster)

    def combining(self, cost: Detector) -> Detector:
        """Return what a detector costs with the work of adding up squares: a product of the score
        and one with itself, and an addition. The growing sum is compared in the place of the
        score; since it never shrinks, one flag for each rectangle is all that is kept.
        """
        if self.cluster == Cluster():
            return cost
        return replace(
            cost,
            multiplies_per_output=cost.multiplies_per_output + 2,
            adds_per_output=cost.adds_per_output + 1,
        )

    def tau_of(self, index: int) -> float:
        """Return the threshold of a layer."""
        return self.tau if self.layer_taus is None else self.layer_taus[index]


def least_threshold(scores: Score, rate: float) -> float:
    """Return the least of the scores that no more than round(rate·size) scores exceed.

    -1 for all of them. Reorders the scores, which are too many for a copy.
    """
    allowed = round(rate * scores.size)
    if allowed == scores.size:
        return -1.0
    place = scores.size - allowed - 1
    flat = scores.reshape(-1)
    flat.partition(place)
    return float(flat[place])
