"""Memory that kernels work in, kept by each thread from one product to the next."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.kernels.product import Scratch, set_rounding_keys
from accelsim.numerics.kernels.spec import DOUBLE_WIDTH, ROWS, SINGLE_WIDTH, Noted, Running, Spec

_PACKED_ROWS, _PACKED_COLUMNS = 2**16, 2**18
"""Numbers of the operands that are packed at a time: what a cache of the second level, and one
of the third, have room for."""
_LINE = 64
"""Bytes of a line of the cache."""


class _Kept(threading.local):
    """What a thread has allocated for its last product, and for which."""

    key: tuple[Any, ...] | None = None
    scratch: Scratch | None = None


_kept = _Kept()


def scratch_for(
    spec: Spec,
    whole: bool,
    seed: np.uint64 | None,
    depth: int,
    rows: int | None = None,
    columns: int | None = None,
) -> Scratch:
    """Return what a kernel needs for rows and columns, or for pairs if they are not given.

    whole: whether sums do not go through chunks. seed: of the random bits, if there are some.

    A thread gets the same again for products of one kind and size: memory that is new to the
    processor is the slowest. What is larger than a block of packed operands is not kept.
    """
    noted = {Noted: 4, Running: 1}.get(type(spec.notes), 0)
    key = (spec.single, noted, whole, seed, depth, rows, columns)
    if _kept.key == key and _kept.scratch is not None:
        return _kept.scratch
    _kept.key = _kept.scratch = None
    scratch = _allocated(*key)
    if scratch.left.size + scratch.right.size <= _PACKED_ROWS + _PACKED_COLUMNS:
        _kept.key, _kept.scratch = key, scratch
    return scratch


def _allocated(
    single: bool,
    noted: int,
    whole: bool,
    seed: np.uint64 | None,
    depth: int,
    rows: int | None,
    columns: int | None,
) -> Scratch:
    """Allocate the arrays."""
    kind = np.float32 if single else np.float64
    width = SINGLE_WIDTH if single else DOUBLE_WIDTH
    size = ROWS * width
    high = wide = size
    if rows is not None and columns is not None:
        high = _packed_together(rows, ROWS, depth, _PACKED_ROWS)
        wide = _packed_together(columns, width, depth, _PACKED_COLUMNS)
    random = seed is not None
    keys = np.zeros((3, depth if random else 1), np.uint32)
    outputs = np.zeros((2, size), np.uint32)
    packed = _aligned((high + wide) * depth, kind)  # the columns are whole vectors: so first
    sums, others = np.empty(size, kind), np.empty((2, size), np.float64)
    scratch = Scratch(
        left=packed[wide * depth :],
        right=packed[: wide * depth],
        keys=(outputs[0], outputs[1], keys[0], keys[1]),
        outer_keys=keys[2],
        notes=np.empty(noted * size, np.float64),
        watch=np.empty(width, kind),
        sums=sums,
        partial=others[0],
        results=sums if whole else others[1],
    )
    if random:
        set_rounding_keys(seed, *keys)
    return scratch


def _aligned(size: int, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Allocate a vector that begins with a line of the cache, so that no load needs two."""
    room = np.empty(size + _LINE // np.dtype(kind).itemsize, kind)
    skipped = -room.ctypes.data % _LINE // room.itemsize
    return room[skipped : skipped + size]


def _packed_together(size: int, step: int, depth: int, numbers: int) -> int:
    """Return how many rows or columns to pack at a time, a multiple of `step`."""
    return min(max(1, numbers // (step * depth)), -(-size // step)) * step
