"""How many of each part a machine has: its area, where one part has 1 um2 and all others none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from accelsim.energy.estimate import Area, Part
from accelsim.energy.machine_area import Needs, area_um2
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, Hardware, Sram, parse_action

BuiltParts = dict[str, dict[Part, int]]


@dataclass
class _Counting:
    """Says that `only` occupies 1 um2 and all else nothing, and remembers what it was asked for."""

    only: Part | None = None
    asked: dict[Part, None] = field(default_factory=dict)
    name: str = "counting"

    def cost(self, action: Action) -> NoReturn:
        """Refuse: nothing is done here."""
        raise AccelsimError(f"{action}: parts are counted, not what they do")

    def area(self, part: Part) -> Area:
        """Return 1 um2 for the part that is counted."""
        self.asked[part] = None
        return Area(float(part == self.only), 0.0, "a part, counted", "estimated")


def built(hardware: Hardware, needed: Needs) -> BuiltParts:
    """Return how many of each part a component has: times its area they add up to `area_um2`.

    A part inside another, as the integer adders of a floating-point one, is not counted.
    """
    everything = _Counting()
    area_um2(hardware, needed, everything)
    found: BuiltParts = {}
    for part in everything.asked:
        for component in area_um2(hardware, needed, _Counting(part)).parts:
            found.setdefault(component.name, {})[part] = round(component.value)
    return found


def part_name(part: Part) -> str:
    """Return what a part is called."""
    return f"SRAM of {part.capacity_bytes} B" if isinstance(part, Sram) else str(part)


def part_of(name: str) -> Part:
    """Return the part of that name. Raises AccelsimError if there is none."""
    if (found := re.fullmatch(r"SRAM of (\d+) B", name)) is not None:
        return Sram("read", int(found[1]))
    part = parse_action(name)
    if not isinstance(part, Arithmetic):
        raise AccelsimError(f"{name!r} is no part of a machine")
    return part
