"""A format for each layer, wider where the loss is more sharply curved."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies.base import HIGH, LOW, AccumulatorFormat, ByLayer, Facts
from accelsim.policies.table import TablePolicy


class Hessian(TablePolicy):
    """Accumulate in `formats`, chosen so that the accumulators are `bits` wide at most, on average
    over all additions.

    `by=trace` makes Σ tr(H)/n·‖ε‖² least, H the Hessian of the training loss with regard to the
    n pre-activations of a layer and ε what a format changes in them (HAWQ-V2, arXiv:1911.03852).
    `by=eigenvalue` widens layers in the order of the largest eigenvalue of H over the number of
    weights (HAWQ, arXiv:1905.03696), and `by=mean-deviation` in that of its mean over ten parts of
    the samples plus its standard deviation (Q-BERT, arXiv:1909.05840): each gets the widest format
    that leaves the narrowest for the others.
    """

    name: ClassVar[str] = "hessian"
    summary: ClassVar[str] = "each layer in a format by the curvature of the loss"
    needs_values: ClassVar[bool] = True
    always_shown: ClassVar[tuple[str, ...]] = ("bits", "by")

    bits: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 12.0
    by: Literal["trace", "eigenvalue", "mean-deviation"] = "trace"
    formats: Annotated[tuple[AccumulatorFormat, ...], ByLayer, Field(min_length=1)] = (
        LOW,
        FloatFormat.parse("fp16"),
        HIGH,
    )
    samples: Annotated[int, Field(ge=10)] = 512
    """Training samples that are looked at, evenly spread."""
    probes: Annotated[int, Field(ge=1)] = 8
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        widths = [fmt.bits for fmt in self.formats]
        if any(a >= b for a, b in itertools.pairwise(widths)):
            given = "/".join(str(fmt) for fmt in self.formats)
            raise ValueError(f"formats is {given}, expected each to be wider than the one before")
        if self.bits < widths[0]:
            raise ValueError(
                f"bits is {self.bits:g}, but {self.formats[0]} alone has {widths[0]} bits"
            )
        return self

    def accumulators(self, facts: Facts) -> tuple[Accumulator, ...]:
        """Return a choice of formats within the budget."""
        macs = [layer.k * layer.n for layer in facts.layers]
        costs = [[number * fmt.bits for fmt in self.formats] for number in macs]
        budget = self.bits * sum(macs)
        found = [Accumulator(fmt, overflow=self.overflow) for fmt in self.formats]
        curved = facts.curvatures(self.by, self.samples, self.probes, self.seed)
        if self.by == "trace":
            errors = facts.squared_errors(found, self.samples)
            harms = [
                [max(sharpness, 0.0) / layer.n * error for error in row]
                for sharpness, layer, row in zip(curved, facts.layers, errors, strict=True)
            ]
            chosen = least_harm(costs, harms, budget)
        else:
            per = macs if self.by == "eigenvalue" else [1] * len(macs)
            order = [sharpness / size for sharpness, size in zip(curved, per, strict=True)]
            chosen = widest_first(costs, order, budget)
        return tuple(found[choice] for choice in chosen)


def least_harm(
    costs: Sequence[Sequence[int]], harms: Sequence[Sequence[float]], budget: float
) -> list[int]:
    """Return one choice for each layer, so that the sum of harms is least within the budget, which
    is no less than the least cost.

    Layer by layer, of all combinations only those on the Pareto front are kept. Of equal harm, the
    cheapest; of equal cost too, the first.
    """
    front: list[tuple[int, float, list[int]]] = [(0, 0.0, [])]
    for cost, harm in zip(costs, harms, strict=True):
        grown = sorted(
            (spent + cost[i], done + harm[i], [*chosen, i])
            for spent, done, chosen in front
            for i in range(len(cost))
        )
        front = []
        for point in grown:
            if not front or point[1] < front[-1][1]:
                front.append(point)
    return [chosen for spent, _, chosen in front if spent <= budget][-1]


def widest_first(
    costs: Sequence[Sequence[int]], order: Sequence[float], budget: float
) -> list[int]:
    """Return one choice for each layer: from the largest of `order` on, the widest that leaves
    the narrowest for the others.
    """
    chosen = [0] * len(costs)
    spent = sum(cost[0] for cost in costs)
    for index in sorted(range(len(costs)), key=lambda index: -order[index]):
        cost = costs[index]
        affordable = [i for i, c in enumerate(cost) if spent + c - cost[0] <= budget]
        chosen[index] = affordable[-1]
        spent += cost[affordable[-1]] - cost[0]
    return chosen
