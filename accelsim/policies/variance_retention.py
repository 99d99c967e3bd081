"""As many mantissa bits as keep the variance of a layer's sums."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies.base import Facts
from accelsim.policies.table import TablePolicy
from accelsim.policies.widths import mantissa_for_variance


class VarianceRetention(TablePolicy):
    """Accumulate n terms with the fewest mantissa bits for which exp(n·(1 - VRR)) < `cutoff`.

    VRR is the variance retention ratio, which knows the length of the sums alone: see
    `accelsim.policies.widths`, which is also about what it leaves out.
    """

    name: ClassVar[str] = "variance-retention"
    summary: ClassVar[str] = "each layer in as many bits as keep the variance of its sums"
    always_shown: ClassVar[tuple[str, ...]] = ("cutoff",)

    cutoff: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] = 50.0
    exponent_bits: Annotated[int, Field(ge=2, le=8)] = 5

    def accumulators(self, facts: Facts) -> tuple[Accumulator, ...]:
        """Return a format by the length of the sums."""
        mantissas = [mantissa_for_variance(layer.k, self.cutoff) for layer in facts.layers]
        return tuple(
            Accumulator(FloatFormat(self.exponent_bits, bits), overflow=self.overflow)
            for bits in mantissas
        )
