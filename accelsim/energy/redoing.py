"""What finding an output to redo takes, and keeping it until it is redone, as trees that add up."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.energy.estimate import Estimator, cost_of
from accelsim.energy.machine_area import FP32, OPERATIONS, Needs
from accelsim.energy.parts import Item, Measure, energy, operation, times, whole
from accelsim.machine import Arithmetic, Hardware, Lanes, Rerun, Sram
from accelsim.machine.redo import ENTRY_BYTES
from accelsim.machine.tally_redo import waiting_bytes
from accelsim.numerics.formats import Format
from accelsim.trace import Detector

Trees = list[tuple[str, str, list[Item]]]
"""Headings, units, and trees under them."""


def redoing(hardware: Hardware, needed: Needs, estimator: Estimator) -> Trees:
    """Return the energy of what a machine that redoes outputs does beside redoing them; nothing
    for one that never does.
    """
    pj, found = energy(estimator), Trees()
    for detector in needed.detectors:
        trees = [item for fmt in needed.operands for item in _detecting(pj, detector, fmt)]
        found.append((f"energy of detection: {detector.name}", "pJ", trees))
    place = _waits_in(hardware) if needed.again else None
    if place is not None:
        # A list is as long as a layer makes it: where none is known, one output waits in it.
        size = waiting_bytes(hardware, needed.list_bytes or ENTRY_BYTES)
        entry = _entry(estimator, place, size)
        found.append(("energy of an output that waits to be redone", "pJ", [entry]))
    return found


def _waits_in(hardware: Hardware) -> str | None:
    """Return where outputs, or lines of them, wait to be redone, if they do."""
    unit = hardware.recompute
    if isinstance(unit, Lanes) and unit.schedule == "inline":
        return "queue"
    return "list" if hardware.defers or (isinstance(unit, Rerun) and unit.packs) else None


def _entry(estimator: Estimator, place: str, size_bytes: int) -> Item:
    """Return what it takes to put an output's index into a queue or a list, and out of it."""
    parts = []
    for sram in (Sram("write", size_bytes), Sram("read", size_bytes)):
        byte = cost_of(estimator, sram)
        parts.append(
            times(ENTRY_BYTES, Item(f"byte: {sram}", byte.energy_pj, byte.said, byte.kind))
        )
    return whole(f"an output in the {place}", parts)


def _detecting(pj: Measure, detector: Detector, operands: Format) -> Iterator[Item]:
    """Yield what a detector does beside each MAC, and for each word, row and output."""
    if detector.numerator_format is not None:
        parts = _added(pj, detector.numerator_format)
        yield whole("absolute-value adder, for each MAC", parts)
    for place in ("word", "row", "output"):
        parts = []
        for key, name in OPERATIONS.items():
            number = getattr(detector, f"{key}_per_{place}")
            if not number:
                continue
            # As in what is counted: a word is multiplied as what it is, and added to a register.
            if place == "word" and name == "add":
                parts += [times(number, part) for part in _added(pj, FP32)]
            else:
                fmt = operands if place == "word" and name == "multiply" else FP32
                parts.append(times(number, operation(pj, Arithmetic(name, fmt.name))))
        if parts:
            yield whole(f"detector, for each {place}", parts)


def _added(pj: Measure, fmt: Format) -> list[Item]:
    """Return an addition to a sum that is kept in a register, with the clock of that."""
    kept = [operation(pj, Arithmetic("add", fmt.name))]
    kept.append(operation(pj, Arithmetic("register", fmt.name)))
    kept.append(operation(pj, Arithmetic("clock", fmt.name)))
    return kept
