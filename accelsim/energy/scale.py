"""Logic at another node: the one scaling that is published for it, and for nothing else."""

from __future__ import annotations

import math
from typing import Any

from accelsim.energy.table import EnergyTable
from accelsim.errors import AccelsimError

# A. Stillmaker and B. Baas, Scaling equations for the accurate prediction of CMOS device
# performance from 180 nm to 7 nm, Integration 58 (2017), doi 10.1016/j.vlsi.2017.02.002:
# energy = a·V² + b·V + c.
POLYNOMIALS: dict[int, tuple[float, float, float]] = {
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.103, -0.362, 0.2767),
    32: (0.9559, -0.7823, 0.471),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}
MIN_VOLTAGE_V, MAX_VOLTAGE_V = 0.5, 1.3
"""Allowed voltages; those at which a polynomial falls with the voltage are not."""
SOURCE = "Stillmaker & Baas 2017"
WARNING = "overstates the gain 2.5 times or more against measurements at 7 nm"


def logic_energy(node_nm: float, voltage_v: float) -> float:
    """Return the energy of logic at a node and a voltage, in the polynomials' unit.

    Raises AccelsimError for a node without a polynomial, and for a voltage outside 0.5 to 1.3 V or
    where the polynomial falls with it.
    """
    if node_nm not in POLYNOMIALS:
        known = ", ".join(str(node) for node in POLYNOMIALS)
        raise AccelsimError(f"logic is not scaled to or from {node_nm:g} nm; known are {known}")
    a, b, c = POLYNOMIALS[int(node_nm)]
    least = max(MIN_VOLTAGE_V, math.ceil(-b / (2 * a) * 100) / 100)  # of 65 nm, 0.59
    if not least <= voltage_v <= MAX_VOLTAGE_V:
        raise AccelsimError(
            f"logic is not scaled to or from {voltage_v:g} V at {node_nm:g} nm;"
            f" allowed are {least:g} to {MAX_VOLTAGE_V:g}"
        )
    return a * voltage_v**2 + b * voltage_v + c


def scale_logic(
    table: EnergyTable, node_nm: float, voltage_v: float | None = None, name: str | None = None
) -> EnergyTable:
    """Return `table` with the energy of its logic at another node, at its own voltage unless given.

    Memories, wires, areas and leakage stay as they are, at their own nodes: nothing published
    scales them. Raises AccelsimError if the table states no voltage, or a node is not known.
    """
    if table.voltage_v is None:
        raise AccelsimError(f"energy table {table.name} states no voltage_v to scale logic from")
    voltage = table.voltage_v if voltage_v is None else voltage_v
    factor = logic_energy(node_nm, voltage) / logic_energy(table.node_nm, table.voltage_v)
    note = (
        f"; energy times {factor:.4g} from {table.node_nm:g} nm at {table.voltage_v:g} V to"
        f" {node_nm:g} nm at {voltage:g} V ({SOURCE})"
    )

    def scaled(entry: dict[str, Any], *energies: str) -> dict[str, Any]:
        changed = {key: entry[key] * factor for key in energies}
        where = {"node_nm": None, "voltage_v": None}
        rest = {key: value for key, value in (entry | where).items() if value is not None}
        # An estimate does not become better by being scaled.
        kind = "estimated" if entry["kind"] == "estimated" else "scaled"
        # Said once, and of what shrinks: nothing measured is set against the rest.
        warns = node_nm < table.node_nm and WARNING not in entry["source"]
        source = entry["source"] + note + f", which {WARNING}" * warns
        return rest | changed | {"kind": kind, "source": source}

    def with_area(entry: dict[str, Any], energy: str) -> dict[str, Any]:
        known = {"area_um2", "area_um2_per_bit"} & set(entry)
        own = {
            "area_source": entry["source"],
            "area_kind": entry["kind"],
            "area_node_nm": entry.get("node_nm", table.node_nm),
        }
        return (own if known else {}) | scaled(entry, energy)

    content = table.model_dump(exclude_none=True)
    old = {"node_nm": table.node_nm, "voltage_v": table.voltage_v}

    def kept(entry: dict[str, Any]) -> dict[str, Any]:
        return entry if "node_nm" in entry else old | entry

    content |= {
        "name": name or f"{table.name}-to-{node_nm:g}nm",
        "node_nm": node_nm,
        "voltage_v": voltage,
        "arithmetic": [with_area(entry, "energy_pj") for entry in content["arithmetic"]],
        "width_laws": [
            scaled(entry, "coefficient_pj", "exponent_bit_pj") for entry in content["width_laws"]
        ],
    }
    if "register_bit" in content:
        content["register_bit"] = with_area(content["register_bit"], "energy_pj_per_bit")
    if "clock_tree" in content:
        content["clock_tree"] = scaled(content["clock_tree"], "energy_pj_per_bit")
    for section in ("area_laws", "sram", "leakage"):
        content[section] = [kept(entry) for entry in content[section]]
    for section in ("sram_area", "wire"):
        if section in content:
            content[section] = kept(content[section])
    return EnergyTable.model_validate(content)
