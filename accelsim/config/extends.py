"""A hardware file that extends another: its keys replace those of the other, section by section.

A machine with another recompute unit is then a few lines, and not a copy.
"""

from __future__ import annotations

from pathlib import Path

from accelsim.config.document import Document, read_document
from accelsim.config.shipped import shipped, shipped_names
from accelsim.config.tables import resolve_table
from accelsim.config.validate import validate
from accelsim.files import same_file
from accelsim.machine import Hardware

EXTENDS = "extends"


def extend(document: Document, above: tuple[Path, ...] = ()) -> None:
    """Give a hardware document the keys of the file that it extends, where it has none itself.

    A problem of a file that is extended is that file's. Raises InputError if it cannot be read,
    or is no machine by itself.
    """
    if not isinstance(document.value, dict) or EXTENDS not in document.value:
        return
    given, name = document.given((EXTENDS,)), document.value.pop(EXTENDS)
    if "name" not in document.value:
        document.report(("name",), "key is missing, expected a name unlike that of what it extends")
    if not isinstance(name, str) or not name:
        document.report((EXTENDS,), f"got {given}, expected a hardware file or a machine's name")
        document.fail()
    path, here = base_of(document.path, name), (document.path, *above)
    if not path.is_file():
        document.report((EXTENDS,), f"no such file: {name}")
        document.fail()
    if any(same_file(path, known) for known in here):
        document.report((EXTENDS,), f"{name} extends this file, so that neither is a machine")
        document.fail()
    base = read_document(path)
    resolve_table(base)
    extend(base, here)
    validate(base, Hardware)
    if base.problems:
        base.fail()
    document.value = {**base.value, **document.value}


def base_of(path: Path, name: str) -> Path:
    """Return the file that `path` means by `name`: beside it, or shipped."""
    beside = path.parent / name
    if not beside.exists() and name in shipped_names("hwconfigs"):
        return shipped("hwconfigs", name)
    return beside
