"""What is redone for flagged outputs, where a machine stops for it, and what that takes.

Where the array redoes elements or whole waves, it goes through the folds of a wave again; lanes go
through rounds. What the array packs first is in `gather`. Deferred, the tiles with flagged outputs
are gone through once more, with the operand lines that are needed alone: rows of A and columns of
B. Each such tile fetches its own, piece by piece over the terms, so that they fit wherever the
tiles of the first pass do. An operand that its scratchpad still holds whole is not fetched.

Where operands are cut into slices, all terms are gone through once for every pair of slices, which
are cut from words as they are read: whatever does not stay in a scratchpad is fetched as often.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from accelsim.machine.flags import Grid, Integers, Place, gone_terms, lines, starts, still_there
from accelsim.machine.hardware import Lanes, Rerun
from accelsim.machine.mapping import Extents, Number, WaveTime
from accelsim.machine.tiling import bytes_of
from accelsim.machine.visits import Part, Pass, Visit


class Stop(NamedTuple):
    """Where the first pass over a tile redoes outputs: after the chains of waves up to `wave`.

    `lane_reads` are the cycles in which lanes then read A and B from their scratchpads.
    """

    wave: int
    flagged: int
    refetch_bytes: int
    redo_cycles: int
    gather_cycles: int = 0
    lane_reads: tuple[int, int] = (0, 0)


class Work(NamedTuple):
    """What redoing takes in all, beside time; bytes and words of A and of B.

    `outputs` are done again, flagged or not. Where an operand streams, its words are `passed` on
    from PE to PE, each through as many as its line of the unit has. `copied_bytes` are put in dense
    order. `entries` indices pass through a list that holds `list_bytes`. Deferred, `stored_bytes`
    of outputs go to DRAM a second time.
    """

    outputs: int = 0
    words: tuple[int, int] = (0, 0)
    passed: tuple[int, int] = (0, 0)
    fetched_bytes: tuple[int, int] = (0, 0)
    copied_bytes: tuple[int, int] = (0, 0)
    entries: int = 0
    list_bytes: int = 0
    stored_bytes: int = 0


ENTRY_BYTES = 8
"""Of a list or queue: two 16-bit indices and a 32-bit partial result or address."""


class Redo(Protocol):
    """What is redone of one layer."""

    def units(self) -> int:
        """Return how many units hold flagged outputs."""

    def stops(self) -> dict[Place, list[Stop]]:
        """Return where the first pass stops, tile by tile."""

    def deferred(self) -> Pass | None:
        """Return what follows the first pass, if anything does."""

    def work(self, deferred: Pass | None) -> Work:
        """Return what all of it takes, given what follows the first pass."""


class Nothing:
    """No output is flagged, or none needs to be redone."""

    def units(self) -> int:
        """Return 0."""
        return 0

    def stops(self) -> dict[Place, list[Stop]]:
        """Return nothing."""
        return {}

    def deferred(self) -> Pass | None:
        """Return nothing."""
        return None

    def work(self, deferred: Pass | None) -> Work:
        """Return no work."""
        return Work()


class Again:
    """Flagged outputs, or all of the waves that left them, go through folds or rounds again."""

    def __init__(self, grid: Grid, b_on_chip: bool) -> None:
        self.grid = grid
        self.there = [key for key in "ab" if still_there(grid, key, b_on_chip)]
        self.unit = grid.nest.hardware.recompute
        self.flagged = grid.flagged()
        self.by_unit = grid.by_unit(self.flagged)
        self.waves = grid.waves()
        self.redone = self.flagged
        if isinstance(self.unit, Rerun) and self.unit.granularity == "tile":
            whole = np.isin(self.waves, np.unique(self.waves[self.by_unit > 0]))
            self.redone = whole.repeat(grid.heights, axis=1).repeat(grid.widths, axis=2)
        self.lines = lines(self.redone, grid.row_starts, grid.col_starts)

    def units(self) -> int:
        """Return how many units hold flagged outputs."""
        return int(np.count_nonzero(self.by_unit))

    def stops(self) -> dict[Place, list[Stop]]:
        """Stop after every wave that leaves flagged outputs."""
        if self.grid.nest.hardware.defers:
            return {}
        numbers, where = self._flagged_waves()
        flagged = np.bincount(where, self.by_unit[self.lines["a"] > 0])
        fetched = sum(self._refetched(key) for key in "ab")
        refetch = np.bincount(where, np.asarray(fetched)[self.lines["a"] > 0])
        trips, unit, terms = self.grid.trips, self.unit, redone_terms(self.grid)
        cycles: dict[tuple[bool, bool], int] = {}
        stops: dict[Place, list[Stop]] = {}
        reads = np.zeros((2, numbers.size), np.int64)
        if isinstance(unit, Lanes):
            reads[0], reads[1] = lane_reads(self.grid, terms, self._lines_of_groups)
        for number, size, refetch_bytes, *both in zip(
            *(each.tolist() for each in (numbers, flagged, refetch, *reads)), strict=True
        ):
            place, wave = self.grid.place_of(number)
            edges = place.i == trips.m - 1, place.j == trips.n - 1
            if isinstance(unit, Lanes):
                rounds = -(-int(size) // unit.width)
                redo = round_cycles(lane_steps(self.grid, terms), rounds, both)
            else:
                if edges not in cycles:  # other tiles are all of one size
                    cycles[edges] = self._redo_cycles(self.grid.extents(place, 0))
                redo = cycles[edges]
            stop = Stop(wave, int(size), int(refetch_bytes), redo, lane_reads=(both[0], both[1]))
            stops.setdefault(place, []).append(stop)
        return stops

    def deferred(self) -> Pass | None:
        """Go through the tiles with flagged outputs once more."""
        if not self.grid.nest.hardware.defers:
            return None
        grid, trace = self.grid, self.grid.nest.trace
        tile_starts = starts(trace.m, grid.tiling.m), starts(trace.n, grid.tiling.n)
        needed, redone = lines(self.redone, *tile_starts), grid.by_tile(self.redone)
        waves: dict[Place, int] = {}
        for number in self._flagged_waves()[0].tolist():
            place = grid.place_of(number)[0]
            waves[place] = waves.get(place, 0) + 1
        axes = [axis for axis in grid.tiling.order if axis != "k"]
        made = Deferral(grid, self.there)
        numbers = {place: number for number, place in enumerate(sorted(waves))}
        for place in sorted(waves, key=lambda p: _turn(p, axes)):
            size, chains, read = int(redone[place]), waves[place], (0, 0)
            if isinstance(self.unit, Lanes):
                chains = -(-size // self.unit.width)
                rows, cols = (int(number[numbers[place]]) for number in self._lines_of_groups)
                read = rows, cols
            rows, cols = int(needed["a"][place]), int(needed["b"][place])
            made.add(grid.extents(place, 0), (rows, cols), size, chains, lane_lines=read)
        return made.done()

    def work(self, deferred: Pass | None) -> Work:
        """Return what it takes: lines that outputs redone together share are read once."""
        trace = self.grid.nest.trace
        if isinstance(self.unit, Lanes):
            rows, cols = (int(number.sum()) for number in self._lines_of_groups)
        else:
            rows, cols = (int(self.lines[key].sum()) for key in "ab")
        flagged, terms = trace.recomputed_outputs, redone_terms(self.grid)
        passed = (
            int((self.lines["a"] * self.grid.widths).sum()) * terms,
            int((self.lines["b"] * self.grid.heights[:, None]).sum()) * terms,
        )
        outputs = int(np.count_nonzero(self.redone))
        work = Work(outputs, (rows * terms, cols * terms), passed)
        if deferred is not None:
            return deferred_work(work, deferred, flagged)
        refetched = int(self._refetched("a").sum()), int(self._refetched("b").sum())
        entries = flagged if isinstance(self.unit, Lanes) else 0
        return work._replace(fetched_bytes=refetched, entries=entries)

    def _flagged_waves(self) -> tuple[Integers, Integers]:
        """Return the waves that are redone, and for every unit in them which of these is its."""
        numbers, where = np.unique(self.waves[self.lines["a"] > 0], return_inverse=True)
        return numbers, where.ravel()

    def _refetched(self, key: str) -> Integers:
        """Return the bytes that redoing each unit fetches again.

        The operands of the last tile over the terms are still there. The terms of those before it
        are fetched for the lines that are needed, unless they are kept.
        """
        trace = self.grid.nest.trace
        gone = gone_terms(self.grid, key) * trace.recompute_passes
        return np.asarray(bytes_of(self.lines[key] * gone, trace.operand_format.bits))

    def _redo_cycles(self, tile: Extents) -> int:
        """Return the time of all folds over the terms of the outputs of a wave, done alone."""
        grid = self.grid
        total, drain = 0, 0
        for terms, times in grid.terms():
            time = high_time(grid, tile._replace(k=terms))
            total += times * grid.nest.mapping.chain(terms) * (time.interval + time.stretch)
            drain = time.drain
        return total * grid.nest.trace.recompute_passes + drain

    @cached_property
    def _lines_of_groups(self) -> tuple[Integers, Integers]:
        """The rows and columns that the rounds of lanes read, for each group of outputs."""
        trace = self.grid.nest.trace
        assert isinstance(self.unit, Lanes)
        together, row, col = self._rounds(self.unit)
        # Rounds are in order, and the rows in them too; columns are not.
        new_rows = np.append(True, (np.diff(together) != 0) | (np.diff(row) != 0))
        columns = np.sort(together * trace.n + col)
        new_columns = np.append(True, np.diff(columns) != 0)
        return (
            np.bincount(together[new_rows] // trace.outputs),
            np.bincount(columns[new_columns] // (trace.n * trace.outputs)),
        )

    def _rounds(self, unit: Lanes) -> tuple[Integers, Integers, Integers]:
        """Return the round, row and column of every flagged output, round by round.

        A round is of outputs that drained together or, deferred, of one tile.
        """
        grid, trace = self.grid, self.grid.nest.trace
        product, row, col = np.nonzero(self.flagged)
        if grid.nest.hardware.defers:
            tile = row // grid.tiling.m * trace.n + col // grid.tiling.n
            group = product * trace.m * trace.n + tile
        else:
            left = self.waves.repeat(grid.heights, axis=1).repeat(grid.widths, axis=2)
            group = left[self.flagged]
        order = np.argsort(group, kind="stable")  # in a group the order stays row by row
        group, row, col = group[order], row[order], col[order]
        begins = np.append(True, np.diff(group) != 0)
        number = np.cumsum(begins) - 1
        place = np.arange(group.size) - np.flatnonzero(begins)[number]
        return number * trace.outputs + place // unit.width, row, col


class Deferral:
    """Makes the visits of a deferred pass, each kind of them once."""

    def __init__(self, grid: Grid, there: list[str]) -> None:
        self.grid = grid
        self.there = there
        self.kinds: dict[Visit, int] = {}
        self.sequence: list[int] = []

    def add(
        self,
        tile: Extents,
        needed: tuple[int, int],
        outputs: int,
        chains: int,
        packed: str | None = None,
        lane_lines: tuple[int, int] = (0, 0),
    ) -> None:
        """Add the visits of one tile over all its terms, for every pass.

        They load so many rows of A and columns of B, go through so many chains of folds or rounds
        of lanes, and store `outputs`. Lines of the operand that is `packed` are copied first. The
        rounds together read `lane_lines` from the scratchpads.
        """
        nest, unit = self.grid.nest, self.grid.nest.hardware.recompute
        bits, passes = nest.trace.operand_format.bits, nest.trace.recompute_passes
        # Operands of one visit stay for all passes over it.
        times, at_once = (1, passes) if self.grid.trips.k == 1 else (passes, 1)
        rest = nest.shape.k * times
        while rest:
            terms = min(self.grid.tiling.k, (rest - 1) % nest.shape.k + 1)
            rest -= terms
            loads = {
                key: 0 if key in self.there else bytes_of(count * terms, bits)
                for key, count in zip("ab", needed, strict=True)
            }
            copied = 0
            if packed is not None:
                copied = bytes_of(needed["ab".index(packed)] * terms, bits)
            if isinstance(unit, Lanes):
                steps = lane_steps(self.grid, terms)
                cycles = round_cycles(steps, chains, lane_reads(self.grid, terms, lane_lines))
                part = Part(chains * at_once, WaveTime(steps, steps, 0, cycles - steps))
            else:
                time = high_time(self.grid, tile._replace(k=terms))
                part = Part(chains * nest.mapping.chain(terms) * at_once, time)
            visit = Visit(
                load_a_bytes=loads["a"],
                load_b_bytes=loads["b"],
                load_c_bytes=0,
                store_bytes=0 if rest else bytes_of(outputs, nest.trace.output_format.bits),
                parts=(part,),
                copied_bytes=copied,
                gather_cycles=gather_cycles(self.grid, copied),
            )
            self.sequence.append(self.kinds.setdefault(visit, len(self.kinds)))

    def done(self) -> Pass:
        """Return the visits, in the order in which they were added."""
        return Pass(tuple(self.kinds), np.array(self.sequence, np.int32), name="deferred redo")


def deferred_work(work: Work, deferred: Pass, entries: int) -> Work:
    """Return the work with what a deferred pass moves, and a list of so many entries."""
    return work._replace(
        fetched_bytes=(
            deferred.total([kind.load_a_bytes for kind in deferred.kinds]),
            deferred.total([kind.load_b_bytes for kind in deferred.kinds]),
        ),
        stored_bytes=deferred.total([kind.store_bytes for kind in deferred.kinds]),
        entries=entries,
        list_bytes=entries * ENTRY_BYTES,
    )


def redone_terms(grid: Grid) -> int:
    """Return the terms of an output that is redone, each as often as it is gone through."""
    return grid.nest.trace.k * grid.nest.trace.recompute_passes


def high_time(grid: Grid, tile: Extents, together: Integers | None = None) -> WaveTime:
    """Return the time of a wave of a tile that is redone; of arrays, for a tile of arrays.

    A wave takes sums back where folds follow one another, or passes, the wider of both.
    """
    nest = grid.nest
    again = nest.trace.recompute_accumulator
    assert again is not None
    partial = max(again.kept_bits, nest.slice_sum_bits)
    widths = nest.widths(grid.tiling.extents)._replace(partial=partial)
    returns = bool(nest.folds_over_terms(grid.tiling.extents) > 1) or nest.slice_sum_bits > 0
    mac, pads = nest.hardware.array.mac_cycles(again), nest.hardware.scratchpads
    time = nest.mapping.wave_time(tile, mac, widths, pads, returns, together)
    return time if together is not None else WaveTime(*map(int, time))


def lane_reads(grid: Grid, terms: int, lines: tuple[Number, Number]) -> tuple[Number, Number]:
    """Return the cycles in which lanes read so many terms of rows of A, and of columns of B."""
    pads, bits = grid.nest.hardware.scratchpads, grid.nest.trace.operand_format.bits
    rows, cols = (bytes_of(number * terms, bits) for number in lines)
    return pads.a.port_cycles(rows), pads.b.port_cycles(cols)


def lane_steps(grid: Grid, terms: int) -> int:
    """Return the cycles in which a lane adds so many terms: one for each of its additions."""
    again = grid.nest.trace.recompute_accumulator
    assert again is not None
    return terms * again.additions_per_term


def round_cycles(steps: int, rounds: int, reads: Iterable[int]) -> int:
    """Return the cycles of each round of lanes: its steps, or its share of those of the reads."""
    return max(steps, *(-(-int(cycles) // rounds) for cycles in reads))


def gather_cycles(grid: Grid, copied_bytes: int) -> int:
    """Return what copying so many bytes of lines takes."""
    unit = grid.nest.hardware.recompute
    if not isinstance(unit, Rerun) or unit.gather_bytes_per_cycle is None:
        return 0
    return int(np.ceil(copied_bytes / unit.gather_bytes_per_cycle))


def _turn(place: Place, axes: list[str]) -> tuple[int, int, int]:
    """Return what orders tiles as the loops of the first pass do."""
    inner = (place.i, place.j) if axes == ["m", "n"] else (place.j, place.i)
    return place.product, *inner
