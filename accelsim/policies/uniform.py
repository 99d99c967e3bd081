"""One accumulator for everything."""

from __future__ import annotations

from typing import ClassVar

from accelsim.numerics import Accumulator
from accelsim.policies.base import HIGH, LOW, AccumulatorFormat, Policy


class Uniform(Policy):
    """Accumulate all outputs in `format`."""

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "every output in one format"

    format: AccumulatorFormat

    @property
    def first(self) -> Accumulator:
        """The only accumulator."""
        return Accumulator(self.format, overflow=self.overflow)


class UniformLow(Uniform):
    """Accumulate all outputs in the low format."""

    name: ClassVar[str] = "uniform-low"
    summary: ClassVar[str] = f"every output in {LOW}"

    format: AccumulatorFormat = LOW


class UniformHigh(Uniform):
    """Accumulate all outputs in the high format."""

    name: ClassVar[str] = "uniform-high"
    summary: ClassVar[str] = f"every output in {HIGH}"

    format: AccumulatorFormat = HIGH
