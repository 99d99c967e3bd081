"""Matrix products by tiles: pack the operands, let `tile` accumulate, put the sums in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accelsim.numerics.kernels.scalar import STOCHASTIC, Target, output_keys, rounding_key
from accelsim.numerics.kernels.tile import ROWS, advance, fold

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
    watched: bool
    """Whether the hasty spec leaves something to the careful one."""


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
def _accumulate(
    spec, fold_spec, job, a, first, step, b, depth, keys, parts, notes, watch, sums, totals
):
    """Accumulate one tile into `totals`, binary64; see `tile.advance`."""
    sums[:] = 0
    watch[:] = 0
    totals[:] = 0.0
    if job.noted:
        notes[:] = 0.0
    for start in range(0, depth, job.chunk):
        stop = min(start + job.chunk, depth)
        advance(
            spec, job.inner, job.product, a, first, step, b, start, stop, job.group, job.align,
            parts, notes, watch, sums,
        )  # fmt: skip
        if job.chunked:
            key = keys[2, stop - 1] if keys.shape[1] > 1 else np.uint32(0)
            fold(fold_spec, job.outer, sums, key, parts, notes, totals)
            sums[:] = 0
    if not job.chunked:
        totals[:] = sums


@njit(cache=True, nogil=True)
def _wants_care(job, watch, totals, rows, columns, width):
    """Whether a sum overflowed, or one of the tile's outputs is a zero, whose sign is not known."""
    for j in range(width):
        if watch[j] > job.inner.max:
            return True
    for r in range(rows):
        for j in range(columns):
            if totals[r * width + j] == 0.0:
                return True
    return False


@njit(cache=True, nogil=True)
def multiply(
    a, b, row_range, column_range, first_row, hasty, careful, fold_spec, job, sums, out, stats
):
    """Write the rows and columns of a (M,K) times b (K,N) that are asked for to out.

    `a` is of the lane's type, b binary32. `sums` is scratch of ROWS vectors, in the lane's type.
    A tile is accumulated hastily, and once more with care where that is wanted; where it is
    wanted often, with care at once. Row i draws its random bits as row first_row + i.
    stats (M,N,4) is used if the job is noted.
    """
    depth = a.shape[1]
    width = sums.size // ROWS
    flat = a.reshape(a.size)
    # The last rows, with rows of zeros after them to fill a tile.
    rest = (row_range[1] - row_range[0]) % ROWS
    last = np.zeros((ROWS, depth), a.dtype)
    last[:rest] = a[row_range[1] - rest : row_range[1]]
    last = last.reshape(last.size)
    right = np.zeros(width * depth, np.float32)
    first, second = np.zeros(sums.size, np.uint32), np.zeros(sums.size, np.uint32)
    notes = np.zeros(4 * sums.size if job.noted else 1, np.float64)
    totals = np.empty(sums.size, np.float64)
    watch = np.empty(width, sums.dtype)
    keys, random = _rounding_keys(job, depth)
    parts = (first, second, keys[0], keys[1])
    tiles, redone = 0, 0
    for j0 in range(column_range[0], column_range[1], width):
        columns = min(width, column_range[1] - j0)
        for k in range(depth):
            for j in range(columns):
                right[k * width + j] = b[k, j0 + j]
            for j in range(columns, width):
                right[k * width + j] = np.float32(0)
        for i in range(row_range[0], row_range[1], ROWS):
            rows = min(ROWS, row_range[1] - i)
            rows_of, start = (flat, i * depth) if rows == ROWS else (last, 0)
            if random:
                for r in range(rows):
                    for j in range(columns):
                        both = output_keys(job.seed, first_row + i + r, j0 + j)
                        first[r * width + j], second[r * width + j] = both
            care = not job.watched or 4 * redone > tiles + 8
            tiles += 1
            if not care:
                _accumulate(
                    hasty, fold_spec, job, rows_of, start, depth, right, depth, keys, parts,
                    notes, watch, sums, totals,
                )  # fmt: skip
                care = _wants_care(job, watch, totals, rows, columns, width)
                redone += care
            if care:
                _accumulate(
                    careful, fold_spec, job, rows_of, start, depth, right, depth, keys, parts,
                    notes, watch, sums, totals,
                )  # fmt: skip
            for r in range(rows):
                for j in range(columns):
                    out[i + r, j0 + j] = totals[r * width + j]
            if job.noted:
                for r in range(rows):
                    for j in range(columns):
                        for n in range(4):
                            stats[i + r, j0 + j, n] = notes[n * sums.size + r * width + j]


@njit(cache=True, nogil=True)
def multiply_pairs(a, b, row, column, first_row, spec, fold_spec, job, sums, out):
    """Accumulate row[t] of a (M,K) times row column[t] of b (N,K), binary32, into out[t]."""
    depth = a.shape[1]
    size = sums.size
    left, right = np.empty(size * depth, np.float32), np.empty(size * depth, np.float32)
    first, second = np.zeros(size, np.uint32), np.zeros(size, np.uint32)
    notes = np.zeros(1, np.float64)
    totals = np.empty(size, np.float64)
    watch = np.empty(size // ROWS, sums.dtype)
    keys, random = _rounding_keys(job, depth)
    parts = (first, second, keys[0], keys[1])
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
            spec, fold_spec, job, left, 0, 0, right, depth, keys, parts, notes, watch, sums, totals
        )
        out[t0 : t0 + count] = totals[:count]
