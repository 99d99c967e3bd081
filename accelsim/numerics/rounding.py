"""The definition of rounding and of accumulation: exact rational arithmetic, slow and readable.

Every fast kernel of this package is equal to these functions bit for bit. A value is a Python
float that holds a member of its format; the arithmetic between values is `fractions.Fraction`,
so that a step is computed exactly and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from accelsim.numerics.formats import FloatFormat

if TYPE_CHECKING:
    from accelsim.numerics.accumulate import Accumulator


def overflow_value(fmt: FloatFormat, overflow: str) -> float:
    """Return what a positive value too large for `fmt` becomes."""
    if overflow == "saturate":
        return fmt.max
    return math.inf if fmt.has_infinity else math.nan


def round_exact(fmt: FloatFormat, value: Fraction | float, overflow: str = "inf") -> float:
    """Round one value to `fmt`, to nearest with ties to even.

    `value` is a Fraction or a float; a float may be infinite, NaN or a signed zero.
    The sign of a value that rounds to zero is kept.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return math.nan
        if math.isinf(value):
            return math.copysign(overflow_value(fmt, overflow), value)
        if value == 0.0:
            return value
    exact = Fraction(value)
    if exact == 0:
        return 0.0
    magnitude = abs(exact)
    exponent = max(_floor_log2(magnitude), fmt.min_exponent)
    quantum = Fraction(2) ** (exponent - fmt.mantissa_bits)
    rounded = round(magnitude / quantum) * quantum  # Python rounds ties of a Fraction to even
    sign = -1.0 if exact < 0 else 1.0
    if rounded > Fraction(fmt.max):
        return math.copysign(overflow_value(fmt, overflow), sign)
    return math.copysign(float(rounded), sign)


def fused_step_exact(
    fmt: FloatFormat, total: float, a: float, b: float, overflow: str = "inf"
) -> float:
    """Return `total + a·b`, computed exactly and rounded once to `fmt`."""
    # Operands are float32 values, so that a·b is exact in binary64; the float sum decides the
    # signs of zeros and what infinities and NaNs give, as IEEE 754 does.
    float_sum = total + a * b
    if not (math.isfinite(total) and math.isfinite(a) and math.isfinite(b)):
        return round_exact(fmt, float_sum, overflow)
    exact = Fraction(total) + Fraction(a) * Fraction(b)
    return round_exact(fmt, exact if exact else math.copysign(0.0, float_sum), overflow)


def accumulate_exact(a: Sequence[float], b: Sequence[float], acc: Accumulator) -> float:
    """Return the inner product of `a` and `b` as the accumulator `acc` computes it."""

    def partial(start: int, stop: int) -> float:
        total = 0.0
        for x, y in zip(a[start:stop], b[start:stop], strict=True):
            if acc.product is None:
                total = fused_step_exact(acc.format, total, x, y, acc.overflow)
            else:
                product = fused_step_exact(acc.product, -0.0, x, y, acc.overflow)
                total = fused_step_exact(acc.format, total, product, 1.0, acc.overflow)
        return total

    if acc.chunk is None:
        return partial(0, len(a))
    total = 0.0
    for start in range(0, len(a), acc.chunk):
        inner = partial(start, start + acc.chunk)
        total = fused_step_exact(acc.outer_format, total, inner, 1.0, acc.overflow)
    return total


def _floor_log2(value: Fraction) -> int:
    """Return ⌊log₂ value⌋ of a positive Fraction."""
    estimate = value.numerator.bit_length() - value.denominator.bit_length()
    return estimate if Fraction(2) ** estimate <= value else estimate - 1
