"""A hardware file that extends another: its keys replace those of the other, section by section.

A machine with another recompute unit is then a few lines, and not a copy.
"""

from __future__ import annotations

from pathlib import Path

from accelsim.config.document import Document, read_document
from accelsim.config.shipped import shipped, shipped_names
from accelsim.config.validate import validate
from accelsim.machine import Hardware

EXTENDS = "extends"


def read_hardware(path: Path) -> Document:
    """Read a hardware file and the files that it extends, the nearest key of each name winning.

    A problem of a file that is extended is that file's. Raises InputError if one cannot be read
    or is no machine by itself.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> Document:
    document = read_document(path)
    if not isinstance(document.value, dict) or EXTENDS not in document.value:
        return document
    given, name = document.given((EXTENDS,)), document.value.pop(EXTENDS)
    if "name" not in document.value:
        document.report(("name",), "key is missing, expected a name unlike that of what it extends")
    if not isinstance(name, str) or not name:
        document.report((EXTENDS,), f"got {given}, expected a hardware file or a machine's name")
        return document
    base_path = base_of(path, name)
    if base_path.resolve() in {known.resolve() for known in (path, *above)}:
        document.report((EXTENDS,), f"{name} extends this file, so that neither is a machine")
        return document
    if not base_path.is_file():
        document.report((EXTENDS,), f"no such file: {name}")
        return document
    base = _read(base_path, (path, *above))
    validate(base, Hardware)
    if base.problems:
        base.fail()
    document.value = {**base.value, **document.value}
    return document


def base_of(path: Path, name: str) -> Path:
    """Return the file that `path` means by `name`: beside it, or shipped."""
    beside = path.parent / name
    if not beside.exists() and name in shipped_names("hwconfigs"):
        return shipped("hwconfigs", name)
    return beside
