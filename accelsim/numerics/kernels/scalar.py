"""One rounding and one addition in binary64, for every format, rounding and overflow rule.

How x is rounded to a format with m stored mantissa bits. Let 2^e be the power of two of x, raised
to the smallest normal exponent of the format, and M = 1.5·2^52·2^(e-m). One unit in the last
place of M, and of every number within a factor 1.3 of it, is the format's quantum 2^(e-m), so
that `x + M` rounds x to a multiple of the quantum, to nearest with ties to even (the last bit of
M itself is 0), and `- M` is exact. Raising e makes subnormals right. The other roundings start
from that: the difference to x says on which side it lies, and the quantum is added or taken.
Fixed point is a format whose every value is subnormal.

When the sum itself is exact in binary64 nothing else is needed. Otherwise the exact sum is
hi + lo by TwoSum (Knuth), and hi is moved to the neighbour whose last bit is 1 in the direction
of lo: rounding to odd. What follows reads no more than the first 51 bits of the sum and whether
anything is left (24 of an fp32 significand, 28 random ones), so that it cannot tell the odd
neighbour from the exact sum (Boldo and Melquiond, IEEE Trans. Computers 57(4), 2008).
Products of two binary32 numbers are exact in binary64 (48 bits), and no sum can leave its range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.numerics.kernels.compiled import helper, kernel

NEAREST_EVEN, NEAREST_AWAY, TOWARD_ZERO, UPWARD, DOWNWARD, STOCHASTIC = range(6)

_EXPONENT_MASK = np.int64(0x7FF0000000000000)
_FRACTION_MASK = np.int64(0x000FFFFFFFFFFFFF)
_ONE_BITS = np.int64(0x3FF0000000000000)


class Target(NamedTuple):
    """A format with its rounding and overflow rule, as the kernels see it."""

    magic: float
    """1.5·2^(52-m): M for numbers in [1, 2)."""
    unit: float
    """2^-m: the quantum of numbers in [1, 2)."""
    least: float
    """The power of two below which the quantum does not shrink."""
    beyond: float
    """A number of this magnitude or more is out of range without being rounded."""
    max: float
    lowest: float
    high: float
    """What a finite number beyond `max` becomes; `low` below `lowest`."""
    low: float
    infinite_high: float
    """What an infinity becomes."""
    infinite_low: float
    smallest: float
    """Results of a smaller magnitude are flushed to zero."""
    zero_sign: float
    """1 where negative results that round to zero are -0, 0 where they are +0."""
    modulus: float
    """What wrapping adds or takes; 0 without wrapping."""
    rounding: int
    random_bits: int


@helper
def power_of_two(x):
    """Return 2^⌊log₂|x|⌋ of a normal binary64 number, 0 of a zero, inf of anything infinite."""
    bits = np.float64(x).view(np.int64) & _EXPONENT_MASK
    return np.int64(bits).view(np.float64)


@helper
def round_to_grid(x, target, bits):
    """Round the finite x to a multiple of the target's quantum at x, unless it is out of range."""
    if abs(x) >= target.beyond:
        return x  # where M might overflow
    power = max(power_of_two(x), target.least)
    quantum = power * target.unit
    shift = power * target.magic
    near = (x + shift) - shift
    rounding = target.rounding
    if rounding == NEAREST_EVEN:
        return near
    excess = abs(near) - abs(x)
    away = np.copysign(quantum, x)
    if rounding == NEAREST_AWAY:
        return near + away if excess == -0.5 * quantum else near
    if rounding == UPWARD:
        return near + quantum if near < x else near
    if rounding == DOWNWARD:
        return near - quantum if near > x else near
    cut = near - away if excess > 0.0 else near
    if rounding == TOWARD_ZERO:
        return cut
    scale = np.float64(np.int64(1) << np.int64(target.random_bits))
    fraction = np.floor(((abs(x) - abs(cut)) / quantum) * scale)
    draw = np.float64(np.uint32(bits) >> np.uint32(32 - target.random_bits))
    return cut + away if fraction + draw >= scale else cut


@helper
def in_range(grid, target):
    """Whether a rounded finite number is one of the format's."""
    return target.lowest <= grid <= target.max


@helper
def into_range(x, grid, target):
    """Finish the rounding of the finite x to `grid`: overflow, flushing, the sign of zero."""
    if grid > target.max or grid < target.lowest:
        if target.modulus == 0.0:
            return target.high if grid > 0.0 else target.low
        above = np.fmod(grid - target.lowest, target.modulus)
        if above < 0.0:
            above += target.modulus
        return above + target.lowest
    if abs(grid) < target.smallest:
        return np.copysign(0.0, x) if target.zero_sign != 0.0 else 0.0
    return grid


@helper
def round_one(x, target, bits):
    """Round any binary64 number."""
    if not (abs(x) < np.inf):
        if x != x:
            return x
        return target.infinite_high if x > 0.0 else target.infinite_low
    if target.modulus > 0.0:
        x = wrapped(x, target)
    return into_range(x, round_to_grid(x, target, bits), target)


@helper
def wrapped(x, target):
    """Take multiples of the modulus from a large x, and keep it larger than any small one.

    From 2^48 quanta on, a product of two binary32 numbers is a multiple of the quantum. The
    remainder is moved to the next multiples of the modulus after 2^48 quanta: a fraction added
    to it is then rounded as it would have been, on the side of the sign of x.
    """
    limit = target.least * target.unit * 281474976710656.0
    if abs(x) < limit:
        return x
    return np.fmod(x, target.modulus) + np.copysign(limit, x)


@helper
def sum_to_odd(s, p):
    """Return s + p, exact or rounded to odd."""
    hi = s + p
    t = hi - s
    lo = (s - (hi - t)) + (p - t)
    bits = np.float64(hi).view(np.int64)
    # A NaN in lo (from an infinity) compares false and leaves hi as it is.
    if abs(lo) > 0.0 and (bits & np.int64(1)) == 0:
        bits += np.int64(1) if (lo > 0.0) == (hi > 0.0) else np.int64(-1)
        return np.int64(bits).view(np.float64)
    return hi


@helper
def exact_sum(s, p, target):
    """Return s + p such that rounding it to the target gives what the exact sum gives."""
    if target.modulus > 0.0:
        return sum_to_odd(wrapped(s, target), wrapped(p, target))
    return sum_to_odd(s, p)


@helper
def add(s, p, target, bits):
    """Return s + p, computed exactly and rounded once."""
    return round_one(exact_sum(s, p, target), target, bits)


@helper
def approximate_product(x, y, offset, carries):
    """Multiply by adding fractions: see `accelsim.numerics.multipliers`."""
    product = x * y
    if product == 0.0 or not (abs(product) < np.inf):
        return product
    power = power_of_two(x) * power_of_two(y)
    fraction = (_significand(x) - 1.0) + (_significand(y) - 1.0) + offset
    significand = 1.0 + fraction
    if carries and fraction >= 1.0:
        significand = 2.0 * fraction
    return np.copysign(power * significand, product)


@helper
def _significand(x):
    bits = (np.float64(x).view(np.int64) & _FRACTION_MASK) | _ONE_BITS
    return np.int64(bits).view(np.float64)


@helper
def splitmix(x):
    """Return 64 mixed bits: see `accelsim.numerics.draws`, which defines all that follows."""
    x = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@helper
def output_keys(seed, row, column):
    """Return the two keys of an output."""
    mixed = splitmix(splitmix(splitmix(seed) ^ np.uint64(row)) ^ np.uint64(column))
    return np.uint32(mixed & np.uint64(0xFFFFFFFF)), np.uint32(mixed >> np.uint64(32))


@helper
def rounding_key(seed, number):
    """Return the key of a rounding."""
    mixed = splitmix(splitmix(~np.uint64(seed)) ^ np.uint64(number))
    return np.uint32(mixed & np.uint64(0xFFFFFFFF))


@helper
def mix(first, second, rounding):
    """Combine the keys into 32 random bits."""
    x = np.uint32(first ^ rounding)
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ second)
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@kernel
def round_array(x, target, seed, out):
    """Round the binary64 vector `x` into `out`; element t is output (t, 0), rounding 0."""
    bits = np.uint32(0)
    key = rounding_key(seed, 0)
    for t in range(x.size):
        if target.rounding == STOCHASTIC:
            first, second = output_keys(seed, t, 0)
            bits = mix(first, second, key)
        out[t] = round_one(x[t], target, bits)
