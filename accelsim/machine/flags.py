"""Outputs of a layer by unit, by wave and by scratchpad tile, and what of the operands they need.

Outputs leave the arrays by unit (see `mapping`): those that a chain of folds makes. The units of a
tile are dealt to the arrays row by row; units of one wave drain together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.mapping import Extents
from accelsim.machine.tiling import AXES, FOREIGN, Nest, Tiling
from accelsim.trace import Mask

Integers = NDArray[np.int64]


class Place(NamedTuple):
    """A tile of outputs: which of the products, and its row and column among tiles."""

    product: int
    i: int
    j: int


class Grid:
    """The outputs of a layer, cut into tiles, and these into units of `rows` by `cols`.

    `high` by `wide` units make a tile that is not at an edge.
    """

    def __init__(self, nest: Nest, tiling: Tiling) -> None:
        self.nest = nest
        self.tiling = tiling
        trace, tile = nest.trace, tiling.extents
        self.trips = nest.trips(tile)
        self.rows, self.cols = nest.mapping.unit(tile)
        self.high, self.wide = -(-tile.m // self.rows), -(-tile.n // self.cols)
        self.row_starts, self.col_starts = starts(trace.m, self.rows), starts(trace.n, self.cols)
        self.heights = np.diff(self.row_starts, append=trace.m)
        self.widths = np.diff(self.col_starts, append=trace.n)

    def flagged(self) -> Mask:
        """Return the flagged outputs as (product, row, column)."""
        trace = self.nest.trace
        assert trace.recomputed is not None
        return trace.recomputed.reshape(trace.repeats, trace.m, trace.n)

    def by_unit(self, mask: Mask) -> Integers:
        """Return how many outputs of each unit are set."""
        by_row = np.add.reduceat(mask, self.col_starts, axis=2, dtype=np.int64)
        return np.asarray(np.add.reduceat(by_row, self.row_starts, axis=1))

    def by_tile(self, mask: Mask) -> Integers:
        """Return how many outputs of each tile are set."""
        by_row = np.add.reduceat(mask, starts(mask.shape[2], self.tiling.n), axis=2, dtype=np.int64)
        return np.asarray(np.add.reduceat(by_row, starts(mask.shape[1], self.tiling.m), axis=1))

    def waves(self) -> Integers:
        """Return, for every unit, a number of its wave, from which `place_of` tells the tile."""
        trips, count = self.trips, self.nest.hardware.array.count
        i, row = np.divmod(np.arange(self.row_starts.size), self.high)
        j, col = np.divmod(np.arange(self.col_starts.size), self.wide)
        wide = np.minimum(self.wide, self.col_starts.size - j * self.wide)
        within = (row[:, None] * wide + col) // count
        tile = i[:, None] * trips.n + j
        product = np.arange(self.nest.trace.repeats)[:, None, None] * (trips.m * trips.n)
        return np.asarray((product + tile) * self._most_waves + within)

    def place_of(self, wave: int) -> tuple[Place, int]:
        """Return the tile of a wave, and its number in the tile."""
        tile, within = divmod(wave, self._most_waves)
        product, tile = divmod(tile, self.trips.m * self.trips.n)
        return Place(product, *divmod(tile, self.trips.n)), within

    def extents(self, place: Place, terms: int) -> Extents:
        """Return the extents of a tile with so many terms."""
        shape, tile = self.nest.shape, self.tiling
        rows = min(tile.m, shape.m - place.i * tile.m)
        return Extents(rows, terms, min(tile.n, shape.n - place.j * tile.n))

    def terms(self) -> list[tuple[int, int]]:
        """Return the terms of the tiles over the terms, and how many tiles have so many."""
        full = self.trips.k - 1
        rest = self.nest.shape.k - full * self.tiling.k
        return [(self.tiling.k, full), (rest, 1)] if full else [(rest, 1)]

    @property
    def _most_waves(self) -> int:
        waves: int = -(-self.high * self.wide // self.nest.hardware.array.count)
        return waves


def starts(size: int, step: int) -> Integers:
    """Return where each step of a size begins."""
    return np.arange(0, size, step)


def lines(mask: Mask, row_starts: Integers, col_starts: Integers) -> dict[str, Integers]:
    """Return how many rows (of A) and columns (of B) of each block have an output that is set."""
    by_row = np.logical_or.reduceat(mask, col_starts, axis=2)
    by_col = np.logical_or.reduceat(mask, row_starts, axis=1)
    return {
        "a": np.add.reduceat(by_row, row_starts, axis=1, dtype=np.int64),
        "b": np.add.reduceat(by_col, col_starts, axis=2, dtype=np.int64),
    }


def gone_terms(grid: Grid, key: str) -> int:
    """Return the terms of an operand's lines that have left their scratchpad when the outputs of a
    tile are known: those of the tiles before over the terms, unless they are kept.
    """
    order, keeps = grid.tiling.order, grid.tiling.keeps
    if key in keeps and order.index("k") > order.index(FOREIGN[key]):
        return 0
    return int((grid.trips.k - 1) * grid.tiling.k)


def still_there(grid: Grid, key: str, b_on_chip: bool) -> bool:
    """Say whether the scratchpad of an operand holds all of it at the end of a layer."""
    if key == "b" and b_on_chip:
        return True
    if grid.nest.trace.repeats > 1:
        return False
    order = grid.tiling.order
    # Kept, it lasts as long as the loops outside the foreign one stand still; else, one block does.
    outside = order[: order.index(FOREIGN[key])] if key in grid.tiling.keeps else AXES[key]
    return all(getattr(grid.trips, axis) == 1 for axis in outside)
