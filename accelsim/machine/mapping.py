"""How a dataflow lays a GEMM onto an array: tiles of outputs, folds of a tile, time of a fold.

What is stationary takes an operand's place in the PEs; the rest streams through.

* `os`: a PE keeps one output, and K terms stream past. A tile is R×C outputs, in one fold.
* `ws`: a PE keeps one element of B, R terms by C columns; M rows stream through, and sums move
  down the columns of the array. A tile is M×C outputs, in ⌈K/R⌉ folds.
* `is`: the mirror image: a PE keeps one element of A, R terms by C rows; N columns stream
  through. A tile is C×N outputs, in ⌈K/R⌉ folds.

The sums of a tile of several folds go to scratchpad c after each and come back for the next, so
that every output is one chain of additions in the order of k, whatever the dataflow.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.machine.hardware import Array


@dataclass(frozen=True)
class Mapping:
    """A GEMM cut for an array: tiles of `tile_rows` × `tile_cols` outputs, folds of `terms`.

    A fold done alone takes `fold_cycles`; with others before and behind it, it keeps the array
    for `interval_cycles`.
    """

    tile_rows: int
    tile_cols: int
    terms: int
    row_strips: int
    col_strips: int
    term_strips: int
    fold_cycles: int
    interval_cycles: int

    @property
    def folds(self) -> int:
        """Fillings of the array, over all tiles."""
        return self.row_strips * self.col_strips * self.term_strips

    @property
    def drain_cycles(self) -> int:
        """Cycles from when a fold no longer keeps the array until its outputs are complete."""
        return self.fold_cycles - self.interval_cycles

    @property
    def tile_cycles(self) -> int:
        """Cycles of all folds of one tile, with nothing before or behind."""
        return self.term_strips * self.interval_cycles + self.drain_cycles


def map_gemm(m: int, k: int, n: int, array: Array) -> Mapping:
    """Lay an m×k by k×n product onto `array`."""
    rows, cols = array.rows, array.cols
    if array.dataflow == "os":
        tile_rows, tile_cols, terms = rows, cols, k
        streamed, preload = k, 0
    else:
        terms, preload = rows, rows
        tile_rows, tile_cols, streamed = (m, cols, m) if array.dataflow == "ws" else (cols, n, n)
    fold_cycles = preload + rows + cols + streamed - 2
    # A second register in each PE takes the next stationary operand while this one is in use, a
    # row a cycle: the next fold waits for whichever of the two is slower.
    interval = max(streamed, preload) if array.overlap_folds else fold_cycles
    return Mapping(
        tile_rows=tile_rows,
        tile_cols=tile_cols,
        terms=terms,
        row_strips=-(-m // tile_rows),
        col_strips=-(-n // tile_cols),
        term_strips=-(-k // terms),
        fold_cycles=fold_cycles,
        interval_cycles=interval,
    )
