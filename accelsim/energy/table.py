"""What an action costs and what a part occupies: tables of sourced numbers, and laws between."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import Field, model_validator

from accelsim.energy.entries import (
    AreaLaw,
    ArithmeticCost,
    ClockTree,
    DramCost,
    Entry,
    Leakage,
    Name,
    Node,
    RegisterCost,
    Source,
    SramArea,
    SramCost,
    Voltage,
    WidthLaw,
    Wire,
    WithArea,
    no_wider,
)
from accelsim.energy.estimate import Area, Cost, Kind, Part, conditions, node_in_words
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, DramAccess, Sram
from accelsim.numerics import FixedFormat, FloatFormat
from accelsim.numerics.formats import Format, parse_format
from accelsim.schema import Strict

SECTIONS = ("arithmetic", "width_laws", "area_laws", "sram", "dram", "leakage")
"""The sections that are lists, in which nothing may be said twice."""
UM2_PER_MM2 = 1e6
Law = TypeVar("Law", WidthLaw, AreaLaw)


class EnergyTable(Strict):
    """A set of costs for one technology. What is not given has no cost, and asking is an error.

    Node and voltage are those of every entry that has none of its own, but for DRAM, which is a
    chip of another technology. Where no voltage is known, `voltage_unknown` says why.
    """

    name: Name
    node_nm: Node
    voltage_v: Voltage | None = None
    voltage_unknown: Source | None = None
    arithmetic: Annotated[list[ArithmeticCost], Field(min_length=1)]
    width_laws: list[WidthLaw]
    area_laws: Annotated[list[AreaLaw], Field(default_factory=list)]
    register_bit: RegisterCost | None = None
    clock_tree: ClockTree | None = None
    wire: Wire | None = None
    sram: Annotated[list[SramCost], Field(min_length=1)]
    sram_area: SramArea | None = None
    dram: Annotated[list[DramCost], Field(min_length=1)]
    leakage: Annotated[list[Leakage], Field(default_factory=list)]

    @model_validator(mode="after")
    def _each_once(self) -> EnergyTable:
        keys = [entry.key for section in SECTIONS for entry in getattr(self, section)]
        twice = sorted(key for key, times in Counter(keys).items() if times > 1)
        if twice:
            raise ValueError(f"more than one cost for: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _says_its_voltage(self) -> EnergyTable:
        if (self.voltage_v is None) == (self.voltage_unknown is None):
            raise ValueError(
                "expected voltage_v, or voltage_unknown, which says why there is none: one of them"
            )
        return self

    @property
    def conditions(self) -> str:
        """Node and voltage of what has none of its own, or why there is no voltage."""
        why = f" ({self.voltage_unknown})" if self.voltage_unknown else ""
        return f"{self.name}: {conditions(self.node_nm, self.voltage_v)}{why}"

    @cached_property
    def costs(self) -> dict[Action, Cost]:
        """What actions cost that have been asked for: fits are not evaluated twice."""
        return {}

    def cost(self, action: Action) -> Cost:
        """Return what `action` costs once. Raises AccelsimError if the table does not say."""
        if action not in self.costs:
            self.costs[action] = self._cost_of(action)
        return self.costs[action]

    def _cost_of(self, action: Action) -> Cost:
        match action:
            case Arithmetic():
                return self._arithmetic(action)
            case Sram():
                return self._sram(action.capacity_bytes)
            case DramAccess():
                return self._dram(action.type)

    def area(self, part: Part) -> Area:
        """Return what `part` occupies and leaks. Raises AccelsimError if the table does not say."""
        if isinstance(part, Sram):
            if self.sram_area is None:
                self._unknown(f"area of a {part.capacity_bytes} B SRAM", "sram_area")
            entry = self.sram_area
            bits, each = part.capacity_bytes * 8, entry.area_um2_per_bit
            source = f"{bits} bits of {each:g} um2: {entry.source}"
            return self._leaking(bits * each, "sram", source, entry.kind, self.where(entry)[0])
        return self._leaking(*self._logic_um2(part))

    def leakage_of(self, part: str) -> Leakage | None:
        """Return the leakage of `logic` or `sram`, if the table gives it."""
        return next((entry for entry in self.leakage if entry.part == part), None)

    def published(self, operation: str, fmt: Format) -> list[tuple[Format, ArithmeticCost]]:
        """Return what the table gives for an operation, in formats of the kind of `fmt`."""
        mine = (entry for entry in self.arithmetic if entry.operation == operation)
        pairs = ((parse_format(entry.format), entry) for entry in mine)
        return [(other, entry) for other, entry in pairs if isinstance(other, type(fmt))]

    def _arithmetic(self, action: Arithmetic) -> Cost:
        fmt, operation = parse_format(action.format), action.operation
        if operation in {"register", "operand"}:
            return self._register(fmt)
        if operation in {"clock", "hop"}:
            return self._per_bit(operation, fmt)
        for entry in self.arithmetic:
            if (entry.operation, entry.format) == (operation, fmt.name):
                return self._cost(entry, entry.energy_pj, entry.source, entry.kind)
        if operation == "compare":
            return self._compare(fmt)
        law = _law_for(self.width_laws, operation, fmt)
        if law is None:
            self._unknown(f"cost for: {action}", "width_laws")
        energy, source = law.at(fmt)
        points = [(other, e.energy_pj) for other, e in self.published(operation, fmt)]
        energy, held = _held(energy, fmt, points)
        return self._cost(law, energy, source + held, law.kind)

    def _compare(self, fmt: Format) -> Cost:
        """A comparison of magnitudes is an integer subtraction as wide as the format."""
        subtract = Arithmetic("add", FixedFormat(min(fmt.bits, 32)).name)
        try:
            found = self._arithmetic(subtract)
        except AccelsimError:
            self._unknown(f"cost for: compare {fmt}", "arithmetic")
        points = [(other, e.energy_pj) for other, e in self.published("compare", fmt)]
        energy, held = _held(found.energy_pj, fmt, points)
        source = f"a subtraction of {fmt.bits} bits: {found.source}{held}"
        return Cost(energy, source, "estimated", found.node_nm, found.voltage_v)

    def _register(self, fmt: Format) -> Cost:
        entry = self.register_bit
        if entry is None:
            self._unknown(f"cost for: register {fmt}", "register_bit")
        source = f"{fmt.bits} bits of {entry.energy_pj_per_bit:g} pJ: {entry.source}"
        return self._cost(entry, fmt.bits * entry.energy_pj_per_bit, source, entry.kind)

    def _per_bit(self, operation: str, fmt: Format) -> Cost:
        entry = self.clock_tree if operation == "clock" else self.wire
        if entry is None:
            section = "clock_tree" if operation == "clock" else "wire"
            self._unknown(f"cost for: {operation} {fmt}", section)
        source = f"{fmt.bits} bits of {entry.energy_pj_per_bit:.4g} pJ: {entry.source}"
        return self._cost(entry, fmt.bits * entry.energy_pj_per_bit, source, entry.kind)

    def _sram(self, capacity_bytes: int) -> Cost:
        """Interpolate between capacities, linearly in the logarithms.

        Below the smallest entry its cost is charged; above the largest, the memory is taken to
        be made of banks of that size.
        """
        low, high = self.sram_around(capacity_bytes)
        energy = low.energy_pj_per_64_bits
        if low.capacity_bytes == high.capacity_bytes:
            exact = low.capacity_bytes == capacity_bytes
            source = low.source if exact else f"as {low.capacity_bytes} B: {low.source}"
            return self._cost(low, energy / 8, source, low.kind if exact else "estimated")
        share = math.log(capacity_bytes / low.capacity_bytes) / math.log(
            high.capacity_bytes / low.capacity_bytes
        )
        ratio = high.energy_pj_per_64_bits / energy
        source = (
            f"between {energy:g} pJ of {low.capacity_bytes} B and {high.energy_pj_per_64_bits:g} pJ"
            f" of {high.capacity_bytes} B, linear in the logarithms: {low.source}"
        )
        return self._cost(low, energy * ratio**share / 8, source, "estimated")

    def sram_around(self, capacity_bytes: int) -> tuple[SramCost, SramCost]:
        """Return the entries next to a capacity, which are one where there is none beyond."""
        entries = sorted(self.sram, key=lambda entry: entry.capacity_bytes)
        below = [entry for entry in entries if entry.capacity_bytes <= capacity_bytes]
        above = [entry for entry in entries if entry.capacity_bytes >= capacity_bytes]
        return (below or entries)[-1 if below else 0], (above or entries)[0 if above else -1]

    def dram_entry(self, kind: str) -> DramCost:
        """Return the entry of a type of DRAM. Raises AccelsimError if there is none."""
        for entry in self.dram:
            if entry.type == kind:
                return entry
        known = ", ".join(entry.type for entry in self.dram)
        raise AccelsimError(f"energy table {self.name} has no DRAM type {kind!r}; it knows {known}")

    def _dram(self, kind: str) -> Cost:
        entry = self.dram_entry(kind)
        return self._cost(entry, entry.energy_pj_per_bit * 8, entry.source, entry.kind)

    def _logic_um2(
        self, part: Arithmetic
    ) -> tuple[float, Literal["logic"], str, Kind, float | None]:
        """Return the area, that it is logic, who says so and how, and its node."""
        fmt, operation = parse_format(part.format), part.operation
        if operation in {"register", "operand"}:
            entry = self.register_bit
            if entry is None or entry.area_um2_per_bit is None:
                self._unknown(f"area of: {part}", "register_bit.area_um2_per_bit")
            source, kind = entry.area_said
            source = f"{fmt.bits} bits of {entry.area_um2_per_bit:g} um2: {source}"
            return fmt.bits * entry.area_um2_per_bit, "logic", source, kind, self._area_node(entry)
        for given in self.arithmetic:
            known = (given.operation, given.format) == (operation, fmt.name)
            if known and given.area_um2 is not None:
                return given.area_um2, "logic", *given.area_said, self._area_node(given)
        if operation == "compare":
            subtract = Arithmetic("add", FixedFormat(min(fmt.bits, 32)).name)
            um2, _, source, kind, node = self._logic_um2(subtract)
            source, kind = f"a subtraction of {fmt.bits} bits: {source}", "estimated"
        else:
            law = _law_for(self.area_laws, operation, fmt)
            if law is None:
                self._unknown(f"area of: {part}", "area_laws")
            um2, source = law.at(fmt)
            kind, node = law.kind, self.where(law)[0]
        points = [
            (other, e.area_um2)
            for other, e in self.published(operation, fmt)
            if e.area_um2 is not None
        ]
        um2, held = _held(um2, fmt, points)
        return um2, "logic", source + held, kind, node

    def _leaking(
        self,
        um2: float,
        part: Literal["logic", "sram"],
        source: str,
        kind: Kind,
        node_nm: float | None,
    ) -> Area:
        """Return an area with what leaks on it."""
        entry = self.leakage_of(part)
        if entry is None:
            self._unknown(f"leakage of {part}", "leakage")
        density = f"{entry.power_mw_per_mm2:g} mW/mm2 [{entry.kind}] {entry.source}"
        place = conditions(*self.where(entry))
        said = f"{density} ({place}); on {um2:.6g} um2 [{kind}] {source} ({node_in_words(node_nm)})"
        # Even where both are measured: the density is that of another circuit.
        leaks_mw = um2 / UM2_PER_MM2 * entry.power_mw_per_mm2
        return Area(um2, leaks_mw, source, kind, said, "estimated", node_nm)

    def _cost(self, entry: Entry, energy_pj: float, source: str, kind: Kind) -> Cost:
        return Cost(energy_pj, source, kind, *self.where(entry))

    def where(self, entry: Entry) -> tuple[float | None, float | None]:
        """Return the node of an entry, and its voltage if that is known."""
        if isinstance(entry, DramCost):
            return entry.node_nm, entry.voltage_v
        node = self.node_nm if entry.node_nm is None else entry.node_nm
        # A voltage of the table says nothing of an entry from another node.
        own = self.voltage_v if entry.node_nm is None else None
        return node, entry.voltage_v or own

    def _area_node(self, entry: WithArea) -> float | None:
        return entry.area_node_nm or self.where(entry)[0]

    def _unknown(self, what: str, section: str) -> NoReturn:
        raise AccelsimError(f"energy table {self.name} has no {what}; {section} would give it")


def _law_for(laws: Iterable[Law], operation: str, fmt: Format) -> Law | None:
    numbers = "float" if isinstance(fmt, FloatFormat) else "fixed"
    found = (law for law in laws if (law.operation, law.numbers) == (operation, numbers))
    return next(found, None)


def _held(value: float, fmt: Format, points: list[tuple[Format, float]]) -> tuple[float, str]:
    """Return a law's value held between the published figures of narrower and wider formats.

    The largest figure of a narrower format and the smallest of a wider one grow with every width,
    as the law does, and so does the middle one of the three. At a published format all are its
    figure.
    """
    floor = max(((v, f.name) for f, v in points if no_wider(f, fmt)), default=None)
    ceiling = min(((v, f.name) for f, v in points if no_wider(fmt, f)), default=None)
    held = ""
    if floor is not None and value < floor[0]:
        value, held = floor[0], f"; but no less than {floor[1]}"
    if ceiling is not None and value > ceiling[0]:
        value, held = ceiling[0], f"; but no more than {ceiling[1]}"
    return value, held
