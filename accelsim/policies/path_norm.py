"""As many mantissa bits as a rigorous bound of the whole network's error asks for."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import AccelsimError
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies.base import Facts
from accelsim.policies.table import TablePolicy
from accelsim.policies.widths import mantissas_for_growth

_MOST_MANTISSA_BITS = 23


class PathNorm(TablePolicy):
    """Accumulate with the fewest mantissa bits that keep Π(1 + γ_n) - 1 to `tolerance`, each layer
    taking an equal part.

    Times the path norm |W_L|…|W_1||x|, this bounds the error that accumulation makes of each output
    of the network, as long as nothing overflows.
    """

    name: ClassVar[str] = "path-norm"
    summary: ClassVar[str] = "each layer in as many bits as a rigorous bound of all errors asks for"
    always_shown: ClassVar[tuple[str, ...]] = ("tolerance",)

    tolerance: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 0.1
    exponent_bits: Annotated[int, Field(ge=2, le=8)] = 8

    def accumulators(self, facts: Facts) -> tuple[Accumulator, ...]:
        """Return a format by the length of the sums.

        Raises AccelsimError if the tolerance needs more bits than there are.
        """
        mantissas = mantissas_for_growth([layer.k for layer in facts.layers], self.tolerance)
        if max(mantissas) > _MOST_MANTISSA_BITS:
            raise AccelsimError(
                f"policy {self.name}: tolerance {self.tolerance:g} takes {max(mantissas)} mantissa"
                f" bits, and there are at most {_MOST_MANTISSA_BITS}"
            )
        return tuple(
            Accumulator(FloatFormat(self.exponent_bits, bits), overflow=self.overflow)
            for bits in mantissas
        )
