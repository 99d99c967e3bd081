"""The definition of rounding: exact rational arithmetic, slow and readable.

Every fast kernel of this package is equal to these functions bit for bit. A value is a Python
float that holds a member of its format; the arithmetic between values is `fractions.Fraction`,
so that a step is computed exactly and rounded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from accelsim.numerics.formats import FixedFormat, FloatFormat, Format

ROUNDINGS = (
    "nearest-even",
    "nearest-away",
    "toward-zero",
    "upward",
    "downward",
    "stochastic",
)
OVERFLOWS = ("inf", "saturate", "wrap")
MAX_RANDOM_BITS = 28


@dataclass(frozen=True)
class Draw:
    """The random integer, 0 ≤ value < 2^bits, that one stochastic rounding uses."""

    value: int
    bits: int


def round_exact(
    fmt: Format,
    value: Fraction | float,
    overflow: str = "inf",
    rounding: str = "nearest-even",
    draw: Draw | None = None,
) -> float:
    """Round one value to `fmt`.

    `value` is a Fraction or a float; a float may be infinite, NaN or a signed zero.
    The sign of a value that rounds to zero is kept where the format has signed zeros.
    Stochastic rounding needs `draw`.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return math.nan
        if math.isinf(value):
            return infinity_value(fmt, overflow, positive=value > 0)
        if value == 0.0:
            return value if _has_negative_zero(fmt) else 0.0
    exact = Fraction(value)
    rounded = round_unbounded(fmt, exact, rounding, draw)
    if not fits(fmt, rounded):
        if overflow == "wrap":
            return _wrapped(fmt, rounded)
        return overflow_value(fmt, overflow, rounding, positive=rounded > 0)
    if isinstance(fmt, FloatFormat) and not fmt.subnormals and abs(rounded) < fmt.min_normal:
        rounded = Fraction(0)
    if exact < 0 and _has_negative_zero(fmt):
        return -float(-rounded)
    return float(rounded)


def round_unbounded(
    fmt: Format, exact: Fraction, rounding: str, draw: Draw | None = None
) -> Fraction:
    """Round to a multiple of the spacing of `fmt` at `exact`, as if there were no largest value."""
    if exact == 0:
        return exact
    if isinstance(fmt, FixedFormat):
        exponent = fmt.lowest_bit
    else:
        exponent = max(_floor_log2(abs(exact)), fmt.min_exponent) - fmt.mantissa_bits
    quantum = Fraction(2) ** exponent
    return _round_to_integer(exact / quantum, rounding, draw) * quantum


def _round_to_integer(x: Fraction, rounding: str, draw: Draw | None) -> int:
    if rounding == "nearest-even":
        return round(x)  # Python rounds ties of a Fraction to even
    if rounding == "upward":
        return math.ceil(x)
    if rounding == "downward":
        return math.floor(x)
    sign = 1 if x > 0 else -1
    if rounding == "nearest-away":
        return sign * math.floor(abs(x) + Fraction(1, 2))
    if rounding == "toward-zero":
        return sign * math.floor(abs(x))
    if draw is None:
        raise ValueError("draw is None, expected a Draw for stochastic rounding")
    # The magnitude is cut to `bits` fraction bits before the random integer is added to them.
    scale = 2**draw.bits
    return int(sign * ((math.floor(abs(x) * scale) + draw.value) // scale))


def fits(fmt: Format, rounded: Fraction) -> bool:
    """Whether a rounded value lies between the lowest and the largest value of `fmt`."""
    return Fraction(fmt.lowest) <= rounded <= Fraction(fmt.max)


def overflow_value(
    fmt: Format, overflow: str, rounding: str = "nearest-even", *, positive: bool = True
) -> float:
    """Return what a finite value outside the range of `fmt` becomes, by `inf` or `saturate`.

    A directed rounding that points back at the finite numbers gives the outermost of them.
    """
    points_back = rounding == "toward-zero" or rounding == ("downward" if positive else "upward")
    if overflow == "saturate" or points_back:
        return fmt.max if positive else fmt.lowest
    return infinity_value(fmt, overflow, positive=positive)


def infinity_value(fmt: Format, overflow: str, *, positive: bool) -> float:
    """Return what an infinity becomes in `fmt`."""
    if overflow == "saturate":
        return fmt.max if positive else fmt.lowest
    if not fmt.has_infinity or not (positive or fmt.signed):
        return math.nan
    return math.inf if positive else -math.inf


def _wrapped(fmt: Format, rounded: Fraction) -> float:
    lowest = Fraction(fmt.lowest)
    modulus = Fraction(fmt.max) - lowest + Fraction(fmt.min_subnormal)
    return float((rounded - lowest) % modulus + lowest)


def _has_negative_zero(fmt: Format) -> bool:
    return isinstance(fmt, FloatFormat) and fmt.signed


def _floor_log2(value: Fraction) -> int:
    """Return ⌊log₂ value⌋ of a positive Fraction."""
    estimate = value.numerator.bit_length() - value.denominator.bit_length()
    return estimate if Fraction(2) ** estimate <= value else estimate - 1
