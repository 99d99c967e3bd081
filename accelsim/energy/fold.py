"""Energy: a fold of costs over counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from accelsim.energy.estimate import Cost, Estimator
from accelsim.machine import Action, Counts


@dataclass(frozen=True)
class EnergyLine:
    """One row of the sum: `number` times `cost.energy_pj` is `energy_pj`."""

    component: str
    action: Action
    number: int
    cost: Cost

    @property
    def energy_pj(self) -> float:
        """Energy of all these actions."""
        return self.number * self.cost.energy_pj


def charge(counts: Counts, table: Estimator) -> tuple[EnergyLine, ...]:
    """Return a line for every entry of `counts`, in their order."""
    return tuple(
        EnergyLine(component, action, number, table.cost(action))
        for component, action, number in counts
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
