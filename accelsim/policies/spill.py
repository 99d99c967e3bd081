"""A narrow accumulator that empties into a wide one where it would overflow."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.formats import parse_format
from accelsim.policies.base import HIGH, Policy


def _parsed(value: object) -> FloatFormat | FixedFormat:
    if not isinstance(value, str | FloatFormat | FixedFormat):
        raise ValueError("expected the name of a format, such as fixed10.7")
    return parse_format(value)


_Sum = Annotated[FloatFormat | FixedFormat, BeforeValidator(_parsed)]


class Spill(Policy):
    """Accumulate in `low`, and add the sum to one in `high` wherever the next term would make it
    overflow, and at the end; a term that is too large for `low` goes to `high` by itself.

    Source: dMAC of MGS, arXiv:2504.09072, whose narrow sums are integers, one for each exponent.
    """

    name: ClassVar[str] = "spill"
    summary: ClassVar[str] = "low until it would overflow, and then into a sum in high"
    needs_values: ClassVar[bool] = True

    low: Annotated[_Sum, Field(examples=["fixed10.7"])]
    high: _Sum = HIGH

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        _ = self.first  # what the accumulator itself refuses
        if self.high.max < self.low.max or self.high.lowest > self.low.lowest:
            raise ValueError(
                f"high is {self.high}, which does not hold what {self.low}, low, does: allowed are"
                f" formats that reach from {self.low.lowest:g} to {self.low.max:g}"
            )
        return self

    @property
    def first(self) -> Accumulator:
        """The accumulator that spills."""
        return Accumulator(self.low, order="spill", outer=self.high, overflow=self.overflow)
