"""From a layer's trace to what the machine does: tiles with their transfers, waves and flags.

The loop nest of `tiling` visits scratchpad tiles. A visit fetches the blocks that are not there,
fills the arrays in waves (see `mapping`), and stores what is complete, or what cannot stay.
Products that repeat follow one another, each with operands of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.counts import Counts
from accelsim.machine.flags import Flags
from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.mapping import Extents, WaveTime
from accelsim.machine.tally import tally
from accelsim.machine.tiling import Nest, Tiling, bytes_of, choose_tiling
from accelsim.machine.visits import Part, Pass, Visit
from accelsim.trace import LayerTrace

MAX_FLAGGED_UNITS = 2_000_000
"""Chains with flagged outputs are listed one by one."""


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """A layer as the machine runs it. `folds` are fillings of one array."""

    trace: LayerTrace
    tiling: Tiling
    first: Pass
    folds: int
    counts: Counts

    @property
    def visits(self) -> list[Visit]:
        """Every visit of the first pass, in order."""
        return self.first.visits

    @property
    def waves(self) -> int:
        """Fillings of all arrays together in the first pass."""
        return self.first.waves

    @property
    def compute_cycles(self) -> int:
        """Cycles of the first pass if nothing ever waits."""
        return self.first.compute_cycles

    @property
    def stream_cycles(self) -> int:
        """Cycles in which terms enter the arrays in the first pass."""
        return self.first.stream_cycles


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
    return LoweredLayer(
        trace=trace,
        tiling=tiling,
        first=_Visits(nest, tiling, b_on_chip).list(flags),
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

    def list(self, flags: Flags) -> Pass:
        """Return all visits."""
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
            return Pass(tuple(numbers), sequence)
        plain = tuple(numbers)
        ends = places["k"] == self.trips.k - 1
        for index in np.flatnonzero(np.tile(ends, self.nest.trace.repeats)):
            product, place = divmod(int(index), len(codes))
            i, j = int(places["m"][place]), int(places["n"][place])
            groups = flags.groups(product, i, j)
            if groups:
                before = plain[sequence[index]]
                redo_cycles = self.redo_cycles(self.tile(int(codes[place])))
                parts = _parts(before.parts[0], groups, flags.chain, redo_cycles)
                visit = replace(before, parts=parts)
                sequence[index] = numbers.setdefault(visit, len(numbers))
        return Pass(tuple(numbers), sequence)

    def places(self) -> dict[str, NDArray[np.int64]]:
        """Return the tile indices of the visits of one product, in order."""
        loops = [getattr(self.trips, axis) for axis in self.tiling.order]
        grid = np.indices(loops).reshape(3, -1)
        return dict(zip(self.tiling.order, grid, strict=True))

    def visit(self, code: int) -> Visit:
        """Return the visit at a place that is first and last along each axis as `code` says."""
        nest, tiling, tile = self.nest, self.tiling, self.tile(code)
        first = {axis: bool(code >> shift & 2) for axis, shift in (("m", 4), ("k", 2), ("n", 0))}
        last = {axis: bool(code >> shift & 1) for axis, shift in (("m", 4), ("k", 2), ("n", 0))}
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
            parts=(Part(nest.mapping.waves(tile), WaveTime(*map(int, time))),),
        )

    def tile(self, code: int) -> Extents:
        """Return the extents of the tile at a place that is last along the axes `code` says."""
        return Extents(
            *(
                size - (trips - 1) * step if code >> shift & 1 else step
                for shift, size, trips, step in zip(
                    (4, 2, 0), self.nest.shape, self.trips, self.tiling.extents, strict=True
                )
            )
        )

    def redo_cycles(self, tile: Extents) -> int:
        """Return the time of all folds over the terms of the outputs of a wave, done alone; for
        lanes, that of a round.
        """
        nest, tiling = self.nest, self.tiling
        if isinstance(nest.hardware.recompute, Lanes):
            return nest.trace.k
        again = nest.trace.recompute_accumulator
        assert again is not None
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


def _parts(
    whole: Part, groups: list[tuple[int, int, int]], chain: int, redo_cycles: int
) -> tuple[Part, ...]:
    """Cut a visit's waves after each that leaves flagged outputs."""
    parts, done = [], 0
    for group, flagged, refetch_bytes in groups:
        until = (group + 1) * chain
        parts.append(Part(until - done, whole.time, flagged, refetch_bytes, redo_cycles))
        done = until
    left = whole.waves - done
    return (*parts, replace(whole, waves=left)) if left else tuple(parts)


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
