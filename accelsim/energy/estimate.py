"""What the rest of the program asks of costs: an energy for an action, an area for a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from accelsim.machine import Action, Arithmetic, Sram

Kind = Literal["measured", "scaled", "estimated"]
Part = Arithmetic | Sram
"""Something that is built: the unit that does an operation in a format, or a whole memory."""


@dataclass(frozen=True)
class Cost:
    """The energy of one action, and where the number comes from.

    `voltage_v` is None where the source does not state it.
    """

    energy_pj: float
    source: str
    kind: Kind
    node_nm: float | None = None
    voltage_v: float | None = None


@dataclass(frozen=True)
class Area:
    """What a part occupies, and what it leaks for as long as the machine is on."""

    area_um2: float
    leakage_mw: float
    source: str
    kind: Kind


class Estimator(Protocol):
    """All that counting joules and square micrometres needs. `EnergyTable` is one.

    Both methods raise AccelsimError for what the estimator does not know.
    """

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def cost(self, action: Action) -> Cost:
        """Return the energy of one action."""
        ...

    def area(self, part: Part) -> Area:
        """Return the area of one part, and its leakage."""
        ...
