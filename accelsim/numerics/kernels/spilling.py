"""Sums that spill, in many columns at a time: `sums.Spill` for what binary64 adds exactly."""

from __future__ import annotations

import numpy as np

from accelsim.numerics.kernels.compiled import helper, kernel
from accelsim.numerics.kernels.scalar import power_of_two

_WIDTH = 256
"""Columns whose sums are kept at once: those and a row of operands stay in the first cache."""


@helper
def _rounded(x, target):
    """Round to nearest even as `scalar.round_to_grid` does, and give zeros their sign."""
    power = max(power_of_two(x), target.least)
    shift = power * target.magic
    near = (x + shift) - shift
    return np.copysign(near, x) if target.zero_sign != 0.0 else near


@helper
def _fits(x, target):
    return (target.lowest <= x) & (x <= target.max)


@helper
def _excess(x, target):
    """Return by how much x is out of range; nothing or less if it is not."""
    return max(x - target.max, target.lowest - x)


@kernel
def multiply(a, b, first, stop, narrow_target, wide_target, out, overflowed, spills):
    """Write rows first..stop-1 of a (M,K) times b (K,N), binary32, to out and to spills.

    `overflowed` says where a wide sum was out of range on the way, and out and spills are wrong.
    """
    depth, columns = b.shape
    narrow, wide = np.empty(_WIDTH), np.empty(_WIDTH)
    number, excess = np.empty(_WIDTH), np.empty(_WIDTH)
    for j0 in range(0, columns, _WIDTH):
        size = np.uint64(min(_WIDTH, columns - j0))
        for i in range(first, stop):
            for j in range(size):
                narrow[j], wide[j], number[j], excess[j] = 0.0, 0.0, 1.0, 0.0
            for k in range(depth):
                x = np.float64(a[i, k])
                if x == 0.0 and narrow_target.zero_sign == 0.0:
                    continue  # adds nothing, and there is no -0 that it would change
                row = b[k, j0 : j0 + size]
                # Without a branch, so that LLVM takes several columns at a time.
                for j in range(size):
                    s, w, p = narrow[j], wide[j], x * np.float64(row[j])
                    both, alone = _rounded(s + p, narrow_target), _rounded(p, narrow_target)
                    fits, small = _fits(both, narrow_target), _fits(alone, narrow_target)
                    emptied = _rounded(w + s, wide_target)
                    passed = _rounded(emptied + p, wide_target)
                    narrow[j] = both if fits else (alone if small else 0.0)
                    wide[j] = w if fits else (emptied if small else passed)
                    number[j] += 0.0 if fits else (1.0 if small else 2.0)
                    beyond = _excess(emptied, wide_target)
                    beyond = beyond if small else max(beyond, _excess(passed, wide_target))
                    excess[j] = excess[j] if fits else max(excess[j], beyond)
            for j in range(size):
                total = _rounded(wide[j] + narrow[j], wide_target)
                out[i, j0 + j] = total
                spills[i, j0 + j] = np.int64(number[j])
                overflowed[i, j0 + j] = max(excess[j], _excess(total, wide_target)) > 0.0
