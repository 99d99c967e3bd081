"""Compiled loops: the only door to Numba.

A kernel computes into arrays that its caller has validated and allocated. There is no
`fastmath` here: every rounding below relies on IEEE 754 binary64 arithmetic in program order.

How a sum is rounded to a format with m stored mantissa bits. Let 2^e be the power of two of x,
raised to the smallest normal exponent of the format, and M = 1.5·2^52·2^(e-m). One unit in the
last place of M, and of every number within a factor 1.3 of it, is the format's quantum
2^(e-m), so that `x + M` rounds x to a multiple of the quantum, to nearest with ties to even (the
last bit of M itself is 0), and `- M` is exact. Raising e makes subnormals right.

When the sum itself is exact in binary64 nothing else is needed. Otherwise the exact sum is
hi + lo by TwoSum (Knuth), and hi is moved to the neighbour whose last bit is 1 in the direction
of lo: rounding to odd. A second rounding of that to at most 53 - 2 bits gives what one rounding
of the exact sum would have given (Boldo and Melquiond, IEEE Trans. Computers 57(4), 2008).
Products of two binary32 numbers are exact in binary64 (48 bits), and no sum can leave its range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

_EXPONENT_MASK = np.int64(0x7FF0000000000000)
_MAGNITUDE_MASK = np.int64(0x7FFFFFFFFFFFFFFF)


class Target(NamedTuple):
    """A format as the kernels see it."""

    magic: float
    """1.5·2^(52-m): M for numbers in [1, 2)."""
    min_exponent_field: int
    """Bits of the smallest normal number."""
    max: float
    overflow: float
    """What a positive number beyond `max` becomes."""


@njit(inline="always")
def _round(x, target):
    field = max(np.float64(x).view(np.int64) & _EXPONENT_MASK, target.min_exponent_field)
    shift = np.int64(field).view(np.float64) * target.magic
    rounded = (x + shift) - shift
    magnitude = abs(rounded)
    # An infinite x makes `rounded` a NaN: the negated comparison sends it to the overflow value.
    if not (magnitude <= target.max):
        magnitude = target.overflow if x == x else np.nan
    return np.copysign(magnitude, x)


@njit(inline="always")
def _add_to_odd(s, p):
    hi = s + p
    t = hi - s
    lo = (s - (hi - t)) + (p - t)
    bits = np.float64(hi).view(np.int64)
    step = np.int64(1) if (lo > 0.0) == (hi > 0.0) else np.int64(-1)
    # A NaN in lo (from an infinity) compares false and leaves hi as it is.
    inexact = abs(lo) > 0.0
    moved = bits + step if inexact and (bits & np.int64(1)) == 0 else bits
    return np.int64(moved).view(np.float64)


@njit(cache=True, nogil=True)
def round_array(x, target, out):
    """Round the binary64 vector `x` into `out`."""
    for i in range(x.size):
        out[i] = _round(x[i], target)


@njit(cache=True, nogil=True)
def matmul(a, b, chunk, inner, product, outer, exact_sum, rounds_product, chunked, out):
    """Accumulate a (M,K) times b (K,N), both binary32, into out (M,N).

    The loop over columns is innermost and contiguous, so that it is compiled to vector code.
    """
    rows, depth = a.shape
    columns = b.shape[1]
    partial = np.empty(columns, np.float64)
    products = np.empty(columns, np.float64)
    total = np.empty(columns, np.float64)
    for i in range(rows):
        total[:] = 0.0
        for start in range(0, depth, chunk):
            partial[:] = 0.0
            for k in range(start, min(start + chunk, depth)):
                x = np.float64(a[i, k])
                for j in range(columns):
                    products[j] = x * np.float64(b[k, j])
                if rounds_product:
                    for j in range(columns):
                        products[j] = _round(products[j], product)
                if exact_sum:
                    for j in range(columns):
                        partial[j] = _round(partial[j] + products[j], inner)
                else:
                    for j in range(columns):
                        partial[j] = _round(_add_to_odd(partial[j], products[j]), inner)
            if chunked:
                for j in range(columns):
                    total[j] = _round(_add_to_odd(total[j], partial[j]), outer)
            else:
                total[:] = partial
        for j in range(columns):
            out[i, j] = np.float32(total[j])


@njit(cache=True, nogil=True)
def dot(a, b, row, column, chunk, inner, product, outer, rounds_product, chunked, out):
    """Accumulate row[t] of a (M,K) times row column[t] of b (N,K), binary32, into out[t]."""
    depth = a.shape[1]
    for t in range(row.size):
        i, j = row[t], column[t]
        total = 0.0
        for start in range(0, depth, chunk):
            partial = 0.0
            for k in range(start, min(start + chunk, depth)):
                p = np.float64(a[i, k]) * np.float64(b[j, k])
                if rounds_product:
                    p = _round(p, product)
                partial = _round(_add_to_odd(partial, p), inner)
            total = _round(_add_to_odd(total, partial), outer) if chunked else partial
        out[t] = np.float32(total)


@njit(cache=True, nogil=True)
def bit_range(x):
    """Return (lowest, highest): every finite x is a multiple of 2^lowest below 2^highest.

    `x` is a binary32 vector. Returns (0, 0) where it holds no finite number but zero.
    """
    lowest, highest = 1024, -1024
    for i in range(x.size):
        value = np.float64(x[i])
        bits = np.float64(value).view(np.int64) & _MAGNITUDE_MASK
        # Binary32 subnormals are normal in binary64, so that the hidden bit is always there.
        if bits == 0 or bits >= _EXPONENT_MASK:
            continue
        exponent = (bits >> np.int64(52)) - 1023
        significand = (bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x10000000000000)
        trailing = 0
        while (significand >> np.int64(trailing)) & 1 == 0:
            trailing += 1
        lowest = min(lowest, exponent - 52 + trailing)
        highest = max(highest, exponent + 1)
    if lowest > highest:
        return 0, 0
    return lowest, highest
