"""Integers wide enough never to overflow, by the size of the weights."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from accelsim.errors import AccelsimError
from accelsim.numerics import Accumulator
from accelsim.policies.base import Facts
from accelsim.policies.table import TablePolicy
from accelsim.policies.widths import integer_accumulators


class L1Bound(TablePolicy):
    """Accumulate each layer in the narrowest fixed-point format that no input can make overflow.

    Inputs are as large as any of the training set, and those of later layers as large as can come
    of them. Products enter exactly if `bits` are enough, and are rounded to what fits otherwise.
    """

    name: ClassVar[str] = "l1-bound"
    summary: ClassVar[str] = "each layer in an integer accumulator that cannot overflow"
    needs_values: ClassVar[bool] = True
    always_shown: ClassVar[tuple[str, ...]] = ("bits",)

    bits: Annotated[int, Field(ge=2, le=32)] = 32
    """The widest accumulator."""
    overflow: Literal["saturate"] = "saturate"

    def accumulators(self, facts: Facts) -> tuple[Accumulator, ...]:
        """Return formats by interval arithmetic.

        Raises AccelsimError if `bits` are too few for what rounding alone may add up to.
        """
        try:
            formats = integer_accumulators(facts.layers, facts.input_range, self.bits)
        except ValueError as error:
            raise AccelsimError(f"policy {self.name}: bits is {self.bits}, but {error}") from None
        return tuple(Accumulator(fmt, overflow=self.overflow) for fmt in formats)
