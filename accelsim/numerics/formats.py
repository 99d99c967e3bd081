"""What a number format is: data, without operations."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

MAX_MANTISSA_BITS = 23
MAX_FIXED_BITS = 32
MAX_FRACTION_BITS = 64

_ALIASES = {
    "fp16": "e5m10",
    "bf16": "e8m7",
    "tf32": "e8m10",
    "fp32": "e8m23",
}
_NAMES = {canonical: alias for alias, canonical in _ALIASES.items()}
# ASCII: \d would take the digits of every script.
_FLOAT = re.compile(r"(u?)e(\d+)m(\d+)(fn)?(?:b(-?\d+))?(ftz)?", re.ASCII)
_FIXED = re.compile(r"(u?)(?:int(\d+)|fixed(\d+)\.(-?\d+))", re.ASCII)
_FLOAT_NAMES = "eXmY and eXmYfn (X 2 to 8, Y 0 to 23), " + ", ".join(_ALIASES)
_FIXED_NAMES = "intN, uintN, fixedN.F and ufixedN.F (N 1 to 32 bits, F of them fraction)"


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format with `exponent_bits` and `mantissa_bits` stored bits.

    `finite=False` is IEEE-like: the top exponent holds infinities and NaNs.
    `finite=True` is the OCP variant (suffix `fn`): no infinities; formats of eight bits or more
    keep one NaN, the code of all ones, and shorter formats have none.
    `exponent_bias` replaces the usual bias 2^(X-1)-1 (suffix `bN`).
    `signed=False` has no sign bit and no negative values (prefix `u`): a number below zero is
    outside its range, as one beyond `max` is.
    `subnormals=False` flushes (suffix `ftz`): a result that subnormals would have held becomes a
    zero of its sign, after rounding.
    Sources: IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0; OCP Microscaling
    Formats 1.0.
    """

    exponent_bits: int
    mantissa_bits: int
    finite: bool = False
    exponent_bias: int | None = None
    signed: bool = True
    subnormals: bool = True

    def __post_init__(self) -> None:
        _set_integer(self, "exponent_bits", 2, 8)
        _set_integer(self, "mantissa_bits", 0, MAX_MANTISSA_BITS)
        if self.exponent_bias is not None:
            _set_integer(self, "exponent_bias", -256, 511)
        if self.exponent_bias == self._usual_bias:
            object.__setattr__(self, "exponent_bias", None)  # equal formats compare equal

    @classmethod
    def parse(cls, name: str | FloatFormat) -> FloatFormat:
        """Return the format called `name`: `eXmY`, `eXmYfn`, `fp16`, `bf16`, `tf32` or `fp32`.

        A prefix `u` is unsigned, a suffix `bN` the exponent bias, `ftz` without subnormals:
        `ue5m3`, `e4m7b10ftz`. Raises ValueError if there is no such format.
        """
        if isinstance(name, FloatFormat):
            return name
        match = _FLOAT.fullmatch(_ALIASES.get(name, name)) if isinstance(name, str) else None
        if match is None:
            raise ValueError(f"unknown format {name!r}; allowed are {_FLOAT_NAMES}")
        unsigned, exponent_bits, mantissa_bits, finite, bias, flushing = match.groups()
        try:
            return cls(
                int(exponent_bits),
                int(mantissa_bits),
                finite=finite is not None,
                exponent_bias=None if bias is None else int(bias),
                signed=not unsigned,
                subnormals=flushing is None,
            )
        except ValueError as error:
            raise ValueError(f"unknown format {name!r}: {error}") from None

    @property
    def name(self) -> str:
        """The usual name: `fp16`, `e4m3fn`."""
        canonical = "" if self.signed else "u"
        canonical += f"e{self.exponent_bits}m{self.mantissa_bits}{'fn' if self.finite else ''}"
        if self.exponent_bias is not None:
            canonical += f"b{self.exponent_bias}"
        if not self.subnormals:
            canonical += "ftz"
        return _NAMES.get(canonical, canonical)

    @property
    def bits(self) -> int:
        """Storage width, with the sign if there is one."""
        return int(self.signed) + self.exponent_bits + self.mantissa_bits

    @property
    def _usual_bias(self) -> int:
        return int(2 ** (self.exponent_bits - 1) - 1)

    @property
    def bias(self) -> int:
        """Exponent bias."""
        return self._usual_bias if self.exponent_bias is None else self.exponent_bias

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number."""
        return 1 - self.bias

    @property
    def has_infinity(self) -> bool:
        """Whether the format can hold an infinity."""
        return not self.finite

    @property
    def has_nan(self) -> bool:
        """Whether the format can hold a NaN."""
        if self.finite:
            return self.bits >= 8
        return self.mantissa_bits > 0

    @cached_property
    def max(self) -> float:
        """Largest finite value."""
        m = self.mantissa_bits
        top_exponent = 2**self.exponent_bits - 1 - self.bias
        if not self.finite:
            return float((2.0 - 2.0**-m) * 2.0 ** (top_exponent - 1))
        if not self.has_nan:
            return float((2.0 - 2.0**-m) * 2.0**top_exponent)
        if m == 0:  # the NaN takes the whole top exponent
            return float(2.0 ** (top_exponent - 1))
        return float((2.0 - 2.0 ** (1 - m)) * 2.0**top_exponent)

    @property
    def lowest(self) -> float:
        """Lowest finite value: -max, or 0 if unsigned."""
        return -self.max if self.signed else 0.0

    @property
    def min_normal(self) -> float:
        """Smallest positive normal value."""
        return float(2.0**self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value."""
        return float(2.0**self.lowest_bit) if self.subnormals else self.min_normal

    @property
    def lowest_bit(self) -> int:
        """Exponent of the finest spacing: every value is a multiple of 2^lowest_bit."""
        return self.min_exponent - self.mantissa_bits

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest, without underflow: 2^-(m+1)."""
        return float(2.0 ** -(self.mantissa_bits + 1))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FixedFormat:
    """An integer or fixed-point format: multiples of 2^-fraction_bits, two's complement.

    `total_bits` is the storage width (1 to 32), `fraction_bits` the place of the point (it may
    lie outside the word). There are no infinities, no NaNs and no negative zero.
    """

    total_bits: int
    fraction_bits: int = 0
    signed: bool = True

    has_infinity = False
    has_nan = False

    def __post_init__(self) -> None:
        _set_integer(self, "total_bits", 1, MAX_FIXED_BITS)
        _set_integer(self, "fraction_bits", -MAX_FRACTION_BITS, MAX_FRACTION_BITS)

    @classmethod
    def parse(cls, name: str | FixedFormat) -> FixedFormat:
        """Return the format called `name`: `int8`, `uint4`, `fixed16.8`, `ufixed12.4`.

        Raises ValueError if there is no such format.
        """
        if isinstance(name, FixedFormat):
            return name
        match = _FIXED.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise ValueError(f"unknown format {name!r}; allowed are {_FIXED_NAMES}")
        unsigned, integer, total, fraction = match.groups()
        try:
            return cls(int(integer or total), int(fraction or 0), signed=not unsigned)
        except ValueError as error:
            raise ValueError(f"unknown format {name!r}: {error}") from None

    @property
    def name(self) -> str:
        """The name that `parse` reads: `int8`, `fixed16.8`."""
        sign = "" if self.signed else "u"
        if self.fraction_bits == 0:
            return f"{sign}int{self.total_bits}"
        return f"{sign}fixed{self.total_bits}.{self.fraction_bits}"

    @property
    def bits(self) -> int:
        """Storage width, with the sign if there is one."""
        return self.total_bits

    @property
    def max(self) -> float:
        """Largest value."""
        codes = 2 ** (self.total_bits - int(self.signed)) - 1
        return float(codes * 2.0**-self.fraction_bits)

    @property
    def lowest(self) -> float:
        """Lowest value: one step beyond -max, or 0 if unsigned."""
        return float(-(2.0 ** (self.total_bits - 1 - self.fraction_bits))) if self.signed else 0.0

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value, which is the spacing."""
        return float(2.0**-self.fraction_bits)

    @property
    def lowest_bit(self) -> int:
        """Exponent of the spacing: every value is a multiple of 2^lowest_bit."""
        return -self.fraction_bits

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest, without underflow: 1/2.

        Only the absolute error of fixed point is small, half the spacing.
        """
        return 0.5

    def __str__(self) -> str:
        return self.name


Format = FloatFormat | FixedFormat


def parse_format(name: str | Format) -> Format:
    """Return the floating-point, fixed-point or integer format called `name`.

    Raises ValueError if there is no such format.
    """
    if isinstance(name, Format):
        return name
    if not isinstance(name, str):
        raise ValueError(f"unknown format {name!r}; allowed are {_FLOAT_NAMES}, {_FIXED_NAMES}")
    return _parse(name)


@functools.lru_cache(maxsize=1024)
def _parse(name: str) -> Format:
    """Return the format called `name`: the same few are asked for all the time."""
    if _FIXED.fullmatch(name):
        return FixedFormat.parse(name)
    try:
        return FloatFormat.parse(name)
    except ValueError as error:
        if _FLOAT.fullmatch(_ALIASES.get(name, name)):
            raise
        raise ValueError(f"{error}, {_FIXED_NAMES}") from None


def _set_integer(fmt: Format, field: str, least: int, most: int) -> None:
    """Make the field an `int`, which NumPy's integers are not, or raise ValueError."""
    value = getattr(fmt, field)
    if isinstance(value, bool) or not (isinstance(value, Integral) and least <= int(value) <= most):
        raise ValueError(f"format: {field} is {value!r}, allowed are {least} to {most}")
    object.__setattr__(fmt, field, int(value))
