# mypy: ignore-errors
"""One pass over the operands: how many bits their values span."""

from __future__ import annotations

import numpy as np
from numba import njit

_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITE = np.int32(0x7F800000)


@njit(cache=True, nogil=True)
def scan(x):
    """Return (fractions, least last bit, largest magnitude, whether all are finite).

    `x` is a binary32 vector. `fractions` is the bitwise or of all significands of 24 bits; the
    last bit of a number is its lowest bit that is set, as a binary64 number (inf without any).
    Largest and fractions are 0 where there is no number but zero.
    """
    fractions = np.int32(0)
    least = np.inf
    largest = np.int32(0)
    bits = x.view(np.int32)
    for i in range(x.size):
        magnitude = bits[i] & _MAGNITUDE
        largest = max(largest, magnitude)
        field = max(magnitude >> np.int32(23), np.int32(1))
        hidden = np.int32(0x00800000) if magnitude >= np.int32(0x00800000) else np.int32(0)
        significand = (magnitude & np.int32(0x007FFFFF)) | hidden
        fractions |= significand
        last = np.float64(significand & -significand)
        # 2^(field - 150), the value of the significand's last place, put together as binary64.
        place = np.int64((np.int64(field) + np.int64(1023 - 150)) << np.int64(52))
        value = last * place.view(np.float64)
        least = min(least, value if significand != 0 else np.inf)
    finite = largest < _INFINITE
    return fractions, least, np.float64(np.int32(largest).view(np.float32)), finite
