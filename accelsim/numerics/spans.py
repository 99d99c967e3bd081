"""What the values of an array have in common: the bits between their first and their last."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.formats import FixedFormat, Format
from accelsim.numerics.kernels.scan import (
    last_bit,
    magnitudes,
    magnitudes_of_both,
    smallest_of_terms,
)

_SINGLE_LOWEST_BIT = -149
_MAX_EXPONENT = 128
_SINGLE_MIN_NORMAL = 2.0**-126


Magnitudes = tuple[int, float, float]
"""What `kernels.scan.magnitudes` returns."""


class Span(NamedTuple):
    """What values have in common: multiples of 2^lowest, of magnitude largest or less."""

    significant_bits: int
    lowest: int
    largest: float
    smallest: float
    """Smallest magnitude that is not zero, inf where there is none."""

    @property
    def highest(self) -> int:
        """The H with magnitudes below 2^H."""
        return math.frexp(self.largest)[1]

    @property
    def at_best(self) -> Span:
        """The span if the smallest number has a single bit, and no other has a lower one."""
        if self.smallest < _SINGLE_MIN_NORMAL or math.isinf(self.smallest):
            return self
        return self._replace(lowest=math.frexp(self.smallest)[1] - 1)

    def times(self, other: Span) -> Span:
        """Return the span of products."""
        bits = self.significant_bits + other.significant_bits
        if 1 in (self.significant_bits, other.significant_bits):
            bits -= 1  # a power of two adds none
        return Span(
            bits,
            self.lowest + other.lowest,
            self.largest * other.largest,
            self.smallest * other.smallest,
        )

    def rounded_to(self, fmt: Format) -> Span:
        """Return the span after rounding to a format, where that does not overflow."""
        bits = fmt.total_bits if isinstance(fmt, FixedFormat) else fmt.mantissa_bits + 1
        lowest = max(self.lowest, fmt.lowest_bit)
        # A number may be rounded up to the next power of two, or to the finest spacing.
        largest = max(2.0**self.highest, 2.0**fmt.lowest_bit)
        outermost = max(fmt.max, -fmt.lowest)
        significant = min(self.significant_bits, bits)
        return Span(significant, lowest, min(largest, outermost), fmt.min_subnormal)

    def within(self, fmt: Format) -> bool:
        """Whether all of such values are surely values of a format."""
        bits = math.inf if isinstance(fmt, FixedFormat) else fmt.mantissa_bits + 1
        least = fmt.min_subnormal
        if self.smallest < least or self.significant_bits > bits or not fmt.signed:
            return False
        return self.lowest >= fmt.lowest_bit and self.largest <= fmt.max


def lowest_product(a: NDArray[np.float32], b: NDArray[np.float32], left: Span, right: Span) -> int:
    """Return an L such that a_ik·b_kj is a multiple of 2^L, for all i, j, k."""
    smallest = smallest_of_terms(*(np.ascontiguousarray(x).view(np.uint32) for x in (a, b)))
    meet = (smallest[0] > 0) & (smallest[1] > 0)
    exponents = sum(np.frexp(x[meet].view(np.float32))[1] for x in smallest)
    bits = left.significant_bits + right.significant_bits
    return int(exponents.min(initial=2 * _MAX_EXPONENT)) - bits


def glance(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[Magnitudes, Magnitudes]:
    """Return what a quick look at the values of two arrays tells."""
    left, right = magnitudes_of_both(_bits(a), _bits(b))
    return left, right


def outline(seen: Magnitudes) -> Span | None:
    """Return the span of values that were glanced at, None if one is not finite.

    Its `lowest` may be too low, by less than its significant bits.
    """
    fractions, smallest, largest = seen
    if not math.isfinite(largest):
        return None
    if largest == 0.0:
        return Span(1, 0, 0.0, math.inf)
    if smallest < _SINGLE_MIN_NORMAL:
        return Span(24, _SINGLE_LOWEST_BIT, largest, smallest)
    trailing = (fractions & -fractions).bit_length() - 1 if fractions else 23
    bits = 24 - trailing
    return Span(bits, math.frexp(smallest)[1] - bits, largest, smallest)


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return values.ravel().view(np.uint32)


def span(values: NDArray[np.float32]) -> Span | None:
    """Return the span of binary32 values, None if one is not finite."""
    found = outline(magnitudes(_bits(values)))
    if found is None or found.lowest == found.at_best.lowest:
        return found
    last = last_bit(_bits(values))
    return found._replace(lowest=math.frexp(last)[1] - 1)
