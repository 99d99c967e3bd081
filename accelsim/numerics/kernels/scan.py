"""Passes over the operands: how large their values are, and how many bits they span."""

from __future__ import annotations

import numpy as np

from accelsim.numerics.kernels.compiled import helper, kernel

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITE = np.uint32(0x7F800000)
_FRACTION = np.uint32(0x007FFFFF)
_ONE = np.uint32(1)
_NOTHING = np.uint32(0xFFFFFFFF)
_STREAMS = 4


@helper
def _seen(bits, fractions, below, largest):
    # Positive numbers compare as their bits do.
    magnitude = np.uint32(bits & _MAGNITUDE)
    # Zero becomes the largest number there is: it is not the smallest.
    less = np.uint32(magnitude - _ONE)
    return np.uint32(fractions | magnitude), min(below, less), max(largest, magnitude)


@kernel
def magnitudes(bits):
    """Return (fractions, smallest and largest magnitude of any number but zero).

    `bits` is a binary32 vector, read as integers. `fractions` is the bitwise or of all
    significands without their hidden bits. Smallest is inf where there is no number but zero,
    largest inf or NaN where one is not finite.
    """
    fractions, below, largest = np.uint32(0), _INFINITE, np.uint32(0)
    # In several places at once: a processor fetches ahead in each of them.
    part = np.uint64(bits.size // _STREAMS)
    for i in range(part):
        for stream in range(np.uint64(_STREAMS)):
            number = bits[stream * part + i]
            fractions, below, largest = _seen(number, fractions, below, largest)
    for i in range(_STREAMS * part, np.uint64(bits.size)):
        fractions, below, largest = _seen(bits[i], fractions, below, largest)
    smallest = min(np.uint32(below + _ONE), _INFINITE)
    return (
        fractions & _FRACTION,
        np.float64(np.uint32(smallest).view(np.float32)),
        np.float64(np.uint32(largest).view(np.float32)),
    )


@kernel
def magnitudes_of_both(a, b):
    """Return the `magnitudes` of two vectors."""
    return magnitudes(a), magnitudes(b)


@kernel
def smallest_of_terms(a, b):
    """Return the smallest magnitude but zero in each column of a (M,K) and in each row of b (K,N).

    All are binary32 read as integers; 0 where there is no number but zero.
    """
    terms = np.uint64(a.shape[1])
    left, right = np.full(terms, _NOTHING), np.full(terms, _NOTHING)
    for i in range(np.uint64(a.shape[0])):
        for k in range(terms):
            left[k] = min(left[k], np.uint32(np.uint32(a[i, k] & _MAGNITUDE) - _ONE))
    for k in range(terms):
        for j in range(np.uint64(b.shape[1])):
            right[k] = min(right[k], np.uint32(np.uint32(b[k, j] & _MAGNITUDE) - _ONE))
    return left + _ONE, right + _ONE


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
