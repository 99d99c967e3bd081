"""A systolic array cycle by cycle, every PE and register of it: slow, and made to be read.

Each cycle every PE looks at the registers of its neighbours as they were in the cycle before,
begins a multiplication and addition, and passes on what it was given. It may begin one every `mac`
cycles, and its sum can be used `latency` cycles later, but not before the next may begin. Nothing
here knows a formula for a fold: cycles are counted until the last output is there, the outputs are
computed from the operands, and a PE that is given something too early raises `HazardError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
Folds = list[tuple[range, range, range]]
Cycle = Callable[["Array", "Scratchpad", Folds, int], None]


class HazardError(Exception):
    """A PE was to begin while it was busy, or to add to a sum that was not there yet."""


class Pace(NamedTuple):
    """How often a PE begins, how long an addition takes; a slack below 0 goes too fast."""

    mac: int = 1
    latency: int = 1
    slack: int = 0

    @property
    def hop(self) -> int:
        """Cycles from the beginning of an addition until its sum is there."""
        return max(self.mac, self.latency)


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
class Adder:
    """The adder of a PE: when it may begin, and sums with the cycle from which they can be used."""

    pace: Pace
    free_at: int = 0
    sums: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def begin(self, now: int, key: tuple[int, int], total: int) -> int:
        """Begin an addition, and return when its sum is there."""
        if now < self.free_at:
            raise HazardError("a PE begins before it is free")
        self.free_at, ready = now + self.pace.mac, now + self.pace.hop
        self.sums[key] = ready, total
        return ready

    def take(self, now: int, key: tuple[int, int]) -> int:
        """Take a sum out."""
        ready, total = self.sums.pop(key)
        if now < ready:
            raise HazardError("a sum is used before it is there")
        return total


@dataclass
class PE:
    """What passes right and down, what stays, and what will stay next."""

    adder: Adder
    left: Left | None = None
    top: int = 0
    weight: int = 0
    waiting: int = 0
    passing: Weight | None = None


@dataclass
class Scratchpad:
    """Outputs or partial sums, each with the cycle it is written in, and by how many folds."""

    product: Matrix
    written: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def write(self, ready: int, place: tuple[int, int], total: int) -> None:
        times = self.written.get(place, (0, 0))[1]
        self.written[place] = ready, times + 1
        self.product[place] = total

    def read(self, now: int, place: tuple[int, int], times: int) -> int:
        """Take partial sums back that so many folds have written."""
        if not times:
            return 0
        ready, done = self.written.get(place, (0, 0))
        if done != times or now < ready:
            raise HazardError("a partial sum is read before it is written")
        return int(self.product[place])


@dataclass
class Array:
    """PEs, and what enters at the edges of the array in which cycle."""

    rows: int
    cols: int
    pace: Pace

    def __post_init__(self) -> None:
        self.grid = [[PE(Adder(self.pace)) for _ in range(self.cols)] for _ in range(self.rows)]
        self.entries: dict[tuple[int, int], Left] = {}
        self.tops: dict[tuple[int, int], int] = {}
        self.weights: dict[tuple[int, int], Weight] = {}
        self.left = self.last_ready = 0


def cut(size: int, step: int) -> list[range]:
    return [range(start, min(start + step, size)) for start in range(0, size, step)]


def output_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool, pace: Pace, tile_k: int
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps sums; return the product and the cycles it took.

    Folds of `tile_k` terms, of which each begins with the sums that the one before left in the
    scratchpad.
    """
    (m, k), n = a.shape, b.shape[1]
    folds = [(i, terms, j) for i in cut(m, rows) for j in cut(n, cols) for terms in cut(k, tile_k)]
    pad = Scratchpad(np.zeros((m, n), np.int64))
    array = Array(rows, cols, pace)
    now, start = 0, 0
    every = pace.hop + pace.slack
    for number, (tile_rows, terms, tile_cols) in enumerate(folds):
        while now < start:
            _output_cycle(array, pad, folds, now)
            now += 1
        for step, term in enumerate(terms):
            for r in range(rows):  # row r lags by r cycles, column c by c
                value = int(a[tile_rows[r], term]) if r < len(tile_rows) else 0
                array.entries[r, now + step * every + r] = Left(value, number, step)
            for c in range(cols):
                value = int(b[term, tile_cols[c]]) if c < len(tile_cols) else 0
                array.tops[c, now + step * every + c] = value
        start = now + len(terms) * every
        if not overlap or number == len(folds) - 1:
            sums = (number + 1) * rows * cols
            now = _drain(array, pad, folds, now, sums, _output_cycle)
            start = now
    return pad.product, now


def weight_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool, pace: Pace, tile_k: int
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps elements of b; return the product and the cycles it took.

    The sums of a fold lie in a scratchpad, and are taken back by the next over the same columns.
    `tile_k` plays no part: a fold has as many terms as the array has rows.
    """
    (m, k), n = a.shape, b.shape[1]
    folds = [(range(m), terms, j) for j in cut(n, cols) for terms in cut(k, rows)]
    pad = Scratchpad(np.zeros((m, n), np.int64))
    array = Array(rows, cols, pace)
    now, start = 0, 0
    for number, (_, terms, columns) in enumerate(folds):
        while now < start:
            _weight_cycle(array, pad, folds, now)
            now += 1
        for c in range(cols):  # the bottom row's weight goes first; column c lags by c cycles
            for r in range(rows):
                inside = r < len(terms) and c < len(columns)
                value = int(b[terms[r], columns[c]]) if inside else 0
                array.weights[c, now + (rows - 1 - r) + c] = Weight(value, r)
        for step in range(m):
            for r in range(rows):  # row r waits until the sum has come down to it
                value = int(a[step, terms[r]]) if r < len(terms) else 0
                when = now + rows + step * pace.mac + r * pace.hop
                array.entries[r, when] = Left(value, number, step)
        # The left edge is busy for m steps; the next fold may need sums from the bottom row.
        start = now + max(m * pace.mac, rows * pace.hop) + pace.slack
        if not overlap or number == len(folds) - 1:
            sums = (number + 1) * m * cols
            now = _drain(array, pad, folds, now, sums, _weight_cycle)
            start = now
    return pad.product, now


def input_stationary(
    a: Matrix, b: Matrix, rows: int, cols: int, overlap: bool, pace: Pace, tile_k: int
) -> tuple[Matrix, int]:
    """Multiply on an array that keeps elements of a: the same PEs, given the transposes."""
    product, cycles = weight_stationary(b.T, a.T, rows, cols, overlap, pace, tile_k)
    return product.T, cycles


Multiply = Callable[[Matrix, Matrix, int, int, bool, Pace, int], tuple[Matrix, int]]
ARRAYS: dict[str, Multiply] = {
    "os": output_stationary,
    "ws": weight_stationary,
    "is": input_stationary,
}


def _drain(array: Array, pad: Scratchpad, folds: Folds, now: int, sums: int, cycle: Cycle) -> int:
    """Go on until so many sums have left the array; return the cycle in which the last is there."""
    while array.left < sums or now < array.last_ready:
        cycle(array, pad, folds, now)
        now += 1
    return now


def _output_cycle(array: Array, pad: Scratchpad, folds: Folds, now: int) -> None:
    """Advance every PE of an output-stationary array by a cycle."""
    before = [[(pe.left, pe.top) for pe in line] for line in array.grid]
    for r in range(array.rows):
        for c in range(array.cols):
            pe = array.grid[r][c]
            pe.left = before[r][c - 1][0] if c else array.entries.pop((r, now), None)
            pe.top = before[r - 1][c][1] if r else array.tops.pop((c, now), 0)
            if pe.left is None:
                continue
            value, number, step = pe.left
            tile_rows, terms, tile_cols = folds[number]
            inside = r < len(tile_rows) and c < len(tile_cols)
            place = (tile_rows[r], tile_cols[c]) if inside else (-1, -1)
            if step:
                total = pe.adder.take(now, (number, step - 1))
            else:
                total = pad.read(now, place, _chain(folds, number)) if inside else 0
            ready = pe.adder.begin(now, (number, step), total + value * pe.top)
            if step == len(terms) - 1:
                total = pe.adder.take(ready, (number, step))
                array.left, array.last_ready = array.left + 1, max(array.last_ready, ready)
                if inside:
                    pad.write(ready, place, total)


def _chain(folds: Folds, number: int) -> int:
    """Return how many folds before this one made the same outputs."""
    rows, _, cols = folds[number]
    return sum(fold[0] == rows and fold[2] == cols for fold in folds[:number])


def _weight_cycle(array: Array, pad: Scratchpad, folds: Folds, now: int) -> None:
    """Advance every PE of a weight-stationary array by a cycle."""
    before = [[(pe.left, pe.passing) for pe in line] for line in array.grid]
    for r in range(array.rows):
        for c in range(array.cols):
            pe = array.grid[r][c]
            pe.left = before[r][c - 1][0] if c else array.entries.pop((r, now), None)
            if pe.left is not None:
                value, number, step = pe.left
                if step == 0:
                    pe.weight = pe.waiting
                columns = folds[number][2]
                inside = c < len(columns)
                key = (number, step)
                if r:
                    total = array.grid[r - 1][c].adder.take(now, key)
                else:
                    place = (step, columns[c]) if inside else (-1, -1)
                    total = pad.read(now, place, _chain(folds, number)) if inside else 0
                ready = pe.adder.begin(now, key, total + value * pe.weight)
                if r == array.rows - 1:
                    array.left, array.last_ready = array.left + 1, max(array.last_ready, ready)
                    total = pe.adder.take(ready, key)
                    if inside:
                        pad.write(ready, (step, columns[c]), total)
            # A weight takes its place after this cycle's use of the register.
            arriving = before[r - 1][c][1] if r else array.weights.pop((c, now), None)
            pe.passing = arriving
            if arriving is not None and arriving.row == r:
                pe.waiting, pe.passing = arriving.value, None
