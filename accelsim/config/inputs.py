"""Which files a run reads, so that none of them is overwritten by what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelsim.config.document import read_document
from accelsim.config.extends import EXTENDS, base_of
from accelsim.config.shipped import find
from accelsim.errors import InputError


def input_files(hardware: str | Path, workload: str | Path) -> list[Path]:
    """Return the files that are read for a machine and a workload, as far as they can be."""
    files: list[Path] = []
    for given, folder in ((hardware, "hwconfigs"), (workload, "workloads")):
        try:
            path = find(given, folder)
        except InputError:
            continue
        files.append(path)
        base = _value(path, EXTENDS)
        while base is not None and (path := base_of(path, base)) not in files:
            files.append(path)
            base = _value(path, EXTENDS)
        weights = _value(path, "weights")
        if weights is not None:
            files.append(path.parent / weights)
    return files


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
