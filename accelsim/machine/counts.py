"""What a machine did, as exact integers: how often each component performed each action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from accelsim.numerics import FixedFormat, FloatFormat

Operation = Literal["multiply", "add", "shift", "compare", "register", "operand", "hop", "clock"]
Cause = Literal[
    "useful_low_work",
    "discarded_low_work",
    "recomputation",
    "detection",
    "memory_first_pass",
    "memory_recomputation",
]
"""What an action is done for.

`discarded_low_work` is the first pass over outputs that are then redone; `useful_low_work` the rest
of it, whatever its format, and all vector work. The two kinds of memory are scratchpads and DRAM.
"""


@dataclass(frozen=True, order=True)
class Arithmetic:
    """One operation of a multiplier, adder or comparator for a format; or what moves its words.

    `shift` puts a floating-point value where it belongs in a fixed-point format: additions of
    floating point contain their own.
    `register` is keeping a sum: writing and reading the register of an accumulator once. `operand`
    is the same for the register that an operand passes through, `hop` a word on the wire from one
    PE to the next, and `clock` what the clock tree takes to reach a register that is written.
    """

    operation: Operation
    format: str
    unit: str = "operation"

    def __str__(self) -> str:
        return f"{self.operation} {self.format}"


@dataclass(frozen=True, order=True)
class Sram:
    """One byte read from or written to a scratchpad of a capacity."""

    operation: Literal["read", "write"]
    capacity_bytes: int
    unit: str = "byte"

    def __str__(self) -> str:
        return f"{self.operation} {self.capacity_bytes} B SRAM"


@dataclass(frozen=True, order=True)
class DramAccess:
    """One byte read from or written to main memory of a type."""

    operation: Literal["read", "write"]
    type: str
    unit: str = "byte"

    def __str__(self) -> str:
        return f"{self.operation} {self.type}"


Action = Arithmetic | Sram | DramAccess


def parse_action(text: str) -> Action:
    """Return the action that prints itself so. Raises ValueError if there is none."""
    operation, _, what = text.partition(" ")
    if operation in {"read", "write"} and what:
        way = cast(Literal["read", "write"], operation)
        size = what.removesuffix(" B SRAM")
        return DramAccess(way, what) if size == what else Sram(way, int(size))
    if operation not in get_args(Operation) or not what:
        raise ValueError(f"{text!r} is not an action")
    return Arithmetic(cast(Operation, operation), what)


class Counts:
    """A table (component, action) -> number; adding tables adds the numbers."""

    def __init__(self, entries: Iterable[tuple[str, Action, int]] = ()) -> None:
        self._table: Counter[tuple[str, Action]] = Counter()
        for component, action, number in entries:
            if number:
                self._table[component, action] += number

    def __iter__(self) -> Iterator[tuple[str, Action, int]]:
        """Yield (component, action, number), in a fixed order."""
        for (component, action), number in sorted(
            self._table.items(), key=lambda item: (item[0][0], str(item[0][1]))
        ):
            yield component, action, number

    def __bool__(self) -> bool:
        return bool(self._table)

    def __add__(self, other: Counts) -> Counts:
        total = Counts()
        for part in (self, other):
            total._table.update(part._table)  # which adds: it is a Counter's
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self._table == other._table

    __hash__ = None  # type: ignore[assignment]  # a table of counts is compared, not hashed

    def number(self, component: str, action: Action) -> int:
        """Return how often `component` did `action`."""
        return self._table[component, action]

    def bytes_moved(self, component: str) -> int:
        """Return the bytes read and written at a memory."""
        return sum(number for (name, _), number in self._table.items() if name == component)


class ByCause(Mapping[Cause, Counts]):
    """Counts by what they are done for; an action is in one of them only."""

    def __init__(self, parts: Iterable[tuple[Cause, Counts]] = ()) -> None:
        self._parts: dict[Cause, Counts] = {}
        for cause, counts in parts:
            if counts:
                self._parts[cause] = self._parts.get(cause, Counts()) + counts

    def __getitem__(self, cause: Cause) -> Counts:
        return self._parts[cause]

    def __iter__(self) -> Iterator[Cause]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __add__(self, other: ByCause) -> ByCause:
        return ByCause((*self.items(), *other.items()))

    def __mul__(self, times: int) -> ByCause:
        """Return what is done so many times over."""
        return ByCause(
            (cause, Counts((name, action, times * number) for name, action, number in counts))
            for cause, counts in self.items()
        )

    @property
    def total(self) -> Counts:
        """All of them together."""
        return Counts(entry for counts in self.values() for entry in counts)


def arithmetic(operation: Operation, fmt: FloatFormat | FixedFormat) -> Arithmetic:
    """Return the action of one operation in `fmt`."""
    return Arithmetic(operation, fmt.name)
