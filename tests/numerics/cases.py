"""Values, midpoints and neighbours of a format, built from its codes and not from its rounding."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.formats import FloatFormat

F64 = NDArray[np.float64]


def magnitudes(fmt: FloatFormat) -> F64:
    """All finite non-negative values in ascending order: decode every code."""
    m = fmt.mantissa_bits
    codes = np.arange(2 ** (fmt.exponent_bits + m))
    if not fmt.finite:
        codes = codes[codes >> m < 2**fmt.exponent_bits - 1]
    elif fmt.has_nan:
        codes = codes[:-1] if m else codes[: 2**fmt.exponent_bits - 1]
    field, fraction = codes >> m, codes & (2**m - 1)
    significand = np.where(field > 0, fraction + 2**m, fraction).astype(np.float64)
    values: F64 = np.ldexp(significand, np.maximum(field, 1) - fmt.bias - m)
    return values


def probes(fmt: FloatFormat) -> tuple[F64, F64, F64]:
    """Return (x, below, above): points to round, and the values of the format around each.

    Every value, every midpoint, both float64 neighbours of each, and the same beyond the largest
    value, where `above` is the value that a wider exponent range would have.
    """
    values = magnitudes(fmt)
    beyond = values[-1] + np.ldexp(1.0, np.frexp(values[-1])[1] - 1 - fmt.mantissa_bits)
    ladder = np.append(values, beyond)
    low, high = ladder[:-1], ladder[1:]
    middle = (low + high) / 2
    near = [low, np.nextafter(low, np.inf), np.nextafter(middle, 0), middle]
    near += [np.nextafter(middle, np.inf), np.nextafter(high, 0)]
    return np.concatenate(near), np.tile(low, 6), np.tile(high, 6)


def nearest_even(fmt: FloatFormat, x: F64, below: F64, above: F64) -> F64:
    """Choose between the two values around each x; the larger where neither is even."""
    middle = (below + above) / 2
    if fmt.mantissa_bits:
        exponent = np.maximum(np.frexp(below)[1] - 1, fmt.min_exponent)
        even = np.ldexp(below, fmt.mantissa_bits - exponent) % 2 == 0
    else:
        even = below == 0  # IEEE 754-2019, 4.3.1: with one digit, the larger magnitude
    up = (x > middle) | ((x == middle) & ~even)
    return np.where(x == below, below, np.where(up, above, below))


def rounded(fmt: FloatFormat, rounding: str, sign: float, points: tuple[F64, F64, F64]) -> F64:
    """Choose between the two values around each sign·x, without regard to the largest value."""
    x, below, above = points
    inside = x != below
    if rounding == "nearest-even":
        return sign * nearest_even(fmt, *points)
    if rounding == "nearest-away":
        return sign * np.where(inside & (x >= (below + above) / 2), above, below)
    away = rounding == ("upward" if sign > 0 else "downward")
    return sign * np.where(inside & away, above, below)


def same(got: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Equal with the signs of zeros, NaN being equal to NaN."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        return False
    equal = (got == expected) & (np.signbit(got) == np.signbit(expected))
    return bool((equal | (np.isnan(got) & np.isnan(expected))).all())


def whole(message: str) -> str:
    """Return the pattern that matches `message` and nothing else."""
    return f"^{re.escape(message)}$"
