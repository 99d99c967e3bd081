"""One output at a time, in any order of accumulation: `accelsim.numerics.orders`, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from accelsim.numerics.kernels.compiled import helper, kernel
from accelsim.numerics.kernels.scalar import (
    STOCHASTIC,
    Target,
    approximate_product,
    exact_sum,
    in_range,
    into_range,
    mix,
    output_keys,
    power_of_two,
    round_one,
    round_to_grid,
    rounding_key,
    sum_to_odd,
    wrapped,
)


class Sequential(NamedTuple):
    """The orders are types, so that only the one in use is compiled."""

    unused: int = 0


class Pairwise(NamedTuple):
    """Neighbours first."""

    unused: int = 0


class Kahan(NamedTuple):
    """Compensated."""

    unused: int = 0


class Sorted(NamedTuple):
    """Least magnitude first."""

    unused: int = 0


class Spill(NamedTuple):
    """A narrow sum that empties into a wide one."""

    unused: int = 0


class Groups(NamedTuple):
    """Products aligned to the largest exponent and added at once."""

    unused: int = 0


_STEP, _PRODUCT, _CORRECTED, _DIFFERENCE, _COMPENSATION, _OUTER, _WIDE, _ADDEND = range(8)

# Columns of the statistics; the last is there only where sums spill.
ABSOLUTE, RUNNING, OVERFLOWS, UNDERFLOWS, SPILLS = range(5)


class Setting(NamedTuple):
    """An accumulator, as the kernels see it."""

    inner: Target
    product: Target
    outer: Target
    rounds_product: bool
    chunk: int
    """Terms in a chunk; all of them without chunks."""
    chunked: bool
    group: int
    align: float
    """2^-align_bits."""
    least_operand: float
    """Smallest normal value of the operands: what a subnormal one is aligned by."""
    approximate: bool
    offset: float
    carries: bool
    seed: np.uint64


@helper
def _bits(setting, keys, k, stage, random):
    if not random:
        return np.uint32(0)
    number = np.uint64(8) * np.uint64(k) + np.uint64(stage)
    return mix(keys[0], keys[1], rounding_key(setting.seed, number))


@helper
def _rounded(x, target, bits, stats):
    """Round, and note in `stats` an overflow or an underflow."""
    if not (abs(x) < np.inf):
        return round_one(x, target, bits)
    if target.modulus > 0.0:
        x = wrapped(x, target)
    grid = round_to_grid(x, target, bits)
    result = into_range(x, grid, target)
    if not in_range(grid, target):
        stats[OVERFLOWS] += 1.0
    elif x != 0.0 and result == 0.0:
        stats[UNDERFLOWS] += 1.0
    return result


@helper
def _noted(s, p, target, bits, stats):
    """Add, round, and note in `stats` the size of the sum too."""
    result = _rounded(exact_sum(s, p, target), target, bits, stats)
    stats[RUNNING] += abs(result)
    return result


@helper
def _add_inner(s, p, setting, keys, k, stage, stats):
    target = setting.inner
    bits = _bits(setting, keys, k, stage, target.rounding == STOCHASTIC)
    return _noted(s, p, target, bits, stats)


@helper
def _add_outer(s, p, setting, keys, k, stage, stats):
    target = setting.outer
    bits = _bits(setting, keys, k, stage, target.rounding == STOCHASTIC)
    return _noted(s, p, target, bits, stats)


@helper
def _products(a, b, start, stop, setting, keys, terms, stats):
    for k in range(start, stop):
        x, y = np.float64(a[k]), np.float64(b[k])
        if setting.approximate:
            p = approximate_product(x, y, setting.offset, setting.carries)
        else:
            p = x * y
        stats[ABSOLUTE] += abs(p)
        if setting.rounds_product:
            target = setting.product
            bits = _bits(setting, keys, k, _PRODUCT, target.rounding == STOCHASTIC)
            p = _rounded(p, target, bits, stats)
        terms[k - start] = p


@helper
def _sequential(terms, count, c, start, setting, keys, stats):
    total = c
    for i in range(count):
        total = _add_inner(total, terms[i], setting, keys, start + i, _STEP, stats)
    return total


@helper
def _pairwise(terms, count, c, start, setting, keys, stats):
    # At a stride, `terms[i]` holds the node whose first term is i.
    stride = 1
    while stride < count:
        for i in range(0, count - stride, 2 * stride):
            right = i + stride
            terms[i] = _add_inner(
                terms[i], terms[right], setting, keys, start + right, _STEP, stats
            )
        stride *= 2
    return _add_inner(c, terms[0], setting, keys, start, _ADDEND, stats)


@helper
def _kahan(terms, count, c, start, setting, keys, stats):
    total, lost = c, 0.0
    for i in range(count):
        k = start + i
        corrected = _add_inner(terms[i], -lost, setting, keys, k, _CORRECTED, stats)
        new = _add_inner(total, corrected, setting, keys, k, _STEP, stats)
        difference = _add_inner(new, -total, setting, keys, k, _DIFFERENCE, stats)
        lost = _add_inner(difference, -corrected, setting, keys, k, _COMPENSATION, stats)
        total = new
    return total


@helper
def _fits(x, setting, bits):
    return abs(x) < np.inf and in_range(round_to_grid(x, setting.inner, bits), setting.inner)


@helper
def _spilling(terms, count, c, start, setting, keys, stats):
    wide, narrow = c, 0.0
    spills = 1.0  # the narrow sum at the end
    inner = setting.inner
    random = inner.rounding == STOCHASTIC
    for i in range(count):
        k, p = start + i, terms[i]
        bits = _bits(setting, keys, k, _STEP, random)
        if _fits(sum_to_odd(narrow, p), setting, bits):
            narrow = _noted(narrow, p, inner, bits, stats)
            continue
        wide = _add_outer(wide, narrow, setting, keys, k, _WIDE, stats)
        spills += 1.0
        if _fits(p, setting, bits):
            narrow = _noted(0.0, p, inner, bits, stats)
        else:
            wide = _add_outer(wide, p, setting, keys, k, _OUTER, stats)
            spills += 1.0
            narrow = 0.0
    if stats.size > SPILLS:
        stats[SPILLS] = spills
    return _add_outer(wide, narrow, setting, keys, start, _ADDEND, stats)


@helper
def _operand_power(x, setting):
    # A binary32 subnormal is normal here, so that its power of two can be read off.
    return max(power_of_two(x), setting.least_operand)


@helper
def _group(a, b, low, high, total, setting):
    """Return the exact sum of the terms, cut below the largest exponent."""
    special = 0.0 if abs(total) < np.inf else total
    largest = 0.0 if total == 0.0 else max(power_of_two(total), 2.0**-149)
    for k in range(low, high):
        x, y = np.float64(a[k]), np.float64(b[k])
        if not (abs(x) < np.inf and abs(y) < np.inf):
            special += x * y
        elif x != 0.0 and y != 0.0:
            largest = max(largest, _operand_power(x, setting) * _operand_power(y, setting))
    if special != 0.0:
        return special
    if largest == 0.0:
        return 0.0
    unit = largest * setting.align
    # Below 2^53 units even in sum, so that this is exact: Accumulator refuses wider settings.
    units = np.trunc(total / unit)
    for k in range(low, high):
        units += np.trunc(np.float64(a[k]) * np.float64(b[k]) / unit)
    return units * unit + 0.0


@helper
def _in_groups(a, b, c, start, stop, setting, keys, stats):
    total = c
    for k in range(start, stop):
        stats[ABSOLUTE] += abs(np.float64(a[k]) * np.float64(b[k]))
    for low in range(start, stop, setting.group):
        high = min(low + setting.group, stop)
        x = _group(a, b, low, high, total, setting)
        total = _add_inner(x, -0.0, setting, keys, low, _STEP, stats)
    return total


@helper
def _ascending(terms, count):
    # A stable merge sort by magnitude, NaNs last: NumPy's takes seconds to compile.
    spare = np.empty(count, np.float64)
    width = 1
    while width < count:
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            i, j = low, middle
            for k in range(low, high):
                right = i == middle or (
                    j < high
                    and (
                        abs(terms[j]) < abs(terms[i])
                        or (terms[i] != terms[i] and terms[j] == terms[j])
                    )
                )
                spare[k] = terms[j] if right else terms[i]
                i, j = (i, j + 1) if right else (i + 1, j)
        terms[:count] = spare
        width *= 2


@helper
def _sorted(terms, count, c, start, setting, keys, stats):
    _ascending(terms, count)
    return _sequential(terms, count, c, start, setting, keys, stats)


_ORDERS = {
    Sequential: _sequential,
    Pairwise: _pairwise,
    Kahan: _kahan,
    Sorted: _sorted,
    Spill: _spilling,
}


def _inner(order, a, b, c, start, stop, setting, keys, terms, stats):
    raise NotImplementedError  # `_compiled_inner` stands for it in compiled code


@overload(_inner)
def _compiled_inner(order, a, b, c, start, stop, setting, keys, terms, stats):
    if order.instance_class is Groups:

        def grouped(order, a, b, c, start, stop, setting, keys, terms, stats):
            return _in_groups(a, b, c, start, stop, setting, keys, stats)

        return grouped

    accumulate_terms = _ORDERS[order.instance_class]

    def ordered(order, a, b, c, start, stop, setting, keys, terms, stats):
        _products(a, b, start, stop, setting, keys, terms, stats)
        return accumulate_terms(terms, stop - start, c, start, setting, keys, stats)

    return ordered


@kernel
def accumulate(a, b, c, row, column, first_row, order, setting, out, stats):
    """Accumulate row[t] of a (M,K) times row column[t] of b (N,K) from c[t] into out[t].

    `a` and `b` are binary32, `c` and `out` binary64, and `c` is used up; stats[t] takes Σ|a·b|,
    Σ|rounded sums|, the numbers of overflows and underflows and, if there is a fifth column, of
    additions to the wide sum of one that spills. Row r draws its random bits as row first_row + r.
    """
    depth = a.shape[1]
    terms = np.empty(max(depth, 1), np.float64)
    for t in range(row.size):
        i, j = row[t], column[t]
        keys = output_keys(setting.seed, first_row + i, j)
        stats[t, :] = 0.0
        total = c[t]
        if depth == 0:
            total = _add_outer(total, -0.0, setting, keys, 0, _ADDEND, stats[t])
        for start in range(0, depth, setting.chunk):
            stop = min(start + setting.chunk, depth)
            first = 0.0 if setting.chunked else total
            partial = _inner(order, a[i], b[j], first, start, stop, setting, keys, terms, stats[t])
            total = partial
            if setting.chunked:
                total = _add_outer(c[t], partial, setting, keys, stop - 1, _OUTER, stats[t])
                c[t] = total
        out[t] = total
