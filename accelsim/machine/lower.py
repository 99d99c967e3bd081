"""From a layer's trace to what the machine does: folds with their transfers, and counts.

Output stationary: fold (i, j) holds the outputs of rows i·R… and columns j·C… of the product,
one per PE, while K terms stream through. Each fold needs a strip of A (R×K) and one of B (K×C).
Folds go row by row or column by column; the strip along the outer index is fetched once for each
of its values, the other operand once in all if it fits its scratchpad whole, else once per fold.
The order with less DRAM traffic is taken, row by row if they are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.counts import Action, Counts, DramAccess, Sram, arithmetic
from accelsim.machine.hardware import Hardware, Lanes, Scratchpad
from accelsim.numerics import FloatFormat
from accelsim.trace import LayerTrace

FP32 = FloatFormat.parse("fp32")
QUEUE_ENTRY_BYTES = 8
"""Two 16-bit indices and a 32-bit partial result or address."""
QUEUE_SRAM_BYTES = 8192
"""The queue is charged as the smallest memory the tables know."""
MAX_FOLDS = 2_000_000
"""Folds are simulated one by one: more would take minutes and gigabytes."""


@dataclass(frozen=True)
class Fold:
    """One filling of the array: what it fetches and stores, and how much of it is redone."""

    load_bytes: int
    store_bytes: int
    flagged: int


@dataclass(frozen=True)
class LoweredLayer:
    """A layer as the machine runs it.

    A fold keeps the array for `interval_cycles`, and its outputs are complete `drain_cycles`
    after that; a fold done alone takes `fold_cycles`, the sum of fill, terms and drain.
    """

    trace: LayerTrace
    order: Literal["rows", "columns"]
    folds: tuple[Fold, ...]
    fold_cycles: int
    interval_cycles: int
    drain_cycles: int
    counts: Counts

    @property
    def compute_cycles(self) -> int:
        """Cycles of the first pass if nothing ever waits."""
        return len(self.folds) * self.interval_cycles + self.drain_cycles


def lower(trace: LayerTrace, hardware: Hardware) -> LoweredLayer:
    """Cut a layer into folds for `hardware`.

    Raises AccelsimError if a strip of an operand or a tile of outputs does not fit half its
    scratchpad.
    """
    array, pads = hardware.array, hardware.scratchpads
    count = -(-trace.m // array.rows) * -(-trace.n // array.cols)
    if count > MAX_FOLDS:
        raise AccelsimError(
            f"layer {trace.name} on {hardware.name}: {trace.m}x{trace.n} outputs are {count} folds"
            f" of {array.rows}x{array.cols}, and at most {MAX_FOLDS} can be simulated"
        )
    rows = _extents(trace.m, array.rows)
    cols = _extents(trace.n, array.cols)
    a_strips = [_bytes(int(r) * trace.k, trace.operand_format) for r in rows]
    b_strips = [_bytes(int(c) * trace.k, trace.operand_format) for c in cols]
    c_tile = _bytes(int(rows[0]) * int(cols[0]), trace.output_format)
    for pad, key, size, what in (
        (pads.a, "a", a_strips[0], f"{rows[0]} rows of {trace.k} terms"),
        (pads.b, "b", b_strips[0], f"{cols[0]} columns of {trace.k} terms"),
        (pads.c, "c", c_tile, f"{rows[0]}x{cols[0]} outputs"),
    ):
        _check_fits(trace.name, hardware.name, pad, key, size, what)

    a_resident = sum(a_strips) <= pads.a.capacity_bytes
    b_resident = sum(b_strips) <= pads.b.capacity_bytes
    by_rows = sum(a_strips) + sum(b_strips) * (1 if b_resident else len(rows))
    by_columns = sum(b_strips) + sum(a_strips) * (1 if a_resident else len(cols))
    order: Literal["rows", "columns"] = "rows" if by_rows <= by_columns else "columns"

    flagged = _flagged(trace, array.rows, array.cols)
    folds = []
    loaded = {"a": 0, "b": 0}
    for i, j in _visits(order, len(rows), len(cols)):
        if order == "rows":
            loads_a, loads_b = j == 0, i == 0 or not b_resident
        else:
            loads_a, loads_b = j == 0 or not a_resident, i == 0
        load_a, load_b = a_strips[i] * loads_a, b_strips[j] * loads_b
        loaded["a"] += load_a
        loaded["b"] += load_b
        folds.append(
            Fold(
                load_bytes=load_a + load_b,
                store_bytes=_bytes(int(rows[i] * cols[j]), trace.output_format),
                flagged=int(flagged[i, j]),
            )
        )

    fold_cycles = array.rows + array.cols + trace.k - 2
    interval = trace.k if array.overlap_folds else fold_cycles
    redone = _redone_words(trace, hardware)
    return LoweredLayer(
        trace=trace,
        order=order,
        folds=tuple(folds),
        fold_cycles=fold_cycles,
        interval_cycles=interval,
        drain_cycles=fold_cycles - interval,
        counts=_arithmetic(trace) + _memory(trace, hardware, len(rows), len(cols), loaded, redone),
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
    trace: LayerTrace,
    hardware: Hardware,
    row_strips: int,
    col_strips: int,
    loaded: dict[str, int],
    redone: dict[str, int],
) -> Counts:
    pads, dram = hardware.scratchpads, hardware.dram.type
    words = {"a": trace.m * trace.k * col_strips, "b": trace.k * trace.n * row_strips}
    entries: list[tuple[str, Action, int]] = []
    for key, pad in (("a", pads.a), ("b", pads.b)):
        component, capacity = f"scratchpad_{key}", pad.capacity_bytes
        read = _bytes(words[key] + redone[key], trace.operand_format)
        entries += [
            ("dram", DramAccess("read", dram), loaded[key]),
            (component, Sram("write", capacity), loaded[key]),
            (component, Sram("read", capacity), read),
        ]
    out_bytes = _bytes(trace.outputs, trace.output_format)
    redone_bytes = _bytes(trace.recomputed_outputs, trace.output_format)
    entries += [
        ("scratchpad_c", Sram("write", pads.c.capacity_bytes), out_bytes + redone_bytes),
        ("scratchpad_c", Sram("read", pads.c.capacity_bytes), out_bytes),
        ("dram", DramAccess("write", dram), out_bytes),
    ]
    if isinstance(hardware.recompute, Lanes):
        queued = trace.recomputed_outputs * QUEUE_ENTRY_BYTES
        entries += [
            ("queue", Sram("write", QUEUE_SRAM_BYTES), queued),
            ("queue", Sram("read", QUEUE_SRAM_BYTES), queued),
        ]
    return Counts(entries)


def _redone_words(trace: LayerTrace, hardware: Hardware) -> dict[str, int]:
    """Return the operand words that recomputation reads from scratchpads a and b.

    Outputs that are redone together, in the lanes of one round or in one fold of the array, read
    a row or column that several of them need once, and share it.
    """
    if trace.recomputed is None:
        return {"a": 0, "b": 0}
    row, col = np.nonzero(trace.recomputed)
    fold = row // hardware.array.rows * -(-trace.n // hardware.array.cols)
    fold += col // hardware.array.cols
    order = np.argsort(fold, kind="stable")  # within a fold the order stays row by row
    fold, row, col = fold[order], row[order], col[order]
    together = fold
    if isinstance(hardware.recompute, Lanes):
        place = np.arange(fold.size) - np.searchsorted(fold, fold)
        together = fold * trace.outputs + place // hardware.recompute.width
    # Rows and columns of the whole product tell apart what a fold's own would confuse.
    shared = {"a": together * trace.m + row, "b": together * trace.n + col}
    return {key: np.unique(words).size * trace.k for key, words in shared.items()}


def _flagged(trace: LayerTrace, height: int, width: int) -> NDArray[np.int64]:
    """Return the flagged outputs of each fold (row strips, column strips)."""
    row_starts, col_starts = np.arange(0, trace.m, height), np.arange(0, trace.n, width)
    if trace.recomputed is None:
        return np.zeros((row_starts.size, col_starts.size), np.int64)
    by_row = np.add.reduceat(trace.recomputed, col_starts, axis=1, dtype=np.int64)
    return np.add.reduceat(by_row, row_starts, axis=0)


def _visits(order: str, rows: int, cols: int) -> list[tuple[int, int]]:
    if order == "rows":
        return [(i, j) for i in range(rows) for j in range(cols)]
    return [(i, j) for j in range(cols) for i in range(rows)]


def _extents(size: int, step: int) -> NDArray[np.int64]:
    """Return the extents of the pieces when `size` is cut every `step`."""
    return np.diff(np.append(np.arange(0, size, step), size))


def _bytes(elements: int, fmt: FloatFormat) -> int:
    return -(-elements * fmt.bits // 8)


def _check_fits(
    layer: str, machine: str, pad: Scratchpad, key: str, size_bytes: int, what: str
) -> None:
    if size_bytes > pad.buffer_bytes:
        raise AccelsimError(
            f"layer {layer} on {machine}: {what} take {size_bytes} bytes, but half of"
            f" scratchpads.{key} holds {pad.buffer_bytes};"
            f" capacity_bytes of at least {2 * size_bytes} would fit"
        )
