"""Low precision inside blocks, high precision between them, nothing recomputed."""

from __future__ import annotations

from typing import ClassVar

from accelsim.numerics import Accumulator
from accelsim.policies.base import HIGH, LOW, AccumulatorFormat, Chunk, Policy


class Chunked(Policy):
    """Accumulate `chunk` terms in `low`, and the partial sums in `high`.

    Source: Wang et al., Training deep neural networks with 8-bit floating point numbers, NeurIPS
    2018.
    """

    name: ClassVar[str] = "chunked"
    summary: ClassVar[str] = "low inside blocks of terms, high between blocks"
    always_shown: ClassVar[tuple[str, ...]] = ("chunk",)

    chunk: Chunk = 32
    low: AccumulatorFormat = LOW
    high: AccumulatorFormat = HIGH

    @property
    def first(self) -> Accumulator:
        """The chunked accumulator."""
        return Accumulator(self.low, overflow=self.overflow, chunk=self.chunk, outer=self.high)
