"""Energy: a fold of costs over counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from accelsim.energy.estimate import Cost, Estimator
from accelsim.machine import Action, Counts

CAUSES = (
    "useful_low_work",
    "discarded_low_work",
    "recomputation",
    "detection",
    "memory",
    "leakage",
)
"""What energy is spent on.

`discarded_low_work` is the first pass over outputs that are then redone; `useful_low_work` the rest
of it, whatever its format, and the vector unit's. Memory is that of both passes.
"""
_CAUSE_OF = {
    "array": "useful_low_work",
    "vector": "useful_low_work",
    "recompute": "recomputation",
    "queue": "recomputation",
    "detector": "detection",
}


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


def by_cause(lines: Iterable[EnergyLine], recompute_rate: float) -> dict[str, float]:
    """Return pJ by cause for one layer, of whose outputs `recompute_rate` are redone.

    All but `leakage`, which no action causes and is zero here.
    """
    groups: dict[str, list[float]] = {cause: [] for cause in CAUSES}
    for line in lines:
        energy = line.energy_pj
        if line.component == "array":
            discarded = energy * recompute_rate
            groups["discarded_low_work"].append(discarded)
            energy -= discarded
        groups[_CAUSE_OF.get(line.component, "memory")].append(energy)
    return {cause: math.fsum(values) for cause, values in groups.items()}
