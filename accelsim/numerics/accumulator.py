"""What an accumulator is: formats, roundings, and the order of accumulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from accelsim.numerics.formats import (
    MAX_FIXED_BITS,
    MAX_FRACTION_BITS,
    MAX_MANTISSA_BITS,
    FixedFormat,
    FloatFormat,
    Format,
    parse_format,
)
from accelsim.numerics.multipliers import MULTIPLIERS
from accelsim.numerics.rounding import MAX_RANDOM_BITS, OVERFLOWS, ROUNDINGS

ORDERS = ("sequential", "pairwise", "kahan", "sorted", "spill")

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_LOWEST_BIT = -149
_CARRIER_BITS = 53


@dataclass(frozen=True, init=False)
class Accumulator:
    """How an inner product is accumulated: by default k = 0 … K-1, rounded after every step.

    `format`: what the running sum is rounded to after each step (a name or a format).
    `rounding`: `nearest-even`, `nearest-away`, `toward-zero`, `upward`, `downward` or `stochastic`,
    which draws `random_bits` bits that depend on `seed` and the position alone.
    `product`: None if the product enters the sum exactly (a fused multiply-add), or the format
    that the product is rounded to first.
    `overflow`: `inf` (as IEEE 754: infinity, or NaN where the format has no infinity; a directed
    rounding that points back at the finite numbers gives the outermost of them), `saturate` (the
    outermost finite value; also for infinite operands), or `wrap`. Integers and fixed point
    saturate or wrap.
    `order`: `sequential`, `pairwise` (a binary tree over neighbours), `kahan` (compensated),
    `sorted` (least magnitude first), or `spill`: a narrow sum in `format` that empties into a wide
    one in `outer` where it would overflow.
    `chunk`, `outer`: the sum starts anew every `chunk` terms, and the partial sums are added in
    the format `outer` with `outer_rounding` (`rounding` unless given; Wang et al., NeurIPS 2018).
    `group`, `align_bits`: `group` products and the running sum are cut to `align_bits` fraction
    bits below the largest of their exponents and added at once, as tensor cores do.
    `operands`: the format whose values a and b must be; tensor cores align a subnormal by its
    smallest exponent, and approximate multipliers need its mantissa bits.
    `multiplier`: None for exact products, or `mitchell`, `l-mul`, `l-mul-carry`.

    Raises ValueError, naming argument, value and what is allowed.
    """

    format: Format
    rounding: str
    product: Format | None
    overflow: str
    order: str
    chunk: int | None
    outer: Format | None
    outer_rounding: str
    group: int | None
    align_bits: int | None
    operands: Format | None
    multiplier: str | None
    random_bits: int
    seed: int

    def __init__(
        self,
        format: str | Format,  # noqa: A002  the field's word
        rounding: str = "nearest-even",
        product: str | Format | None = None,
        overflow: str = "inf",
        *,
        order: str = "sequential",
        chunk: int | None = None,
        outer: str | Format | None = None,
        outer_rounding: str | None = None,
        group: int | None = None,
        align_bits: int | None = None,
        operands: str | Format | None = None,
        multiplier: str | None = None,
        random_bits: int = 20,
        seed: int = 0,
    ) -> None:
        check_choice("rounding", rounding, ROUNDINGS)
        check_choice("overflow", overflow, OVERFLOWS)
        check_choice("order", order, ORDERS)
        if outer_rounding is not None:
            check_choice("outer_rounding", outer_rounding, ROUNDINGS)
        if multiplier is not None:
            check_choice("multiplier", multiplier, MULTIPLIERS)
        if order == "spill":
            if outer is None or chunk is not None:
                raise ValueError(
                    "order 'spill' needs the wide format outer and no chunk,"
                    f" got chunk={chunk!r}, outer={outer!r}"
                )
        elif (chunk is None) != (outer is None):
            raise ValueError(f"chunk and outer go together, got chunk={chunk!r}, outer={outer!r}")
        if outer is None and outer_rounding not in (None, rounding):
            raise ValueError(
                f"outer_rounding is {outer_rounding!r} without outer, allowed are both or neither"
            )
        values: dict[str, Any] = {
            "format": _carried("format", format),
            "rounding": rounding,
            "product": None if product is None else _carried("product", product),
            "overflow": overflow,
            "order": order,
            "chunk": None if chunk is None else integer("chunk", chunk, 1),
            "outer": None if outer is None else _carried("outer", outer),
            "outer_rounding": rounding if outer_rounding is None else outer_rounding,
            "group": None if group is None else integer("group", group, 1),
            "align_bits": None if align_bits is None else integer("align_bits", align_bits, 1),
            "operands": None if operands is None else _carried("operands", operands),
            "multiplier": multiplier,
            "random_bits": integer("random_bits", random_bits, 1, MAX_RANDOM_BITS),
            "seed": integer("seed", seed, 0, 2**64 - 1),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for name in ("format", "product", "outer"):
            check_overflow(name, values[name], overflow)
        self._check_groups()
        if multiplier is not None and not isinstance(self.operands, FloatFormat):
            raise ValueError(
                f"multiplier {multiplier!r} needs a floating-point format operands,"
                f" got {operands!r}"
            )

    def _check_groups(self) -> None:
        if (self.group is None) != (self.align_bits is None):
            raise ValueError(
                "group and align_bits go together,"
                f" got group={self.group!r}, align_bits={self.align_bits!r}"
            )
        if self.group is None or self.align_bits is None:
            return
        if self.order != "sequential" or self.product is not None or self.multiplier is not None:
            raise ValueError(
                "group adds exact products in sequence, got"
                f" order={self.order!r}, product={_name(self.product)},"
                f" multiplier={self.multiplier!r}"
            )
        bits = group_bits(self.group, self.align_bits)
        if bits > _CARRIER_BITS - 1:
            most = self.align_bits - bits + _CARRIER_BITS - 1
            allowed = f"align_bits of 1 to {most}" if most > 0 else "smaller groups"
            raise ValueError(
                f"group is {self.group} with align_bits={self.align_bits}, allowed are {allowed}"
            )

    @classmethod
    def preset(cls, name: str) -> Accumulator:
        """Return the accumulator of a GPU's tensor cores, as far as it has been measured.

        `v100-fp16`, `a100-fp16`, `a100-bf16`, and fp16, bf16, tf32, e4m3 and e5m2 of `h100` and
        `h200`; `b200-fp16`; `ada-e4m3` (which `l40s-e4m3` is). The name after the dash is the
        operands' format, and the result is that of one instruction per `group` terms.
        Raises ValueError for another name.
        """
        check_choice("preset", name, tuple(PRESETS))
        return cls(**PRESETS[name])

    @property
    def outer_format(self) -> Format:
        """The format of the result: `outer` if there is one, else `format`."""
        return self.format if self.outer is None else self.outer

    @cached_property
    def result_type(self) -> type[np.floating[Any]]:
        """Of results: float32, or float64 where float32 does not hold a value of theirs."""
        return np.float32 if held_by_float32(self.outer_format) else np.float64

    @cached_property
    def mute_format(self) -> Format | None:
        """The first of the formats that has neither NaN nor infinities, and so can say nothing of
        operands that are not finite; None if each has one of them.
        """
        formats = [fmt for fmt in (self.format, self.product, self.outer) if fmt is not None]
        return next((fmt for fmt in formats if not (fmt.has_nan or fmt.has_infinity)), None)

    @property
    def additions_per_term(self) -> int:
        """Additions in `format` that a term takes: four if compensated, and else one."""
        return 4 if self.order == "kahan" else 1

    @property
    def kept_bits(self) -> int:
        """Width of the sum that the result is: `outer` if there is one; with its compensation."""
        compensated = self.order == "kahan" and self.outer is None
        return self.outer_format.bits * (2 if compensated else 1)

    def __str__(self) -> str:
        text = self.format.name
        if self.rounding != "nearest-even":
            text += f" {self.rounding}"
        if self.product is not None:
            text += f", product {self.product}"
        if self.multiplier is not None:
            text += f", {self.multiplier} products"
        if self.order != "sequential":
            text += f", {self.order}"
        if self.group is not None:
            text += f" in groups of {self.group} aligned to {self.align_bits} bits"
        if self.chunk is not None:
            text += f" in chunks of {self.chunk}"
        if self.outer is not None:
            text += f", outer {self.outer}"
            if self.outer_rounding != self.rounding:
                text += f" {self.outer_rounding}"
        return text + {"inf": "", "saturate": ", saturating", "wrap": ", wrapping"}[self.overflow]

    def __repr__(self) -> str:
        defaults = {
            "rounding": "nearest-even",
            "overflow": "inf",
            "order": "sequential",
            "outer_rounding": self.rounding,
            "random_bits": 20,
            "seed": 0,
        }
        shown = [
            f"{field.name}={_name(getattr(self, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != defaults.get(field.name)
        ]
        return f"Accumulator({', '.join(shown)})"


def _tensor_core(operands: str, group: int, align_bits: int, output: str) -> dict[str, Any]:
    return {
        "format": output,
        "rounding": "toward-zero",
        "group": group,
        "align_bits": align_bits,
        "operands": operands,
    }


_HOPPER = {
    "fp16": _tensor_core("fp16", 16, 25, "fp32"),
    "bf16": _tensor_core("bf16", 16, 25, "fp32"),
    "tf32": _tensor_core("tf32", 4, 25, "fp32"),
    "e4m3": _tensor_core("e4m3fn", 32, 13, "e8m13"),
    "e5m2": _tensor_core("e5m2", 32, 13, "e8m13"),
}
# Fasi, Higham, Mikaitis and Pranesh, PeerJ CS 7:e330 (2021), and vectors taken from the devices
# (MATLAB-tensor-core, BSD-2): see tests/numerics/data.
PRESETS: dict[str, dict[str, Any]] = {
    "v100-fp16": _tensor_core("fp16", 4, 23, "fp32"),
    "a100-fp16": _tensor_core("fp16", 8, 24, "fp32"),
    "a100-bf16": _tensor_core("bf16", 8, 24, "fp32"),
    **{f"{gpu}-{name}": values for gpu in ("h100", "h200") for name, values in _HOPPER.items()},
    "b200-fp16": _HOPPER["fp16"],
    "ada-e4m3": _tensor_core("e4m3fn", 16, 13, "e8m13"),
    "l40s-e4m3": _tensor_core("e4m3fn", 16, 13, "e8m13"),
}


def group_bits(group: int, align_bits: int) -> int:
    """Return the bits of the largest magnitude that the terms of a group add up to, aligned.

    A product is below 4 units of the largest exponent, and the running sum below 2.
    """
    return align_bits + 2 + math.ceil(math.log2(group + 1))


def added_in(fmt: Format, rounding: str, random_bits: int) -> Format:
    """Return a format as wide as what is rounded to `fmt`: with `stochastic`, the random bits lie
    below its last place. Raises ValueError if no format is as wide.
    """
    if rounding != "stochastic":
        return fmt
    if isinstance(fmt, FixedFormat):
        widest, bits, fraction_bits = "bits", fmt.bits, fmt.fraction_bits + random_bits
        most = MAX_FIXED_BITS - bits
    else:
        widest, bits = "mantissa bits", fmt.mantissa_bits
        most = MAX_MANTISSA_BITS - bits
    if random_bits > most:
        allowed = f"1 to {most}" if most else "none"
        raise ValueError(
            f"random_bits is {random_bits}, allowed are {allowed} with format {fmt}: they are added"
            f" below its last place, and no adder is wider than {bits + most} {widest}"
        )
    if isinstance(fmt, FixedFormat):
        inside = min(fraction_bits, MAX_FRACTION_BITS)
        return replace(fmt, total_bits=bits + random_bits, fraction_bits=inside)
    return replace(fmt, mantissa_bits=bits + random_bits)


def held_by_float32(fmt: Format) -> bool:
    """Whether every finite value of `fmt` is a binary32 number."""
    if isinstance(fmt, FixedFormat):
        return fmt.total_bits - int(fmt.signed) <= 24
    return fmt.max <= _FLOAT32_MAX and fmt.lowest_bit >= _FLOAT32_LOWEST_BIT


def format_of(argument: str, fmt: str | Format) -> Format:
    """Return the format that an argument names, or raise ValueError."""
    try:
        return parse_format(fmt)
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None


def _carried(argument: str, fmt: str | Format) -> Format:
    parsed = format_of(argument, fmt)
    if isinstance(parsed, FloatFormat) and not held_by_float32(parsed):
        size = "largest" if parsed.max > _FLOAT32_MAX else "smallest"
        raise ValueError(f"{argument} is {parsed}, whose {size} values float32 does not hold")
    return parsed


def check_overflow(argument: str, fmt: Format | None, overflow: str) -> None:
    """Raise unless the format can overflow that way."""
    if fmt is None:
        return
    fixed = isinstance(fmt, FixedFormat)
    allowed = ("saturate", "wrap") if fixed else ("inf", "saturate")
    if overflow not in allowed:
        raise ValueError(
            f"overflow is {overflow!r}, allowed are {', '.join(allowed)} with {argument} {fmt}"
        )


def check_choice(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{argument} is {value!r}, allowed are {', '.join(allowed)}")


def integer(argument: str, value: object, least: int, most: int | None = None) -> int:
    """Return `value` as an `int`, or raise unless it is an integer from `least` to `most`."""
    if isinstance(value, (int, Integral)) and not isinstance(value, bool):  # most are an int
        number = int(value)
        if number >= least and (most is None or number <= most):
            return number
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{argument} is {value!r}, expected an integer {allowed}")


def _name(value: Any) -> str:
    return repr(value.name) if isinstance(value, FloatFormat | FixedFormat) else repr(value)
