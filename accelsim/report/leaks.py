"""From what leaks in a run to who says so: area times density times time, for logic and SRAM."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from accelsim.energy import Area, EnergyTable, LeakingPart, leakage_pj, part_of
from accelsim.energy.sensitivity import LEAKAGE
from accelsim.energy.table import UM2_PER_MM2
from accelsim.errors import AccelsimError
from accelsim.report.runs import leakage_by_part_pj

PARTS: dict[LeakingPart, str] = {"logic": "all but SRAM", "sram": "every SRAM"}
"""Which parts of a machine make up an area."""
NOT_AT_HAND = "the energy table is not at hand here"


def areas_of(table: EnergyTable, built: Iterable[dict[str, Any]]) -> list[tuple[str, Area]]:
    """Return what one of each part that is built occupies, of those whose area a table gives."""
    found = []
    for name in sorted({part["part"] for part in built}):
        with suppress(AccelsimError):  # a table may be without areas, and runs then have none
            found.append((name, table.area(part_of(name))))
    return found


def leaks(
    detail: dict[str, Any], table: EnergyTable | None, parts: str, areas: str
) -> list[dict[str, Any]]:
    """Return a record for what logic leaks in a run that is kept, and one for what memories do.

    Areas and densities are those of `table`, which the run was charged by; None if it is not at
    hand, and then only power, time and energy are known. `parts` and `areas` are the files that
    say what the areas are made of.
    """
    records = []
    for part, leaked in leakage_by_part_pj(detail).items():
        power_mw = leaked / leakage_pj(1.0, detail["latency_s"])
        entry = None if table is None else table.leakage_of(part)
        density = None if entry is None else entry.power_mw_per_mm2
        where = (None, None) if entry is None or table is None else table.where(entry)
        records.append(
            {
                "energy_table": detail["energy_table"],
                "what": LEAKAGE[part],
                "area_um2": power_mw / density * UM2_PER_MM2 if density else None,
                "power_mw_per_mm2": density,
                "power_mw": power_mw,
                "latency_s": detail["latency_s"],
                "leakage_pj": leaked,
                "density_kind": None if entry is None else entry.kind,
                "density_node_nm": where[0],
                "density_voltage_v": where[1],
                "density_source": NOT_AT_HAND if entry is None else entry.source,
                "area_source": NOT_AT_HAND
                if entry is None
                else f"{PARTS[part]} of {parts}, each times its area in {areas}",
            }
        )
    return records
