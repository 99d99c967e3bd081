"""Inner products computed by an accumulator: validate, allocate, call the kernel."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.numerics import products, some
from accelsim.numerics.accumulator import (
    Accumulator,
    check_choice,
    check_overflow,
    format_of,
    held_by_float32,
    integer,
)
from accelsim.numerics.formats import FloatFormat, Format
from accelsim.numerics.kernels import sums
from accelsim.numerics.operands import (
    as_array,
    as_float,
    check_finite,
    index,
    operand,
    round_values,
)
from accelsim.numerics.results import Running, Spilled, Sums, Watched
from accelsim.numerics.rounding import MAX_RANDOM_BITS, OVERFLOWS, ROUNDINGS

__all__ = [
    "Accumulator",
    "Running",
    "Spilled",
    "Sums",
    "Watched",
    "conv2d",
    "dot",
    "matmul",
    "matmul_at",
    "matmul_running",
    "matmul_spilling",
    "matmul_sums",
    "matmul_watched",
    "round_to",
]


def round_to(
    fmt: str | Format,
    x: ArrayLike,
    rounding: str = "nearest-even",
    overflow: str = "inf",
    *,
    random_bits: int = 20,
    seed: int = 0,
) -> NDArray[np.floating[Any]]:
    """Round every element of `x` to a value of `fmt`.

    Stochastic rounding of element t (in C order) draws the bits of output (t, 0).
    Returns an array of the same shape: float64 for float64 input and for the few formats whose
    values float32 does not hold, float32 otherwise. Integers must be exact in float64.
    Raises ValueError, naming argument, value and what is allowed.
    """
    parsed = format_of("fmt", fmt)
    check_choice("rounding", rounding, ROUNDINGS)
    check_choice("overflow", overflow, OVERFLOWS)
    check_overflow("fmt", parsed, overflow)
    bits = integer("random_bits", random_bits, 1, MAX_RANDOM_BITS)
    seed = integer("seed", seed, 0, 2**64 - 1)
    array = as_array("x", x)
    values = as_float("x", array, np.float64)
    if not isinstance(parsed, FloatFormat):
        check_finite("x", values, parsed)
    rounded = round_values(parsed, values, rounding, overflow, bits, seed)
    wide = array.dtype.itemsize > 4 or not held_by_float32(parsed)
    return rounded if wide else rounded.astype(np.float32)


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
    first_row: int = 0,
) -> NDArray[np.floating[Any]]:
    """Multiply a (…,M,K) by b (…,K,N) with every inner product accumulated by `acc`.

    Leading dimensions are batches and broadcast. Operands are numbers that float32 holds exactly,
    and values of `acc.operands` where that is given, unless `round_operands` asks to round them
    to nearest. Returns (…,M,N): float32, or float64 where the result's format needs it. Output
    (i, j) of batch t draws its random bits as row first_row + t·M + i and column j: a product can
    be cut by rows. `threads` (all cores unless given) changes nothing but the time.
    Raises ValueError for wrong shapes and wrong values.
    """
    left, right = _batched(*_operands(acc, round_operands, a=a, b=b))
    rows, workers = left.shape[-2], _workers(threads)
    start = integer("first_row", first_row, 0, 2**62)
    out = np.empty((*left.shape[:-1], right.shape[-1]), acc.result_type)
    for t, batch in enumerate(_batches(left.shape)):
        row = start + t * rows
        products.multiply(left[batch], right[batch], acc, row, out[batch], None, workers)
    return out


def matmul_sums(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> Sums:
    """Multiply (…,M,K) by (…,K,N) as `matmul` does, and tell more of each output: see `Sums`, whose
    arrays are (…,M,N). Raises ValueError for wrong shapes and wrong values.
    """
    left, right = _batched(*_operands(acc, round_operands, a=a, b=b))
    rows, workers = left.shape[-2], _workers(threads)
    out = np.empty((*left.shape[:-1], right.shape[-1]), acc.result_type)
    spilling = acc.order == "spill"
    stats = np.empty((*out.shape, sums.SPILLS + spilling))
    for t, batch in enumerate(_batches(left.shape)):
        noted = stats[batch]
        products.multiply(left[batch], right[batch], acc, t * rows, out[batch], noted, workers)
    return Sums(
        out,
        stats[..., sums.ABSOLUTE],
        stats[..., sums.RUNNING],
        stats[..., sums.OVERFLOWS].astype(np.int64),
        stats[..., sums.UNDERFLOWS].astype(np.int64),
        (stats[..., sums.SPILLS] if spilling else np.zeros(out.shape)).astype(np.int64),
    )


def matmul_watched(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> Watched:
    """Multiply (…,M,K) by (…,K,N) as `matmul` does, and tell which outputs, (…,M,N), overflowed on
    the way. Raises ValueError for wrong shapes and wrong values.

    Those are the ones of which `matmul_sums` counts an overflow; where there are few, this takes
    little longer than `matmul`.
    """
    found = _watched(_operands(acc, round_operands, a=a, b=b), acc, threads, running=False)
    return Watched(*found[:2])


def matmul_running(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> Running:
    """Multiply (…,M,K) by (…,K,N) as `matmul_watched` does, and keep the sums of all |ŝ|, (…,M,N).
    Raises ValueError for wrong shapes and wrong values.

    Those are `running` of `matmul_sums`; where they are surely exact in binary32 for some terms,
    as with 8-bit formats, and few outputs overflow, this takes little longer than `matmul`.
    """
    return Running(*_watched(_operands(acc, round_operands, a=a, b=b), acc, threads, running=True))


def matmul_spilling(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> Spilled:
    """Multiply (…,M,K) by (…,K,N) as `matmul` does, and tell how often each output, (…,M,N),
    spilled. Raises ValueError for wrong shapes, wrong values and accumulators that do not spill.

    All is as `matmul_sums` says; where binary64 holds all sums, it takes a small part of the time.
    """
    left, right = _batched(*_operands(acc, round_operands, a=a, b=b))
    if acc.order != "spill":
        raise ValueError(f"acc has order {acc.order!r}, expected 'spill'")
    rows, workers = left.shape[-2], _workers(threads)
    out = np.empty((*left.shape[:-1], right.shape[-1]), acc.result_type)
    overflowed, spills = np.empty(out.shape, np.bool_), np.empty(out.shape, np.int64)
    for t, batch in enumerate(_batches(left.shape)):
        beside = overflowed[batch], spills[batch]
        products.multiply_spilling(
            left[batch], right[batch], acc, t * rows, out[batch], *beside, workers
        )
    return Spilled(out, overflowed, spills)


def matmul_at(
    a: ArrayLike,
    b: ArrayLike,
    rows: ArrayLike,
    columns: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> NDArray[np.floating[Any]]:
    """Compute the outputs (rows[t], columns[t]) of a (M,K) times b (K,N), and no others.

    Returns a vector as long as `rows`, equal to `matmul(a, b, acc)[rows, columns]`.
    Raises ValueError for wrong shapes and wrong values.
    """
    left, right = _operands(acc, round_operands, a=a, b=b)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise _shape_error(left, right)
    row, column = index("rows", rows, left.shape[0]), index("columns", columns, right.shape[1])
    if row.shape != column.shape:
        raise ValueError(
            f"rows and columns have lengths {row.size} and {column.size}, expected the same"
        )
    out = np.empty(row.size, acc.result_type)
    some.multiply_some(left, right, row, column, acc, out, _workers(threads))
    return out


def conv2d(
    x: ArrayLike,
    weights: ArrayLike,
    acc: Accumulator,
    *,
    stride: int = 1,
    padding: int = 0,
    round_operands: bool = False,
    threads: int | None = None,
) -> NDArray[np.floating[Any]]:
    """Convolve (B,C,H,W) with weights (O,C,R,S): (B,O,H',W'), H' = (H + 2·padding - R)//stride + 1.

    As `matmul` of weights (O, C·R·S) and patches (C·R·S, H'·W'): the terms of a sum are ordered
    by channel, kernel row, kernel column, and those of padding are zeros. Output (o, h, w) of
    image t draws its random bits as row t·O+o and column h·W'+w.
    Raises ValueError for wrong shapes and wrong values.
    """
    images, kernels = _operands(acc, round_operands, x=x, weights=weights)
    stride, padding = integer("stride", stride, 1), integer("padding", padding, 0)
    patches = im2col(images, kernels.shape, stride, padding)
    flat = kernels.reshape(len(kernels), math.prod(kernels.shape[1:]))
    out = np.empty((len(images), len(flat), math.prod(patches.shape[-2:])), acc.result_type)
    for t in range(len(images)):  # the patches of all at once would take too much memory
        columns = np.ascontiguousarray(patches[t].reshape(flat.shape[1], out.shape[2]))
        # Read-only views, as `matmul` has them: Numba compiles a kernel for each kind of array.
        left, right = _batched(flat, columns)
        products.multiply(left, right, acc, t * len(flat), out[t], None, _workers(threads))
    return out.reshape(len(images), len(flat), *patches.shape[-2:])


def im2col(
    images: NDArray[Any], kernel_shape: tuple[int, ...], stride: int, padding: int
) -> NDArray[Any]:
    """Return the patch under every output, (B,C,R,S,H',W'), of (B,C,H,W) and a kernel (O,C,R,S)."""
    if images.ndim != 4 or len(kernel_shape) != 4 or images.shape[1] != kernel_shape[1]:
        raise ValueError(
            f"x and weights have shapes {images.shape} and {kernel_shape},"
            " expected (B,C,H,W) and (O,C,R,S)"
        )
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(images, around)
    kernel = kernel_shape[2:]
    if any(size < k or k < 1 for size, k in zip(padded.shape[2:], kernel, strict=True)):
        raise ValueError(
            f"weights have a kernel of {kernel}, allowed is (1, 1) up to the padded image,"
            f" {padded.shape[2:]}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return windows[:, :, ::stride, ::stride].transpose(0, 1, 4, 5, 2, 3)


def dot(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    c: ArrayLike | None = None,
    *,
    round_operands: bool = False,
    threads: int | None = None,
) -> NDArray[np.floating[Any]]:
    """Accumulate n inner products, each row on its own: (n,K), (n,K), (n,) -> (n,).

    Row t is c_t + Σ_k a_tk·b_tk. `c` holds float32 numbers, and enters the first sum as it is
    (for the orders that are not sequential see `accelsim.numerics.orders`). Row t draws its
    random bits as output (t, t). Raises ValueError for wrong shapes and wrong values.
    """
    left, right = _operands(acc, round_operands, a=a, b=b)
    if left.ndim != 2 or left.shape != right.shape:
        raise ValueError(f"a and b have shapes {left.shape} and {right.shape}, expected (n,K) both")
    addend = None
    if c is not None:
        addend = as_float("c", as_array("c", c), np.float32).astype(np.float64)
        check_finite("c", addend, acc.mute_format)
        if addend.shape != left.shape[:1]:
            raise ValueError(f"c has shape {addend.shape}, expected {left.shape[:1]}")
    row = np.arange(left.shape[0])
    out = np.empty(row.size, acc.result_type)
    products.multiply_pairs(left, right, row, row, acc, addend, out, _workers(threads))
    return out


def _watched(
    operands: Any, acc: Accumulator, threads: int | None, *, running: bool
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the product, what overflowed, and the running sums if they are wanted."""
    left, right = _batched(*operands)
    rows, workers = left.shape[-2], _workers(threads)
    out = np.empty((*left.shape[:-1], right.shape[-1]), acc.result_type)
    overflowed, kept = np.empty(out.shape, np.bool_), np.empty(out.shape if running else 0)
    for t, batch in enumerate(_batches(left.shape)):
        beside = kept[batch] if running else None
        products.multiply_watched(
            left[batch], right[batch], acc, t * rows, out[batch], overflowed[batch], workers, beside
        )
    return out, overflowed, kept


def _workers(threads: int | None) -> int:
    if threads is not None:
        return integer("threads", threads, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    share = os.environ.get("ACCELSIM_THREADS", "")  # of a process that has others beside it
    return min(cores, int(share)) if share.isdecimal() and int(share) else cores


def _operands(
    acc: Accumulator, round_operands: bool, **given: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the two operands, whose arguments' names the errors give."""
    if not isinstance(acc, Accumulator):
        raise ValueError(f"acc is {acc!r}, expected an Accumulator")
    left, right = [
        operand(argument, x, acc.operands, round_operands) for argument, x in given.items()
    ]
    if acc.mute_format is not None:
        for argument, values in zip(given, (left, right), strict=True):
            check_finite(argument, values, acc.mute_format)
    return left, right


def _batches(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the positions of the matrices in an array of such a shape."""
    return itertools.product(*map(range, shape[:-2]))


def _batched(
    left: NDArray[np.float32], right: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Broadcast the leading dimensions to read-only views, without a copy."""
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise _shape_error(left, right)
    if left.ndim == right.ndim == 2:
        left, right = left.view(), right.view()
        left.flags.writeable = right.flags.writeable = False
        return left, right
    try:
        batches = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(
            f"a and b have batches {left.shape[:-2]} and {right.shape[:-2]}, expected such as"
            " broadcast: equal, or 1, from the last on"
        ) from None
    return (
        np.broadcast_to(left, batches + left.shape[-2:]),
        np.broadcast_to(right, batches + right.shape[-2:]),
    )


def _shape_error(left: NDArray[Any], right: NDArray[Any]) -> ValueError:
    return ValueError(
        f"a and b have shapes {left.shape} and {right.shape}, expected (M,K) and (K,N)"
    )
