"""What the entries of an energy table say of each other: figures that contradict one another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from accelsim.config.document import Document, Location
from accelsim.energy import EnergyTable
from accelsim.energy.entries import ArithmeticCost, SramCost, WidthLaw, no_wider
from accelsim.energy.laws import residuals
from accelsim.numerics.formats import parse_format

MOST_OFF = 4.0
"""How far a law may be from a figure of its own table. The worst of the shipped ones are 2.5 % off,
and a figure from elsewhere may stand beside them; public tables differ by 4 times and more, so that
beyond it the law is one of another technology, or of another unit."""
MOST_APART = {"leakage": 5e4}
MOST_APART_OF_ENERGIES = 100.0
"""How far sources may be apart: public energies of the same differ up to 18 times, and what cells
of memory leak 20,000 times. Beyond that, it is a slip of a unit."""
VALUES = {
    "clock_tree": "energy_pj_per_bit",
    "wire": "energy_pj_per_bit_mm",
    "sram": "energy_pj_per_64_bits",
    "dram": "energy_pj_per_bit",
    "leakage": "power_mw_per_mm2",
}


def report_implausible(document: Document, table: EnergyTable) -> None:
    """Report what falls with width or capacity, laws that miss their figures, comparisons that take
    more than an addition, and sources that are too far apart.
    """
    _report_falling(document, table)
    if document.problems:  # a figure that is wrong is far from its law as well
        return
    _report_laws(document, table)
    _report_comparisons(document, table)
    _report_apart(document, table)


def _report_falling(document: Document, table: EnergyTable) -> None:
    """Report what costs or occupies less than the same in something narrower or smaller."""
    for (i, small), (j, large) in itertools.permutations(enumerate(table.arithmetic), 2):
        if small.operation == large.operation and _is_narrower(small.format, large.format):
            for key in ("energy_pj", "area_um2"):
                _report_less(document, "arithmetic", key, (i, small), (j, large))
    for (i, less), (j, more) in itertools.permutations(enumerate(table.sram), 2):
        if less.capacity_bytes < more.capacity_bytes:
            _report_less(document, "sram", "energy_pj_per_64_bits", (i, less), (j, more))


def _report_less(
    document: Document,
    section: str,
    key: str,
    small: tuple[int, ArithmeticCost | SramCost],
    large: tuple[int, ArithmeticCost | SramCost],
) -> None:
    """Report a larger entry's value if it is less than a smaller one's."""
    least, given = getattr(small[1], key), getattr(large[1], key)
    if least is not None and given is not None and given < least:
        document.report(
            (section, large[0], key),
            f"got {given:g} for {large[1].key}, expected at least the {least:g} of"
            f" {small[1].key}, {section}[{small[0]}]",
        )


def _is_narrower(name: str, other: str) -> bool:
    """Whether a format has fewer bits than another of its kind somewhere, and nowhere more."""
    ours, theirs = parse_format(name), parse_format(other)
    return no_wider(ours, theirs) and not no_wider(theirs, ours)


def _report_laws(document: Document, table: EnergyTable) -> None:
    """Report each law that is too far from a figure of its table, with the worst of them."""
    worst: dict[Location, tuple[float, str]] = {}
    for found in residuals(table):
        of_energy = isinstance(found.law, WidthLaw)
        section = "width_laws" if of_energy else "area_laws"
        key = "coefficient_pj" if of_energy else "coefficient_um2"
        laws: list[Any] = getattr(table, section)
        place: Location = (section, next(i for i, law in enumerate(laws) if law is found.law), key)
        off = max(found.fitted / found.published, found.published / found.fitted)
        if off > max(MOST_OFF, worst.get(place, (0.0, ""))[0]):
            said = (
                f"got {found.law.parameters[0]:g}, by which {found.law.operation} {found.format}"
                f" takes {found.fitted:.4g}; expected within {MOST_OFF:g} times of the"
                f" {found.published:g} that the table gives"
            )
            worst[place] = off, said
    for place, (_, said) in worst.items():
        document.report(place, said)


def _report_comparisons(document: Document, table: EnergyTable) -> None:
    """Report comparisons that take more than the subtraction inside an addition can."""
    adds = {one.format: one for one in table.arithmetic if one.operation == "add"}
    for index, entry in enumerate(table.arithmetic):
        add = adds.get(entry.format)
        if entry.operation != "compare" or add is None:
            continue
        for key in ("energy_pj", "area_um2"):
            given, most = getattr(entry, key), getattr(add, key)
            if given is not None and most is not None and given > MOST_OFF * most:
                document.report(
                    ("arithmetic", index, key),
                    f"got {given:g} for {entry.key}, expected at most {MOST_OFF:g} times the"
                    f" {most:g} of {add.key}, which contains a subtraction",
                )


def _report_apart(document: Document, table: EnergyTable) -> None:
    """Report other sources' values that are no other view of the same thing."""
    for section, place, entry in _with_alternatives(table):
        value = getattr(entry, VALUES[section])
        most = MOST_APART.get(section, MOST_APART_OF_ENERGIES)
        for index, other in enumerate(entry.alternatives):
            if value and not value / most <= other.value <= value * most:
                document.report(
                    (*place, "alternatives", index, "value"),
                    f"got {other.value:g}, expected within {most:g} times of the {value:g} of"
                    " the entry",
                )


def _with_alternatives(table: EnergyTable) -> Iterator[tuple[str, Location, Any]]:
    """Yield every entry that may have other sources, with its section and its place."""
    for section in VALUES:
        found = getattr(table, section)
        if isinstance(found, list):
            yield from ((section, (section, index), entry) for index, entry in enumerate(found))
        elif found is not None:
            yield section, (section,), found
