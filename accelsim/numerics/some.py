"""Some outputs of a product: one at a time, or picked from tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.kernels.spec import Native
from accelsim.numerics.lanes import plan
from accelsim.numerics.products import Floats, multiply, multiply_pairs

_TILE_GAIN, _NATIVE_GAIN = 12.0, 30.0
"""How much faster outputs of tiles are than outputs one at a time, as measured: with roundings of
our own, and with those of the processor."""
_TOGETHER = 2**22
"""Outputs of tiles of which some are picked."""


def multiply_some(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    acc: Accumulator,
    out: Floats,
    threads: int,
) -> None:
    """Write the outputs (row[t], column[t]) of a (M,K) times b (K,N) to out[t].

    One at a time, or as tiles of all rows and all columns that occur, whichever takes less.
    """
    rows, row_place = _distinct(row, a.shape[0])
    columns, column_place = _distinct(column, b.shape[1])
    if rows.size * columns.size > _tile_gain(acc, a, b) * row.size:
        multiply_pairs(a, np.ascontiguousarray(b.T), row, column, acc, None, out, threads)
        return
    right = b if columns.size == b.shape[1] else np.ascontiguousarray(b[:, columns])
    step = max(_TOGETHER // max(columns.size, 1), 1)
    for start in range(0, rows.size, step):
        left = a[rows[start : start + step]]
        found = np.empty((len(left), columns.size), out.dtype)
        # Read-only views, as `matmul` has them: Numba compiles a kernel for each kind of array.
        left, wanted = np.broadcast_to(left, left.shape), np.broadcast_to(right, right.shape)
        multiply(left, wanted, acc, 0, found, None, threads)
        here: Any = slice(None)
        if rows.size > step:
            here = (row_place >= start) & (row_place < start + step)
        out[here] = found[row_place[here] - start, column_place[here]]


def _distinct(index: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the values that occur, in order, and the place of each index among them."""
    occurs = np.zeros(size, np.bool_)
    occurs[index] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[index]


def _tile_gain(acc: Accumulator, a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return how many outputs of a tile take as long as one alone; 0 where there are no tiles."""
    random = "stochastic" in (acc.rounding, acc.outer_rounding)  # random bits go by row and column
    chosen = None if random else plan(acc, a, b)
    if chosen is None:
        return 0.0
    spec = chosen.hasty or chosen.careful
    return _NATIVE_GAIN if isinstance(spec.rounding, Native) else _TILE_GAIN
