"""The main job: a study of the digit networks on three machines under every policy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from accelsim.config import energy_table_names, load_energy_table
from accelsim.energy import EnergyTable
from accelsim.report.study_report import write_report
from accelsim.study import Study, Watch, study, table_digest

FILE = Path(__file__).with_suffix(".yaml")
"""The study: an ordinary one, which `accelsim study` runs as well."""


def run_demo(folder: Path, jobs: int | None = None, watch: Watch | None = None) -> Study:
    """Run what is missing of the demo, and write its report into `folder`. Returns the results."""
    found = study(FILE, jobs=jobs, out=folder, watch=watch)
    write_report(found, folder, tables_of(found), command="accelsim demo")
    return found


def tables_of(found: Study) -> Iterable[EnergyTable]:
    """Return the shipped tables that a study was charged by, if they are what they were then."""
    known = found.meta.get("energy_tables_sha256", {})
    shipped = {name: load_energy_table(name) for name in energy_table_names() if name in known}
    return [table for name, table in shipped.items() if table_digest(table) == known[name]]
