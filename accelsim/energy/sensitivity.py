"""How much a saving depends on single constants of a table.

A constant is here the cost of an action, with all accesses of a memory as one, or a density of
leakage. An energy is linear in these: the sum of a term for each. In the entries of a table it is
linear only where an action's cost is an entry. Between two capacities an SRAM takes a power of
both entries, a law is held between figures, and a comparison without a figure is an integer
addition. What follows is arithmetic on terms, and nothing is counted again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelsim.energy.entries import Alternative
from accelsim.energy.fold import EnergyLine
from accelsim.energy.machine_area import LeakingPart
from accelsim.energy.scale import POLYNOMIALS, scale_logic
from accelsim.energy.table import EnergyTable
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, DramAccess, Sram

LEAKAGE: dict[LeakingPart, str] = {"logic": "leakage of logic", "sram": "leakage of SRAM"}
"""What leaks, as constants: each has sources of its own."""
COMPARABLE_NODES = 1.2
"""Tables whose nodes differ by no more than this factor are compared as they are."""
Terms = Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """A constant, and the factors on the table's own value within which its sources lie.

    `low_source` and `high_source` say who is at either end, which may be the table itself.
    """

    constant: str
    low: float
    high: float
    sources: tuple[str, ...]
    low_source: str = ""
    high_source: str = ""


@dataclass(frozen=True)
class Swing:
    """A saving with one constant at either end of its spread, all others as they are."""

    spread: Spread
    at_low: float
    at_high: float

    @property
    def size(self) -> float:
        """How far the constant moves the saving."""
        return abs(self.at_high - self.at_low)


def constant_of(action: Action) -> str:
    """Return the name of the constant that an action's cost depends on."""
    match action:
        case Arithmetic():
            return str(action)
        case Sram():
            return f"SRAM of {action.capacity_bytes} B"
        case DramAccess():
            return f"DRAM {action.type}"


def terms(
    lines: Iterable[EnergyLine], leakage_pj: Mapping[LeakingPart, float] | None = None
) -> dict[str, float]:
    """Return pJ by constant; they add up to the energy, and to what leaks, part by part."""
    groups: dict[str, list[float]] = {}
    for line in lines:
        groups.setdefault(constant_of(line.action), []).append(line.energy_pj)
    for part, leaked in (leakage_pj or {}).items():
        if leaked:
            groups[LEAKAGE[part]] = [leaked]
    return {constant: math.fsum(values) for constant, values in groups.items()}


def energy_pj(found: Terms, factors: Mapping[str, float] | None = None) -> float:
    """Return the energy with some constants multiplied by a factor each."""
    given = factors or {}
    return math.fsum(value * given.get(constant, 1.0) for constant, value in found.items())


def saving(ours: Terms, theirs: Terms, factors: Mapping[str, float] | None = None) -> float:
    """Return how much less energy `ours` takes, as a share of `theirs`; negative if more."""
    return 1.0 - energy_pj(ours, factors) / energy_pj(theirs, factors)


def swings(ours: Terms, theirs: Terms, spreads: Iterable[Spread]) -> list[Swing]:
    """Return what each constant alone does to the saving, the greatest first."""
    found = [
        Swing(
            spread,
            saving(ours, theirs, {spread.constant: spread.low}),
            saving(ours, theirs, {spread.constant: spread.high}),
        )
        for spread in spreads
    ]
    return sorted(found, key=lambda swing: (-swing.size, swing.spread.constant))


def interval(ours: Terms, theirs: Terms, spreads: Sequence[Spread]) -> tuple[float, float]:
    """Return the least and the greatest saving with every constant anywhere within its spread.

    A ratio of two sums of positive terms is extreme at a corner. There the constants of which
    `ours` has the larger share are at one end of their spreads, all others at the opposite end;
    so that as many corners as there are constants are enough.
    """
    by_share = sorted(
        spreads,
        key=lambda s: _share(ours.get(s.constant, 0.0), theirs.get(s.constant, 0.0)),
    )
    found = []
    for cut in range(len(by_share) + 1):
        for ends in (("low", "high"), ("high", "low")):
            factors = {
                spread.constant: getattr(spread, ends[index >= cut])
                for index, spread in enumerate(by_share)
            }
            found.append(saving(ours, theirs, factors))
    return min(found), max(found)


def spreads(
    actions: Iterable[Action], table: EnergyTable, others: Iterable[EnergyTable]
) -> list[Spread]:
    """Return how far apart the sources of each constant are, in factors on the table's own value.

    Logic is compared with that of other tables of a like node, or scaled to it from an older one;
    memories and leakage with what their entries list as alternatives. A constant with one source
    only has no spread: that does not make it certain.
    """
    logic = [like for other in others if (like := _comparable(other, table)) is not None]
    named = {
        constant_of(action): (table.cost(action).source, _factors(action, table, logic))
        for action in actions
    }
    for entry in table.leakage:
        ratios = _ratios(entry.power_mw_per_mm2, entry.alternatives)
        named[LEAKAGE[entry.part]] = entry.source, ratios
    return [_spread(constant, *said) for constant, said in named.items() if said[1]]


def records(found: Iterable[Swing]) -> list[dict[str, object]]:
    """Return the ends of spreads as records: what each does to a saving, and who says so."""
    return [
        {
            "constant": swing.spread.constant,
            "lowest_factor": swing.spread.low,
            "lowest_source": swing.spread.low_source,
            "highest_factor": swing.spread.high,
            "highest_source": swing.spread.high_source,
            "saving_at_lowest": swing.at_low,
            "saving_at_highest": swing.at_high,
        }
        for swing in found
    ]


def _spread(constant: str, own: str, others: list[tuple[float, str]]) -> Spread:
    """Return how far apart the sources of a constant are; among equals the table's own counts."""
    said = [(1.0, f"the table itself: {own}"), *others]
    low, high = (end(said, key=lambda one: one[0]) for end in (min, max))
    sources = tuple(source for _, source in others)
    return Spread(constant, low[0], high[0], sources, low[1], high[1])


def _comparable(other: EnergyTable, table: EnergyTable) -> EnergyTable | None:
    """Return a table of logic at the node of `table`, if there is one."""
    if other.name == table.name:
        return None
    if _like(other.node_nm, table):
        return other
    older = other.node_nm > table.node_nm
    if not older or other.voltage_v is None or table.node_nm not in POLYNOMIALS:
        return None
    return scale_logic(other, table.node_nm)


def _like(node_nm: float | None, table: EnergyTable) -> bool:
    """Whether a figure of that node is compared as it is with those of `table`."""
    low, high = table.node_nm / COMPARABLE_NODES, table.node_nm * COMPARABLE_NODES
    return node_nm is not None and low <= node_nm <= high


def _factors(
    action: Action, table: EnergyTable, logic: list[EnergyTable]
) -> list[tuple[float, str]]:
    """Return (factor, source) of everything else that is said of an action's cost."""
    match action:
        case Arithmetic():
            own = table.cost(action).energy_pj
            found = _own_alternatives(action, table)
            for other in logic:
                try:
                    cost = other.cost(action)
                except AccelsimError:
                    continue
                # A scaled table has its wires, which nothing scales, from where it comes from.
                if own and _like(cost.node_nm, table):
                    found.append((cost.energy_pj / own, f"{other.name}: {cost.source}"))
            return found
        case Sram():
            return [
                ratio
                for entry in dict.fromkeys(
                    e.capacity_bytes for e in table.sram_around(action.capacity_bytes)
                )
                for ratio in _ratios(*_sram_entry(table, entry))
            ]
        case DramAccess():
            entry = table.dram_entry(action.type)
            return _ratios(entry.energy_pj_per_bit, entry.alternatives)


def _own_alternatives(action: Arithmetic, table: EnergyTable) -> list[tuple[float, str]]:
    """Return what a table itself lists for the clock tree and for wires."""
    if action.operation == "hop" and table.wire is not None:
        return _ratios(table.wire.energy_pj_per_bit_mm, table.wire.alternatives)
    if action.operation == "clock" and table.clock_tree is not None:
        return _ratios(table.clock_tree.energy_pj_per_bit, table.clock_tree.alternatives)
    return []


def _sram_entry(table: EnergyTable, capacity_bytes: int) -> tuple[float, list[Alternative]]:
    entry = table.sram_around(capacity_bytes)[0]
    return entry.energy_pj_per_64_bits, entry.alternatives


def _ratios(own: float, alternatives: list[Alternative]) -> list[tuple[float, str]]:
    return [(other.value / own, other.source) for other in alternatives if own]


def _share(ours: float, theirs: float) -> float:
    """Return the share of `ours` in both together, between 0 and 1."""
    return ours / (ours + theirs) if ours + theirs else 0.5
