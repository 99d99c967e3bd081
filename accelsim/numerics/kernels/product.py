# mypy: ignore-errors
"""Matrix products by tiles: pack the operands, let `tile` accumulate, put the sums in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accelsim.numerics.kernels.scalar import STOCHASTIC, Target, output_keys, rounding_key
from accelsim.numerics.kernels.tile import ROWS, advance, fold

_BLOCK = 64
_SUM, _PRODUCT, _OUTER = 0, 1, 5


class Job(NamedTuple):
    """The settings that are numbers."""

    inner: Target
    product: Target
    outer: Target
    chunk: int
    chunked: bool
    group: int
    align: float
    seed: np.uint64
    noted: bool


@njit(cache=True, nogil=True)
def _rounding_keys(job, depth):
    random = job.inner.rounding == STOCHASTIC or job.outer.rounding == STOCHASTIC
    keys = np.zeros((3, depth if random else 1), np.uint32)
    if random:
        for k in range(depth):
            keys[0, k] = rounding_key(job.seed, 8 * k + _SUM)
            keys[1, k] = rounding_key(job.seed, 8 * k + _PRODUCT)
            keys[2, k] = rounding_key(job.seed, 8 * k + _OUTER)
    return keys, random


@njit(cache=True, nogil=True)
def _accumulate(spec, fold_spec, job, a, b, depth, keys, first, second, notes, sums, totals):
    """Accumulate one tile into `totals`, binary64."""
    sums[:] = 0
    totals[:] = 0.0
    if job.noted:
        notes[:] = 0.0
    parts = (first, second, keys[0], keys[1])
    for start in range(0, depth, job.chunk):
        stop = min(start + job.chunk, depth)
        advance(
            spec, job.inner, job.product, a, b, start, stop, job.group, job.align, parts, notes,
            sums,
        )  # fmt: skip
        if job.chunked:
            key = keys[2, stop - 1] if keys.shape[1] > 1 else np.uint32(0)
            fold(fold_spec, job.outer, sums, key, parts, notes, totals)
            sums[:] = 0
    if not job.chunked:
        totals[:] = sums


@njit(cache=True, nogil=True)
def multiply(a, b, row_range, column_range, first_row, spec, fold_spec, job, sums, out, stats):
    """Write the rows and columns of a (M,K) times b (K,N) that are asked for, binary32, to out.

    `sums` is scratch of ROWS vectors, in the lane's type. Row i draws its random bits as row
    first_row + i. stats (M,N,4) is used if the job is noted.
    """
    depth = a.shape[1]
    width = sums.size // ROWS
    left = np.empty(_BLOCK * depth, np.float32)
    right = np.empty(width * depth, np.float32)
    first, second = np.zeros(sums.size, np.uint32), np.zeros(sums.size, np.uint32)
    notes = np.zeros(4 * sums.size if job.noted else 1, np.float64)
    totals = np.empty(sums.size, np.float64)
    keys, random = _rounding_keys(job, depth)
    for i0 in range(row_range[0], row_range[1], _BLOCK):
        rows = min(_BLOCK, row_range[1] - i0)
        for i in range(0, rows, ROWS):
            for r in range(ROWS):
                for k in range(depth):
                    value = a[i0 + i + r, k] if i + r < rows else np.float32(0)
                    left[i * depth + k * ROWS + r] = value
        for j0 in range(column_range[0], column_range[1], width):
            columns = min(width, column_range[1] - j0)
            for k in range(depth):
                for j in range(columns):
                    right[k * width + j] = b[k, j0 + j]
                for j in range(columns, width):
                    right[k * width + j] = np.float32(0)
            for i in range(0, rows, ROWS):
                if random:
                    for r in range(ROWS):
                        for j in range(columns):
                            both = output_keys(job.seed, first_row + i0 + i + r, j0 + j)
                            first[r * width + j], second[r * width + j] = both
                block = left[i * depth : (i + ROWS) * depth]
                _accumulate(
                    spec, fold_spec, job, block, right, depth, keys, first, second, notes, sums,
                    totals,
                )  # fmt: skip
                for r in range(min(ROWS, rows - i)):
                    for j in range(columns):
                        place = r * width + j
                        out[i0 + i + r, j0 + j] = totals[place]
                        if job.noted:
                            for n in range(4):
                                stats[i0 + i + r, j0 + j, n] = notes[n * sums.size + place]


@njit(cache=True, nogil=True)
def multiply_pairs(a, b, row, column, first_row, spec, fold_spec, job, sums, out):
    """Accumulate row[t] of a (M,K) times row column[t] of b (N,K), binary32, into out[t]."""
    depth = a.shape[1]
    size = sums.size
    left, right = np.empty(size * depth, np.float32), np.empty(size * depth, np.float32)
    first, second = np.zeros(size, np.uint32), np.zeros(size, np.uint32)
    notes = np.zeros(1, np.float64)
    totals = np.empty(size, np.float64)
    keys, random = _rounding_keys(job, depth)
    for t0 in range(0, row.size, size):
        count = min(size, row.size - t0)
        for t in range(size):
            # Places without a pair of their own repeat the last one.
            i, j = row[t0 + min(t, count - 1)], column[t0 + min(t, count - 1)]
            for k in range(depth):
                left[k * size + t] = a[i, k]
                right[k * size + t] = b[j, k]
            if random:
                first[t], second[t] = output_keys(job.seed, first_row + i, j)
        _accumulate(
            spec, fold_spec, job, left, right, depth, keys, first, second, notes, sums, totals
        )
        out[t0 : t0 + count] = totals[:count]
