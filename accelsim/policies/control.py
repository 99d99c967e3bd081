"""A control: what chance would do with as many outputs as another policy redoes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.numerics import Accumulator
from accelsim.policies.base import Policy
from accelsim.policies.random import Random
from accelsim.policies.recomputing import RecomputingPolicy


class Control(Policy):
    """As many outputs of every layer as `of` redoes, drawn by lot.

    How many that is is known once `of` has been run: `drawn` then gives what this one comes to be.
    """

    name: ClassVar[str] = "control"
    summary: ClassVar[str] = "as many outputs of each layer as another policy redoes, by lot"

    of: RecomputingPolicy
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def first(self) -> Accumulator:
        """The low accumulator of the other policy."""
        return self.of.first

    @property
    def second(self) -> Accumulator | None:
        """The high accumulator of the other policy."""
        return self.of.second

    def drawn(self, layer_rates: tuple[float, ...]) -> Random:
        """Return the random policy that redoes these shares of the layers."""
        of = self.of
        return Random(
            layer_rates=layer_rates, seed=self.seed, low=of.low, high=of.high, chunk=of.chunk,
            redo=of.redo, overflow=of.overflow, last=of.last,
        )  # fmt: skip

    def __str__(self) -> str:
        return f"control of {self.of}, seed {self.seed}"
