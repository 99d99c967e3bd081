"""Sums of numbers times what each takes, and what the numbers and the costs change in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """One part of a difference: whose it is, why, what it was, and what it is."""

    where: str
    why: str
    before: float
    after: float
    change: float


@dataclass(frozen=True)
class Line:
    """So many of something, and what each of them takes."""

    component: str
    what: str
    number: float
    each: float


@dataclass(frozen=True)
class Pair:
    """A quantity in both runs."""

    before: float
    after: float

    @property
    def mean(self) -> float:
        """The mean of both."""
        return (self.before + self.after) / 2

    @property
    def change(self) -> float:
        """How much more it is in the second."""
        return self.after - self.before


def parts_of(before: Sequence[Line], after: Sequence[Line], unit: str) -> Iterator[Part]:
    """Yield for every line how much its number, and how much its cost, makes of the change.

    With n of something at c each, n'c' - nc = (n' - n)·(c + c')/2 + (c' - c)·(n + n')/2.
    """
    for where, old, new in _paired(before, after):
        if old is None or new is None:
            was, now = (line.number * line.each if line else 0.0 for line in (old, new))
            side = "before" if old else "after"
            yield Part(where, f"only {side} ({unit})", was, now, now - was)
            continue
        yield from product(
            where,
            ("number", Pair(old.number, new.number)),
            (f"{unit} each", Pair(old.each, new.each)),
        )


def product(
    where: str, first: tuple[str, Pair], second: tuple[str, Pair], factor: float = 1.0
) -> Iterator[Part]:
    """Yield what each of two factors makes of the change of their product, times `factor`."""
    for (why, pair), (_, other) in ((first, second), (second, first)):
        yield Part(where, why, pair.before, pair.after, pair.change * other.mean * factor)


def scaled(parts: Iterable[Part], factor: float) -> Iterator[Part]:
    """Yield parts of something that a whole has `factor` times."""
    for part in parts:
        yield replace(part, change=part.change * factor)


def _paired(
    before: Sequence[Line], after: Sequence[Line]
) -> Iterator[tuple[str, Line | None, Line | None]]:
    """Yield the lines of both that are of one thing.

    A component that reads a memory of another size, or adds in another format, does the same at
    another cost: lines left over are paired if a component has one of the kind on each side.
    """
    first, second = _by_name(before), _by_name(after)
    for key, line in first.items():
        if key in second:
            yield f"{key[0]}: {key[1]}", line, second[key]
    lonely: dict[tuple[str, str], tuple[list[Line], list[Line]]] = {}
    for side, (mine, others) in enumerate(((first, second), (second, first))):
        for key, line in mine.items():
            if key not in others:
                kind = line.component, line.what.partition(" ")[0]
                lonely.setdefault(kind, ([], []))[side].append(line)
    for (component, _), (old, new) in lonely.items():
        if len(old) == len(new) == 1:
            yield f"{component}: {old[0].what} → {new[0].what}", old[0], new[0]
            continue
        for line in old:
            yield f"{component}: {line.what}", line, None
        for line in new:
            yield f"{component}: {line.what}", None, line


def _by_name(lines: Iterable[Line]) -> dict[tuple[str, str], Line]:
    """Return one line for each thing of a component, those of equal names together."""
    found: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = line.component, line.what
        if (other := found.get(key)) is not None:
            line = replace(line, number=line.number + other.number)
        found[key] = line
    return found
