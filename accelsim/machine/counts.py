"""What a machine did, as exact integers: how often each component performed each action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from accelsim.numerics import FixedFormat, FloatFormat

Operation = Literal["multiply", "add", "compare", "register"]


@dataclass(frozen=True, order=True)
class Arithmetic:
    """One operation of a multiplier, adder or comparator for a format.

    `register` is keeping a sum: writing and reading the register of an accumulator once.
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
    """Return the action that prints as `text`. Raises ValueError if none does."""
    operation, _, rest = text.partition(" ")
    if operation in get_args(Operation) and rest:
        return Arithmetic(cast(Operation, operation), rest)
    if operation in ("read", "write") and rest:
        access = cast(Literal["read", "write"], operation)
        capacity = rest.removesuffix(" B SRAM")
        return DramAccess(access, rest) if capacity == rest else Sram(access, int(capacity))
    raise ValueError(f"{text!r} is not an action")


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

    def __add__(self, other: Counts) -> Counts:
        return Counts((*self, *other))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self._table == other._table

    __hash__ = None  # type: ignore[assignment]  # a table of counts is compared, not hashed

    def number(self, component: str, action: Action) -> int:
        """Return how often `component` did `action`."""
        return self._table[component, action]

    def bytes_moved(self, component: str) -> int:
        """Return the bytes read and written at a memory."""
        return sum(number for name, action, number in self if name == component)


def arithmetic(operation: Operation, fmt: FloatFormat | FixedFormat) -> Arithmetic:
    """Return the action of one operation in `fmt`."""
    return Arithmetic(operation, fmt.name)
