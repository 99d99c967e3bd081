"""Which files a run reads, so that none of them is overwritten by what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelsim.config.document import read_document
from accelsim.config.extends import EXTENDS, base_of
from accelsim.config.shipped import find
from accelsim.config.tables import KEY, table_file
from accelsim.errors import InputError


def input_files(
    hardware: str | Path, workload: str | Path, energy_table: str | Path | None = None
) -> list[Path]:
    """Return the files that are read for a machine, a workload and a table, as far as they can be.

    Of tables that are scaled from others only the first is named.
    """
    files = [*hardware_files(hardware), *table_files(energy_table)]
    try:
        path = find(workload, "workloads")
    except InputError:
        return files
    weights = _value(path, "weights")
    return [*files, path] if weights is None else [*files, path, path.parent / weights]


def hardware_files(hardware: str | Path) -> list[Path]:
    """Return the files that are read for a machine, with those that it extends, and tables."""
    try:
        path = find(hardware, "hwconfigs")
    except InputError:
        return []
    files = [path, *_tables(path)]
    base = _value(path, EXTENDS)
    while base is not None and (path := base_of(path, base)) not in files:
        files += [path, *_tables(path)]
        base = _value(path, EXTENDS)
    return files


def table_files(energy_table: str | Path | None) -> list[Path]:
    """Return the file that a table is read from, if one is named by its path."""
    own = None if energy_table is None else table_file(str(energy_table))
    return [] if own is None else [own]


def _tables(path: Path) -> list[Path]:
    """Return the energy table that a hardware file names by its path, if it does."""
    name = _value(path, KEY)
    return [path.parent / name] if name is not None and table_file(name) is not None else []


def _value(path: Path, key: str) -> str | None:
    """Return the text under a key of a YAML file, if there is any."""
    if path.suffix.lower() == ".csv":
        return None
    try:
        content: Any = read_document(path).value
    except InputError:
        return None
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None
