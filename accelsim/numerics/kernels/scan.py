"""Passes over the operands: how large their values are, and how many bits they span."""

from __future__ import annotations

import numpy as np

from accelsim.numerics.kernels.compiled import kernel

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITE = np.uint32(0x7F800000)
_FRACTION = np.uint32(0x007FFFFF)
_ONE = np.uint32(1)


@kernel
def magnitudes(bits):
    """Return (fractions, smallest and largest magnitude of any number but zero).

    `bits` is a binary32 vector, read as integers. `fractions` is the bitwise or of all
    significands without their hidden bits. Smallest is inf where there is no number but zero,
    largest inf or NaN where one is not finite.
    """
    fractions = np.uint32(0)
    largest = np.uint32(0)
    below = _INFINITE
    for i in range(bits.size):
        # Positive numbers compare as their bits do.
        magnitude = np.uint32(bits[i] & _MAGNITUDE)
        fractions = np.uint32(fractions | magnitude)
        largest = max(largest, magnitude)
        # Zero becomes the largest number there is: it is not the smallest.
        below = min(below, np.uint32(magnitude - _ONE))
    smallest = min(np.uint32(below + _ONE), _INFINITE)
    return (
        fractions & _FRACTION,
        np.float64(np.uint32(smallest).view(np.float32)),
        np.float64(np.uint32(largest).view(np.float32)),
    )


@kernel
def last_bit(bits):
    """Return the value of the lowest bit that is set in any number but zero, inf if there is none.

    `bits` is a binary32 vector, read as integers.
    """
    last = _INFINITE
    for i in range(bits.size):
        magnitude = np.uint32(bits[i] & _MAGNITUDE)
        # The number less the number without its lowest bit; a power of two is its own last bit.
        without = np.uint32(magnitude & np.uint32(magnitude - _ONE)).view(np.float32)
        rest = np.float32(np.uint32(magnitude).view(np.float32) - without).view(np.uint32)
        if magnitude & _FRACTION == np.uint32(0):
            rest = magnitude
        if magnitude == np.uint32(0):
            rest = _INFINITE
        last = min(last, np.uint32(rest))
    return np.float64(np.uint32(last).view(np.float32))
