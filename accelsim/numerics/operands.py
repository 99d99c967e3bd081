"""Arrays from outside: shapes, types and values that a kernel may rely on."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.numerics.formats import FixedFormat, Format
from accelsim.numerics.kernels import scalar
from accelsim.numerics.rounding import ROUNDINGS as _ROUNDINGS
from accelsim.numerics.rounding import infinity_value, overflow_value
from accelsim.numerics.spans import span

_FIXED_BITS = 50
_BLOCK = 2**16


@functools.lru_cache(1024)
def target(
    fmt: Format, rounding: str, overflow: str, random_bits: int, carrier_bits: int = 53
) -> scalar.Target:
    """Return the format as the kernels see it, in a carrier of 53 or 24 significant bits."""
    modulus = 0.0
    if isinstance(fmt, FixedFormat):
        m, least = _FIXED_BITS, 2.0 ** (_FIXED_BITS + fmt.lowest_bit)
        beyond, smallest = least, 0.0
        if overflow == "wrap":
            modulus = fmt.max - fmt.lowest + fmt.min_subnormal
    else:
        m, least, beyond = fmt.mantissa_bits, fmt.min_normal, 4 * fmt.max
        smallest = fmt.min_subnormal
    signed_zero = not isinstance(fmt, FixedFormat) and fmt.signed
    return scalar.Target(
        magic=1.5 * 2.0 ** (carrier_bits - 1 - m),
        unit=2.0**-m,
        least=least,
        beyond=beyond,
        max=fmt.max,
        lowest=fmt.lowest,
        high=overflow_value(fmt, overflow, rounding, positive=True),
        low=overflow_value(fmt, overflow, rounding, positive=False),
        infinite_high=infinity_value(fmt, overflow, positive=True),
        infinite_low=infinity_value(fmt, overflow, positive=False),
        smallest=smallest,
        zero_sign=float(signed_zero),
        modulus=modulus,
        rounding=_ROUNDINGS.index(rounding),
        random_bits=random_bits,
    )


def round_values(
    fmt: Format, values: NDArray[np.float64], rounding: str, overflow: str, bits: int, seed: int
) -> NDArray[np.float64]:
    """Round a binary64 array; the caller has checked everything."""
    out = np.empty(values.size, np.float64)
    kernel_target = target(fmt, rounding, overflow, bits)
    scalar.round_array(values.ravel(), kernel_target, np.uint64(seed), out)
    return out.reshape(values.shape)


def operand(
    argument: str, x: ArrayLike, fmt: Format | None, round_operands: bool
) -> NDArray[np.float32]:
    """Return the values as binary32, rounded to `fmt` if asked, or raise ValueError.

    Values must be binary32 numbers, and values of `fmt` if that is given. Rounding is to nearest;
    what is too large becomes an infinity or NaN, or the outermost value where `fmt` has neither.
    """
    array = as_array(argument, x)
    if fmt is None:
        if round_operands:
            raise ValueError(
                f"round_operands is {round_operands!r}, allowed with an accumulator that states its"
                " operands"
            )
        return as_float(argument, array, np.float32)
    given = array.reshape(-1)
    if array.dtype == np.float32 and not round_operands:
        found = span(given)
        if found is not None and found.within(fmt):
            return np.asarray(array, order="C")
    values = np.empty(array.size if round_operands else 0, np.float32)
    mute = None if fmt.has_infinity or fmt.has_nan else fmt
    overflow = "inf" if mute is None else "saturate"
    for block in _blocks(array.size):
        exact = as_float(argument, given[block], np.float64)
        check_finite(argument, exact, mute)
        rounded = round_values(fmt, exact, "nearest-even", overflow, 1, 0)
        if round_operands:
            values[block] = as_float(argument, rounded, np.float32)
        else:
            _check_kept(argument, exact, rounded, fmt, ", or ask for round_operands")
    return values.reshape(array.shape) if round_operands else as_float(argument, array, np.float32)


def check_finite(argument: str, values: NDArray[Any], mute: Format | None) -> None:
    """Raise if a value is not finite and there is a format that has neither NaN nor infinities."""
    if mute is not None and not np.isfinite(values).all():
        raise ValueError(
            f"{argument} holds infinities or NaNs, allowed are finite numbers: {mute} has neither"
        )


def as_array(argument: str, x: ArrayLike) -> NDArray[Any]:
    """Return `x` as an array of real numbers, or raise ValueError."""
    try:
        array = np.asarray(x)
    except ValueError:
        raise ValueError(
            f"{argument} has rows of different lengths, expected them to be equal"
        ) from None
    dtype = array.dtype
    if dtype.kind not in "fiub":
        try:
            if dtype.kind != "V" or dtype.names is not None:
                raise TypeError
            np.zeros(1, dtype).astype(np.float64)  # ml_dtypes and the like can do that
        except (TypeError, ValueError):
            raise ValueError(f"{argument} holds {dtype}, expected real numbers") from None
    return array


def as_float(argument: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return real numbers as contiguous `dtype`, or raise if that would change a value."""
    if array.dtype == dtype:
        return np.asarray(array, order="C")
    given, values = array.reshape(-1), np.empty(array.size, dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for block in _blocks(array.size):
            exact = given[block] if array.dtype.kind != "V" else given[block].astype(np.float64)
            values[block] = exact
            _check_kept(argument, exact, values[block].astype(exact.dtype), np.dtype(dtype).name)
    return values.reshape(array.shape)


def _check_kept(
    argument: str, exact: NDArray[Any], kept: NDArray[Any], holder: object, advice: str = ""
) -> None:
    """Raise, with the first of them, if there are values that are not kept as they are."""
    other = kept != exact
    if exact.dtype.kind == "f":
        other &= ~np.isnan(exact)  # NaN is kept as NaN
    if other.any():
        raise ValueError(
            f"{argument} holds {exact[other][0]}, which {holder} does not: round it"
            f" first, with accelsim.round_to{advice}"
        )


def _blocks(size: int) -> Iterator[slice]:
    """Cut a vector into pieces, so that what a check needs beside it stays small."""
    return (slice(start, start + _BLOCK) for start in range(0, size, _BLOCK))


def index(argument: str, x: ArrayLike, size: int) -> NDArray[np.int64]:
    """Return a vector of positions below `size`, or raise ValueError."""
    positions = as_array(argument, x)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise ValueError(
            f"{argument} has shape {positions.shape} and type {positions.dtype}, expected a vector"
            " of integers"
        )
    if positions.size and not (positions.min() >= 0 and positions.max() < size):
        allowed = f"0 to {size - 1}" if size else "none, for there are no such outputs"
        raise ValueError(
            f"{argument} reaches {positions.min()} to {positions.max()}, allowed {allowed}"
        )
    return positions.astype(np.int64)
