"""Approximate multipliers: the product as a function, and as a table over a format.

All three add the fractions x, y of 2^e·(1+x) and 2^f·(1+y) instead of multiplying significands.
Subnormal operands are normalised first. Zeros, infinities, NaNs and signs are those of the exact
product.

* `mitchell`: the logarithm read off linearly: 2^(e+f)·(1+x+y) where x+y < 1, 2^(e+f+1)·(x+y) from
  there on (Mitchell, IRE Trans. Electronic Computers EC-11, 1962).
* `l-mul`: 2^(e+f)·(1+x+y+2^-l), where l is m for up to 3 stored mantissa bits m of the operands,
  3 for 4, and 4 above (Luo and Sun, arXiv:2410.00907, equation 1).
* `l-mul-carry`: the same as a machine does it that adds the bit patterns of the operands: where
  x+y+2^-l reaches 1 it carries into the exponent, which gives 2^(e+f+1)·(x+y+2^-l).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.formats import FloatFormat

MULTIPLIERS = ("l-mul", "l-mul-carry", "mitchell")
_TABLE_BITS = 8


def multiply_exact(multiplier: str, operands: FloatFormat, x: float, y: float) -> Fraction | float:
    """Return the product of two values of `operands`; a float where it is zero or not finite."""
    product = x * y
    if product == 0.0 or not math.isfinite(product):
        return product
    (p, e), (q, f) = math.frexp(abs(x)), math.frexp(abs(y))
    fraction = Fraction(2 * p) - 1 + Fraction(2 * q) - 1 + offset(multiplier, operands)
    exponent = e - 1 + f - 1
    significand = 1 + fraction
    if multiplier != "l-mul" and fraction >= 1:
        significand = 2 * fraction
    magnitude = Fraction(2) ** exponent * significand
    return magnitude if product > 0 else -magnitude


def offset(multiplier: str, operands: FloatFormat) -> Fraction:
    """Return the 2^-l that L-Mul adds in place of the product of the fractions."""
    m = operands.mantissa_bits
    if multiplier == "mitchell":
        return Fraction(0)
    return Fraction(1, 2 ** (m if m <= 3 else 3 if m == 4 else 4))


def product_table(multiplier: str, operands: str | FloatFormat) -> NDArray[np.float64]:
    """Return all products of a format of up to 8 bits.

    Element [x, y] is the product of the values whose codes are x and y (sign, exponent, fraction
    from the top bit down); an array (2^bits, 2^bits).
    Raises ValueError for an unknown multiplier or a wider format.
    """
    fmt = FloatFormat.parse(operands)
    if multiplier not in MULTIPLIERS:
        raise ValueError(f"multiplier is {multiplier!r}, allowed are {', '.join(MULTIPLIERS)}")
    if fmt.bits > _TABLE_BITS:
        raise ValueError(f"operands is {fmt}, of {fmt.bits} bits, allowed are up to {_TABLE_BITS}")
    values = [decode(fmt, code) for code in range(2**fmt.bits)]
    return np.array(
        [[float(multiply_exact(multiplier, fmt, x, y)) for y in values] for x in values]
    )


def decode(fmt: FloatFormat, code: int) -> float:
    """Return the value of `fmt` whose bits are `code`."""
    m, magnitude_bits = fmt.mantissa_bits, fmt.exponent_bits + fmt.mantissa_bits
    sign = -1.0 if fmt.signed and code >> magnitude_bits else 1.0
    magnitude = code & (2**magnitude_bits - 1)
    field, fraction = magnitude >> m, magnitude & (2**m - 1)
    significand = fraction + 2**m if field else fraction if fmt.subnormals else 0
    value = math.ldexp(significand, max(field, 1) - fmt.bias - m)
    if value > fmt.max:
        value = math.inf if fmt.has_infinity and fraction == 0 else math.nan
    return sign * value
