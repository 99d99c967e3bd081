"""Area and leakage of a machine, for the accumulators that a policy needs.

Counted are multipliers, adders, registers, comparators and memories: no control, no wires, no
clock tree, no interface to DRAM. A machine that recomputes owns both accumulators, in its PEs or on
its lanes; what a policy never uses is not built.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from accelsim.energy.estimate import Estimator, area_of
from accelsim.energy.parts import (
    Item,
    Measure,
    area,
    leakage,
    mac,
    operation,
    register,
    times,
    whole,
)
from accelsim.machine import Adder, Arithmetic, Hardware, Lanes, Sram, needs_shift
from accelsim.machine.redo import ENTRY_BYTES
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.formats import Format
from accelsim.trace import Detector, LayerTrace

T = TypeVar("T")
FP32 = FloatFormat.parse("fp32")
PJ_PER_MW_S = 1e9
FUNCTION_TABLE = "table of a function"
LeakingPart = Literal["logic", "sram"]
OPERATIONS: dict[str, Literal["compare", "multiply", "add"]] = {
    "compares": "compare",
    "multiplies": "multiply",
    "adds": "add",
}


@dataclass(frozen=True)
class Needs:
    """What the layers of a policy need of a machine: formats and adders, each once, and detectors.

    A list of what is to be redone at the end of a layer holds `list_bytes`. In `of_sums`, sums of
    fixed point are added up and nothing else: they need no shifter.
    """

    operands: tuple[Format, ...]
    first: tuple[Adder, ...]
    again: tuple[Adder, ...] = ()
    detectors: tuple[Detector, ...] = ()
    list_bytes: int = 0
    of_sums: tuple[Format, ...] = ()

    @classmethod
    def of(cls, layers: Iterable[LayerTrace], list_bytes: int = 0) -> Needs:
        """Return what these layers need together, and the longest list."""
        kept = tuple(layers)
        again = [layer.recompute_accumulator for layer in kept]
        detectors = (layer.detector for layer in kept if layer.detector is not None)
        return cls(
            operands=_once(layer.operand_format for layer in kept),
            first=_once(adder for layer in kept for adder in _adders(layer.accumulator)),
            again=_once(adder for acc in again if acc is not None for adder in _adders(acc)),
            detectors=tuple(dict.fromkeys(detectors)),
            list_bytes=list_bytes,
            of_sums=_of_sums(
                acc
                for layer in kept
                for acc in (layer.accumulator, layer.recompute_accumulator)
                if acc is not None
            ),
        )

    @property
    def numerators(self) -> tuple[Format, ...]:
        """The formats in which absolute values are added beside every MAC."""
        return _once(detector.numerator_format for detector in self.detectors)

    def most(self, operations: str, place: str) -> int:
        """Return how many of these operations any detector does for a word, row or output."""
        key = f"{operations}_per_{place}"
        return max((getattr(detector, key) for detector in self.detectors), default=0)


def needs(
    operands: Format,
    low: Accumulator,
    high: Accumulator | None = None,
    detector: Detector | None = None,
) -> Needs:
    """Return what one layer with these accumulators needs."""
    return Needs(
        (operands,),
        _once(_adders(low)),
        _once(_adders(high)) if high else (),
        (detector,) if detector else (),
        of_sums=_of_sums([low, high] if high else [low]),
    )


def area_um2(hardware: Hardware, needed: Needs, estimator: Estimator) -> Item:
    """Return the area of a machine by component, which add up.

    Raises AccelsimError for what the estimator does not know.
    """
    return _machine(hardware, needed, estimator, "area_um2")


def leakage_mw(hardware: Hardware, needed: Needs, estimator: Estimator) -> Item:
    """Return the power that a machine takes for as long as it is on, by component."""
    return _machine(hardware, needed, estimator, "leakage_mw")


def leakage_by_part_mw(
    hardware: Hardware, needed: Needs, estimator: Estimator
) -> dict[LeakingPart, float]:
    """Return how much of that power memories take, and how much logic."""
    sram = math.fsum(
        number * area_of(estimator, Sram("read", capacity_bytes)).leakage_mw
        for number, capacity_bytes in _memories(hardware, needed).values()
    )
    return {"logic": leakage_mw(hardware, needed, estimator).value - sram, "sram": sram}


def leakage_pj(power_mw: float, seconds: float) -> float:
    """Return what leaks in a time."""
    return power_mw * seconds * PJ_PER_MW_S


def _machine(
    hardware: Hardware,
    needed: Needs,
    estimator: Estimator,
    quantity: Literal["area_um2", "leakage_mw"],
) -> Item:
    measure = area(estimator) if quantity == "area_um2" else leakage(estimator)
    memories = {
        name: replace(measure(Sram("read", capacity_bytes)), name=name)
        for name, (_, capacity_bytes) in _memories(hardware, needed).items()
    }
    lane = _vector_lane(measure)
    if FUNCTION_TABLE in memories:
        lane = whole(lane.name, [*lane.parts, memories.pop(FUNCTION_TABLE)])
    parts = [_array(hardware, needed, measure)]
    if needed.again and isinstance(hardware.recompute, Lanes):
        parts.append(_pes("recompute", hardware.recompute.lanes, needed, needed.again, measure))
    parts += [
        _detector(hardware, needed, measure),
        whole("vector", times(hardware.vector_operations_per_cycle, lane).parts),
        *memories.values(),
    ]
    return whole(hardware.name, parts)


def _memories(hardware: Hardware, needed: Needs) -> dict[str, tuple[int, int]]:
    """Return what is kept in memories: how many there are of each, and the bytes of one."""
    pads, unit, vector = hardware.scratchpads, hardware.recompute, hardware.vector
    found = {}
    if vector.tables:
        found[FUNCTION_TABLE] = hardware.vector_operations_per_cycle, vector.table_bytes
    if needed.again and isinstance(unit, Lanes):
        found["queue"] = 1, unit.queue_capacity * ENTRY_BYTES
    if needed.list_bytes:
        found["list"] = 1, needed.list_bytes
    for key in "abc":
        found[f"scratchpad_{key}"] = 1, getattr(pads, key).capacity_bytes
    return found


def _array(hardware: Hardware, needed: Needs, measure: Measure) -> Item:
    adders = needed.first
    if not isinstance(hardware.recompute, Lanes):
        adders += needed.again
    return _pes("array", hardware.array.macs_per_cycle, needed, adders, measure)


def _pes(
    name: str, number: int, needed: Needs, adders: tuple[Adder, ...], measure: Measure
) -> Item:
    """Return so many PEs, and what every group of them has that adds its terms together."""
    parts = list(times(number, _pe(measure, needed, adders)).parts)
    for adder in dict.fromkeys(adders):
        once: Counter[Arithmetic] = Counter()
        for operands in needed.operands:
            once |= Counter(adder.each_group(operands))
        for action, each in once.items():
            unit = operation(measure, action)
            number_built = -(-number // adder.group) * each
            parts.append(times(number_built, unit, f"{action}, for each group of {adder.group}"))
    return whole(name, parts)


def _pe(measure: Measure, needed: Needs, adders: tuple[Adder, ...]) -> Item:
    """Return a PE: what multiplies and accumulates, and registers for the operands passing by."""
    parts: list[Item] = []
    for operands in needed.operands:
        held = times(2, register(measure, operands), f"operand register {operands}")
        there = {part.name for part in parts}
        own = (*mac(measure, operands, adders, needed.of_sums).parts, held)
        parts += [part for part in own if part.name not in there]
    return whole("PE", parts)


def _detector(hardware: Hardware, needed: Needs, measure: Measure) -> Item:
    """Return what finds the outputs to redo.

    Outputs leave by columns: each has what an output takes at once. The words of the left operand
    come in by rows: each has what a word takes, and a register for what it adds up. What is left
    to do once for a row of the operand is done by one unit of each kind for an array. Every PE has
    an adder of absolute values with its register.
    """
    array = hardware.array
    numbers = {"output": array.cols, "word": array.rows, "row": 1}
    parts = [
        item
        for place, number in numbers.items()
        for item in _units_of(place, number * array.count, needed, measure)
    ]
    for fmt in needed.numerators:
        adder = operation(measure, Arithmetic("add", fmt.name))
        macs = array.macs_per_cycle
        parts.append(times(macs, adder, f"absolute-value adder {fmt}"))
        held = f"register of an absolute-value adder {fmt}"
        parts.append(times(macs, register(measure, fmt), held))
    return whole("detector", parts)


def _units_of(place: str, number: int, needed: Needs, measure: Measure) -> Iterator[Item]:
    """Yield the units of a detector for a word, a row or an output."""
    for operations, name in OPERATIONS.items():
        each = needed.most(operations, place)
        if place == "row":
            each = min(each, 1)  # one after the other: a row has many cycles
        if not each:
            continue
        # A word is multiplied as the operand that it is; all else is in fp32.
        narrow = place == "word" and name == "multiply"
        for fmt in needed.operands if narrow else (FP32,):
            unit = operation(measure, Arithmetic(name, fmt.name))
            yield times(number * each, unit, f"{name} {fmt}, for each {place}")
        if place == "word" and name == "add":
            yield times(number * each, register(measure, FP32), f"register {FP32}, for each word")


def _vector_lane(measure: Measure) -> Item:
    names: tuple[Literal["add", "multiply", "compare"], ...] = ("add", "multiply", "compare")
    parts = [operation(measure, Arithmetic(name, FP32.name)) for name in names]
    return whole("vector lane", parts)


def _adders(accumulator: Accumulator) -> tuple[Adder, ...]:
    products = Adder.of(accumulator)
    return (products,) if accumulator.outer is None else (products, Adder.of_sums(accumulator))


def _of_sums(accumulators: Iterable[Accumulator]) -> tuple[Format, ...]:
    """Return the outer formats that no product ever goes to, nor any sum of floating point: those
    of chunks of fixed point. What is too large for a narrow sum that spills goes to the wide one.
    """
    kept = tuple(accumulators)
    chunked = {
        acc.outer for acc in kept
        if acc.chunk is not None and not needs_shift(acc.format, acc.outer_format)
    }  # fmt: skip
    entered = {acc.format for acc in kept}
    entered |= {acc.outer_format for acc in kept if acc.outer not in chunked}
    return _once(acc.outer for acc in kept if acc.outer in chunked - entered)


def _once(found: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one for one in found if one is not None))
