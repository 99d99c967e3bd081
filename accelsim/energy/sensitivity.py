"""How much a saving depends on single constants of a table.

A constant is here the cost of an action, with all accesses of a memory as one, or a density of
leakage. An energy is linear in these: the sum of a term for each. In the entries of a table it is
linear only where an action's cost is an entry. Between two capacities an SRAM takes a power of
both entries, a law is held between figures, and a comparison without a figure is an integer
addition. What follows is arithmetic on terms, and nothing is counted again.

Between their sources, constants of one family go together by one factor: an operation in every
format of a kind, memories of every capacity. The sources speak of the operation, and how widths
compare is the law's; so nothing narrow or small ever takes more than something wide or large.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accelsim.energy.entries import Alternative
from accelsim.energy.fold import EnergyLine
from accelsim.energy.machine_area import LeakingPart
from accelsim.energy.scale import scale_logic
from accelsim.energy.table import EnergyTable
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, DramAccess, Sram
from accelsim.numerics import FloatFormat
from accelsim.numerics.formats import parse_format

LEAKAGE: dict[LeakingPart, str] = {"logic": "leakage of logic", "sram": "leakage of SRAM"}
"""What leaks, as constants: each has sources of its own."""
COMPARABLE_NODES = 1.2
"""Tables whose nodes differ by no more than this factor are compared as they are."""
PER_BIT = {"register", "operand", "clock", "hop"}
"""Operations that cost as much for every bit of a format, so that widths compare as bits do."""
Terms = Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """A family of constants, and the factors on the table's own values within which sources lie.

    All of `members` go by one factor; without any the constant is alone. `low_source` and
    `high_source` say who is at either end, which may be the table itself.
    """

    constant: str
    low: float
    high: float
    sources: tuple[str, ...]
    low_source: str = ""
    high_source: str = ""
    members: tuple[str, ...] = ()

    @property
    def moves(self) -> tuple[str, ...]:
        """The constants that go by this factor."""
        return self.members or (self.constant,)

    def factors(self, factor: float) -> dict[str, float]:
        """Return that factor for each of the constants."""
        return dict.fromkeys(self.moves, factor)


@dataclass(frozen=True)
class Swing:
    """A saving with one family at either end of its spread, all others as they are."""

    spread: Spread
    at_low: float
    at_high: float

    @property
    def size(self) -> float:
        """How far the family moves the saving."""
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


def family_of(action: Action) -> str:
    """Return the name of what goes together with an action's cost, of which its sources speak."""
    match action:
        case Arithmetic() if action.operation in {"register", "operand"}:
            return "register and operand, every format"
        case Arithmetic() if action.operation in PER_BIT:
            return f"{action.operation}, every format"
        case Arithmetic():
            floating = isinstance(parse_format(action.format), FloatFormat)
            return f"{action.operation}, every {'float' if floating else 'fixed'} format"
        case Sram():
            return "SRAM, every capacity"
        case DramAccess():
            return constant_of(action)


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
    """Return what each family alone does to the saving, the greatest first."""
    found = [
        Swing(
            spread,
            saving(ours, theirs, spread.factors(spread.low)),
            saving(ours, theirs, spread.factors(spread.high)),
        )
        for spread in spreads
    ]
    return sorted(found, key=lambda swing: (-swing.size, swing.spread.constant))


def interval(ours: Terms, theirs: Terms, spreads: Sequence[Spread]) -> tuple[float, float]:
    """Return the least and the greatest saving with every family anywhere within its spread.

    A ratio of two sums of positive terms is extreme at a corner. There the families of which
    `ours` has the larger share are at one end of their spreads, all others at the opposite end;
    so that as many corners as there are families are enough.
    """
    by_share = sorted(spreads, key=lambda s: _share(_sum(ours, s), _sum(theirs, s)))
    found = []
    for cut in range(len(by_share) + 1):
        for ends in (("low", "high"), ("high", "low")):
            factors: dict[str, float] = {}
            for index, spread in enumerate(by_share):
                factors |= spread.factors(getattr(spread, ends[index >= cut]))
            found.append(saving(ours, theirs, factors))
    return min(found), max(found)


def spreads(
    actions: Iterable[Action], table: EnergyTable, others: Iterable[EnergyTable]
) -> list[Spread]:
    """Return how far apart the sources of each family are, in factors on the table's own values.

    Logic is compared with that of other tables of a like node, or scaled to it from an older one,
    in the formats that both give a figure of; memories and leakage with what their entries list as
    alternatives. A family with one source only has no spread: that does not make it certain.
    """
    logic = [like for other in others if (like := _comparable(other, table)) is not None]
    families: dict[str, list[Action]] = {}
    for action in actions:
        families.setdefault(family_of(action), []).append(action)
    found = []
    for name, members in families.items():
        own, said = _said(members, table, logic)
        if said:
            constants = tuple(dict.fromkeys(constant_of(action) for action in members))
            found.append(_spread(name, own, said, constants))
    for entry in table.leakage:
        if said := _ratios(entry.power_mw_per_mm2, entry.alternatives):
            found.append(_spread(LEAKAGE[entry.part], entry.source, said))
    return found


def records(found: Iterable[Swing]) -> list[dict[str, object]]:
    """Return the ends of spreads as records: what each does to a saving, and who says so."""
    return [
        {
            "constant": swing.spread.constant,
            "moves": ", ".join(swing.spread.moves),
            "lowest_factor": swing.spread.low,
            "lowest_source": swing.spread.low_source,
            "highest_factor": swing.spread.high,
            "highest_source": swing.spread.high_source,
            "saving_at_lowest": swing.at_low,
            "saving_at_highest": swing.at_high,
        }
        for swing in found
    ]


def _spread(
    name: str, own: str, others: list[tuple[float, str]], members: tuple[str, ...] = ()
) -> Spread:
    """Return how far apart the sources of a family are; among equals the table's own counts."""
    said = [(1.0, f"the table itself: {own}"), *others]
    low, high = (end(said, key=lambda one: one[0]) for end in (min, max))
    sources = tuple(source for _, source in others)
    return Spread(name, low[0], high[0], sources, low[1], high[1], members)


def _comparable(other: EnergyTable, table: EnergyTable) -> EnergyTable | None:
    """Return a table of logic at the node of `table`, and at its voltage, if there is one."""
    if other.name == table.name:
        return None
    if _like(other.node_nm, table):
        return other
    if other.node_nm < table.node_nm or other.voltage_v is None:
        return None
    try:
        return scale_logic(other, table.node_nm, table.voltage_v)
    except AccelsimError:  # a node or a voltage that nothing is scaled from or to
        return None


def _like(node_nm: float | None, table: EnergyTable) -> bool:
    """Whether a figure of that node is compared as it is with those of `table`."""
    low, high = table.node_nm / COMPARABLE_NODES, table.node_nm * COMPARABLE_NODES
    return node_nm is not None and low <= node_nm <= high


def _said(
    actions: list[Action], table: EnergyTable, logic: list[EnergyTable]
) -> tuple[str, list[tuple[float, str]]]:
    """Return who says what actions of one family cost, and (factor, source) of all else on that."""
    operations = [action for action in actions if isinstance(action, Arithmetic)]
    if operations:
        own = table.cost(_figures(operations, table)[-1]).source
        found = _own_alternatives(operations[0], table)
        for other in logic:
            found += _of_other(operations, table, other)
        return own, found
    found = []
    for action in actions:
        match action:
            case Sram():
                for entry in table.sram_around(action.capacity_bytes):
                    found += _ratios(entry.energy_pj_per_64_bits, entry.alternatives)
            case DramAccess():
                dram = table.dram_entry(action.type)
                found += _ratios(dram.energy_pj_per_bit, dram.alternatives)
    return table.cost(actions[0]).source, list(dict.fromkeys(found))


def _of_other(
    actions: list[Arithmetic], table: EnergyTable, other: EnergyTable
) -> list[tuple[float, str]]:
    """Return (factor, source) of what another table says, where both give a figure if they do.

    What its laws say of other formats is the same figure once more, and no other source.
    """
    mine, theirs = _figures(actions, table), _figures(actions, other)
    found = []
    for action in [one for one in mine if one in theirs] or actions:
        try:
            own, cost = table.cost(action).energy_pj, other.cost(action)
        except AccelsimError:
            continue
        # A scaled table has its wires, which nothing scales, from where it comes from.
        if own and _like(cost.node_nm, table):
            found.append((cost.energy_pj / own, f"{other.name}: {cost.source}"))
    return found


def _figures(actions: list[Arithmetic], table: EnergyTable) -> list[Arithmetic]:
    """Return the same operation in the formats that a table gives a figure of, or else `actions`.

    What costs as much for every bit needs one format: any says the same.
    """
    first = actions[0]
    if first.operation in PER_BIT:
        return actions[:1]
    given = table.published(first.operation, parse_format(first.format))
    return [Arithmetic(first.operation, fmt.name) for fmt, _ in given] or actions


def _own_alternatives(action: Arithmetic, table: EnergyTable) -> list[tuple[float, str]]:
    """Return what a table itself lists for the clock tree and for wires."""
    if action.operation == "hop" and table.wire is not None:
        return _ratios(table.wire.energy_pj_per_bit_mm, table.wire.alternatives)
    if action.operation == "clock" and table.clock_tree is not None:
        return _ratios(table.clock_tree.energy_pj_per_bit, table.clock_tree.alternatives)
    return []


def _ratios(own: float, alternatives: list[Alternative]) -> list[tuple[float, str]]:
    return [(other.value / own, other.source) for other in alternatives if own]


def _share(ours: float, theirs: float) -> float:
    """Return the share of `ours` in both together, between 0 and 1."""
    return ours / (ours + theirs) if ours + theirs else 0.5


def _sum(found: Terms, spread: Spread) -> float:
    """Return the energy that goes by one factor."""
    return math.fsum(found.get(constant, 0.0) for constant in spread.moves)
