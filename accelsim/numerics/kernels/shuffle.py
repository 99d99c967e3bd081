"""Exchanges by random words, as NumPy's generators shuffle."""

from __future__ import annotations

import numpy as np

from accelsim.numerics.kernels.compiled import kernel


@kernel
def exchange(order, place, words):
    """Exchange what is at `place`, and then at all places before, with one at or before it, which
    the next word says; return the place that there was no word for.

    Of a word as many bits count as the place has; it is passed over if that is beyond the place.
    """
    mask = np.uint32(0)
    for word in words:
        if place == 0:
            break
        if mask >> np.uint32(1) >= np.uint32(place) or mask == 0:
            mask = np.uint32(place)
            for shift in (1, 2, 4, 8, 16):
                mask |= mask >> np.uint32(shift)
        other = word & mask
        if other <= np.uint32(place):
            order[place], order[other] = order[other], order[place]
            place -= 1
    return place
