"""The energy tables that a study was charged by, as they were then, and what they compare with."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from pydantic import ValidationError

from accelsim.config import energy_table_names, load_energy_table
from accelsim.energy import EnergyTable
from accelsim.study.engine import TABLES, table_digest
from accelsim.study.results import Study


def tables_of(study: Study) -> list[EnergyTable]:
    """Return the tables that a study was charged by, in their order: those kept with its results.

    Older results keep none; of these it is the shipped ones that still are what they were then.
    Estimators of a script are no tables, and are left out.
    """
    digests: dict[str, str] = study.meta.get("energy_tables_sha256", {})
    return [
        table
        for name, known in digests.items()
        if (table := _kept(study, name)) is not None and table_digest(table) == known
    ]


def with_shipped(tables: Iterable[EnergyTable]) -> list[EnergyTable]:
    """Return tables and every shipped one that has none of their names.

    How far the sources of a constant are apart does not depend on what a study happened to sweep.
    """
    found = {table.name: table for table in tables}
    others = (name for name in energy_table_names() if name not in found)
    return [*found.values(), *map(load_energy_table, others)]


def _kept(study: Study, name: str) -> EnergyTable | None:
    content = study.meta.get(TABLES, {}).get(name)
    if content is not None:
        with suppress(ValidationError):  # of a version whose tables were others
            return EnergyTable.model_validate(content)
    return load_energy_table(name) if name in energy_table_names() else None
