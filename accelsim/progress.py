"""How long work says how far it is: by passing its items through a function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Passes items on, and may show how far it is; the text says what is being done."""

    def __call__(self, items: Sequence[Item], description: str) -> Iterable[Item]:
        """Return the items, in order."""


def silent(items: Sequence[Item], description: str) -> Iterable[Item]:
    """Show nothing."""
    return items
