"""What an action costs: tables of sourced numbers, and the laws between them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, DramAccess, DramType, Sram
from accelsim.numerics import FloatFormat
from accelsim.numerics.formats import parse_format

Kind = Literal["measured", "scaled", "estimated"]
Picojoules = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Source = Annotated[str, Field(min_length=1, pattern=r"\S")]


def _known(name: str) -> str:
    FloatFormat.parse(name)
    return name


FormatName = Annotated[str, AfterValidator(_known)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: Source
    kind: Kind


class ArithmeticCost(_Entry):
    """Energy of one operation in a format."""

    operation: Literal["multiply", "add", "compare"]
    format: FormatName
    energy_pj: Picojoules


class WidthLaw(_Entry):
    """E = coefficient · p^exponent pJ, with p significand bits, the hidden one included."""

    operation: Literal["multiply", "add"]
    coefficient_pj: Picojoules
    exponent: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class SramCost(_Entry):
    """Energy of reading or writing 64 bits of a memory on the chip."""

    capacity_bytes: Annotated[int, Field(gt=0)]
    energy_pj_per_64_bits: Picojoules


class DramCost(_Entry):
    """Energy of moving one bit to or from main memory."""

    type: DramType
    energy_pj_per_bit: Picojoules


@dataclass(frozen=True)
class Cost:
    """The energy of one action, and where the number comes from."""

    energy_pj: float
    source: str
    kind: Kind


class EnergyTable(BaseModel):
    """A set of costs for one technology."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Source
    node_nm: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    arithmetic: Annotated[list[ArithmeticCost], Field(min_length=1)]
    width_laws: list[WidthLaw]
    sram: Annotated[list[SramCost], Field(min_length=1)]
    dram: Annotated[list[DramCost], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> EnergyTable:
        keys = [f"{entry.operation} {entry.format}" for entry in self.arithmetic]
        keys += [f"width law {law.operation}" for law in self.width_laws]
        keys += [f"sram {entry.capacity_bytes}" for entry in self.sram]
        keys += [f"dram {entry.type}" for entry in self.dram]
        twice = sorted(key for key, times in Counter(keys).items() if times > 1)
        if twice:
            raise ValueError(f"more than one cost for: {', '.join(twice)}")
        return self

    def cost(self, action: Action) -> Cost:
        """Return what `action` costs once. Raises AccelsimError if the table does not say."""
        match action:
            case Arithmetic():
                return self._arithmetic(action)
            case Sram():
                return self._sram(action.capacity_bytes)
            case DramAccess():
                return self._dram(action.type)

    def _arithmetic(self, action: Arithmetic) -> Cost:
        for entry in self.arithmetic:
            if (entry.operation, entry.format) == (action.operation, action.format):
                return Cost(entry.energy_pj, entry.source, entry.kind)
        fmt = parse_format(action.format)
        for law in self.width_laws:
            if law.operation == action.operation and isinstance(fmt, FloatFormat):
                bits = fmt.mantissa_bits + 1
                energy = law.coefficient_pj * bits**law.exponent
                where = f"{law.coefficient_pj:g}·{bits}^{law.exponent:g}, {law.source}"
                return Cost(energy, where, law.kind)
        raise AccelsimError(f"energy table {self.name} has no cost for: {action}")

    def _sram(self, capacity_bytes: int) -> Cost:
        """Interpolate between capacities, linearly in the logarithms.

        Below the smallest entry its cost is charged; above the largest, the memory is taken to
        be made of banks of that size.
        """
        entries = sorted(self.sram, key=lambda entry: entry.capacity_bytes)
        below = [entry for entry in entries if entry.capacity_bytes <= capacity_bytes]
        above = [entry for entry in entries if entry.capacity_bytes >= capacity_bytes]
        low, high = (below or entries)[-1 if below else 0], (above or entries)[0 if above else -1]
        if low.capacity_bytes == high.capacity_bytes:
            exact = low.capacity_bytes == capacity_bytes
            source = low.source if exact else f"as {low.capacity_bytes} B: {low.source}"
            return Cost(low.energy_pj_per_64_bits / 8, source, low.kind if exact else "estimated")
        share = math.log(capacity_bytes / low.capacity_bytes) / math.log(
            high.capacity_bytes / low.capacity_bytes
        )
        ratio = high.energy_pj_per_64_bits / low.energy_pj_per_64_bits
        return Cost(
            low.energy_pj_per_64_bits * ratio**share / 8,
            f"between {low.capacity_bytes} and {high.capacity_bytes} B: {low.source}",
            "estimated",
        )

    def _dram(self, kind: str) -> Cost:
        for entry in self.dram:
            if entry.type == kind:
                return Cost(entry.energy_pj_per_bit * 8, entry.source, entry.kind)
        known = ", ".join(entry.type for entry in self.dram)
        raise AccelsimError(f"energy table {self.name} has no DRAM type {kind!r}; it knows {known}")
