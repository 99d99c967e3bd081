"""What the rest of the program asks of costs: an energy for an action, an area for a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal, Protocol, get_args

from accelsim.energy.sources import CostError, says_who
from accelsim.machine import Action, Arithmetic, Sram

Kind = Literal["measured", "scaled", "estimated"]
NODES_NM = (1.0, 1e4)
"""From what is announced to the first microprocessor's, 10 um."""
VOLTAGES_V = (0.1, 15.0)
"""From below the threshold of transistors to the supply of the first CMOS chips."""
MOST_PJ = 1e9
"""A millijoule, for one action: outside any circuit."""
Part = Arithmetic | Sram
"""Something that is built: the unit that does an operation in a format, or a whole memory."""


@dataclass(frozen=True)
class Cost:
    """The energy of one action, and where the number comes from.

    `node_nm` and `voltage_v` are None where the source does not state them.
    """

    energy_pj: float
    source: str
    kind: Kind
    node_nm: float | None = None
    voltage_v: float | None = None

    def __post_init__(self) -> None:
        _check_said(self.source, self.kind)
        _check_amount("energy_pj", self.energy_pj, self.source, MOST_PJ)
        _check_within("node_nm", self.node_nm, NODES_NM, self.source)
        _check_within("voltage_v", self.voltage_v, VOLTAGES_V, self.source)

    @property
    def said(self) -> str:
        """Who says so, and at which node and voltage."""
        return f"{self.source} ({conditions(self.node_nm, self.voltage_v)})"


@dataclass(frozen=True)
class Area:
    """What a part occupies, and what it leaks for as long as the machine is on.

    What it leaks has the source and the kind of its area unless it has its own.
    """

    area_um2: float
    leakage_mw: float
    source: str
    kind: Kind
    leakage_source: str | None = None
    leakage_kind: Kind | None = None
    node_nm: float | None = None

    def __post_init__(self) -> None:
        _check_said(self.source, self.kind)
        _check_within("node_nm", self.node_nm, NODES_NM, self.source)
        _check_said(*self.leakage_said)
        _check_amount("area_um2", self.area_um2, self.source)
        _check_amount("leakage_mw", self.leakage_mw, self.leakage_source or self.source)

    @property
    def said(self) -> str:
        """Who says what it occupies, and at which node."""
        return f"{self.source} ({node_in_words(self.node_nm)})"

    @property
    def leakage_said(self) -> tuple[str, Kind]:
        """Who says what it leaks, and how that was come by."""
        source = self.said if self.leakage_source is None else self.leakage_source
        return source, self.leakage_kind or self.kind


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


class IdentifiedEstimator(Estimator, Protocol):
    """One that studies can take, too: they find a result by all that it follows from.

    To go to other processes it must be an instance of a class at the top of a module.
    """

    @property
    def identity(self) -> str:
        """Whatever the numbers follow from, such as versions and parameters: two estimators that
        differ in any cost or area differ here.
        """
        ...


def node_in_words(node_nm: float | None) -> str:
    """Return a node in words, or that it is not stated."""
    return "node not stated" if node_nm is None else f"{node_nm:g} nm"


def conditions(node_nm: float | None, voltage_v: float | None) -> str:
    """Return a node and a voltage in words, and that either is not stated."""
    if node_nm is None and voltage_v is None:
        return "node and voltage not stated"
    voltage = "voltage not stated" if voltage_v is None else f"{voltage_v:g} V"
    return f"{node_in_words(node_nm)}, {voltage}"


def cost_of(estimator: Estimator, action: Action) -> Cost:
    """Return what an action costs. Raises CostError with its name for what no cost can be."""
    try:
        return estimator.cost(action)
    except CostError as error:
        raise CostError(f"{estimator.name}: cost of {action}: {error}") from None


def area_of(estimator: Estimator, part: Part) -> Area:
    """Return what a part occupies. Raises CostError with its name for what no area can be."""
    try:
        return estimator.area(part)
    except CostError as error:
        what = f"{part.capacity_bytes} B SRAM" if isinstance(part, Sram) else part
        raise CostError(f"{estimator.name}: area of {what}: {error}") from None


def _check_said(source: object, kind: object) -> None:
    if not isinstance(source, str):
        raise CostError(f"source: got {source!r}, expected text that says who says so")
    try:
        says_who(source)
    except CostError as error:
        raise CostError(f"source: {error}") from None
    if kind not in get_args(Kind):
        raise CostError(f"kind: got {kind!r}, expected one of {', '.join(get_args(Kind))}")


def _check_amount(name: str, amount: object, source: str, most: float = math.inf) -> None:
    if not _is_finite(amount) or not 0 <= amount <= most:  # type: ignore[operator]
        to = "on" if math.isinf(most) else f"to {most:g}"
        raise CostError(f"{name}: got {amount!r}, expected a finite number from 0 {to} ({source})")


def _check_within(name: str, value: object, allowed: tuple[float, float], source: str) -> None:
    least, most = allowed
    if value is not None and not (_is_finite(value) and least <= value <= most):  # type: ignore[operator]
        raise CostError(
            f"{name}: got {value!r}, expected a finite number from {least:g} to {most:g}, or None"
            f" ({source})"
        )


def _is_finite(value: object) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
