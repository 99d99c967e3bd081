"""The entries of an energy table: one sourced number each, validated when it is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from accelsim.energy.estimate import MOST_PJ, NODES_NM, VOLTAGES_V, Kind
from accelsim.energy.sources import says_who
from accelsim.machine import DramType
from accelsim.numerics import FloatFormat
from accelsim.numerics.formats import Format, parse_format
from accelsim.schema import Strict

ONLY_FIXED = "a shift is into fixed point, additions of floating point contain their own"
# Outside any circuit: in pJ, from below the 3e-9 that erasing a bit takes at room temperature.
Positive = Annotated[float, Field(ge=1e-9, le=MOST_PJ, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, le=MOST_PJ, allow_inf_nan=False)]
Node = Annotated[float, Field(ge=NODES_NM[0], le=NODES_NM[1], allow_inf_nan=False)]
Voltage = Annotated[float, Field(ge=VOLTAGES_V[0], le=VOLTAGES_V[1], allow_inf_nan=False)]
Power = Annotated[float, Field(ge=0.01, le=10.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, pattern=r"\S")]
Widths = tuple[int, ...]


def _known(name: str) -> str:
    return parse_format(name).name


FormatName = Annotated[str, AfterValidator(_known)]
Source = Annotated[str, Field(min_length=1), AfterValidator(says_who)]


class Entry(Strict):
    """A value with its source; node and voltage are the table's where they are not given."""

    source: Source
    kind: Kind
    node_nm: Node | None = None
    voltage_v: Voltage | None = None


class Alternative(Strict):
    """What another source says of the same: how far the sources are apart."""

    value: Positive
    source: Source


class WithArea(Entry):
    """An energy and an area, which may have a source, a kind and a node of its own."""

    area_source: Source | None = None
    area_kind: Kind | None = None
    area_node_nm: Node | None = None

    @model_validator(mode="after")
    def _of_an_area(self) -> WithArea:
        for key in ("area_source", "area_kind", "area_node_nm"):
            if getattr(self, key) is not None and self.area is None:
                raise ValueError(f"{key} is given, and no area")
        return self

    @property
    def area(self) -> float | None:
        """The area that is given, if any."""
        raise NotImplementedError

    @property
    def area_said(self) -> tuple[str, Kind]:
        """Who says what the area is, and how it was come by."""
        return self.area_source or self.source, self.area_kind or self.kind


class ArithmeticCost(WithArea):
    """Energy of one operation in a format, and the area of the unit that does it."""

    operation: Literal["multiply", "add", "shift", "compare"]
    format: FormatName
    energy_pj: Positive
    area_um2: Positive | None = None

    @model_validator(mode="after")
    def _shifts_into_fixed_point(self) -> ArithmeticCost:
        if self.operation == "shift" and isinstance(parse_format(self.format), FloatFormat):
            raise ValueError(f"{ONLY_FIXED}, and {self.format} is none")
        return self

    @property
    def area(self) -> float | None:
        """The area that is given, if any."""
        return self.area_um2

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"{self.operation} {self.format}"


def _only_estimated(kind: object) -> object:
    if kind != "estimated":
        raise ValueError(
            f"got {kind!r}, expected 'estimated': what a law says of formats without a figure is"
        )
    return kind


class _Law(Entry):
    kind: Annotated[Literal["estimated"], BeforeValidator(_only_estimated)]
    operation: Literal["multiply", "add", "shift"]
    numbers: Literal["float", "fixed"] = "float"
    exponent: Power

    @model_validator(mode="after")
    def _shifts_into_fixed_point(self) -> _Law:
        if self.operation == "shift" and self.numbers == "float":
            raise ValueError(f"{ONLY_FIXED}: numbers is fixed for it")
        return self

    def at(self, fmt: Format) -> tuple[float, str]:
        """Return the law's value for a format of its kind of numbers, and how it came about."""
        coefficient, per_bit = self.parameters
        bits = fmt.mantissa_bits + 1 if isinstance(fmt, FloatFormat) else fmt.bits
        value = coefficient * bits**self.exponent
        text = f"{coefficient:g}·{bits}^{self.exponent:g}"
        if isinstance(fmt, FloatFormat) and per_bit:
            value += per_bit * fmt.exponent_bits
            text += f" + {per_bit:g}·{fmt.exponent_bits}"
        return value, f"{text}, {self.source}"

    @property
    def parameters(self) -> tuple[float, float]:
        """The coefficient, and what an exponent bit adds."""
        raise NotImplementedError


class WidthLaw(_Law):
    """pJ = coefficient · p^exponent + exponent_bit · e, for p significand bits with the hidden one
    and e exponent bits; of fixed-point numbers p is the width.
    """

    coefficient_pj: Positive
    exponent_bit_pj: NotNegative = 0.0

    @property
    def parameters(self) -> tuple[float, float]:
        """The coefficient, and what an exponent bit adds."""
        return self.coefficient_pj, self.exponent_bit_pj

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"width law {self.operation} {self.numbers}"


class AreaLaw(_Law):
    """The same in square micrometres."""

    coefficient_um2: Positive
    exponent_bit_um2: NotNegative = 0.0

    @property
    def parameters(self) -> tuple[float, float]:
        """The coefficient, and what an exponent bit adds."""
        return self.coefficient_um2, self.exponent_bit_um2

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"area law {self.operation} {self.numbers}"


class RegisterCost(WithArea):
    """Writing and reading one bit of a register; `clock_share` of it is spent on its clock pin."""

    energy_pj_per_bit: Positive
    area_um2_per_bit: Positive | None = None
    clock_share: Share = 0.0

    @property
    def area(self) -> float | None:
        """The area that is given, if any."""
        return self.area_um2_per_bit


class ClockTree(Entry):
    """What the tree beyond the clock pins takes for each bit of a register that is written."""

    energy_pj_per_bit: NotNegative
    alternatives: Annotated[list[Alternative], Field(default_factory=list)]


class Wire(Entry):
    """Energy of moving a bit over a millimetre of wire, and how far one PE is from the next."""

    energy_pj_per_bit_mm: NotNegative
    pe_pitch_um: NotNegative
    alternatives: Annotated[list[Alternative], Field(default_factory=list)]

    @property
    def energy_pj_per_bit(self) -> float:
        """Energy of a bit on its way to the next PE."""
        return self.energy_pj_per_bit_mm * self.pe_pitch_um / 1e3


class SramCost(Entry):
    """Energy of reading or writing 64 bits of a memory on the chip."""

    capacity_bytes: Annotated[int, Field(ge=1, le=2**50)]
    energy_pj_per_64_bits: Positive
    alternatives: Annotated[list[Alternative], Field(default_factory=list)]

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"sram {self.capacity_bytes}"


class SramArea(Entry):
    """Area of a memory on the chip, with all that surrounds its cells."""

    area_um2_per_bit: Positive


class DramCost(Entry):
    """Energy of moving one bit to or from main memory."""

    type: DramType
    energy_pj_per_bit: Positive
    alternatives: Annotated[list[Alternative], Field(default_factory=list)]

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"dram {self.type}"


class Leakage(Entry):
    """Power that a circuit of this kind takes for as long as it is on."""

    part: Literal["logic", "sram"]
    power_mw_per_mm2: NotNegative
    alternatives: Annotated[list[Alternative], Field(default_factory=list)]

    @property
    def key(self) -> str:
        """What there may be one of."""
        return f"leakage {self.part}"


def widths(fmt: Format) -> Widths:
    """Return the widths that costs grow with: exponent and significand, or the whole word."""
    if isinstance(fmt, FloatFormat):
        return fmt.exponent_bits, fmt.mantissa_bits
    return (fmt.bits,)


def no_wider(fmt: Format, other: Format) -> bool:
    """Whether every width of `fmt` is at most that of `other`, which is of the same kind."""
    ours, theirs = widths(fmt), widths(other)
    return len(ours) == len(theirs) and all(a <= b for a, b in zip(ours, theirs, strict=True))
