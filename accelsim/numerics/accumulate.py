"""Accumulators, and the inner products they compute: validate, allocate, call the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.numerics import kernels
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.rounding import overflow_value

ROUNDINGS = ("nearest-even",)
OVERFLOWS = ("inf", "saturate")

_FLOAT64_BITS = 53
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, init=False)
class Accumulator:
    """How an inner product is accumulated: k = 0 … K-1 in order, rounded after every step.

    format: what the running sum is rounded to after each step (a name or a FloatFormat).
    rounding: `nearest-even`.
    product: None if the product enters the sum exactly (a fused multiply-add), or the format
        that the product is rounded to first.
    overflow: `inf` (as IEEE 754: infinity, or NaN where the format has no infinity) or
        `saturate` (the largest finite value; also for infinite operands).
    chunk, outer: with both, the running sum starts anew every `chunk` terms and the partial sums
        are added, rounded, in the format `outer` (Wang et al., NeurIPS 2018).

    Raises ValueError, naming argument, value and what is allowed.

    """

    format: FloatFormat
    rounding: str
    product: FloatFormat | None
    overflow: str
    chunk: int | None
    outer: FloatFormat | None

    def __init__(
        self,
        format: str | FloatFormat,  # noqa: A002  the field's word
        rounding: str = "nearest-even",
        product: str | FloatFormat | None = None,
        overflow: str = "inf",
        *,
        chunk: int | None = None,
        outer: str | FloatFormat | None = None,
    ) -> None:
        _check_choice("rounding", rounding, ROUNDINGS)
        _check_choice("overflow", overflow, OVERFLOWS)
        if (chunk is None) != (outer is None):
            raise ValueError(f"chunk and outer go together, got chunk={chunk!r}, outer={outer!r}")
        if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
            raise ValueError(f"chunk is {chunk!r}, expected an integer of at least 1")
        fields: dict[str, Any] = {
            "format": _carried("format", format),
            "rounding": rounding,
            "product": None if product is None else _carried("product", product),
            "overflow": overflow,
            "chunk": chunk,
            "outer": None if outer is None else _carried("outer", outer),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def outer_format(self) -> FloatFormat:
        """The format of the result: `outer` if there is one, else `format`."""
        return self.format if self.outer is None else self.outer

    def __str__(self) -> str:
        text = self.format.name
        if self.product is not None:
            text += f", product {self.product}"
        if self.chunk is not None:
            text += f" in chunks of {self.chunk}, outer {self.outer}"
        return text + (", saturating" if self.overflow == "saturate" else "")


def round_to(
    fmt: str | FloatFormat,
    x: ArrayLike,
    rounding: str = "nearest-even",
    overflow: str = "inf",
) -> NDArray[np.floating[Any]]:
    """Round every element of `x` to a value of `fmt`.

    Returns an array of the same shape: float64 for float64 input and for the few formats whose
    values float32 does not hold, float32 otherwise. Integers must be exact in float64.
    Raises ValueError, naming argument, value and what is allowed.
    """
    target_format = FloatFormat.parse(fmt)
    _check_choice("rounding", rounding, ROUNDINGS)
    _check_choice("overflow", overflow, OVERFLOWS)
    array = np.asarray(x)
    values = _as_float("x", array, np.float64)
    out = np.empty(values.size, np.float64)
    kernels.round_array(values.ravel(), _target(target_format, overflow), out)
    wide = array.dtype.itemsize > 4 or target_format.max > _FLOAT32_MAX
    return out.reshape(array.shape).astype(np.float64 if wide else np.float32)


def matmul(a: ArrayLike, b: ArrayLike, acc: Accumulator) -> NDArray[np.float32]:
    """Multiply a (M,K) by b (K,N) with every inner product accumulated by `acc`.

    Operands are numbers that float32 holds exactly. Returns (M,N) float32.
    Raises ValueError for wrong shapes, and for operands that float32 does not hold.
    """
    left, right = _operand("a", a), _operand("b", b)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(
            f"a and b have shapes {left.shape} and {right.shape}, expected (M,K) and (K,N)"
        )
    out = np.empty((left.shape[0], right.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        inner, product, outer = _targets(acc)
        kernels.matmul(
            left,
            right,
            acc.chunk or max(left.shape[1], 1),
            inner,
            product,
            outer,
            _sum_is_exact(left, right, acc),
            acc.product is not None,
            acc.chunk is not None,
            out,
        )
    return out


def matmul_at(
    a: ArrayLike, b: ArrayLike, rows: ArrayLike, columns: ArrayLike, acc: Accumulator
) -> NDArray[np.float32]:
    """Compute the outputs (rows[t], columns[t]) of a (M,K) times b (K,N), and no others.

    Returns a vector as long as `rows`, float32, equal to `matmul(a, b, acc)[rows, columns]`.
    """
    left, right = _operand("a", a), _operand("b", b)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(
            f"a and b have shapes {left.shape} and {right.shape}, expected (M,K) and (K,N)"
        )
    row, column = _index("rows", rows, left.shape[0]), _index("columns", columns, right.shape[1])
    if row.shape != column.shape:
        raise ValueError(f"rows and columns have lengths {row.size} and {column.size}")
    return _dot(left, np.ascontiguousarray(right.T), row, column, acc)


def dot(a: ArrayLike, b: ArrayLike, acc: Accumulator) -> NDArray[np.float32]:
    """Accumulate n inner products, each row on its own: (n,K), (n,K) -> (n,) float32."""
    left, right = _operand("a", a), _operand("b", b)
    if left.ndim != 2 or left.shape != right.shape:
        raise ValueError(f"a and b have shapes {left.shape} and {right.shape}, expected (n,K) both")
    row = np.arange(left.shape[0])
    return _dot(left, right, row, row, acc)


def _dot(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    acc: Accumulator,
) -> NDArray[np.float32]:
    out = np.empty(row.size, np.float32)
    inner, product, outer = _targets(acc)
    kernels.dot(
        left,
        right,
        row,
        column,
        acc.chunk or max(left.shape[1], 1),
        inner,
        product,
        outer,
        acc.product is not None,
        acc.chunk is not None,
        out,
    )
    return out


def _target(fmt: FloatFormat, overflow: str) -> kernels.Target:
    return kernels.Target(
        magic=1.5 * 2.0 ** (52 - fmt.mantissa_bits),
        min_exponent_field=int(np.float64(fmt.min_normal).view(np.int64)),
        max=fmt.max,
        overflow=overflow_value(fmt, overflow),
    )


def _targets(acc: Accumulator) -> tuple[kernels.Target, kernels.Target, kernels.Target]:
    return (
        _target(acc.format, acc.overflow),
        _target(acc.product or acc.format, acc.overflow),
        _target(acc.outer_format, acc.overflow),
    )


def _sum_is_exact(a: NDArray[np.float32], b: NDArray[np.float32], acc: Accumulator) -> bool:
    """Tell whether every sum of an accumulator value and a product is exact in float64.

    Both are multiples of 2^lowest, and their sum is at most 2^highest: exact if there are no
    more than 53 bits between.
    """
    fmt = acc.product
    if fmt is None:
        (low_a, high_a), (low_b, high_b) = (kernels.bit_range(x.ravel()) for x in (a, b))
        lowest, highest = low_a + low_b, high_a + high_b
    else:
        lowest, highest = fmt.min_exponent - fmt.mantissa_bits, int(np.log2(fmt.max)) + 1
    lowest = min(lowest, acc.format.min_exponent - acc.format.mantissa_bits)
    highest = max(highest, int(np.log2(acc.format.max)) + 1) + 1
    return bool(highest - lowest <= _FLOAT64_BITS)


def _carried(argument: str, fmt: str | FloatFormat) -> FloatFormat:
    parsed = FloatFormat.parse(fmt)
    if parsed.max > _FLOAT32_MAX:
        raise ValueError(f"{argument} is {parsed}, whose largest values float32 does not hold")
    return parsed


def _operand(argument: str, x: ArrayLike) -> NDArray[np.float32]:
    return _as_float(argument, np.asarray(x), np.float32)


def _as_float(argument: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return `array` as contiguous `dtype`, or raise if that would change a value."""
    if array.dtype.kind not in "fiub":
        try:
            if array.dtype.kind == "c":
                raise TypeError
            array = array.astype(np.float64)  # ml_dtypes and the like
        except (TypeError, ValueError):
            raise ValueError(f"{argument} holds {array.dtype}, expected real numbers") from None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = np.asarray(array, dtype, order="C")
        if array.dtype != values.dtype and not np.array_equal(
            values.astype(array.dtype, copy=False), array, equal_nan=array.dtype.kind == "f"
        ):
            raise ValueError(
                f"{argument} holds values that {np.dtype(dtype).name} does not: round them first,"
                " with accelsim.round_to"
            )
    return values


def _index(argument: str, x: ArrayLike, size: int) -> NDArray[np.int64]:
    index = np.asarray(x)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise ValueError(f"{argument} has shape {index.shape}, expected a vector of integers")
    if index.size and not (index.min() >= 0 and index.max() < size):
        raise ValueError(
            f"{argument} reaches {index.min()} to {index.max()}, allowed 0 to {size - 1}"
        )
    return index.astype(np.int64)


def _check_choice(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} is {value!r}, allowed are {', '.join(allowed)}")
