"""From a layer's trace to what the machine does: tiles with their transfers, waves and flags.

The loop nest of `tiling` visits scratchpad tiles. A visit fetches the blocks that are not there,
fills the arrays in waves (see `mapping`), and stores what is complete, or what cannot stay.
Products that repeat follow one another, each with operands of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.counts import Counts
from accelsim.machine.flags import Flags
from accelsim.machine.hardware import Hardware
from accelsim.machine.mapping import Extents
from accelsim.machine.tally import tally
from accelsim.machine.tiling import Nest, Tiling, bytes_of, choose_tiling
from accelsim.trace import LayerTrace

MAX_FLAGGED_UNITS = 2_000_000
"""Chains with flagged outputs are listed one by one."""


@dataclass(frozen=True)
class Part:
    """Some waves of a visit, and how many of the outputs that the last one leaves are flagged.

    `refetch_bytes` are operands over terms of earlier tiles that have left the scratchpads and
    that redoing the flagged outputs needs again.
    """

    waves: int
    flagged: int = 0
    refetch_bytes: int = 0


@dataclass(frozen=True)
class Visit:
    """One tile of work.

    A wave keeps the arrays for `wave_cycles`, and for `stretch_cycles` more where scratchpads are
    too slow; its outputs are complete `drain_cycles` after that. `redo_cycles` is what the array
    takes to compute outputs of one wave again, over all their terms. Of a wave's cycles, terms
    enter the arrays in `stream_cycles`.
    """

    load_a_bytes: int
    load_b_bytes: int
    load_c_bytes: int
    store_bytes: int
    wave_cycles: int
    stream_cycles: int
    stretch_cycles: int
    drain_cycles: int
    redo_cycles: int
    parts: tuple[Part, ...]

    @cached_property
    def loads(self) -> dict[str, int]:
        """Bytes that are fetched for each scratchpad."""
        return {"a": self.load_a_bytes, "b": self.load_b_bytes, "c": self.load_c_bytes}

    @cached_property
    def transfers(self) -> int:
        """Number of scratchpads that something is fetched for."""
        return sum(size > 0 for size in self.loads.values())

    @cached_property
    def slow_wave_cycles(self) -> int:
        """Cycles for which a wave keeps the arrays."""
        return self.wave_cycles + self.stretch_cycles

    @cached_property
    def waves(self) -> int:
        """Fillings of the arrays."""
        return sum(part.waves for part in self.parts)

    @cached_property
    def flagged(self) -> int:
        """Outputs to be done again."""
        return sum(part.flagged for part in self.parts)

    @cached_property
    def busy_cycles(self) -> int:
        """Cycles of the arrays if nothing ever waits."""
        return self.waves * self.wave_cycles


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """A layer as the machine runs it: `sequence` numbers the `kinds` of its visits, in order.

    `folds` are fillings of one array.
    """

    trace: LayerTrace
    tiling: Tiling
    kinds: tuple[Visit, ...]
    sequence: NDArray[np.int32]
    folds: int
    counts: Counts

    @property
    def waves(self) -> int:
        """Fillings of all arrays together."""
        return self._total([kind.waves for kind in self.kinds])

    @property
    def visits(self) -> list[Visit]:
        """Every visit, in order."""
        return [self.kinds[kind] for kind in self.sequence]

    @cached_property
    def compute_cycles(self) -> int:
        """Cycles of the first pass if nothing ever waits."""
        busy = self._total([kind.busy_cycles for kind in self.kinds])
        return busy + self.kinds[int(self.sequence[-1])].drain_cycles

    @cached_property
    def stream_cycles(self) -> int:
        """Cycles in which terms enter the arrays in the first pass."""
        return self._total([kind.waves * kind.stream_cycles for kind in self.kinds])

    def rounds(self, width: int) -> int:
        """Return the rounds of at most `width` flagged outputs of one part of a visit."""
        return self._total(
            [sum(-(-part.flagged // width) for part in kind.parts) for kind in self.kinds]
        )

    def _total(self, amounts: list[int]) -> int:
        """Return the sum over all visits of what each kind of them has."""
        numbers = np.bincount(self.sequence, minlength=len(self.kinds)).tolist()
        return sum(number * amount for number, amount in zip(numbers, amounts, strict=True))


def lower(trace: LayerTrace, hardware: Hardware, *, b_on_chip: bool = False) -> LoweredLayer:
    """Cut a layer into tiles for `hardware`; with `b_on_chip`, all of B is in its scratchpad.

    Raises AccelsimError if no tile fits the scratchpads, or the layer not the memory.
    """
    tiling = choose_tiling(trace, hardware)
    if b_on_chip:
        tiling = tiling._replace(keeps="".join(sorted({*tiling.keeps, "b"})))
    nest = Nest(trace, hardware)
    _check_memory(nest, tiling)
    flags = Flags(nest, tiling)
    if flags.number > MAX_FLAGGED_UNITS:
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: {flags.number} groups of outputs with flagged"
            f" ones, and at most {MAX_FLAGGED_UNITS} can be simulated"
        )
    visits = _Visits(nest, tiling, b_on_chip)
    kinds, sequence = visits.list(flags)
    return LoweredLayer(
        trace=trace,
        tiling=tiling,
        kinds=kinds,
        sequence=sequence,
        folds=int(nest.folds(tiling.extents)),
        counts=tally(nest, tiling, flags, b_on_chip),
    )


class _Visits:
    """Makes the visits of a layer, each kind of them once."""

    def __init__(self, nest: Nest, tiling: Tiling, b_on_chip: bool) -> None:
        self.nest = nest
        self.tiling = tiling
        self.b_on_chip = b_on_chip
        self.trips = nest.trips(tiling.extents)

    def list(self, flags: Flags) -> tuple[tuple[Visit, ...], NDArray[np.int32]]:
        """Return the distinct visits, and for each visit the number of its kind."""
        places = self.places()
        codes = np.zeros(len(places["m"]), np.int64)
        for axis in "mkn":
            last = getattr(self.trips, axis) - 1
            codes = codes * 4 + (places[axis] == 0) * 2 + (places[axis] == last)
        distinct, inverse = np.unique(codes, return_inverse=True)
        numbers: dict[Visit, int] = {}  # places may differ where what is done there does not
        kinds = [numbers.setdefault(self.visit(int(code)), len(numbers)) for code in distinct]
        once = np.array(kinds, np.int32)[inverse]
        sequence: NDArray[np.int32] = np.tile(once, self.nest.trace.repeats)
        if flags.number == 0:
            return tuple(numbers), sequence
        plain = tuple(numbers)
        ends = places["k"] == self.trips.k - 1
        for index in np.flatnonzero(np.tile(ends, self.nest.trace.repeats)):
            product, place = divmod(int(index), len(codes))
            i, j = int(places["m"][place]), int(places["n"][place])
            groups = flags.groups(product, i, j)
            if groups:
                before = plain[sequence[index]]
                visit = replace(before, parts=_parts(before.waves, groups, flags.chain))
                sequence[index] = numbers.setdefault(visit, len(numbers))
        return tuple(numbers), sequence

    def places(self) -> dict[str, NDArray[np.int64]]:
        """Return the tile indices of the visits of one product, in order."""
        loops = [getattr(self.trips, axis) for axis in self.tiling.order]
        grid = np.indices(loops).reshape(3, -1)
        return dict(zip(self.tiling.order, grid, strict=True))

    def visit(self, code: int) -> Visit:
        """Return the visit at a place that is first and last along each axis as `code` says."""
        nest, tiling = self.nest, self.tiling
        first = {axis: bool(code >> shift & 2) for axis, shift in (("m", 4), ("k", 2), ("n", 0))}
        last = {axis: bool(code >> shift & 1) for axis, shift in (("m", 4), ("k", 2), ("n", 0))}
        tile = Extents(
            *(
                size - (trips - 1) * step if last[axis] else step
                for axis, size, trips, step in zip(
                    "mkn", nest.shape, self.trips, tiling.extents, strict=True
                )
            )
        )
        widths = nest.widths(tiling.extents)
        keeps = {key: key in tiling.keeps for key in "abc"}
        outputs = tile.m * tile.n
        store = widths.output if last["k"] else 0 if keeps["c"] else widths.partial
        returns = bool(nest.folds_over_terms(tiling.extents) > 1)
        time = nest.mapping.wave_time(
            tile, nest.trace.accumulator.format, widths, nest.hardware.scratchpads, returns
        )
        again = (
            first["n"] or not keeps["a"],
            not self.b_on_chip and (first["m"] or not keeps["b"]),
        )
        comes_back = not first["k"] and not keeps["c"]
        return Visit(
            load_a_bytes=int(nest.block_bytes("a", tile)) if again[0] else 0,
            load_b_bytes=int(nest.block_bytes("b", tile)) if again[1] else 0,
            load_c_bytes=int(bytes_of(outputs, widths.partial)) if comes_back else 0,
            store_bytes=int(bytes_of(outputs, store)),
            wave_cycles=int(time.interval),
            stream_cycles=int(time.entering),
            stretch_cycles=int(time.stretch),
            drain_cycles=int(time.drain),
            redo_cycles=self.redo_cycles(tile),
            parts=(Part(nest.mapping.waves(tile)),),
        )

    def redo_cycles(self, tile: Extents) -> int:
        """Return the time of all folds over the terms of the outputs of a wave, done alone, if
        anything can be redone.
        """
        nest, tiling = self.nest, self.tiling
        again = nest.trace.recompute_accumulator
        if again is None:
            return 0
        widths = nest.widths(tiling.extents)._replace(partial=again.outer_format.bits)
        fmt, pads = again.format, nest.hardware.scratchpads
        returns = bool(nest.folds_over_terms(tiling.extents) > 1)
        rest = nest.shape.k - (self.trips.k - 1) * tiling.k
        total = 0
        for terms, times in ((tiling.k, self.trips.k - 1), (rest, 1)):
            part = tile._replace(k=terms)
            time = nest.mapping.wave_time(part, fmt, widths, pads, returns)
            total += times * nest.mapping.chain(terms) * int(time.interval + time.stretch)
        return total + int(time.drain)


def _parts(waves: int, groups: list[tuple[int, int, int]], chain: int) -> tuple[Part, ...]:
    """Cut a visit's waves after each that leaves flagged outputs."""
    parts, done = [], 0
    for group, flagged, refetch_bytes in groups:
        until = (group + 1) * chain
        parts.append(Part(until - done, flagged, refetch_bytes))
        done = until
    return tuple(parts) if done == waves else (*parts, Part(waves - done))


def _check_memory(nest: Nest, tiling: Tiling) -> None:
    """Raise AccelsimError if operands and outputs, or partial sums, exceed the DRAM."""
    trace, dram = nest.trace, nest.hardware.dram
    if dram.capacity_bytes is None:
        return
    widths = nest.widths(tiling.extents)
    held = max(widths.output, widths.partial) if "c" not in tiling.keeps else widths.output
    sizes = {
        "a": bytes_of(trace.repeats * trace.m * trace.k, widths.operand),
        "b": bytes_of(trace.repeats * trace.k * trace.n, widths.operand),
        "c": bytes_of(trace.outputs, int(held)),
    }
    total = sum(sizes.values())
    if total > dram.capacity_bytes:
        raise AccelsimError(
            f"layer {trace.name} on {nest.hardware.name}: operands of {sizes['a']} and {sizes['b']}"
            f" bytes and outputs of {sizes['c']} make {total}, but dram.capacity_bytes is"
            f" {dram.capacity_bytes}; at least {total} would fit"
        )
