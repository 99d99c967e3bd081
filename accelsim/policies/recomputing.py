"""Policies that compute in a low accumulator first, and then again what their rule selects."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from accelsim.errors import AccelsimError
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.slices import Slices
from accelsim.policies.base import HIGH, LOW, AccumulatorFormat, ByLayer, Chunk, Policy, Rate


class RecomputingPolicy(Policy):
    """All in `low` first, then what the rule selects again in `high`.

    With `chunk=32`, the first pass accumulates that many terms in `low`, and the partial sums in
    `high`, as `chunked` does. With `redo=compensated`, again in `low`, by compensated summation in
    the place of `high`: four additions a term, and no wide adder (Kahan, CACM 1965). With
    `redo=ozaki`, from slices of the operands, whose products have exact sums in `low`: see
    `accelsim.numerics.slices`.
    """

    shared: ClassVar[tuple[str, ...]] = ("low", "high", "chunk", "redo", "overflow", "last")

    low: AccumulatorFormat = LOW
    high: AccumulatorFormat = HIGH
    chunk: Chunk | None = None
    redo: Literal["high", "compensated", "ozaki"] = "high"

    @model_validator(mode="after")
    def _one_improvement(self) -> Self:
        if self.chunk is not None and self.redo != "high":
            raise ValueError(
                f"chunk is {self.chunk} and redo is {self.redo}, which would undo chunks: allowed"
                " is one of them"
            )
        if self.redo == "high" and _holds(self.low, self.high):
            raise ValueError(
                f"high is {self.high}, which has no value that low, {self.low}, has not: allowed"
                " is a format with more mantissa bits or a wider range"
            )
        return self

    @property
    def first(self) -> Accumulator:
        """The low accumulator, or the chunked one."""
        outer = None if self.chunk is None else self.high
        return Accumulator(self.low, overflow=self.overflow, chunk=self.chunk, outer=outer)

    @property
    def second(self) -> Accumulator:
        """The high accumulator, or the low one: with compensation, or for slices."""
        if self.redo == "compensated":
            return Accumulator(self.low, overflow=self.overflow, order="kahan")
        fmt = self.low if self.redo == "ozaki" else self.high
        return Accumulator(fmt, overflow=self.overflow)

    def slices(self, layer: str, operands: FloatFormat, terms: int) -> Slices | None:
        """Return how the operands are cut with `redo=ozaki`."""
        if self.redo != "ozaki":
            return None
        try:
            return Slices.of(operands, self.low, terms)
        except ValueError as error:
            raise AccelsimError(f"layer {layer}: redo is ozaki, but {error}") from None


class RatePolicy(RecomputingPolicy):
    """Recompute a fraction `rate` of every layer's outputs.

    `layer_rates`, written `0.1/0.5/0.9`, gives each layer its own fraction instead.
    """

    always_shown: ClassVar[tuple[str, ...]] = ("rate",)
    one_of: ClassVar[tuple[str, ...]] = ("rate", "layer_rates")
    by_layer: ClassVar[tuple[str, ...]] = ("layer_rates",)

    rate: Rate = 0.1
    layer_rates: Annotated[tuple[Rate, ...] | None, ByLayer] = None

    def rate_of(self, index: int) -> float:
        """Return the fraction of a layer."""
        return self.rate if self.layer_rates is None else self.layer_rates[index]


def _holds(low: FloatFormat, high: FloatFormat) -> bool:
    """Say whether every finite value of `high` is one of `low`."""
    return (
        low.max >= high.max
        and low.mantissa_bits >= high.mantissa_bits
        and low.lowest_bit <= high.lowest_bit
    )
