"""When sums that spill may be computed in binary64, many at a time, with its proof.

Narrow and wide are rounded to nearest even, with subnormals, and operands are finite. All products
are multiples of 2^l; 2^L is the smaller of that and of the narrow format's finest spacing. A number
that is rounded is a product, or the sum of a product or a narrow sum and of what was rounded
before; rounding to a finer grid changes nothing, and values of a coarser one are multiples of its
spacing: so all sums are multiples of 2^L.

What is added to a wide sum is a narrow sum or a product, of magnitude T or less; let T be no
less than the wide format's finest spacing either. Each of the n ≤ 2K + 1 additions rounds by
2^-(m+1) of its result, or by half of that spacing. So if 2K + 1 ≤ 2^m, a wide sum has no larger
magnitude than n·(T + T/2)·(1 + 2^-(m+1))^n < 4·(2K + 1)·T; and, before it overflows, after which
another kernel takes over, none larger than the wide format's largest. Call the smaller one W.

If W + 2T ≤ 2^(L+51), all sums are exact in binary64; and the quantum that `(x + M) - M` rounds x to
is that of the format, or no coarser than 2^L.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FixedFormat, Format
from accelsim.numerics.spans import span

_BITS = 51


def spills_exactly(acc: Accumulator, a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether `kernels.spilling` serves for a (M,K) times b (K,N) by an accumulator that spills."""
    narrow, wide = acc.format, acc.outer_format
    plain = acc.product is None and acc.multiplier is None and acc.overflow != "wrap"
    nearest = acc.rounding == acc.outer_rounding == "nearest-even"
    if not (plain and nearest and _is_plain(narrow) and _is_plain(wide)):
        return False
    left, right = span(a), span(b)
    if left is None or right is None:
        return False
    products = left.times(right)
    term = max(products.largest, narrow.max, -narrow.lowest, wide.min_subnormal)
    total = max(wide.max, -wide.lowest)
    additions = 2 * a.shape[1] + 1
    if not isinstance(wide, FixedFormat) and additions <= 2**wide.mantissa_bits:
        total = min(total, 4.0 * additions * term)
    lowest = min(products.lowest, narrow.lowest_bit)
    return total + 2.0 * term <= math.ldexp(1.0, lowest + _BITS)


def _is_plain(fmt: Format) -> bool:
    return isinstance(fmt, FixedFormat) or (fmt.signed and fmt.subnormals)
