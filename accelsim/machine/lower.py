"""From a layer's trace to what the machine does: tiles with their transfers, waves and flags.

The loop nest of `tiling` visits scratchpad tiles. A visit fetches the blocks that are not there,
fills the arrays in waves (see `mapping`), and stores what is complete, or what cannot stay.
Products that repeat follow one another, each with operands of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.counts import ByCause, Counts
from accelsim.machine.flags import Grid, Place
from accelsim.machine.gather import Gather
from accelsim.machine.hardware import Dual, Hardware, Rerun
from accelsim.machine.mapping import Extents, WaveTime
from accelsim.machine.redo import Again, Nothing, Redo, Stop
from accelsim.machine.tally import tally
from accelsim.machine.tally_redo import tally_redo
from accelsim.machine.tiling import Nest, Tiling, bytes_of, choose_tiling
from accelsim.machine.visits import Part, Pass, Visit
from accelsim.trace import LayerTrace

MAX_FLAGGED_UNITS = 2_000_000
"""Chains with flagged outputs are listed one by one."""


@dataclass(frozen=True, eq=False)
class LoweredLayer:
    """A layer as the machine runs it: a first pass, and a deferred one if that is how it redoes.

    `folds` are fillings of one array in the first pass. `redone_outputs` are computed again,
    flagged or not. What waits to be redone at the end of the layer is in a list of `list_bytes`.
    """

    trace: LayerTrace
    tiling: Tiling
    first: Pass
    deferred: Pass | None
    folds: int
    redone_outputs: int
    list_bytes: int
    by_cause: ByCause

    @cached_property
    def counts(self) -> Counts:
        """All actions, whatever they are done for."""
        return self.by_cause.total

    @property
    def passes(self) -> tuple[Pass, ...]:
        """What the machine goes through, one after the other."""
        return (self.first,) if self.deferred is None else (self.first, self.deferred)

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

    @property
    def gather_cycles(self) -> int:
        """Cycles in which lines are put in dense order to be redone."""
        return self.first.gather_cycles + (self.deferred.gather_cycles if self.deferred else 0)


def lower(trace: LayerTrace, hardware: Hardware, *, b_on_chip: bool = False) -> LoweredLayer:
    """Cut a layer into tiles for `hardware`; with `b_on_chip`, all of B is in its scratchpad.

    Raises AccelsimError if no tile fits the scratchpads, or the layer not the memory.
    """
    _check_formats(trace, hardware)
    tiling = choose_tiling(trace, hardware)
    if b_on_chip:
        tiling = tiling._replace(keeps="".join(sorted({*tiling.keeps, "b"})))
    nest = Nest(trace, hardware)
    _check_memory(nest, tiling)
    grid = Grid(nest, tiling)
    redo = _redo(grid, b_on_chip)
    if redo.units() > MAX_FLAGGED_UNITS:
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: {redo.units()} groups of outputs with flagged"
            f" ones, and at most {MAX_FLAGGED_UNITS} can be simulated"
        )
    deferred = redo.deferred()
    work = redo.work(deferred)
    return LoweredLayer(
        trace=trace,
        tiling=tiling,
        first=_Visits(nest, tiling, b_on_chip).first_pass(redo.stops(), _slow_waves(grid)),
        deferred=deferred,
        folds=int(nest.folds(tiling.extents)),
        redone_outputs=work.outputs,
        list_bytes=work.list_bytes,
        by_cause=tally(nest, tiling, b_on_chip) + tally_redo(nest, tiling, work),
    )


def _redo(grid: Grid, b_on_chip: bool) -> Redo:
    """Return what is redone of a layer."""
    unit = grid.nest.hardware.recompute
    if isinstance(unit, Dual) or not grid.nest.trace.recomputed_outputs:
        return Nothing()
    if isinstance(unit, Rerun) and unit.packs:
        return Gather(grid, b_on_chip)
    return Again(grid, b_on_chip)


def _slow_waves(grid: Grid) -> dict[Place, list[int]]:
    """Return the waves of each tile that take the time of the high accumulator: on dual ones,
    those with outputs of a mask that was known before.
    """
    trace = grid.nest.trace
    dual = isinstance(grid.nest.hardware.recompute, Dual)
    if not dual or not trace.static or not trace.recomputed_outputs:
        return {}
    places: dict[Place, list[int]] = {}
    for number in np.unique(grid.waves()[grid.by_unit(grid.flagged()) > 0]).tolist():
        place, wave = grid.place_of(number)
        places.setdefault(place, []).append(wave)
    return places


class _Visits:
    """Makes the visits of a layer, each kind of them once."""

    def __init__(self, nest: Nest, tiling: Tiling, b_on_chip: bool) -> None:
        self.nest = nest
        self.tiling = tiling
        self.b_on_chip = b_on_chip
        self.trips = nest.trips(tiling.extents)
        self.tiles: dict[int, Extents] = {}
        self.wholes: dict[int, Part] = {}
        self.known_reads: dict[int, tuple[int, int]] = {}

    def first_pass(self, stops: dict[Place, list[Stop]], slow: dict[Place, list[int]]) -> Pass:
        """Return all visits, some cut where they stop or where waves are slow."""
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
        plain = tuple(numbers)
        rank = np.empty((self.trips.k, self.trips.m, self.trips.n), np.int64)
        rank[places["k"], places["m"], places["n"]] = np.arange(len(codes))
        for place, k, parts in self.cuts(stops, slow):
            index = place.product * len(codes) + int(rank[k, place.i, place.j])
            visit = plain[sequence[index]].with_parts(parts)
            sequence[index] = numbers.setdefault(visit, len(numbers))
        return Pass(tuple(numbers), sequence)

    def cuts(
        self, stops: dict[Place, list[Stop]], slow: dict[Place, list[int]]
    ) -> Iterator[tuple[Place, int, tuple[Part, ...]]]:
        """Yield the parts of each visit that is cut, with its place and its tile over the terms."""
        last = int(self.trips.k) - 1
        chain = self.nest.mapping.chain
        for place, where in stops.items():
            code = self.code(place, last)
            parts = _stopping(self.whole(code), where, chain(self.tile(code).k), self.reads(code))
            yield place, last, parts
        for place, waves in slow.items():
            for k in range(last + 1):
                code = self.code(place, k)
                tile = self.tile(code)
                high = self.time(tile, self.nest.masked_mac_cycles)
                yield place, k, _slowed(self.whole(code), waves, chain(tile.k), high)

    def whole(self, code: int) -> Part:
        """Return all waves of the tile at a place, which are alike."""
        if code not in self.wholes:
            tile = self.tile(code)
            time = self.time(tile, self.nest.mac_cycles)
            self.wholes[code] = Part(self.nest.mapping.waves(tile), time)
        return self.wholes[code]

    def code(self, place: Place, k: int) -> int:
        """Return which axes a tile is the first or last along, as a number."""
        code = 0
        for trips, at in zip(self.trips, (place.i, k, place.j), strict=True):
            code = code * 4 + (at == 0) * 2 + (at == trips - 1)
        return code

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
            parts=(self.whole(code),),
        )

    def time(self, tile: Extents, mac: int) -> WaveTime:
        """Return the time of a wave of a tile, at a MAC every `mac` cycles."""
        nest, extents = self.nest, self.tiling.extents
        returns = bool(nest.folds_over_terms(extents) > 1)
        pads, widths = nest.hardware.scratchpads, nest.widths(extents)
        return WaveTime(*map(int, nest.mapping.wave_time(tile, mac, widths, pads, returns)))

    def reads(self, code: int) -> tuple[int, int]:
        """Return the cycles in which a wave of the tile at a place reads A and B."""
        if code not in self.known_reads:
            nest = self.nest
            widths, pads = nest.widths(self.tiling.extents), nest.hardware.scratchpads
            cycles = nest.mapping.read_cycles(self.tile(code), widths, pads)
            self.known_reads[code] = int(cycles["a"]), int(cycles["b"])
        return self.known_reads[code]

    def tile(self, code: int) -> Extents:
        """Return the extents of the tile at a place that is last along the axes `code` says."""
        if code not in self.tiles:
            self.tiles[code] = Extents(
                *(
                    size - (trips - 1) * step if code >> shift & 1 else step
                    for shift, size, trips, step in zip(
                        (4, 2, 0), self.nest.shape, self.trips, self.tiling.extents, strict=True
                    )
                )
            )
        return self.tiles[code]


def _stopping(
    whole: Part, stops: list[Stop], chain: int, reads: tuple[int, int]
) -> tuple[Part, ...]:
    """Cut a visit's waves after each chain of them after which something is redone.

    A wave reads for so many cycles. What lanes read in more cycles than the waves of a part leave
    free holds the arrays.
    """
    parts, done = [], 0
    for stop in stops:
        until = (stop.wave + 1) * chain
        waves = until - done
        both = (waves * own + other for own, other in zip(reads, stop.lane_reads, strict=True))
        held = max(both) - waves * whole.slow_wave_cycles if any(stop.lane_reads) else 0
        what = stop.flagged, stop.refetch_bytes, stop.redo_cycles, stop.gather_cycles
        parts.append(Part(waves, whole.time, *what, max(0, held)))
        done = until
    left = whole.waves - done
    return (*parts, whole._replace(waves=left)) if left else tuple(parts)


def _slowed(whole: Part, chains: list[int], chain: int, slow: WaveTime) -> tuple[Part, ...]:
    """Cut a visit's waves where chains of them take another time."""
    parts: list[Part] = []
    slowed = set(chains)
    for number in range(whole.waves // chain):
        time = slow if number in slowed else whole.time
        if parts and parts[-1].time == time:
            parts[-1] = parts[-1]._replace(waves=parts[-1].waves + chain)
        else:
            parts.append(Part(chain, time))
    return tuple(parts)


def _check_formats(trace: LayerTrace, hardware: Hardware) -> None:
    """Raise AccelsimError if the recompute unit cannot do what is asked for, or in that format."""
    if trace.recompute_slices is not None and isinstance(hardware.recompute, Dual):
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: the policy recomputes from slices, but two"
            " accumulators in every PE add the same products: allowed are recompute.unit array and"
            " lanes"
        )
    again, formats = trace.recompute_accumulator, hardware.recompute.formats
    if again is None or formats is None or again.format.name in formats:
        return
    raise AccelsimError(
        f"layer {trace.name} on {hardware.name}: the policy recomputes in {again.format.name}, but"
        f" the formats of recompute.formats are {' and '.join(formats)}"
    )


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
    check_sizes(trace, nest.hardware, **sizes)


def check_sizes(trace: LayerTrace, hardware: Hardware, a: int, b: int, c: int) -> None:
    """Raise AccelsimError if operands a and b and outputs c, in bytes, exceed the DRAM."""
    total, capacity_bytes = a + b + c, hardware.dram.capacity_bytes
    if capacity_bytes is not None and total > capacity_bytes:
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: operands of {a} and {b} bytes and outputs of"
            f" {c} make {total}, but dram.capacity_bytes is {capacity_bytes}; at least {total}"
            " would fit"
        )
