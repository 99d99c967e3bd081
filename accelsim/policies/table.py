"""Rules that give each layer an accumulator before the run, from what is known of the network."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from accelsim.numerics import Accumulator
from accelsim.policies.base import Facts, Policy


class TablePolicy(Policy):
    """Each layer is accumulated in what `accumulators` says; nothing is recomputed."""

    def accumulators(self, facts: Facts) -> tuple[Accumulator, ...]:
        """Return the accumulator of each layer."""
        raise NotImplementedError

    def settled(self, facts: Facts) -> Policy:
        """Return the table that the rule makes of a network."""
        return Table(accumulators=self.accumulators(facts), overflow=self.overflow, last=self.last)

    def at(self, index: int, number: int) -> Policy:
        """Refuse: there is no table yet."""
        raise TypeError("the rule needs the network first")


class Table(Policy):
    """A table that a rule has made."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: ClassVar[str] = "table"

    accumulators: tuple[Accumulator, ...]

    def at(self, index: int, number: int) -> Policy:
        """Return one line of the table."""
        return Line(accumulator=self.accumulators[index], overflow=self.overflow)


class Line(Policy):
    """One accumulator, whatever it is."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: ClassVar[str] = "line"

    accumulator: Accumulator

    @property
    def first(self) -> Accumulator:
        """The only accumulator."""
        return self.accumulator
