"""How a dataflow lays a scratchpad tile onto the array: folds, chains of them, and their time.

What is stationary takes an operand's place in the PEs; the rest streams through.

* `os`: a PE keeps one output, and the tile's terms stream past. A fold is R×C outputs.
* `ws`: a PE keeps one element of B, R terms by C columns; the tile's rows stream through, and
  sums move down the columns of the array. ⌈terms/R⌉ folds make a chain, over C columns of outputs.
* `is`: the mirror image: a PE keeps one element of A, R terms by C rows; the tile's columns stream
  through, and a chain of ⌈terms/R⌉ folds makes C rows of outputs.

The outputs of one chain are a unit. Sums of a fold that is not the last over K go to scratchpad c
and come back for the next, so that every output is one chain of additions in the order of k,
whatever the dataflow and the tiling. Units are dealt to the arrays in turn: the folds that several
arrays do at the same time are a wave.

Time. A PE begins a MAC every `mac` cycles, and its sum can be used `hop` cycles after that, which
is `mac` or the latency of the adder, whichever is longer. Operands move on by one PE a cycle.

* `os`: a PE has one sum, and no other to add to in the meantime: it takes a term every `hop`
  cycles, which makes T·hop + R + C - 2 cycles.
* `ws`, `is`: a sum meets another PE at every hop, so that the adder's latency only makes its way
  through R rows longer. R cycles to put the operand in place, then (T-1)·mac until the last of T
  sums enters, R·hop until it comes out, and C - 1 for the last column.

Where folds overlap, the next one may enter `os` when the first PE has its last term, and `ws` and
`is` when all T have entered and the next operand is in place (a second register in each PE takes
it, a row a cycle); nor may it take sums back before they have come down, R·hop cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accelsim.machine.hardware import Array, Scratchpads

Number = Any
"""An integer, or an array of them: of one tile, or of all that a search tries."""


class Extents(NamedTuple):
    """Rows, terms and columns of a product, or of a tile of one."""

    m: Number
    k: Number
    n: Number


class Widths(NamedTuple):
    """Bits of an operand, of an output, and of what a fold leaves behind for each output."""

    operand: Number
    output: Number
    partial: Number


class WaveTime(NamedTuple):
    """A wave keeps the arrays for `interval` cycles and `stretch` more where scratchpads are too
    slow for it; its outputs are complete `drain` cycles after that. Terms enter in `entering` of
    the cycles.
    """

    entering: Number
    interval: Number
    drain: Number
    stretch: Number


@dataclass(frozen=True)
class Mapping:
    """An array, as far as folds and units go."""

    array: Array

    @property
    def granule(self) -> Extents:
        """Smallest tile that fills an array: tiles are whole multiples of it."""
        rows, cols = self.array.rows, self.array.cols
        return {
            "os": Extents(rows, 1, cols),
            "ws": Extents(1, rows, cols),
            "is": Extents(cols, rows, 1),
        }[self.array.dataflow]

    @property
    def stationary(self) -> str | None:
        """The operand that stays in the PEs, if one does."""
        return {"os": None, "ws": "b", "is": "a"}[self.array.dataflow]

    def unit(self, tile: Extents) -> tuple[Number, Number]:
        """Return rows and columns of the outputs of a chain."""
        rows, cols = self.array.rows, self.array.cols
        return {"os": (rows, cols), "ws": (tile.m, cols), "is": (cols, tile.n)}[self.array.dataflow]

    def units(self, tile: Extents) -> Number:
        """Return the chains of a tile."""
        rows, cols = self.array.rows, self.array.cols
        return {
            "os": -(-tile.m // rows) * -(-tile.n // cols),
            "ws": -(-tile.n // cols),
            "is": -(-tile.m // cols),
        }[self.array.dataflow]

    def chain(self, k: Number) -> Number:
        """Return the folds over `k` terms that are in the scratchpads together."""
        return 1 if self.array.dataflow == "os" else -(-k // self.array.rows)

    def fold_terms(self, tile: Extents) -> Number:
        """Return the terms that a fold adds to each of its sums."""
        return tile.k if self.array.dataflow == "os" else self.array.rows

    def waves(self, tile: Extents) -> Number:
        """Return how often the arrays are filled for a tile."""
        return -(-self.units(tile) // self.array.count) * self.chain(tile.k)

    def streamed(self, tile: Extents) -> Number:
        """Return the steps in which operands stream through the array in one fold."""
        return {"os": tile.k, "ws": tile.m, "is": tile.n}[self.array.dataflow]

    def wave_time(
        self,
        tile: Extents,
        mac: int,
        widths: Widths,
        pads: Scratchpads,
        returns: Number,
        together: Number | None = None,
    ) -> WaveTime:
        """Return the time of a wave of a tile, at a MAC every `mac` cycles.

        Every wave is given the time of a full one, of as many units as there are arrays or as are
        done `together`; and where sums return to the array, every fold that of one which takes
        them back and leaves them again.
        """
        array, terms = self.array, self.streamed(tile)
        hop = max(mac, array.adder_latency_cycles)
        if array.dataflow == "os":
            alone, entering, stationary = terms * hop + array.rows + array.cols - 2, terms * hop, 0
            interval = entering
        else:
            stationary, entering = array.rows, terms * mac
            alone = stationary + (terms - 1) * mac + array.rows * hop + array.cols - 1
            interval = np.maximum(entering, array.rows * hop)
        if together is None:
            together = np.minimum(array.count, self.units(tile))
        moved, kept = self._transfers(tile, widths, pads, returns, together)
        if array.overlap_folds:
            stretch = np.maximum(0, np.maximum(moved, kept) - interval)
        else:
            interval = alone
            stretch = np.maximum(0, moved - entering) + np.maximum(0, kept - stationary)
        return WaveTime(entering, interval, alone - interval, stretch)

    def read_cycles(
        self, tile: Extents, widths: Widths, pads: Scratchpads, together: Number | None = None
    ) -> dict[str, Number]:
        """Return the cycles in which a wave of a tile reads each operand from its scratchpad."""
        if together is None:
            together = np.minimum(self.array.count, self.units(tile))
        height, width = self.unit(tile)
        rows, cols = np.minimum(tile.m, height), np.minimum(tile.n, width)
        terms = np.minimum(tile.k, self.fold_terms(tile))
        bits = {"a": rows * terms * widths.operand, "b": terms * cols * widths.operand}
        return {
            key: getattr(pads, key).port_cycles(together * -(-number // 8))
            for key, number in bits.items()
        }

    def _transfers(
        self,
        tile: Extents,
        widths: Widths,
        pads: Scratchpads,
        returns: Number,
        together: Number,
    ) -> tuple[Number, Number]:
        """Return the cycles that scratchpads need for what streams through a wave, and for what
        stays in the array.
        """
        cycles = self.read_cycles(tile, widths, pads, together)
        height, width = self.unit(tile)
        rows, cols = np.minimum(tile.m, height), np.minimum(tile.n, width)
        sums = np.where(returns, 2 * widths.partial, widths.output)
        cycles["c"] = pads.c.port_cycles(together * -(-rows * cols * sums // 8))
        kept = 0 if self.stationary is None else cycles.pop(self.stationary)
        return np.max(np.broadcast_arrays(*cycles.values()), axis=0), kept
