"""Energy tables: those that come with accelsim, a user's own, and logic scaled to another node."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from accelsim.config.document import Document, Location, read_document
from accelsim.config.plausible import report_implausible
from accelsim.config.validate import did_you_mean, validate
from accelsim.energy import EnergyTable, scale_logic
from accelsim.energy.entries import Name, Node, Voltage
from accelsim.errors import AccelsimError, InputError
from accelsim.numerics.formats import parse_format
from accelsim.schema import Strict

KEY = "energy_table"
SCALED = "scaled"
_NAMES_IN_ENTRIES: dict[str, tuple[str, ...]] = {
    "arithmetic": ("operation", "format"),
    "width_laws": ("operation", "numbers"),
    "area_laws": ("operation", "numbers"),
    "sram": ("capacity_bytes",),
    "dram": ("type",),
    "leakage": ("part",),
}
_DEFAULTS = {"numbers": "float"}


class Scaled(Strict):
    """Which table's logic is scaled to which node, and to which voltage (its own if not given)."""

    from_table: Annotated[str, Field(alias="from", min_length=1)]
    to_node_nm: Node
    to_voltage_v: Voltage | None = None


class ScaledTable(Strict):
    """A table whose logic is scaled from another's; memories stay those of the other."""

    name: Name
    scaled: Scaled


def energy_table_names() -> list[str]:
    """Return the names of the shipped energy tables."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_energy_table(table: str | Path) -> EnergyTable:
    """Return the shipped energy table of that name, or the one in a file.

    Raises InputError with a line for every problem.
    """
    name = str(table)
    if name in energy_table_names():
        return _shipped(name)
    if _is_bare(name):
        raise InputError(
            f"energy table {name!r}: unknown{did_you_mean(name, energy_table_names())}"
        )
    return energy_table(read_document(Path(table)))


def energy_table(document: Document, above: tuple[Path, ...] = ()) -> EnergyTable:
    """Return the table that a document holds. Raises InputError with a line for every problem.

    One is the name of a shipped table on what is another: results tell tables by their names.
    """
    table = _table(document, above)
    problem = takes_shipped_name(table)
    if problem is not None:
        document.report(("name",), problem)
        document.fail()
    return table


def takes_shipped_name(table: EnergyTable) -> str | None:
    """Say what is wrong with a table that has the name of a shipped one and is another."""
    if table.name not in energy_table_names() or table == _shipped(table.name):
        return None
    return (
        f"got {table.name!r}, which is the name of the shipped table {_folder() / table.name}.yaml,"
        " and this is another table; expected a name of its own"
    )


def check_table_names(document: Document, named: Iterable[tuple[Location, str]]) -> None:
    """Report tables of a study that have one name and are two, by where the study names them."""
    first: dict[str, tuple[str, EnergyTable]] = {}
    for name, place in {name: place for place, name in named}.items():
        table = load_energy_table(name)
        other, known = first.setdefault(table.name, (name, table))
        if known != table:
            document.report(
                place,
                f"{name}: name: got {table.name!r}, which is the name of another table in {other};"
                " expected a name of its own",
            )


def _table(document: Document, above: tuple[Path, ...] = ()) -> EnergyTable:
    if isinstance(document.value, dict) and SCALED in document.value:
        return _scaled(document, above)
    twice = _report_twice(document)
    table = validate(document, EnergyTable)
    if twice:  # the table says so as well, but not where
        document.problems = [problem for problem in document.problems if problem.location]
    if table is not None:
        report_implausible(document, table)
    if document.problems or table is None:
        document.fail()
    return table


def check_named_table(document: Document) -> None:
    """Report the table that a hardware document names if there is none.

    Raises InputError for what is wrong in a file, whose path `resolve_table` has made whole.
    """
    name = document.value.get(KEY) if isinstance(document.value, dict) else None
    if not isinstance(name, str) or not name or name in energy_table_names():
        return
    if _is_bare(name):
        allowed = did_you_mean(name, energy_table_names())
        document.report((KEY,), f"unknown name {name!r}{allowed}")
        return
    if not Path(name).is_file():
        document.report((KEY,), f"no such file: {name}")
        return
    load_energy_table(name)


def resolve_table(document: Document) -> None:
    """Take a path to a table as relative to the document that names it."""
    name = document.value.get(KEY) if isinstance(document.value, dict) else None
    if isinstance(name, str) and not _is_bare(name):
        document.value[KEY] = str(document.path.parent / name)


def table_file(name: str) -> Path | None:
    """Return the file that a table is read from, if it is a user's."""
    return None if not name or _is_bare(name) else Path(name)


def _is_bare(name: str) -> bool:
    """Whether this is a name, and not a path: the words of shipped tables have no suffix."""
    path = Path(name)
    return not path.suffix and path.name == name


def _folder() -> Path:
    return Path(str(resources.files("accelsim.energy"))) / "tables"


@functools.cache
def _shipped(name: str) -> EnergyTable:
    return _table(read_document(_folder() / f"{name}.yaml"))


def _scaled(document: Document, above: tuple[Path, ...]) -> EnergyTable:
    spec = validate(document, ScaledTable)
    if document.problems or spec is None:
        document.fail()
    name, place = spec.scaled.from_table, (SCALED, "from")
    if name in energy_table_names():
        base = _shipped(name)
    else:
        path = document.path.parent / name
        here = {one.resolve() for one in (document.path, *above)}
        if _is_bare(name):
            document.report(place, f"unknown name {name!r}{_allowed(name)}")
        elif not path.is_file():
            document.report(place, f"no such file: {name}")
        elif path.resolve() in here:
            document.report(place, f"{name} is scaled from this file, so that neither is a table")
        if document.problems:
            document.fail()
        base = energy_table(read_document(path), (document.path, *above))
    try:
        return scale_logic(base, spec.scaled.to_node_nm, spec.scaled.to_voltage_v, spec.name)
    except AccelsimError as error:
        document.report((SCALED,), str(error))
        document.fail()


def _allowed(name: str) -> str:
    return did_you_mean(name, energy_table_names())


def _report_twice(document: Document) -> bool:
    """Report entries for what an earlier one is for; return whether there are any."""
    content: Any = document.value if isinstance(document.value, dict) else {}
    found = False
    for section, keys in _NAMES_IN_ENTRIES.items():
        first: dict[tuple[str, ...], int] = {}
        entries = content.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                continue
            values = [entry.get(key, _DEFAULTS.get(key)) for key in keys]
            if None in values:
                continue
            what = tuple(_usual(str(value)) for value in values)
            if what in first:
                given = " ".join(str(value) for value in values)
                also = "" if given == " ".join(what) else f" ({what[-1]})"
                document.report(
                    (section, index),
                    f"{given}{also} is given twice, first as {section}[{first[what]}]",
                )
                found = True
            first.setdefault(what, index)
    return found


def _usual(word: str) -> str:
    """Return the usual name of a format, whichever it is called by, and other words as they are."""
    try:
        return parse_format(word).name
    except ValueError:
        return word
