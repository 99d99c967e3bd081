"""Energy: a fold of costs over counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, get_args

from accelsim.energy.estimate import Cost, Estimator, cost_of
from accelsim.machine import Action, ByCause, Cause, Counts

Name = TypeVar("Name", bound=str)
LEAKAGE = "leakage"
CAUSES: tuple[str, ...] = (*get_args(Cause), LEAKAGE)
"""What energy is spent on: what actions are done for, and leakage, which no action causes."""


@dataclass(frozen=True)
class EnergyLine:
    """One row of the sum: `number` times `cost.energy_pj` is `energy_pj`.

    `cause` is empty where lines of all causes are taken together.
    """

    component: str
    action: Action
    number: int
    cost: Cost
    cause: str = ""

    @property
    def energy_pj(self) -> float:
        """Energy of all these actions."""
        return self.number * self.cost.energy_pj


def charge(counts: Counts | ByCause, table: Estimator) -> tuple[EnergyLine, ...]:
    """Return a line for every entry of `counts`, in their order, cause by cause if they say."""
    parts = counts.items() if isinstance(counts, ByCause) else [("", counts)]
    return tuple(
        EnergyLine(component, action, number, cost_of(table, action), cause)
        for cause, part in parts
        for component, action, number in part
    )


def total_pj(lines: Iterable[EnergyLine]) -> float:
    """Return the sum, correctly rounded, so that it does not depend on the order of lines."""
    return math.fsum(line.energy_pj for line in lines)


def by_component(lines: Iterable[EnergyLine]) -> dict[str, float]:
    """Return pJ by component, components in alphabetical order."""
    groups: dict[str, list[float]] = {}
    for line in lines:
        groups.setdefault(line.component, []).append(line.energy_pj)
    return {component: math.fsum(groups[component]) for component in sorted(groups)}


def by_cause(lines: Iterable[EnergyLine]) -> dict[str, float]:
    """Return pJ by cause, all but leakage, of lines that say their cause."""
    groups: dict[str, list[float]] = {cause: [] for cause in CAUSES if cause != LEAKAGE}
    for line in lines:
        groups[line.cause].append(line.energy_pj)
    return {cause: math.fsum(values) for cause, values in groups.items()}


def adding_up(parts: Mapping[Name, float], total: float) -> dict[Name, float]:
    """Return parts whose correctly rounded sum (`math.fsum`, in any order) is `total`.

    They are sums of the same lines, each rounded on its own, so that together they may miss the
    total in its last binary digit. The largest takes what is left over, and all others stay as
    they are; but where that lies half-way between two numbers, the next ones are rounded to the
    last digit of the total as well.
    """
    if not parts or not total:
        return dict(parts)
    found, unit = dict(parts), math.ulp(total)
    largest, *others = sorted(found, key=lambda name: -found[name])
    for name in others:
        if _leave_over(found, largest, total):
            return found
        found[name] = round(found[name] / unit) * unit
    _leave_over(found, largest, total)
    return found


def _leave_over(found: dict[Name, float], largest: Name, total: float) -> bool:
    """Give the largest what the others leave of the total; return whether the sum is right."""
    found[largest] = math.fsum((total, found[largest], *(-value for value in found.values())))
    return math.fsum(found.values()) == total
