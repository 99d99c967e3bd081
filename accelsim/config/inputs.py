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
    files: list[Path] = []
    if energy_table is not None and (own := table_file(str(energy_table))) is not None:
        files.append(own)
    for given, folder in ((hardware, "hwconfigs"), (workload, "workloads")):
        try:
            path = find(given, folder)
        except InputError:
            continue
        files += [path, *_tables(path)]
        base = _value(path, EXTENDS)
        while base is not None and (path := base_of(path, base)) not in files:
            files += [path, *_tables(path)]
            base = _value(path, EXTENDS)
        weights = _value(path, "weights")
        if weights is not None:
            files.append(path.parent / weights)
    return files


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
