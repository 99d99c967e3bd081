"""A systolic array cycle by cycle, every PE and register of it: slow, and made to be read.

Each cycle every PE looks at the registers of its neighbours as they were in the cycle before,
multiplies, adds, and passes on what it was given. Nothing here knows a formula: cycles are
counted until the last output has left, and the outputs are computed from the operands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


class Left(NamedTuple):
    """What moves right through a row: a value, and for which step of which fold."""

    value: int
    fold: int
    step: int


class Weight(NamedTuple):
    """What moves down a column to the row where it stays."""

    value: int
    row: int


@dataclass
class Stationary:
    """A PE of an output-stationary array: two operands pass, a sum stays."""

    left: Left | None = None
    top: int = 0
    total: int = 0


@dataclass
class Weighted:
    """A PE of a weight-stationary array: sums pass down over a weight that stays.

    `waiting` is the second weight register: it is filled while `weight` is in use.
    """

    left: Left | None = None
    total: int = 0
    weight: int = 0
    waiting: int = 0
    passing: Weight | None = None


@dataclass
class Feed:
    """What enters at an edge of the array in which cycle."""

    entries: dict[tuple[int, int], Left] = field(default_factory=dict)
    values: dict[tuple[int, int], int] = field(default_factory=dict)
    weights: dict[tuple[int, int], Weight] = field(default_factory=dict)


def cut(size: int, step: int) -> list[range]:
    return [range(start, min(start + step, size)) for start in range(0, size, step)]


def output_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps sums; return the product and the cycles it took."""
    (m, k), n = a.shape, b.shape[1]
    tiles = [(i, j) for i in cut(m, rows) for j in cut(n, cols)]
    product = np.zeros((m, n), np.int64)
    grid = [[Stationary() for _ in range(cols)] for _ in range(rows)]
    feed, left_to_do, begun, now = Feed(), 0, 0, 0
    next_start = 0
    while begun < len(tiles) or left_to_do:
        # A fold enters when the inputs of PE (0, 0) are free, or when all before it has left.
        if begun < len(tiles) and (now == next_start if overlap else not left_to_do):
            tile_rows, tile_cols = tiles[begun]
            for step in range(k):
                for r in range(rows):  # row r lags by r cycles, column c by c
                    value = int(a[tile_rows[r], step]) if r < len(tile_rows) else 0
                    feed.entries[r, now + step + r] = Left(value, begun, step)
                for c in range(cols):
                    value = int(b[step, tile_cols[c]]) if c < len(tile_cols) else 0
                    feed.values[c, now + step + c] = value
            begun, left_to_do, next_start = begun + 1, left_to_do + rows * cols, now + k
        before = [[(pe.left, pe.top) for pe in line] for line in grid]
        for r in range(rows):
            for c in range(cols):
                pe = grid[r][c]
                pe.left = before[r][c - 1][0] if c else feed.entries.pop((r, now), None)
                pe.top = before[r - 1][c][1] if r else feed.values.pop((c, now), 0)
                if pe.left is None:
                    continue
                pe.total = pe.left.value * pe.top + (pe.total if pe.left.step else 0)
                if pe.left.step == k - 1:
                    left_to_do -= 1
                    tile_rows, tile_cols = tiles[pe.left.fold]
                    if r < len(tile_rows) and c < len(tile_cols):
                        product[tile_rows[r], tile_cols[c]] = pe.total
        now += 1
    return product, now


def weight_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps elements of b; return the product and the cycles it took.

    The sums of a fold lie in `product` as in a scratchpad, and are taken back by the next fold
    over the same columns.
    """
    (m, k), n = a.shape, b.shape[1]
    folds = [(terms, j) for j in cut(n, cols) for terms in cut(k, rows)]
    product = np.zeros((m, n), np.int64)
    written: dict[tuple[int, int], int] = {}  # sums of an output that have been written
    grid = [[Weighted() for _ in range(cols)] for _ in range(rows)]
    feed, left_to_do, now = Feed(), 0, 0
    for number, start in enumerate(_starts(len(folds), m, rows, overlap)):
        while left_to_do if start is None else now < start:
            left_to_do -= _weighted_cycle(grid, feed, product, written, folds, now)
            now += 1
        terms, columns = folds[number]
        for c in range(cols):  # the bottom row's weight goes first; column c lags by c cycles
            for r in range(rows):
                inside = r < len(terms) and c < len(columns)
                value = int(b[terms[r], columns[c]]) if inside else 0
                feed.weights[c, now + (rows - 1 - r) + c] = Weight(value, r)
        for step in range(m):
            for r in range(rows):
                value = int(a[step, terms[r]]) if r < len(terms) else 0
                feed.entries[r, now + rows + step + r] = Left(value, number, step)
        left_to_do += m * cols
    while left_to_do:
        left_to_do -= _weighted_cycle(grid, feed, product, written, folds, now)
        now += 1
    return product, now


def input_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps elements of a: the same PEs, given the transposes."""
    product, cycles = weight_stationary(b.T, a.T, rows, cols, overlap)
    return product.T, cycles


def _starts(folds: int, steps: int, rows: int, overlap: bool) -> Iterator[int | None]:
    """Yield when each fold's weights begin to enter; None for when the array is empty.

    The left edge is busy for `steps` cycles a fold, the top edge with weights for `rows`.
    """
    for number in range(folds):
        yield number * max(steps, rows) if overlap else None


def _weighted_cycle(
    grid: list[list[Weighted]],
    feed: Feed,
    product: Matrix,
    written: dict[tuple[int, int], int],
    folds: list[tuple[range, range]],
    now: int,
) -> int:
    """Advance every PE by a cycle; return how many sums left at the bottom."""
    rows, cols = len(grid), len(grid[0])
    strips = len({terms for terms, _ in folds})
    left_array = 0
    before = [[(pe.left, pe.total, pe.passing) for pe in line] for line in grid]
    for r in range(rows):
        for c in range(cols):
            pe = grid[r][c]
            pe.left = before[r][c - 1][0] if c else feed.entries.pop((r, now), None)
            if pe.left is not None:
                if pe.left.step == 0:
                    pe.weight = pe.waiting
                _, columns = folds[pe.left.fold]
                inside = c < len(columns)
                strip = pe.left.fold % strips
                total = before[r - 1][c][1] if r else 0
                if r == 0 and strip and inside:
                    place = (pe.left.step, columns[c])
                    assert written[place] == strip, "a partial sum is read before it is written"
                    total = int(product[place])
                pe.total = total + pe.left.value * pe.weight
                if r == rows - 1:
                    left_array += 1
                    if inside:
                        product[pe.left.step, columns[c]] = pe.total
                        # Others see it in the next cycle; row 0 of this one has been served.
                        written[pe.left.step, columns[c]] = strip + 1
            # A weight takes its place after this cycle's use of the register.
            arriving = before[r - 1][c][2] if r else feed.weights.pop((c, now), None)
            pe.passing = arriving
            if arriving is not None and arriving.row == r:
                pe.waiting, pe.passing = arriving.value, None
    return left_array
