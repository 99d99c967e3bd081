"""Lines with flagged outputs, packed densely before they are redone.

A unit (see `mapping`) is some rows by some columns of outputs. Rows of a tile that hold a flagged
output in one block of columns as wide as a unit are packed to a product of their own, which takes
the folds that so many rows take; all outputs of a row in the block are redone. Columns mirror it.

A copy engine puts the lines of the packed operand in dense order. Inline, it begins when all
outputs of a tile have drained and what has left the scratchpads is there again, and the array waits
until it is done. Deferred, lines of the whole product are packed, one block after the other in
pieces of as many lines as a tile has, and lines are copied while the array works on the piece
before: there is room for two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from accelsim.machine.flags import Grid, Integers, Place, gone_terms, starts, still_there
from accelsim.machine.hardware import Rerun
from accelsim.machine.mapping import Extents
from accelsim.machine.redo import (
    ENTRY_BYTES,
    Deferral,
    Stop,
    Work,
    deferred_work,
    gather_cycles,
    high_time,
    redone_terms,
)
from accelsim.machine.tiling import bytes_of
from accelsim.machine.visits import Pass


class _Blocks(NamedTuple):
    """Blocks that hold packed lines: the number of the tile each is in, its lines, and how many
    outputs each line of it has.
    """

    tile: Integers
    lines: Integers
    breadth: Integers


class Gather:
    """Lines of one operand are packed, and multiplied with blocks of the other, as wide as a unit.

    Rows or columns alike: `along` is the axis of the packed lines, `across` the other.
    """

    def __init__(self, grid: Grid, b_on_chip: bool) -> None:
        self.grid = grid
        unit = grid.nest.hardware.recompute
        assert isinstance(unit, Rerun)
        self.by_rows = unit.granularity == "row"
        self.packed, self.other = ("a", "b") if self.by_rows else ("b", "a")
        self.there = [key for key in "ab" if still_there(grid, key, b_on_chip)]
        mask = grid.flagged()
        self.flagged = grid.by_tile(mask)
        across = grid.col_starts if self.by_rows else grid.row_starts
        turned = mask if self.by_rows else mask.transpose(0, 2, 1)
        self.has_flag = np.logical_or.reduceat(turned, across, axis=2)
        # Lines of a unit, and of a tile; what a line of each block is broad; blocks of a tile.
        self.unit_lines = grid.rows if self.by_rows else grid.cols
        self.tile_lines = grid.tiling.m if self.by_rows else grid.tiling.n
        self.breadths = grid.widths if self.by_rows else grid.heights
        self.blocks_of_tile = grid.wide if self.by_rows else grid.high

    def units(self) -> int:
        """Return how many packed units there are."""
        return int((-(-self._inline_blocks().lines // self.unit_lines)).sum())

    def stops(self) -> dict[Place, list[Stop]]:
        """Stop at the end of every tile with flagged outputs, and redo its packed lines."""
        if self.grid.nest.hardware.defers:
            return {}
        blocks, grid = self._inline_blocks(), self.grid
        tiles, where = np.unique(blocks.tile, return_inverse=True)
        cycles = self._cycles(blocks, where)
        refetch = np.bincount(where, sum(self._refetched(blocks)))
        copied = np.bincount(where, self._copied(blocks))
        stops = {}
        for number, redo, fetched, size in zip(
            tiles.tolist(), cycles.tolist(), refetch.tolist(), copied.tolist(), strict=True
        ):
            place = self._place(number)
            extents = grid.extents(place, 1)
            last = -(-grid.nest.mapping.units(extents) // grid.nest.hardware.array.count) - 1
            gather = gather_cycles(grid, int(size))
            stop = Stop(last, int(self.flagged[place]), int(fetched), redo, gather)
            stops[place] = [stop]
        return stops

    def deferred(self) -> Pass | None:
        """Multiply the packed lines of each block, over the whole of every product."""
        if not self.grid.nest.hardware.defers:
            return None
        made = Deferral(self.grid, self.there)
        for block, left in zip(*self._whole_blocks(), strict=True):
            breadth = int(self.breadths[block])
            while left:
                count = min(left, self.tile_lines)
                left -= count
                rows, cols = (count, breadth) if self.by_rows else (breadth, count)
                tile = Extents(rows, 1, cols)
                units = self.grid.nest.mapping.units(tile)
                chains = -(-units // self.grid.nest.hardware.array.count)
                made.add(tile, (rows, cols), rows * cols, chains, self.packed)
        return made.done()

    def work(self, deferred: Pass | None) -> Work:
        """Return what it takes: a packed line is read once, the other operand for every unit."""
        trace = self.grid.nest.trace
        blocks = self._inline_blocks()
        outputs = int((blocks.lines * blocks.breadth).sum())
        count = int(blocks.lines.sum())
        terms = redone_terms(self.grid)
        passed = (outputs * terms, outputs * terms)  # all of a packed line is redone
        if deferred is None:
            again = int((-(-blocks.lines // self.unit_lines) * blocks.breadth).sum())
            work = Work(outputs, self._by_operand(count * terms, again * terms), passed)
            packed, other = (int(part.sum()) for part in self._refetched(blocks))
            copied = int(self._copied(blocks).sum())
            fullest = int(np.bincount(blocks.tile - blocks.tile.min(), blocks.lines).max())
            return work._replace(
                fetched_bytes=self._by_operand(packed, other),
                copied_bytes=self._by_operand(copied, 0),
                entries=count,
                list_bytes=fullest * ENTRY_BYTES,
            )
        again = sum(
            math.ceil(min(self.tile_lines, left - start) / self.unit_lines)
            * int(self.breadths[block])
            for block, left in zip(*self._whole_blocks(), strict=True)
            for start in range(0, left, self.tile_lines)
        )
        work = Work(outputs, self._by_operand(count * terms, again * terms), passed)
        copied = deferred.total([kind.copied_bytes for kind in deferred.kinds])
        work = work._replace(copied_bytes=self._by_operand(copied, 0))
        return deferred_work(work, deferred, trace.recomputed_outputs + count)

    def _by_operand(self, packed: int, other: int) -> tuple[int, int]:
        return (packed, other) if self.by_rows else (other, packed)

    def _inline_blocks(self) -> _Blocks:
        """Return the blocks of all tiles that hold packed lines, tile by tile."""
        size = self.has_flag.shape[1]
        lines = np.add.reduceat(
            self.has_flag, starts(size, self.tile_lines), axis=1, dtype=np.int64
        )
        product, along, block = np.nonzero(lines)
        across = block // self.blocks_of_tile
        tiles_across = -(-lines.shape[2] // self.blocks_of_tile)
        tile = (product * lines.shape[1] + along) * tiles_across + across
        return _Blocks(tile, lines[product, along, block], self.breadths[block])

    def _whole_blocks(self) -> tuple[list[int], list[int]]:
        """Return the blocks of all products that hold packed lines, and how many each does."""
        lines = np.count_nonzero(self.has_flag, axis=1)
        product, block = np.nonzero(lines)
        return block.tolist(), lines[product, block].tolist()

    def _place(self, tile: int) -> Place:
        """Return the place of a tile by its number in `_inline_blocks`."""
        trips = self.grid.trips
        along, across = (trips.m, trips.n) if self.by_rows else (trips.n, trips.m)
        rest, second = divmod(tile, across)
        product, first = divmod(rest, along)
        return Place(product, *((first, second) if self.by_rows else (second, first)))

    def _refetched(self, blocks: _Blocks) -> tuple[Integers, Integers]:
        """Return the bytes of the packed and of the other operand that blocks fetch again."""
        trace = self.grid.nest.trace
        bits, passes = trace.operand_format.bits, trace.recompute_passes
        # Copied lines stay.
        packed = blocks.lines * gone_terms(self.grid, self.packed)
        other = blocks.breadth * gone_terms(self.grid, self.other) * passes
        return np.asarray(bytes_of(packed, bits)), np.asarray(bytes_of(other, bits))

    def _copied(self, blocks: _Blocks) -> Integers:
        """Return the bytes of the lines that are copied."""
        trace = self.grid.nest.trace
        return np.asarray(bytes_of(blocks.lines * trace.k, trace.operand_format.bits))

    def _breadths(self, tile: Integers) -> Integers:
        """Return the breadth of the lines of a full unit in each tile."""
        nest, trips = self.grid.nest, self.grid.trips
        size, step, number = (
            (nest.shape.n, self.grid.tiling.n, trips.n)
            if self.by_rows
            else (nest.shape.m, self.grid.tiling.m, trips.m)
        )
        left = size - tile % number * step
        unit = self.grid.cols if self.by_rows else self.grid.rows
        return np.asarray(np.minimum(unit, np.minimum(step, left)))

    def _cycles(self, blocks: _Blocks, where: Integers) -> Integers:
        """Return the time of the packed folds of every tile; `where` numbers the tiles of blocks.

        Units of a tile are dealt to the arrays in turn. A wave takes the time of its longest, and
        every one, as in the first pass, that of as many full units as there ever are.
        """
        units = -(-blocks.lines // self.unit_lines)
        of = np.repeat(np.arange(units.size), units)
        tile, count = where[of], self.grid.nest.hardware.array.count
        first = np.flatnonzero(np.diff(tile, prepend=-1))
        place = np.arange(of.size) - first[tile]
        waves = np.flatnonzero(place % count == 0)
        together = np.minimum(count, np.bincount(tile))[tile[waves]]
        lines = np.maximum.reduceat(np.minimum(self.unit_lines, blocks.lines[of]), waves)
        breadth = self._breadths(blocks.tile[of][waves])
        total = np.zeros(waves.size, np.int64)
        drain = total
        for terms, times in self.grid.terms():
            sizes = (lines, breadth) if self.by_rows else (breadth, lines)
            time = high_time(self.grid, Extents(sizes[0], terms, sizes[1]), together)
            chain = self.grid.nest.mapping.chain(terms)
            total = total + times * chain * (time.interval + time.stretch)
            drain = np.broadcast_to(time.drain, total.shape)
        last = np.flatnonzero(np.diff(tile[waves], append=-1))
        passes = self.grid.nest.trace.recompute_passes
        return np.bincount(tile[waves], total).astype(np.int64) * passes + drain[last]
