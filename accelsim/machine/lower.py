"""From a layer's trace to what the machine does: folds with their transfers, and counts.

A tile of outputs (i, j) needs a strip of A (its rows) and one of B (its columns); where K is cut
into folds, fold k of a tile needs block k of each. Tiles go row by row or column by column. The
strip along the outer index is fetched once for each of its values if K is in one piece. Any other
operand is fetched once in all if it fits its scratchpad whole, else again for every tile. The
order with less DRAM traffic is taken, row by row if they are equal. Products that repeat follow
one another, each with operands of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from accelsim.errors import AccelsimError
from accelsim.machine.counts import Action, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.hardware import Hardware, Lanes, Rerun
from accelsim.machine.mapping import Mapping, map_gemm
from accelsim.machine.tiles import (
    Cut,
    bytes_of,
    check_fits,
    flagged_outputs,
    partial_sum_bits,
    refetched_bytes,
)
from accelsim.numerics import FloatFormat
from accelsim.trace import LayerTrace

FP32 = FloatFormat.parse("fp32")
QUEUE_ENTRY_BYTES = 8
"""Two 16-bit indices and a 32-bit partial result or address."""
QUEUE_SRAM_BYTES = 8192
"""The queue is charged as the smallest memory the tables know."""
MAX_FOLDS = 2_000_000
"""Folds are listed one by one: more would take minutes and gigabytes."""


@dataclass(frozen=True)
class Fold:
    """One filling of the array: what it fetches and stores, and how much of it is redone.

    A tile is opened by its first fold and closed by its last, which alone stores outputs and
    knows which are flagged. `refetch_bytes` are operands of the tile's earlier folds that have
    left the scratchpads and that redoing the flagged outputs needs again.
    """

    load_bytes: int
    store_bytes: int
    flagged: int
    opens: bool = True
    closes: bool = True
    refetch_bytes: int = 0


@dataclass(frozen=True)
class LoweredLayer:
    """A layer as the machine runs it.

    A fold keeps the array for `interval_cycles`, and its outputs are complete `drain_cycles`
    after that; a fold done alone takes `fold_cycles`, the sum of fill, terms and drain. All folds
    of a tile, done alone, take `tile_cycles`.
    """

    trace: LayerTrace
    order: Literal["rows", "columns"]
    folds: tuple[Fold, ...]
    fold_cycles: int
    interval_cycles: int
    drain_cycles: int
    tile_cycles: int
    counts: Counts

    @property
    def compute_cycles(self) -> int:
        """Cycles of the first pass if nothing ever waits."""
        return len(self.folds) * self.interval_cycles + self.drain_cycles


def lower(trace: LayerTrace, hardware: Hardware, *, b_on_chip: bool = False) -> LoweredLayer:
    """Cut a layer into folds for `hardware`; with `b_on_chip`, all of B is in its scratchpad.

    Raises AccelsimError if a block of an operand or a tile of outputs does not fit half its
    scratchpad.
    """
    array, pads = hardware.array, hardware.scratchpads
    mapping = map_gemm(trace.m, trace.k, trace.n, array)
    count = trace.repeats * mapping.folds
    if count > MAX_FOLDS:
        times = f"{trace.repeats} times " if trace.repeats > 1 else ""
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: {times}{trace.m}x{trace.n} outputs are"
            f" {count} folds of {array.rows}x{array.cols}, and at most {MAX_FOLDS} can be"
            " simulated"
        )
    cut = Cut(trace, mapping)
    check_fits(trace, hardware, cut)

    # Where another product follows, its first blocks arrive while this one's operands are in use.
    share = 1 if trace.repeats == 1 else 2
    a_resident = share * cut.all_a_bytes <= pads.a.capacity_bytes
    b_resident = share * cut.all_b_bytes <= pads.b.capacity_bytes
    whole = mapping.term_strips == 1
    a_kept, b_kept = whole or a_resident, whole or b_resident
    # Times that each operand is fetched in either order.
    by_rows = (1 if a_kept else mapping.col_strips, 1 if b_resident else mapping.row_strips)
    by_columns = (1 if a_resident else mapping.col_strips, 1 if b_kept else mapping.row_strips)
    order: Literal["rows", "columns"] = "rows"
    if cut.operand_bytes(*by_columns) < cut.operand_bytes(*by_rows):
        order = "columns"
    times_a, times_b = by_rows if order == "rows" else by_columns
    if b_on_chip:
        times_b = 0

    flagged = flagged_outputs(trace, mapping)
    refetched = refetched_bytes(trace, mapping, a_resident, b_resident)
    again = refetched["a"] + refetched["b"]
    folds: list[Fold] = []
    visits = _visits(order, mapping.row_strips, mapping.col_strips)
    for product in range(trace.repeats):
        for i, j in visits:
            for strip in range(mapping.term_strips):
                closes = strip == mapping.term_strips - 1
                load_a = int(cut.a[i, strip]) if j == 0 or times_a > 1 else 0
                load_b = int(cut.b[strip, j]) if (i == 0 and times_b) or times_b > 1 else 0
                fold = Fold(
                    load_bytes=load_a + load_b,
                    store_bytes=int(cut.c[i, j]) if closes else 0,
                    flagged=int(flagged[product, i, j]) if closes else 0,
                    opens=strip == 0,
                    closes=closes,
                    refetch_bytes=int(again[product, i, j]) if closes else 0,
                )
                folds.append(fold)
    loaded = {
        "a": trace.repeats * times_a * cut.all_a_bytes + int(refetched["a"].sum()),
        "b": trace.repeats * times_b * cut.all_b_bytes + int(refetched["b"].sum()),
    }
    return LoweredLayer(
        trace=trace,
        order=order,
        folds=tuple(folds),
        fold_cycles=mapping.fold_cycles,
        interval_cycles=mapping.interval_cycles,
        drain_cycles=mapping.drain_cycles,
        tile_cycles=mapping.tile_cycles,
        counts=_arithmetic(trace) + _memory(trace, hardware, mapping, loaded),
    )


def _arithmetic(trace: LayerTrace) -> Counts:
    acc, again, detector = trace.accumulator, trace.recompute_accumulator, trace.detector
    redone = trace.recomputed_outputs
    entries: list[tuple[str, Action, int]] = [
        ("array", arithmetic("multiply", trace.operand_format), trace.macs),
        ("array", arithmetic("add", acc.format), trace.macs),
        # The bias is added in fp32, once more for every output that is redone.
        ("vector", arithmetic("add", FP32), trace.outputs + redone),
    ]
    if acc.chunk is not None:
        chunks = -(-trace.k // acc.chunk)
        entries.append(("array", arithmetic("add", acc.outer_format), trace.outputs * chunks))
    if again is not None:
        entries += [
            ("recompute", arithmetic("multiply", trace.operand_format), redone * trace.k),
            ("recompute", arithmetic("add", again.format), redone * trace.k),
        ]
    if detector is not None:
        if detector.numerator_format is not None:
            entries.append(("detector", arithmetic("add", detector.numerator_format), trace.macs))
        entries += [
            ("detector", arithmetic("compare", FP32), trace.outputs * detector.compares_per_output),
            (
                "detector",
                arithmetic("multiply", FP32),
                trace.outputs * detector.multiplies_per_output,
            ),
        ]
    return Counts(entries)


def _memory(
    trace: LayerTrace, hardware: Hardware, mapping: Mapping, loaded: dict[str, int]
) -> Counts:
    pads, dram = hardware.scratchpads, hardware.dram.type
    words = {
        "a": trace.repeats * trace.m * trace.k * mapping.col_strips,
        "b": trace.repeats * trace.k * trace.n * mapping.row_strips,
    }
    redone = _redone_words(trace, hardware, mapping)
    entries: list[tuple[str, Action, int]] = []
    for key, pad in (("a", pads.a), ("b", pads.b)):
        component, capacity = f"scratchpad_{key}", pad.capacity_bytes
        read = bytes_of(words[key] + redone[key], trace.operand_format.bits)
        entries += [
            ("dram", DramAccess("read", dram), loaded[key]),
            (component, Sram("write", capacity), loaded[key]),
            (component, Sram("read", capacity), read),
        ]
    out_bytes = bytes_of(trace.outputs, trace.output_format.bits)
    redone_bytes = bytes_of(trace.recomputed_outputs, trace.output_format.bits)
    # Each fold of a tile but the last leaves its sums in c, and the next one takes them back.
    returns = mapping.term_strips - 1
    partial = bytes_of(trace.outputs * returns, partial_sum_bits(trace, mapping.terms))
    if isinstance(hardware.recompute, Rerun) and trace.recompute_accumulator is not None:
        wide = trace.recompute_accumulator.outer_format.bits
        partial += bytes_of(trace.recomputed_outputs * returns, wide)
    entries += [
        ("scratchpad_c", Sram("write", pads.c.capacity_bytes), out_bytes + redone_bytes + partial),
        ("scratchpad_c", Sram("read", pads.c.capacity_bytes), out_bytes + partial),
        ("dram", DramAccess("write", dram), out_bytes),
    ]
    if isinstance(hardware.recompute, Lanes):
        queued = trace.recomputed_outputs * QUEUE_ENTRY_BYTES
        entries += [
            ("queue", Sram("write", QUEUE_SRAM_BYTES), queued),
            ("queue", Sram("read", QUEUE_SRAM_BYTES), queued),
        ]
    return Counts(entries)


def _redone_words(trace: LayerTrace, hardware: Hardware, mapping: Mapping) -> dict[str, int]:
    """Return the operand words that recomputation reads from scratchpads a and b.

    Outputs that are redone together, in the lanes of one round or in one tile of the array, read
    a row or column that several of them need once, and share it.
    """
    if trace.recomputed is None:
        return {"a": 0, "b": 0}
    row, col = np.nonzero(trace.recomputed)
    strip = row // trace.m * mapping.row_strips + row % trace.m // mapping.tile_rows
    tile = strip * mapping.col_strips + col // mapping.tile_cols
    order = np.argsort(tile, kind="stable")  # within a tile the order stays row by row
    tile, row, col = tile[order], row[order], col[order]
    together = tile
    if isinstance(hardware.recompute, Lanes):
        place = np.arange(tile.size) - np.searchsorted(tile, tile)
        together = tile * trace.outputs + place // hardware.recompute.width
    # Rows and columns of the whole product tell apart what a tile's own would confuse.
    shared = {"a": together * trace.repeats * trace.m + row, "b": together * trace.n + col}
    return {key: np.unique(words).size * trace.k for key, words in shared.items()}


def _visits(order: str, rows: int, cols: int) -> list[tuple[int, int]]:
    if order == "rows":
        return [(i, j) for i in range(rows) for j in range(cols)]
    return [(i, j) for j in range(cols) for i in range(rows)]
