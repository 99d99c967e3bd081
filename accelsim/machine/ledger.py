"""Visits with flagged outputs, from their first wave until all is redone."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.machine.board import Board
from accelsim.machine.visits import Visit


@dataclass
class _Redoing:
    """A visit with flagged outputs: parts yet to be redone, and since when nothing else is
    missing for its operands to be released, and for its outputs to be stored.
    """

    parts: int
    computed_at: int | None = None
    drained_at: int | None = None
    released: bool = False
    complete: bool = False


class Ledger:
    """What waits for flagged outputs.

    A visit with flagged outputs releases its operands, and hands on its outputs, when the flagged
    ones are redone.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.redoing: dict[int, _Redoing] = {}
        self.ended_at = 0

    def state(self, first: int, now: int) -> tuple[object, ...]:
        """Return what is under way, seen from visit `first` and cycle `now`."""
        return tuple(
            (
                number - first,
                (redoing.parts, redoing.released, redoing.complete),
                None if redoing.computed_at is None else now - redoing.computed_at,
                None if redoing.drained_at is None else now - redoing.drained_at,
            )
            for number, redoing in self.redoing.items()
        )

    def expect(self, number: int, visit: Visit) -> None:
        """Note that a visit with flagged outputs begins."""
        self.redoing[number] = _Redoing(sum(part.flagged > 0 for part in visit.parts))

    def computed(self, number: int) -> None:
        """Note that the array is done with a visit."""
        self.redoing[number].computed_at = self.board.watch.now
        self._settle(number)

    def drained(self, number: int) -> None:
        """Note that all outputs of a visit are in scratchpad c."""
        self.redoing[number].drained_at = self.board.watch.now
        self._settle(number)

    def redone(self, number: int) -> None:
        """Note that the flagged outputs of a part are all redone."""
        self.ended_at = self.board.watch.now
        self.redoing[number].parts -= 1
        self._settle(number)

    def computed_at(self, number: int) -> int:
        """Return when the array was done with a visit."""
        at = self.redoing[number].computed_at
        assert at is not None
        return at

    def forget(self, number: int) -> int:
        """Forget a visit that is complete; return when its outputs had drained."""
        at = self.redoing.pop(number).drained_at
        assert at is not None
        return at

    def _settle(self, number: int) -> None:
        """Release the operands, and hand on the outputs, of a visit whose last part is redone."""
        redoing = self.redoing[number]
        if redoing.parts:
            return
        if redoing.computed_at is not None and not redoing.released:
            redoing.released = True
            self.board.tell("released", number)
        if redoing.drained_at is not None and not redoing.complete:
            redoing.complete = True
            self.board.tell("complete", number)
