"""Memory that kernels work in, kept by each thread from one product to the next."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.kernels.product import Scratch, set_rounding_keys
from accelsim.numerics.kernels.spec import ROWS, Noted, Running, Spec

_PACKED_ROWS, _PACKED_COLUMNS = 2**16, 2**18
"""Numbers of the operands that are packed at a time: what a cache of the second level, and one
of the third, have room for."""
_KEPT = _PACKED_ROWS + _PACKED_COLUMNS
_LINE = 64
"""Bytes of a line of the cache."""


class _Kept(threading.local):
    """A thread's memory for packed operands, in bytes, and its last `Scratch`."""

    room: NDArray[np.uint8] = np.empty(0, np.uint8)
    wanted: tuple[Any, ...] = ()
    scratch: Scratch | None = None


_kept = _Kept()


def scratch_for(
    spec: Spec,
    whole: bool,
    zeros: bool,
    seed: np.uint64 | None,
    depth: int,
    rows: int | None = None,
    columns: int | None = None,
) -> Scratch:
    """Return what a kernel needs for rows and columns, or for pairs if they are not given.

    whole: whether sums do not go through chunks. zeros: whether these have no sign until the last
    term. seed: of the random bits, if there are some.
    """
    wanted = (spec, whole, zeros, seed, depth, rows, columns)
    if _kept.scratch is not None and _kept.wanted == wanted:
        return _kept.scratch
    kind = np.float32 if spec.single else np.float64
    size = spec.rows * spec.width
    high = wide = size
    if rows is not None and columns is not None:
        high = _packed_together(rows, ROWS, depth, _PACKED_ROWS)
        wide = _packed_together(columns, spec.width, depth, _PACKED_COLUMNS)
    noted = {Noted: 4, Running: 1}.get(type(spec.notes), 0)
    keys = np.zeros((3, 1 if seed is None else depth), np.uint32)
    outputs = np.zeros((2, size), np.uint32)
    packed = _packed((high + wide) * depth, kind)  # the columns are whole vectors: so first
    sums, others = np.empty(size, kind), np.empty((2, size), np.float64)
    scratch = Scratch(
        left=packed[wide * depth :],
        right=packed[: wide * depth],
        keys=(outputs[0], outputs[1], keys[0], keys[1]),
        outer_keys=keys[2],
        notes=np.empty(noted * size, np.float64),
        watch=np.empty(spec.width, kind),
        sums=sums,
        unsigned=np.empty(spec.rows, np.uint32) if zeros else None,
        partial=others[0],
        results=sums if whole else others[1],
    )
    if seed is not None:
        set_rounding_keys(seed, *keys)
    _kept.wanted, _kept.scratch = wanted, scratch if packed.size <= _KEPT else None
    return scratch


def _packed(size: int, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return a vector that begins with a line of the cache, so that no load needs two.

    A thread gets the same memory again, as new memory is slow: unless it is so much that it is
    better given back.
    """
    needed = size * np.dtype(kind).itemsize
    room = _kept.room
    if room.size < needed + _LINE:
        room = np.empty(needed + _LINE, np.uint8)
        if size <= _KEPT:
            _kept.room = room
    first = -room.ctypes.data % _LINE
    return room[first : first + needed].view(kind)


def _packed_together(size: int, step: int, depth: int, numbers: int) -> int:
    """Return how many rows or columns to pack at a time, a multiple of `step`."""
    return min(max(1, numbers // (step * depth)), -(-size // step)) * step
