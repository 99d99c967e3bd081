"""Which part of a layer is in the scratchpads when: the loop nest, its DRAM traffic, the search.

A product is cut into tiles of m×k×n, and three loops visit them in an order, outermost first. Each
operand is touched by two of the loops and is foreign to the third: A (m×k) to n, B (k×n) to m,
C (m×n) to k. A scratchpad either **keeps** its operand across the foreign loop, which takes room
for all blocks that the loops inside that one touch, or holds one block at a time. In bytes from and
to DRAM, for one product:

* A: |A| if kept, else ⌈N/n⌉·|A|; B likewise, |B| or ⌈M/m⌉·|B|.
* C: the outputs |C| leave once. If C is not kept, partial sums leave and come back between the
  ⌈K/k⌉ tiles over the terms: 2·(⌈K/k⌉-1)·|C| more, at the width of partial sums.

Blocks are packed, and each takes whole bytes. A double-buffered scratchpad needs room for one block
more than it keeps, unless no other follows.

The search takes, for every number of tiles along m, k and n, the smallest tile that gives this
number (a larger one moves the same bytes and takes more room), and every order. Of those that fit,
the least traffic wins, give or take `TIED_PERCENT`; of those so tied the fewest folds of the array,
then the least `estimate`, then the least traffic, then the fewest tiles, then the order as listed
in `ORDERS`, then the smallest m, k and n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.hardware import Dual, Hardware, Lanes, LoopOrder
from accelsim.machine.mapping import Extents, Mapping, Number, Widths
from accelsim.machine.sums import partial_sum_bits
from accelsim.numerics import Accumulator
from accelsim.trace import LayerTrace

ORDERS: tuple[LoopOrder, ...] = get_args(LoopOrder)
FOREIGN = {"a": "n", "b": "m", "c": "k"}
AXES = {"a": ("m", "k"), "b": ("k", "n"), "c": ("m", "n")}
MAX_TILES = 2_000_000
"""Tiles are listed one by one: more would take minutes and gigabytes."""
MAX_MACS = 2**46
"""Keeps every number of bytes and cycles of a search within 64 bits."""
MAX_REMEMBERED = 10_000
TIED_PERCENT = 5
"""Tilings that move at most so much more than the least count as equal: those that save the last
few per cent of bytes can be of slivers, and take several times as long.
"""


class Tiling(NamedTuple):
    """Sizes of a tile, the order of the loops, and which scratchpads keep their operand."""

    m: int
    k: int
    n: int
    order: LoopOrder
    keeps: str

    @property
    def extents(self) -> Extents:
        """Rows, terms and columns of a tile that is not at an edge."""
        return Extents(self.m, self.k, self.n)

    def __str__(self) -> str:
        return f"{self.m}x{self.k}x{self.n} {self.order}"


@dataclass(frozen=True)
class Nest:
    """The loop nest of a layer on a machine; sizes of tiles are integers, or arrays of them."""

    trace: LayerTrace
    hardware: Hardware

    @property
    def mapping(self) -> Mapping:
        """The machine's array."""
        return Mapping(self.hardware.array)

    @property
    def shape(self) -> Extents:
        """The whole product."""
        return Extents(self.trace.m, self.trace.k, self.trace.n)

    @property
    def mac_cycles(self) -> int:
        """Cycles from one MAC of a PE to the next in the first pass.

        Two accumulators side by side keep step with the slower one; where a mask was known before,
        only one of them works, and waves without masked outputs take the time of the low one.
        """
        trace, array = self.trace, self.hardware.array
        again = trace.recompute_accumulator
        if isinstance(self.hardware.recompute, Dual) and again is not None and not trace.static:
            return array.mac_cycles(trace.accumulator, again)
        return array.mac_cycles(trace.accumulator)

    @property
    def masked_mac_cycles(self) -> int:
        """The same for a wave in which some accumulators are high, after a mask known before."""
        again = self.trace.recompute_accumulator
        accumulators = [self.trace.accumulator, *([] if again is None else [again])]
        return self.hardware.array.mac_cycles(*accumulators)

    @property
    def redo_sum_bits(self) -> int | None:
        """Width at which partial sums of what is redone lie in scratchpad c, if there are any."""
        again, unit = self.trace.recompute_accumulator, self.hardware.recompute
        if again is None or isinstance(unit, Dual) or not self.trace.recomputed_outputs:
            return None
        if isinstance(unit, Lanes) and not self.hardware.defers:
            return None
        return again.kept_bits

    @property
    def slice_sum_bits(self) -> int:
        """Width at which sums over pairs of slices lie in scratchpad c, if there are any."""
        slices = self.trace.recompute_slices
        return slices.sum_bits if slices and self.trace.recomputed_outputs else 0

    def trips(self, tile: Extents) -> Extents:
        """Return the number of tiles along each axis."""
        return Extents(*(-(-size // step) for size, step in zip(self.shape, tile, strict=True)))

    def folds_over_terms(self, tile: Extents) -> Number:
        """Return the folds that each output takes part in."""
        return -(-self.trace.k // tile.k) if self.hardware.array.dataflow == "os" else self._chain

    def redo_folds_over_terms(self, tile: Extents) -> int:
        """Return in how many turns an output is redone: folds, or on lanes tiles over the terms."""
        if isinstance(self.hardware.recompute, Lanes):
            return int(self.trips(tile).k)
        return int(self.folds_over_terms(tile))

    @property
    def _chain(self) -> int:
        return -(-self.trace.k // self.hardware.array.rows)

    def folds(self, tile: Extents) -> Number:
        """Return the fillings of one array, in all repeats."""
        rows, cols = self.mapping.unit(tile)
        units = -(-self.shape.m // rows) * -(-self.shape.n // cols)
        return self.trace.repeats * units * self.folds_over_terms(tile)

    def widths(self, tile: Extents) -> Widths:
        """Return the bits of operands, outputs and partial sums."""
        dual = isinstance(self.hardware.recompute, Dual)
        partial = partial_sum_bits(self.trace, self.mapping.fold_terms(tile), dual)
        return Widths(self.trace.operand_format.bits, self.trace.output_format.bits, partial)

    def held_bits(self, key: str, tile: Extents) -> Number:
        """Return the width at which a scratchpad holds a value: for c, that of partial sums if
        there are any, or of those of a rerun and its passes.
        """
        if key != "c":
            return self.trace.operand_format.bits
        partial = self.widths(tile).partial
        if self.redo_sum_bits is not None:
            partial = np.maximum(partial, self.redo_sum_bits + self.slice_sum_bits)
        output = max(self.trace.output_format.bits, self.slice_sum_bits)
        return np.where(self.folds_over_terms(tile) > 1, np.maximum(partial, output), output)

    def block_bytes(self, key: str, tile: Extents) -> Number:
        """Return the room that one block takes in its scratchpad."""
        return bytes_of(_area(key, tile), self.held_bits(key, tile))

    def room_bytes(self, key: str, tile: Extents, order: str, keep: bool) -> Number:
        """Return the room that an operand needs in its scratchpad."""
        inside = order[order.index(FOREIGN[key]) + 1 :] if keep else ""
        kept = Extents(
            *(
                getattr(self.shape if axis in inside else tile, axis)
                if axis in AXES[key]
                else getattr(tile, axis)
                for axis in "mkn"
            )
        )
        more = _area(key, kept) < _area(key, self.shape)
        if self.trace.repeats > 1:
            more = more | True
        depth = getattr(self.hardware.scratchpads, key).depth
        spare = np.where(more, depth - 1, 0) * self.block_bytes(key, tile)
        return bytes_of(_area(key, kept), self.held_bits(key, tile)) + spare

    def traffic_bytes(self, key: str, tile: Extents, keep: Number) -> Number:
        """Return the bytes that all repeats move between DRAM and a scratchpad.

        This is the formula at the top of the module.
        """
        trips = self.trips(tile)
        foreign = getattr(trips, FOREIGN[key])
        if key == "c":
            widths = self.widths(tile)
            once = self._whole_bytes(key, tile, widths.output)
            between = 2 * (foreign - 1) * self._whole_bytes(key, tile, widths.partial)
            return self.trace.repeats * (once + np.where(keep, 0, between))
        whole = self._whole_bytes(key, tile, self.trace.operand_format.bits)
        return self.trace.repeats * np.where(keep, 1, foreign) * whole

    def _whole_bytes(self, key: str, tile: Extents, bits: Number) -> Number:
        """Return the bytes of all blocks of an operand: full ones, and those at the edges."""
        (full_x, count_x, edge_x), (full_y, count_y, edge_y) = (
            (step, size // step, size % step)
            for axis in AXES[key]
            for step, size in [(getattr(tile, axis), getattr(self.shape, axis))]
        )
        return (
            count_x * count_y * bytes_of(full_x * full_y, bits)
            + count_y * bytes_of(edge_x * full_y, bits)
            + count_x * bytes_of(full_x * edge_y, bits)
            + bytes_of(edge_x * edge_y, bits)
        )

    def estimate(self, tile: Extents, keeps: dict[str, Number]) -> Number:
        """Return about how many cycles a tiling takes.

        A tile takes the longest of its time on the array; its transfers; and half of both and the
        latency of the memory, as two tiles are under way at a time. Transfers of a scratchpad with
        one buffer come on top, and so do those of the first tile. Tiles at the edges count as full.
        """
        trips, widths, pads = self.trips(tile), self.widths(tile), self.hardware.scratchpads
        returns = self.folds_over_terms(tile) > 1
        time = self.mapping.wave_time(tile, self.mac_cycles, widths, pads, returns)
        busy = self.mapping.waves(tile) * (time.interval + time.stretch)
        rate, latency = self.hardware.cycles_per_byte, self.hardware.dram_latency_cycles
        outputs = rate * bytes_of(tile.m * tile.n, widths.output)
        sums = rate * bytes_of(tile.m * tile.n, widths.partial)
        load = {key: rate * self.block_bytes(key, tile) for key in ("a", "b")}
        total = load["a"] + load["b"] + latency + outputs
        for first in (Extents(*bits) for bits in np.ndindex(2, 2, 2)):
            number: Number = self.trace.repeats
            for is_first, count in zip(first, trips, strict=True):
                number = number * (1.0 if is_first else count - 1.0)
            if not np.any(number):
                continue
            fetched = {
                "a": load["a"] * (1 if first.n else ~keeps["a"]),
                "b": load["b"] * (1 if first.m else ~keeps["b"]),
            }
            # As many tiles are the first over the terms as are the last, which leave outputs.
            left = np.where(keeps["c"] | (trips.k == 1), outputs * first.k, 2 * sums)
            ahead = sum(fetched[key] for key in fetched if getattr(pads, key).depth == 2)
            first_then = sum(fetched[key] for key in fetched if getattr(pads, key).depth == 1)
            beside = ahead + (left if pads.c.depth == 2 else 0)
            between = (busy + ahead + np.where(ahead > 0, latency, 0)) / 2
            alone = first_then + np.where(first_then > 0, latency, 0)
            alone = alone + (left if pads.c.depth == 1 else 0)
            total = total + number * (alone + np.maximum(busy, np.maximum(beside, between)))
        return total


_found: dict[tuple[LayerTrace, Accumulator | None, bool, Hardware], Tiling] = {}


def bytes_of(elements: Number, bits: Number) -> Number:
    """Return the bytes of elements that are packed without gaps."""
    return -(-elements * bits // 8)


def choose_tiling(trace: LayerTrace, hardware: Hardware) -> Tiling:
    """Return the tiling of a layer, searched for or as far as given by the hardware.

    A search is done once for all layers that differ in name and in which outputs are flagged, if
    any. Raises AccelsimError if no tiling fits, or if what is given does not suit the array.
    """
    again = trace.recompute_accumulator
    shape = replace(trace, name="", recompute_accumulator=None, recomputed=None)
    key = shape, again, trace.recomputed_outputs > 0, hardware
    if key not in _found:
        if len(_found) >= MAX_REMEMBERED:
            _found.clear()
        _found[key] = search(trace, hardware)
    return _found[key]


def search(trace: LayerTrace, hardware: Hardware) -> Tiling:
    """Return the tiling of a layer as the top of this module says."""
    nest = Nest(trace, hardware)
    where = f"layer {trace.name} on {hardware.name}"
    if trace.macs > MAX_MACS:
        raise AccelsimError(
            f"{where}: {trace.macs} multiply-accumulates, and at most {MAX_MACS} can be simulated"
        )
    tile = _candidates(nest, where)
    visits = np.prod(np.stack(nest.trips(tile)).astype(np.float64), axis=0) * trace.repeats
    pads = hardware.scratchpads
    capacity = {key: getattr(pads, key).capacity_bytes for key in "abc"}
    rooms = {key: nest.room_bytes(key, tile, "mnk", keep=False) for key in "abc"}
    fits = np.all([rooms[key] <= capacity[key] for key in "abc"], axis=0)
    if not fits.any():
        _refuse(nest, where, tile, rooms)
    if not (fits & (visits <= MAX_TILES)).any():
        raise AccelsimError(
            f"{where}: the scratchpads, or the tiling given, cut it into at least"
            f" {int(visits[fits].min())} tiles, and at most {MAX_TILES} can be simulated"
        )
    tile = Extents(*(sizes[fits & (visits <= MAX_TILES)] for sizes in tile))
    orders = ORDERS if hardware.tiling.order is None else (hardware.tiling.order,)
    keeps = {
        order: {key: nest.room_bytes(key, tile, order, keep=True) <= capacity[key] for key in "abc"}
        for order in orders
    }
    traffic = {
        order: sum(nest.traffic_bytes(key, tile, keeps[order][key]) for key in "abc")
        for order in orders
    }
    least = min(int(total.min()) for total in traffic.values())
    ranked = []
    for rank, order in enumerate(orders):
        best = traffic[order] <= least + least * TIED_PERCENT // 100
        if best.any():
            folds = nest.folds(tile)
            best &= folds == folds[best].min()
            some = Extents(*(sizes[best] for sizes in tile))
            kept = {key: keeps[order][key][best] for key in "abc"}
            ranked.append(_first(nest, rank, order, some, kept, traffic[order][best]))
    return min(ranked)[1]


def _first(
    nest: Nest,
    rank: int,
    order: LoopOrder,
    tile: Extents,
    keeps: dict[str, NDArray[np.bool_]],
    traffic: NDArray[np.int64],
) -> tuple[tuple[float, ...], Tiling]:
    """Return the best of tied tilings of an order, after what it is compared by."""
    estimate = np.broadcast_to(nest.estimate(tile, keeps), tile.m.shape)
    visits = np.prod(np.stack(nest.trips(tile)), axis=0)
    folds = nest.folds(tile)
    best = np.lexsort((tile.n, tile.k, tile.m, visits, traffic, estimate, folds))[0]
    m, k, n = (int(sizes[best]) for sizes in tile)
    kept = "".join(key for key in "abc" if keeps[key][best])
    time, moved = float(estimate[best]), int(traffic[best])
    merit = int(folds[best]), time, moved, int(visits[best]), rank
    return merit, Tiling(m, k, n, order, kept)


def _candidates(nest: Nest, where: str) -> Extents:
    """Return the sizes of all tiles to try, as three arrays of equal length."""
    sizes = []
    for axis in "mkn":
        size, step = getattr(nest.shape, axis), getattr(nest.mapping.granule, axis)
        given = getattr(nest.hardware.tiling, axis)
        if given is None:
            sizes.append(_steps(size, step))
            continue
        if given < size and given % step:
            raise AccelsimError(
                f"{where}: tiling.{axis} is {given}, expected a multiple of {step}, which fills the"
                f" array, or at least the layer's {size}"
            )
        sizes.append(np.array([min(given, size)], np.int64))
    grid = np.meshgrid(*sizes, indexing="ij")
    return Extents(*(axis.ravel() for axis in grid))


def _steps(size: int, granule: int) -> NDArray[np.int64]:
    """Return, for every number of pieces, the smallest size of whole granules that gives it."""
    strips = -(-size // granule)
    root = int(strips**0.5) + 1
    few = np.arange(1, min(root, strips) + 1, dtype=np.int64)
    steps = np.unique(np.concatenate([-(-strips // few), few]))
    # Several steps may give one number of pieces: the smallest is kept.
    pieces = -(-strips // steps)
    smallest = np.append(True, pieces[1:] != pieces[:-1])
    capped: NDArray[np.int64] = np.minimum(steps[smallest] * granule, size)
    return capped


def _refuse(nest: Nest, where: str, tile: Extents, rooms: dict[str, NDArray[np.int64]]) -> None:
    """Raise AccelsimError for the tile that comes closest to fitting."""
    pads = nest.hardware.scratchpads
    capacity = {key: getattr(pads, key).capacity_bytes for key in "abc"}
    best = int(np.argmin(np.max([rooms[key] / capacity[key] for key in "abc"], axis=0)))
    one = Extents(*(int(sizes[best]) for sizes in tile))
    short, enough = [], []
    for key in "abc":
        room, bits = int(rooms[key][best]), int(nest.held_bits(key, one))
        if room <= capacity[key]:
            continue
        x, y = (getattr(one, axis) for axis in AXES[key])
        twice = "twice " if room > int(nest.block_bytes(key, one)) else ""
        short.append(
            f"{twice}{x}x{y} values of {bits} bits take {room} bytes of scratchpads.{key}, which"
            f" holds {capacity[key]}"
        )
        enough.append(f"scratchpads.{key}.capacity_bytes of at least {room}")
    raise AccelsimError(
        f"{where}: no tiling fits: for a tile of {one.m}x{one.k}x{one.n}, {'; '.join(short)};"
        f" {' and '.join(enough)} would fit"
    )


def _area(key: str, tile: Extents) -> Number:
    first, second = AXES[key]
    return getattr(tile, first) * getattr(tile, second)
