"""High precision out of several products in a low format: operands cut into slices.

Slices are so short that sums of their products are exact in a low format (K. Ozaki, T. Ogita,
S. Oishi, S. M. Rump, Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications, Numerical Algorithms 59, 2012). There, they are cut from
the largest magnitude of a row or column down. Here there are as many as the operands' format needs,
whatever the data, and then a grid that the format fixes for all rows and columns takes as many, and
nobody has to look for the largest.

Bits of an operand's magnitude are numbered from the format's lowest; slice i is those from i·b on,
b of them, as an integer with the operand's sign. Slice i of a row and slice j of a column make an
integer, which counts for 2^(b·(i+j) + 2·lowest bit). These are added up in fp32, those that count
for least first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.rounding import round_exact

FP32 = FloatFormat.parse("fp32")
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Slices:
    """How operands are cut: `number` slices of `bits` bits, the lowest from 2^`lowest_bit` on."""

    bits: int
    number: int
    lowest_bit: int

    @classmethod
    def of(cls, operands: FloatFormat, accumulator: FloatFormat, terms: int) -> Slices:
        """Return the fewest slices of operands of any size of which sums of so many products are
        exact in `accumulator`.

        Raises ValueError, saying what is allowed, if not even sums of single bits are exact; if
        `operands` cannot hold slices, which multipliers take as operands; or if fp32 cannot hold
        the products of operands.
        """
        if terms > most_terms(accumulator):
            raise ValueError(
                f"sums of {terms} products of single bits are not exact in {accumulator}: allowed"
                f" are at most {most_terms(accumulator)} terms"
            )
        span = math.floor(math.log2(operands.max)) + 1 - operands.lowest_bit
        bits = min(slice_bits(accumulator, terms), span)
        while bits and not _holds(operands, bits):
            bits -= 1
        if not bits or not _fp32_holds(operands, terms):
            raise ValueError(
                f"operands are {operands}: allowed are formats that hold 1, and of which fp32 holds"
                f" every sum of {terms} products to 24 bits"
            )
        return cls(bits, math.ceil(span / bits), operands.lowest_bit)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Which slices of both operands are multiplied, in order: those that count for least
        first.
        """
        places = range(self.number)
        return tuple(sorted(((i, j) for i in places for j in places), key=sum))

    @property
    def passes(self) -> int:
        """Products of slices in the place of one product."""
        return self.number * self.number

    @property
    def sum_bits(self) -> int:
        """Width of the sum over all pairs on its way; 0 where there is one pair alone."""
        return FP32.bits if self.passes > 1 else 0

    def exponent(self, pair: tuple[int, int]) -> int:
        """Return the power of two that the product of two slices counts for."""
        return self.bits * sum(pair) + 2 * self.lowest_bit

    def __str__(self) -> str:
        return f"{self.passes} products of slices of {self.bits} bit{'s' * (self.bits > 1)}"


def most_terms(accumulator: FloatFormat) -> int:
    """Return how many products of single bits have a sum that is exact in `accumulator`: up to 2^p
    for p significant bits, in its range; 0 if not even one is sure to be.
    """
    if not accumulator.signed or accumulator.min_subnormal > 1.0:
        return 0
    return int(min(2.0 ** (accumulator.mantissa_bits + 1), accumulator.max))


def slice_bits(accumulator: FloatFormat, terms: int) -> int:
    """Return how many bits slices may have for sums of so many products to be exact: n products of
    pairs of b bits are at most n·(2^b - 1)². 0 if not even single bits are few enough.
    """
    bits = 0
    while terms * (2.0 ** (bits + 1) - 1.0) ** 2 <= most_terms(accumulator):
        bits += 1
    return bits


def _fp32_holds(operands: FloatFormat, terms: int) -> bool:
    """Say whether fp32 holds every sum of so many products that has 24 significant bits."""
    return 2 * operands.lowest_bit >= FP32.lowest_bit and 2 * terms * operands.max**2 < FP32.max


def _holds(operands: FloatFormat, bits: int) -> bool:
    """Say whether slices of values of a format are values of it: integers of so many bits, of which
    no more are significant than the format has.
    """
    significant = min(bits, operands.mantissa_bits + 1)
    largest = (2.0**significant - 1.0) * 2.0 ** (bits - significant)
    return operands.min_subnormal <= 1.0 and operands.max >= largest


def dot_sliced(
    a: Sequence[float], b: Sequence[float], slices: Slices, accumulator: FloatFormat
) -> float:
    """Return one inner product of finite operands: the definition, slow and readable."""
    total = 0.0
    for i, j in slices.pairs:
        partial = 0.0
        for x, y in zip(a, b, strict=True):
            product = _slice(x, i, slices) * _slice(y, j, slices)
            partial = round_exact(accumulator, Fraction(partial) + product)
        scaled = Fraction(partial) * Fraction(2) ** slices.exponent((i, j))
        total = round_exact(FP32, Fraction(total) + scaled)
    return total


def _slice(value: float, place: int, slices: Slices) -> int:
    whole = Fraction(abs(value)) / Fraction(2) ** slices.lowest_bit
    part = int(whole) >> slices.bits * place & (1 << slices.bits) - 1
    return -part if value < 0 else part


def matmul_sliced(a: Values, b: Values, slices: Slices) -> Values:
    """Multiply (M,K) by (K,N) as `dot_sliced` does, to the bit, in an accumulator that the slices
    are short enough for: in which partial sums are exact, as they are here in binary64.

    An operand that is not finite makes all its outputs NaN.
    """
    left, right = (_cut(x, slices) for x in (a, b))
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    total[~np.isfinite(a).all(axis=1)] = np.nan
    total[:, ~np.isfinite(b).all(axis=0)] = np.nan
    for i, j in slices.pairs:
        if left[i].any() and right[j].any():  # others add zeros
            partial = left[i] @ right[j]
            total += np.ldexp(partial, slices.exponent((i, j))).astype(np.float32)
    return total


def matmul_sliced_at(
    a: Values,
    b: Values,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    slices: Slices,
) -> Values:
    """Compute the outputs (rows[t], columns[t]) of a (M,K) times b (K,N)."""
    some_rows, row = np.unique(rows, return_inverse=True)
    some_columns, column = np.unique(columns, return_inverse=True)
    return matmul_sliced(a[some_rows], b[:, some_columns], slices)[row, column]


def _cut(x: Values, slices: Slices) -> list[NDArray[np.float64]]:
    """Return the slices of operands, lowest first."""
    finite = np.where(np.isfinite(x), x, 0.0).astype(np.float64)
    whole, found = np.ldexp(np.abs(finite), -slices.lowest_bit), []
    for _ in range(slices.number):
        rest = np.floor(np.ldexp(whole, -slices.bits))
        found.append(np.copysign(whole - np.ldexp(rest, slices.bits), finite))
        whole = rest
    return found
