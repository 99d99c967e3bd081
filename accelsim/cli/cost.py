"""What a MAC, an access and a machine cost, as trees that add up."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from accelsim.energy import EnergyTable, Item, Needs, area_um2, leakage_mw, needs
from accelsim.energy.laws import residuals
from accelsim.energy.parts import (
    access,
    area,
    clocked,
    energy,
    in_units,
    lookup,
    mac,
    polynomial,
    softmax,
    step,
    times,
    whole,
)
from accelsim.energy.redoing import redoing
from accelsim.machine import Arithmetic, DramAccess, Hardware
from accelsim.networks import BY_TABLE, FUNCTIONS
from accelsim.networks.vector import NORMALIZATION, SOFTMAX, SOFTMAX_BY_TABLE, Operations
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.formats import Format
from accelsim.policies import Selective, parse_policy
from accelsim.policies.base import LayerView
from accelsim.policies.numerators import Numerator

DIGITS = 4
WORD_BITS = 64
POLYNOMIAL_DEGREE = 3
TABLE_ENTRIES = 256
FP32 = FloatFormat.parse("fp32")
NUMERATORS: tuple[str, ...] = get_args(Numerator)


class Section(NamedTuple):
    """Trees of one unit under a heading; `decimals` of it are printed."""

    heading: str
    unit: str
    trees: list[Item]


def of_format(operands: Format, accumulator: Format, table: EnergyTable) -> list[Section]:
    """Return what a MAC of a format costs and occupies, and functions of one value in it."""
    pj = energy(table)
    cubic = polynomial(pj, operands, POLYNOMIAL_DEGREE)
    functions = [cubic, lookup(table, operands, TABLE_ENTRIES)]
    functions.append(softmax(pj, operands, functions[1]))
    return [
        Section("energy of a MAC", "pJ", [clocked(mac(pj, operands, [accumulator]), table)]),
        Section(
            "energy of a MAC in an array",
            "pJ",
            [step(pj, operands, accumulator, dataflow) for dataflow in ("os", "ws")],
        ),
        Section("area of a MAC", "um2", [mac(area(table), operands, [accumulator])]),
        Section("energy of a function of one value", "pJ", functions),
    ]


def of_machine(hardware: Hardware, needed: Needs, table: EnergyTable) -> list[Section]:
    """Return what a machine occupies and leaks, and what its MACs and accesses cost; of one that
    redoes outputs, also what it takes to find and to keep them.
    """
    pj = energy(table)
    macs = [
        clocked(step(pj, needed.operands[0], adder.kept, hardware.array.dataflow), table)
        for adder in (*needed.first, *needed.again)
    ]
    all_busy = times(hardware.array.macs_per_cycle, macs[0])
    all_busy = dataclasses.replace(all_busy, name="a cycle with every PE busy", number=1)
    pads = hardware.scratchpads
    sizes = {pad.capacity_bytes: None for pad in (pads.a, pads.b, pads.c)}
    bit = table.cost(DramAccess("read", hardware.dram.type))
    dram = Item(f"a bit of {hardware.dram.type}", bit.energy_pj / 8, bit.said, bit.kind)
    return [
        Section("area", "um2", [area_um2(hardware, needed, table)]),
        Section("leakage, while it is on", "mW", [leakage_mw(hardware, needed, table)]),
        Section("energy of a MAC", "pJ", [*macs, all_busy]),
        *(Section(*found) for found in redoing(hardware, needed, table)),
        Section("energy of a function of one value", "pJ", _functions(hardware, table)),
        Section("energy of an access", "pJ", [*(access(table, s, WORD_BITS) for s in sizes), dram]),
    ]


def _functions(hardware: Hardware, table: EnergyTable) -> list[Item]:
    """Return what each function takes of a machine's vector unit."""
    vector = hardware.vector
    pj = energy(table)
    found = []
    done_by = BY_TABLE if vector.tables else FUNCTIONS
    read = lookup(table, FP32, vector.table_entries)
    functions: dict[str, Operations] = {str(name): done for name, done in done_by.items()}
    functions["element of a softmax"] = SOFTMAX_BY_TABLE if vector.tables else SOFTMAX
    functions["element of a normalization"] = NORMALIZATION
    for name, done in functions.items():
        operations = (("add", done.add), ("multiply", done.multiply), ("compare", done.compare))
        parts = [
            times(number, pj(Arithmetic(what, FP32.name)))  # type: ignore[arg-type]
            for what, number in operations
        ]
        found.append(whole(name, [*parts, times(done.lookup, read)]))
    return found


def needed(operands: Format, first: Format, again: Format | None, numerator: str) -> Needs:
    """Return what a machine needs to accumulate in `first`, and to redo in `again` what κ finds."""
    low = _accumulator(first)
    if again is None:
        return needs(operands, low)
    # The rule is for floating point; all that its low format decides is that of the last numerator.
    low_format = f",low={first}" if isinstance(first, FloatFormat) or numerator == "low" else ""
    rule = parse_policy(f"{Selective.name}:numerator={numerator}{low_format}")
    assert isinstance(rule, Selective)
    return needs(operands, low, _accumulator(again), rule.detector(LayerView(0, 1, 1, 1)))


def text(title: str, sections: Iterable[Section]) -> str:
    """Return trees to read: parts add up to the whole in the last digit that is printed."""
    lines = [title]
    for section in sections:
        lines += ["", f"{section.heading} ({section.unit})"]
        for tree in section.trees:
            lines += _tree(tree)
    return "\n".join(lines)


def stated(table: EnergyTable) -> str:
    """Return the node and the voltage of what says none of its own."""
    return f"\nunless they are said, node and voltage of {table.conditions}"


def laws(table: EnergyTable) -> str:
    """Return the table's width laws, and how far they are from its figures."""
    lines = ["", f"width laws of {table.name} against its figures"]
    for found in residuals(table):
        law = found.law
        unit = "pJ" if law in table.width_laws else "um2"
        _, what = law.at(FixedFormat(8) if law.numbers == "fixed" else FloatFormat(8, 23))
        lines.append(
            f"{law.operation} {found.format:<6}{found.published:>10.6g} {unit}, by the law"
            f" {found.fitted:.6g} ({found.relative:+.1%})  [{law.kind}] {what.split(', ', 1)[1]}"
        )
    return "\n".join(lines)


def as_dict(item: Item) -> dict[str, Any]:
    """Return a tree as plain values."""
    return {
        "name": item.name,
        "number": item.number,
        "value": item.value,
        "kind": item.kind,
        "source": item.source,
        "parts": [as_dict(part) for part in item.parts],
    }


def _accumulator(fmt: Format) -> Accumulator:
    return Accumulator(fmt, overflow="saturate")


def _tree(tree: Item) -> list[str]:
    # So many decimals that the whole has four digits or more.
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(tree.value))) if tree.value else 0
    rows = in_units(tree, 10.0**-decimals)
    width = max(len(f"{number * 10.0**-decimals:.{decimals}f}") for _, _, number in rows)
    lines = []
    for depth, item, number in rows:
        note = f"  [{item.kind}] {item.source}" if item.source else ""
        value = f"{number * 10.0**-decimals:.{decimals}f}".rjust(width)
        lines.append(f"{value}  {'  ' * depth}{item.title}{note}")
    return lines
