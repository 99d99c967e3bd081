"""Inner products computed by an accumulator: validate, allocate, call the kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.numerics.accumulator import (
    Accumulator,
    check_choice,
    check_integer,
    check_overflow,
    held_by_float32,
)
from accelsim.numerics.formats import FloatFormat, Format, parse_format
from accelsim.numerics.kernels import sums
from accelsim.numerics.multipliers import offset
from accelsim.numerics.operands import as_float, check_finite, index, operand, round_values, target
from accelsim.numerics.rounding import MAX_RANDOM_BITS, OVERFLOWS, ROUNDINGS

__all__ = ["Accumulator", "Sums", "dot", "matmul", "matmul_at", "matmul_sums", "round_to"]

_ORDERS = {
    "sequential": sums.Sequential(),
    "pairwise": sums.Pairwise(),
    "kahan": sums.Kahan(),
    "sorted": sums.Sorted(),
    "spill": sums.Spill(),
}


class Sums(NamedTuple):
    """What one pass over all products can tell of each output; arrays of the result's shape."""

    values: NDArray[np.floating[Any]]
    absolute: NDArray[np.float64]
    """S = Σ|a·b| of the products before they are rounded, in binary64."""
    running: NDArray[np.float64]
    """Σ|ŝ|, over every rounded sum, in binary64: u·running bounds the error of exact products."""
    overflows: NDArray[np.int64]
    """Roundings of a finite number that was out of range, whatever they gave."""
    underflows: NDArray[np.int64]
    """Roundings of a number that was not zero to zero."""

    @property
    def nans(self) -> NDArray[np.bool_]:
        """Outputs that are NaN."""
        nans: NDArray[np.bool_] = np.isnan(self.values)
        return nans


def round_to(
    fmt: str | Format,
    x: ArrayLike,
    rounding: str = "nearest-even",
    overflow: str = "inf",
    *,
    random_bits: int = 24,
    seed: int = 0,
) -> NDArray[np.floating[Any]]:
    """Round every element of `x` to a value of `fmt`.

    Stochastic rounding of element t (in C order) draws the bits of output (t, 0).
    Returns an array of the same shape: float64 for float64 input and for the few formats whose
    values float32 does not hold, float32 otherwise. Integers must be exact in float64.
    Raises ValueError, naming argument, value and what is allowed.
    """
    parsed = parse_format(fmt)
    check_choice("rounding", rounding, ROUNDINGS)
    check_choice("overflow", overflow, OVERFLOWS)
    check_overflow("fmt", parsed, overflow)
    check_integer("random_bits", random_bits, 1, MAX_RANDOM_BITS)
    check_integer("seed", seed, 0, 2**64 - 1)
    array = np.asarray(x)
    values = as_float("x", array, np.float64)
    if not isinstance(parsed, FloatFormat):
        check_finite("x", values, (parsed,))
    rounded = round_values(parsed, values, rounding, overflow, random_bits, seed)
    wide = array.dtype.itemsize > 4 or not held_by_float32(parsed)
    return rounded if wide else rounded.astype(np.float32)


def matmul(
    a: ArrayLike, b: ArrayLike, acc: Accumulator, *, round_operands: bool = False
) -> NDArray[np.floating[Any]]:
    """Multiply a (…,M,K) by b (…,K,N) with every inner product accumulated by `acc`.

    Leading dimensions are batches and broadcast. Operands are numbers that float32 holds exactly,
    and values of `acc.operands` where that is given, unless `round_operands` asks to round them
    to nearest. Returns (…,M,N): float32, or float64 where the result's format needs it. Output
    (i, j) of batch t draws its random bits as row t·M+i and column j.
    Raises ValueError for wrong shapes and wrong values.
    """
    left, right = _operands(a, b, acc, round_operands)
    batches, left, right = _batched(left, right)
    rows, columns = left.shape[1], right.shape[2]
    out = np.empty((len(left), rows, columns), _result_type(acc))
    for t in range(len(left)):
        out[t] = _every_output(left[t], right[t], acc, t * rows)[0]
    return out.reshape(*batches, rows, columns)


def matmul_sums(
    a: ArrayLike, b: ArrayLike, acc: Accumulator, *, round_operands: bool = False
) -> Sums:
    """Multiply as `matmul` does, and tell more of each output: see `Sums`."""
    left, right = _operands(a, b, acc, round_operands)
    batches, left, right = _batched(left, right)
    rows, columns = left.shape[1], right.shape[2]
    out = np.empty((len(left), rows, columns), _result_type(acc))
    stats = np.empty((len(left), rows, columns, 4))
    for t in range(len(left)):
        out[t], stats[t] = _every_output(left[t], right[t], acc, t * rows)
    shape = (*batches, rows, columns)
    stats = stats.reshape(*shape, 4)
    return Sums(
        out.reshape(shape),
        stats[..., sums.ABSOLUTE],
        stats[..., sums.RUNNING],
        stats[..., sums.OVERFLOWS].astype(np.int64),
        stats[..., sums.UNDERFLOWS].astype(np.int64),
    )


def matmul_at(
    a: ArrayLike,
    b: ArrayLike,
    rows: ArrayLike,
    columns: ArrayLike,
    acc: Accumulator,
    *,
    round_operands: bool = False,
) -> NDArray[np.floating[Any]]:
    """Compute the outputs (rows[t], columns[t]) of a (M,K) times b (K,N), and no others.

    Returns a vector as long as `rows`, equal to `matmul(a, b, acc)[rows, columns]`.
    """
    left, right = _operands(a, b, acc, round_operands)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise _shape_error(left, right)
    row, column = index("rows", rows, left.shape[0]), index("columns", columns, right.shape[1])
    if row.shape != column.shape:
        raise ValueError(f"rows and columns have lengths {row.size} and {column.size}")
    return _outputs(left, np.ascontiguousarray(right.T), row, column, acc)[0]


def dot(
    a: ArrayLike,
    b: ArrayLike,
    acc: Accumulator,
    c: ArrayLike | None = None,
    *,
    round_operands: bool = False,
) -> NDArray[np.floating[Any]]:
    """Accumulate n inner products, each row on its own: (n,K), (n,K), (n,) -> (n,).

    Row t is c_t + Σ_k a_tk·b_tk. `c` holds float32 numbers, and enters the first sum as it is
    (for the orders that are not sequential see `accelsim.numerics.orders`). Row t draws its
    random bits as output (t, t).
    """
    left, right = _operands(a, b, acc, round_operands)
    if left.ndim != 2 or left.shape != right.shape:
        raise ValueError(f"a and b have shapes {left.shape} and {right.shape}, expected (n,K) both")
    addend = None
    if c is not None:
        addend = as_float("c", np.asarray(c), np.float32).astype(np.float64)
        check_finite("c", addend, _formats(acc))
        if addend.shape != left.shape[:1]:
            raise ValueError(f"c has shape {addend.shape}, expected {left.shape[:1]}")
    row = np.arange(left.shape[0])
    return _outputs(left, right, row, row, acc, addend=addend)[0]


def _every_output(
    left: NDArray[np.float32], right: NDArray[np.float32], acc: Accumulator, first_row: int
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    shape = (left.shape[0], right.shape[1])
    row, column = (x.ravel() for x in np.indices(shape))
    columns = np.ascontiguousarray(right.T)
    out, stats = _outputs(left, columns, row, column, acc, first_row)
    return out.reshape(shape), stats.reshape(*shape, 4)


def _outputs(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    acc: Accumulator,
    first_row: int = 0,
    addend: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    out = np.empty(row.size, np.float64)
    stats = np.empty((row.size, 4), np.float64)
    c = np.zeros(row.size) if addend is None else addend
    order = sums.Groups() if acc.group is not None else _ORDERS[acc.order]
    setting = _setting(acc, left.shape[1])
    sums.accumulate(left, right, c, row, column, first_row, order, setting, out, stats)
    with np.errstate(invalid="ignore"):
        return out.astype(_result_type(acc)), stats


def _setting(acc: Accumulator, depth: int) -> sums.Setting:
    inner = target(acc.format, acc.rounding, acc.overflow, acc.random_bits)
    product = acc.format if acc.product is None else acc.product
    operands = acc.operands if isinstance(acc.operands, FloatFormat) else None
    multiplied = acc.multiplier is not None and operands is not None
    return sums.Setting(
        inner=inner,
        product=target(product, acc.rounding, acc.overflow, acc.random_bits),
        outer=target(acc.outer_format, acc.outer_rounding, acc.overflow, acc.random_bits),
        rounds_product=acc.product is not None,
        chunk=acc.chunk or max(depth, 1),
        chunked=acc.chunk is not None,
        group=acc.group or 1,
        align=2.0 ** -(acc.align_bits or 0),
        least_operand=0.0 if operands is None else operands.min_normal,
        approximate=multiplied,
        offset=float(offset(acc.multiplier, operands)) if multiplied else 0.0,  # type: ignore[arg-type]
        carries=acc.multiplier != "l-mul",
        seed=np.uint64(acc.seed),
    )


def _operands(
    a: ArrayLike, b: ArrayLike, acc: Accumulator, round_operands: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    left, right = (
        operand(argument, x, acc.operands, round_operands) for argument, x in (("a", a), ("b", b))
    )
    for argument, values in (("a", left), ("b", right)):
        check_finite(argument, values, _formats(acc))
    return left, right


def _formats(acc: Accumulator) -> tuple[Format, ...]:
    return tuple(fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None)


def _batched(
    left: NDArray[np.float32], right: NDArray[np.float32]
) -> tuple[tuple[int, ...], NDArray[np.float32], NDArray[np.float32]]:
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise _shape_error(left, right)
    try:
        batches = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise _shape_error(left, right) from None
    count = int(np.prod(batches))
    return (
        batches,
        np.broadcast_to(left, batches + left.shape[-2:]).reshape(count, *left.shape[-2:]),
        np.broadcast_to(right, batches + right.shape[-2:]).reshape(count, *right.shape[-2:]),
    )


def _shape_error(left: NDArray[Any], right: NDArray[Any]) -> ValueError:
    return ValueError(
        f"a and b have shapes {left.shape} and {right.shape}, expected (M,K) and (K,N)"
    )


def _result_type(acc: Accumulator) -> type[np.floating[Any]]:
    return np.float32 if held_by_float32(acc.outer_format) else np.float64
