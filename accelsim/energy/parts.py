"""What a number is made of: trees whose parts add up to the whole.

A published floating-point addition already contains its alignment and its normalisation. It is
split, not added to: the integer adders inside are those of the same estimator, and what is left is
shared by the two shifters, which are as wide as each other (Aladdin's 32-bit shifter at 40 nm takes
0.417 pJ, and two of them 0.83; of Horowitz's fp32 add at 45 nm 0.78 pJ are left). The split is
estimated whatever the total is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from accelsim.energy.estimate import Estimator, Kind, Part, area_of, cost_of
from accelsim.energy.sources import CostError
from accelsim.energy.table import EnergyTable
from accelsim.errors import AccelsimError
from accelsim.machine import Adder, Arithmetic, Sram
from accelsim.numerics import FixedFormat, FloatFormat
from accelsim.numerics.formats import Format, parse_format

GUARD_BITS = 3
MAX_INTEGER_BITS = 32


@dataclass(frozen=True)
class Item:
    """A value and what it is made of: the parts add up to it, unless there are none.

    It is that of `number` of what the name and the source speak of.
    """

    name: str
    value: float
    source: str = ""
    kind: Kind | None = None
    parts: tuple[Item, ...] = ()
    number: int = 1

    @property
    def title(self) -> str:
        """How many of what, and what one of them has."""
        if self.number == 1:
            return self.name
        return f"{self.number} × {self.name}, {self.value / self.number:.6g} each"


Measure = Callable[[Arithmetic], Item]
"""What an operation, or the unit for it, has of something: energy, area or leakage."""
PartMeasure = Callable[[Part], Item]
"""The same of anything that is built: area or leakage."""


def whole(name: str, parts: Iterable[Item], source: str = "", kind: Kind | None = None) -> Item:
    """Return the sum of parts, those that are zero left out."""
    kept = tuple(part for part in parts if part.value)
    return Item(name, math.fsum(part.value for part in kept), source, kind, kept)


def times(number: int, item: Item, name: str | None = None) -> Item:
    """Return `number` of an item, and of all its parts."""
    parts = tuple(times(number, part) for part in item.parts if number)
    value = math.fsum(part.value for part in parts) if parts else number * item.value
    return replace(
        item, name=name or item.name, value=value, parts=parts, number=number * item.number
    )


def energy(estimator: Estimator) -> Measure:
    """Return the measure of pJ an operation."""

    def measure(action: Arithmetic) -> Item:
        cost = cost_of(estimator, action)
        return Item(str(action), cost.energy_pj, cost.said, cost.kind)

    return measure


def area(estimator: Estimator) -> PartMeasure:
    """Return the measure of um2 a unit."""

    def measure(part: Part) -> Item:
        found = area_of(estimator, part)
        return Item(str(part), found.area_um2, found.said, found.kind)

    return measure


def leakage(estimator: Estimator) -> PartMeasure:
    """Return the measure of mW a unit, for as long as it is on."""

    def measure(part: Part) -> Item:
        found = area_of(estimator, part)
        return Item(str(part), found.leakage_mw, *found.leakage_said)

    return measure


def operation(measure: Measure, action: Arithmetic) -> Item:
    """Return an operation and what it is made of."""
    item, fmt = measure(action), parse_format(action.format)
    if not isinstance(fmt, FloatFormat) or action.operation not in {"add", "multiply"}:
        return item
    significand = fmt.mantissa_bits + 1
    try:
        exponent = _taken(measure(_integer("add", fmt.exponent_bits)), "exponent logic", item)
        if action.operation == "add":
            inner, shifters = measure(_integer("add", significand + GUARD_BITS)), 2
            inner = _taken(inner, "significand adder", item)
        else:
            inner, shifters = measure(_integer("multiply", significand)), 1
            inner = _taken(inner, "significand multiplier", item)
    except CostError:
        raise
    except AccelsimError:  # an estimator without integers knows only the whole
        return item
    rest = math.fsum((item.value, -exponent.value, -inner.value))
    if rest <= 0.0:
        return item
    share = "half of what is left" if shifters == 2 else "what is left"
    said = f"assumed: {share} of {item.name} ({item.source})"
    left = [Item("normalisation and rounding", rest / shifters, said, "estimated")]
    if shifters == 2:
        left.insert(0, Item("alignment", rest / shifters, said, "estimated"))
    return whole(item.name, [exponent, inner, *left], item.source, item.kind)


def _taken(integer: Item, name: str, whole: Item) -> Item:
    """Return a part of a whole that is taken to be an integer unit, which nobody measured there."""
    said = f"assumed: of {whole.name} ({whole.source}), as much as {integer.name}: {integer.source}"
    return replace(integer, name=name, source=said, kind="estimated")


def mac(
    measure: Measure,
    operands: Format,
    accumulators: Iterable[Format | Adder],
    of_sums: Iterable[Format] = (),
) -> Item:
    """Return a multiply-accumulate: a multiplier, and an adder and a register for every format that
    it accumulates in, with a shifter where products of floating point go into fixed point, but for
    formats that are of sums alone; and of a fused group what a term takes. What is given twice is
    shared.
    """
    without = set(of_sums)
    kept = list(dict.fromkeys(a if isinstance(a, Adder) else Adder.of(a) for a in accumulators))
    parts = [operation(measure, Arithmetic("multiply", operands.name))]
    for adder in kept:
        entering = adder.kept if adder.kept in without else operands
        parts += [operation(measure, action) for action in adder.each_term(entering)]
    return whole(f"MAC {operands} into {' and '.join(str(adder) for adder in kept)}", parts)


def step(measure: Measure, operands: Format, accumulator: Format, dataflow: str) -> Item:
    """Return a MAC in an array, with what passes its PE: operands that stream, sums that move on,
    and the clock of the registers that are written. Putting a stationary operand in place is left
    out: how often that happens depends on the layer.
    """
    streaming = 2 if dataflow == "os" else 1
    passed = {"operand": (operands, streaming), "hop": (operands, streaming)}
    parts = [mac(measure, operands, [accumulator])]
    for name, (fmt, number) in passed.items():
        parts.append(times(number, _move(measure, name, fmt)))
    if dataflow != "os":
        parts.append(_move(measure, "hop", accumulator))
    parts.append(times(streaming, _move(measure, "clock", operands)))
    parts.append(_move(measure, "clock", accumulator))
    return whole(f"MAC {operands} into {accumulator} in an array ({dataflow})", parts)


def _move(measure: Measure, name: str, fmt: Format) -> Item:
    return measure(Arithmetic(name, fmt.name))  # type: ignore[arg-type]


def register(measure: Measure, fmt: Format) -> Item:
    """Return the register of an accumulator."""
    return operation(measure, Arithmetic("register", fmt.name))


def clocked(item: Item, estimator: Estimator) -> Item:
    """Return the energy of a register split into its clock pins and its data, where a table says
    how; as an estimate, since it is its cell that a figure tells from the rest.
    """
    entry = estimator.register_bit if isinstance(estimator, EnergyTable) else None
    if item.parts:
        return replace(item, parts=tuple(clocked(part, estimator) for part in item.parts))
    if entry is None or not entry.clock_share or not item.name.startswith("register "):
        return item
    clock = item.value * entry.clock_share
    shares = (("clock pins", clock), ("data", item.value - clock))
    said = f"assumed: {entry.clock_share:g} of a register is at its clock pin ({item.source})"
    parts = [Item(name, value, said, "estimated", number=item.number) for name, value in shares]
    return replace(whole(item.name, parts, item.source, item.kind), number=item.number)


def polynomial(measure: Measure, fmt: Format, degree: int) -> Item:
    """Return a function by a polynomial in Horner's form: a product and a sum for each degree."""
    step = [operation(measure, Arithmetic(name, fmt.name)) for name in ("multiply", "add")]
    return whole(f"polynomial of degree {degree} in {fmt}", [times(degree, one) for one in step])


def lookup(estimator: Estimator, fmt: Format, entries: int) -> Item:
    """Return the energy of a function by a table in a small memory: one value is read."""
    read = access(estimator, -(-entries * fmt.bits // 8), fmt.bits)
    return replace(read, name=f"table of {entries} values in {fmt}")


def softmax(measure: Measure, fmt: Format, exponential: Item) -> Item:
    """Return the energy of one element of a softmax, given that of an exponential.

    It is compared with the largest, which is subtracted; the exponential is added up, and
    multiplied by the inverse of the sum. One division a row is left out.
    """
    names = ("compare", "add", "add", "multiply")
    parts = [operation(measure, Arithmetic(name, fmt.name)) for name in names]  # type: ignore[arg-type]
    return whole(f"element of a softmax in {fmt}", [*parts, exponential])


def access(estimator: Estimator, capacity_bytes: int, width_bits: int) -> Item:
    """Return the energy of so many bits of a memory, as runs are charged: by the byte, whatever
    shares its word. Tables know words of 64 bits; wider ones are several of them side by side.
    """
    cost = cost_of(estimator, Sram("read", capacity_bytes))
    name = f"{width_bits} bits of a {capacity_bytes} B memory"
    return Item(name, cost.energy_pj * width_bits / 8, cost.said, cost.kind)


def in_units(item: Item, unit: float) -> list[tuple[int, Item, int]]:
    """Return (depth, item, whole number of units) of a tree, parents first.

    The numbers of the parts add up to the parent's: where rounding them would not, those furthest
    from their value go to the other side.
    """
    return _in_units(item, unit, round(item.value / unit), 0)


def _in_units(item: Item, unit: float, number: int, depth: int) -> list[tuple[int, Item, int]]:
    rows = [(depth, item, number)]
    exact = [part.value / unit for part in item.parts]
    numbers = [math.floor(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda i: numbers[i] - exact[i])
    if order:
        short = number - sum(numbers)
        for i in range(abs(short)):
            numbers[order[i % len(order)]] += 1 if short > 0 else -1
    for part, own in zip(item.parts, numbers, strict=True):
        rows += _in_units(part, unit, own, depth + 1)
    return rows


def _integer(name: str, bits: int) -> Arithmetic:
    kept = FixedFormat(min(bits, MAX_INTEGER_BITS)).name
    return Arithmetic("add" if name == "add" else "multiply", kept)
