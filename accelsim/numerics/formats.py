"""What a floating-point format is: data, without operations."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ALIASES = {
    "fp16": "e5m10",
    "bf16": "e8m7",
    "tf32": "e8m10",
    "fp32": "e8m23",
}
_NAMES = {canonical: alias for alias, canonical in _ALIASES.items()}
_PATTERN = re.compile(r"e(\d+)m(\d+)(fn)?")


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format with `exponent_bits` and `mantissa_bits` stored bits.

    `finite=False` is IEEE-like: the top exponent holds infinities and NaNs.
    `finite=True` is the OCP variant (suffix `fn`): no infinities; formats of eight bits or more
    keep one NaN, the code of all ones, and shorter formats have none.
    Sources: IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0; OCP Microscaling
    Formats 1.0.
    """

    exponent_bits: int
    mantissa_bits: int
    finite: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.exponent_bits <= 8:
            raise ValueError(f"format: exponent_bits is {self.exponent_bits}, allowed are 2 to 8")
        if not 0 <= self.mantissa_bits <= 23:
            raise ValueError(f"format: mantissa_bits is {self.mantissa_bits}, allowed are 0 to 23")

    @classmethod
    def parse(cls, name: str | FloatFormat) -> FloatFormat:
        """Return the format called `name`: `eXmY`, `eXmYfn`, `fp16`, `bf16`, `tf32` or `fp32`.

        Raises ValueError if there is no such format.
        """
        if isinstance(name, FloatFormat):
            return name
        match = _PATTERN.fullmatch(_ALIASES.get(name, name)) if isinstance(name, str) else None
        if match is None:
            raise ValueError(
                f"unknown format {name!r}; allowed are eXmY and eXmYfn (X 2 to 8, Y 0 to 23), "
                + ", ".join(_ALIASES)
            )
        try:
            return cls(int(match[1]), int(match[2]), finite=match[3] is not None)
        except ValueError as error:
            raise ValueError(f"unknown format {name!r}: {error}") from None

    @property
    def name(self) -> str:
        """The usual name: `fp16`, `e4m3fn`."""
        canonical = f"e{self.exponent_bits}m{self.mantissa_bits}{'fn' if self.finite else ''}"
        return _NAMES.get(canonical, canonical)

    @property
    def bits(self) -> int:
        """Storage width, sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """Exponent bias."""
        return int(2 ** (self.exponent_bits - 1) - 1)

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

    @property
    def max(self) -> float:
        """Largest finite value."""
        m = self.mantissa_bits
        if not self.finite:
            return (2.0 - 2.0**-m) * 2.0**self.bias
        top_exponent = 2**self.exponent_bits - 1 - self.bias
        if not self.has_nan:
            return float((2.0 - 2.0**-m) * 2.0**top_exponent)
        if m == 0:  # the NaN takes the whole top exponent
            return float(2.0 ** (top_exponent - 1))
        return float((2.0 - 2.0 ** (1 - m)) * 2.0**top_exponent)

    @property
    def min_normal(self) -> float:
        """Smallest positive normal value."""
        return float(2.0**self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value."""
        return float(2.0 ** (self.min_exponent - self.mantissa_bits))

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest, without underflow: 2^-(m+1)."""
        return float(2.0 ** -(self.mantissa_bits + 1))

    def __str__(self) -> str:
        return self.name
