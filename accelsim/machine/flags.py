"""Which of the outputs that a tile leaves are flagged, and what redoing them fetches and reads.

Outputs leave the arrays by unit (see `mapping`): those that a chain of folds makes. The units of a
tile are dealt to the arrays row by row; units of one wave make a group, that drains together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.hardware import Lanes
from accelsim.machine.tiling import Nest, Tiling

Integers = NDArray[np.int64]


class Flags:
    """The flagged outputs of a layer, by unit.

    `number` counts the units that hold some. `chain` folds of the last tile over the terms make
    a unit.
    """

    def __init__(self, nest: Nest, tiling: Tiling) -> None:
        self.nest = nest
        self.tiling = tiling
        trace, tile = nest.trace, tiling.extents
        self.rows, self.cols = nest.mapping.unit(tile)
        trips = nest.trips(tile)
        self.chain = nest.mapping.chain(trace.k - (trips.k - 1) * tile.k)
        self.by_unit: Integers | None = None
        self.number = 0
        if trace.recomputed is not None and trace.recomputed.any():
            mask = trace.recomputed.reshape(trace.repeats, trace.m, trace.n)
            row_starts, col_starts = self._starts()
            by_row = np.add.reduceat(mask, col_starts, axis=2, dtype=np.int64)
            self.by_unit = np.add.reduceat(by_row, row_starts, axis=1)
            self.number = int(np.count_nonzero(self.by_unit))
            # Rows and columns of each unit that hold a flagged output.
            by_row = np.logical_or.reduceat(mask, col_starts, axis=2)
            by_col = np.logical_or.reduceat(mask, row_starts, axis=1)
            self.lines: dict[str, Integers] = {
                "a": np.add.reduceat(by_row, row_starts, axis=1, dtype=np.int64),
                "b": np.add.reduceat(by_col, col_starts, axis=2, dtype=np.int64),
            }
            self.refetched = self._refetched()

    def groups(self, product: int, i: int, j: int) -> list[tuple[int, int, int]]:
        """Return the groups with flagged outputs of tile (i, j) of a product: the number of the
        group in the tile, how many outputs are flagged, and the bytes to be fetched again.
        """
        if self.by_unit is None:
            return []
        high, wide = -(-self.tiling.m // self.rows), -(-self.tiling.n // self.cols)
        here = (product, slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide))
        flagged, again = self.by_unit[here].ravel(), self.refetched[here].ravel()
        starts = np.arange(0, flagged.size, self.nest.hardware.array.count)
        flagged, again = np.add.reduceat(flagged, starts), np.add.reduceat(again, starts)
        return [(int(g), int(flagged[g]), int(again[g])) for g in np.flatnonzero(flagged)]

    @property
    def refetch_bytes(self) -> dict[str, int]:
        """Bytes of A and of B that recomputation fetches again, in all."""
        if self.by_unit is None:
            return {"a": 0, "b": 0}
        return {key: int(part.sum()) for key, part in self.refetched_by_operand.items()}

    def _refetched(self) -> Integers:
        """Return the bytes that redoing each unit fetches again.

        The operands of the last tile over the terms are still there. The terms of those before it
        are fetched for the rows and columns that hold a flagged output, unless they are kept.
        """
        trace, tiling = self.nest.trace, self.tiling
        assert self.by_unit is not None
        trips = self.nest.trips(tiling.extents)
        earlier = (trips.k - 1) * tiling.k
        nothing = np.zeros_like(self.by_unit)
        self.refetched_by_operand = {"a": nothing, "b": nothing}
        if earlier:
            for key, foreign in (("a", "n"), ("b", "m")):
                if not (
                    key in tiling.keeps and tiling.order.index("k") > tiling.order.index(foreign)
                ):
                    bits = self.lines[key] * earlier * trace.operand_format.bits
                    self.refetched_by_operand[key] = -(-bits // 8)
        return self.refetched_by_operand["a"] + self.refetched_by_operand["b"]

    def words_read_again(self) -> dict[str, int]:
        """Return the operand words that recomputation reads from scratchpads a and b.

        Outputs that are redone together, in the lanes of one round or in one fold of the array,
        read a row or column that several of them need once, and share it.
        """
        if self.by_unit is None:
            return {"a": 0, "b": 0}
        if not isinstance(self.nest.hardware.recompute, Lanes):
            return {key: int(lines.sum()) * self.nest.trace.k for key, lines in self.lines.items()}
        together, row, col = self._rounds(self.nest.hardware.recompute)
        # Rounds are in order, and the rows in them too; columns are not.
        rows = 1 + np.count_nonzero((np.diff(together) != 0) | (np.diff(row) != 0))
        cols = np.unique(together * self.nest.trace.n + col).size
        return {"a": int(rows) * self.nest.trace.k, "b": int(cols) * self.nest.trace.k}

    def _rounds(self, unit: Lanes) -> tuple[Integers, Integers, Integers]:
        """Return the round, row and column of every flagged output, round by round."""
        trace, tiling = self.nest.trace, self.tiling
        assert trace.recomputed is not None
        row, col = np.nonzero(trace.recomputed)
        product, local_row = row // trace.m, row % trace.m
        tile = (product * trace.m + local_row // tiling.m) * trace.n + col // tiling.n
        columns_of_tile = np.minimum(tiling.n, trace.n - col // tiling.n * tiling.n)
        wide = -(-columns_of_tile // self.cols)
        within = local_row % tiling.m // self.rows * wide + col % tiling.n // self.cols
        group = tile * trace.m * trace.n + within // self.nest.hardware.array.count
        order = np.argsort(group, kind="stable")  # in a group the order stays row by row
        group, row, col = group[order], row[order], col[order]
        begins = np.append(True, np.diff(group) != 0)
        number = np.cumsum(begins) - 1
        place = np.arange(group.size) - np.flatnonzero(begins)[number]
        return number * trace.outputs + place // unit.width, row, col

    def _starts(self) -> tuple[Integers, Integers]:
        """Return the first row of each row of units, and the first column of each column."""
        trace = self.nest.trace
        return np.arange(0, trace.m, self.rows), np.arange(0, trace.n, self.cols)
