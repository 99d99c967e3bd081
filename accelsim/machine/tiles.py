"""What the pieces of a cut GEMM weigh, whether they fit, and what of them is flagged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.machine.hardware import Hardware, Rerun, Scratchpad
from accelsim.machine.mapping import Mapping
from accelsim.trace import LayerTrace

Integers = NDArray[np.int64]


class Cut:
    """The sizes of all blocks of one GEMM: operands (a, b) and outputs (c), in bytes."""

    def __init__(self, trace: LayerTrace, mapping: Mapping) -> None:
        self.mapping = mapping
        self.rows = _extents(trace.m, mapping.tile_rows)
        self.cols = _extents(trace.n, mapping.tile_cols)
        self.terms = _extents(trace.k, mapping.terms)
        self.a = _bytes_each(self.rows, self.terms, trace.operand_format.bits)
        self.b = _bytes_each(self.terms, self.cols, trace.operand_format.bits)
        self.c = _bytes_each(self.rows, self.cols, trace.output_format.bits)
        self.all_a_bytes = int(self.a.sum())
        self.all_b_bytes = int(self.b.sum())

    def operand_bytes(self, times_a: int, times_b: int) -> int:
        """Return the DRAM traffic if each operand is fetched so many times."""
        return times_a * self.all_a_bytes + times_b * self.all_b_bytes


def bytes_of(elements: int, bits: int) -> int:
    """Return the bytes of elements that are packed without gaps."""
    return -(-elements * bits // 8)


def partial_sum_bits(trace: LayerTrace, terms: int) -> int:
    """Return the width of what a fold of `terms` leaves behind for each output.

    A chunked accumulator leaves its outer sum, and the inner one too unless chunks end with
    folds. A detector that accumulates the numerator of κ leaves that as well.
    """
    acc, detector = trace.accumulator, trace.detector
    bits = acc.outer_format.bits
    if acc.chunk is not None and terms % acc.chunk:
        bits += acc.format.bits
    if detector is not None and detector.numerator_format is not None:
        bits += detector.numerator_format.bits
    return bits


def check_fits(trace: LayerTrace, hardware: Hardware, cut: Cut) -> None:
    """Raise AccelsimError if the largest block of an operand, or of outputs or partial sums,
    does not fit half its scratchpad.
    """
    rows, cols, terms = int(cut.rows[0]), int(cut.cols[0]), int(cut.terms[0])
    pads = hardware.scratchpads
    size, outputs = int(cut.c[0, 0]), f"{rows}x{cols} outputs"
    if cut.mapping.term_strips > 1:
        bits = partial_sum_bits(trace, cut.mapping.terms)
        again = trace.recompute_accumulator
        if isinstance(hardware.recompute, Rerun) and again is not None:
            bits = max(bits, again.outer_format.bits)
        if bytes_of(rows * cols, bits) > size:
            size, outputs = (
                bytes_of(rows * cols, bits),
                f"{rows}x{cols} partial sums of {bits} bits",
            )
    for pad, key, size_bytes, what in (
        (pads.a, "a", int(cut.a[0, 0]), f"{rows} rows of {terms} terms"),
        (pads.b, "b", int(cut.b[0, 0]), f"{cols} columns of {terms} terms"),
        (pads.c, "c", size, outputs),
    ):
        _check_fits(f"layer {trace.name} on {hardware.name}", pad, key, size_bytes, what)


def flagged_outputs(trace: LayerTrace, mapping: Mapping) -> Integers:
    """Return the flagged outputs of each tile (repeats, row strips, column strips)."""
    if trace.recomputed is None:
        return np.zeros((trace.repeats, mapping.row_strips, mapping.col_strips), np.int64)
    mask = trace.recomputed.reshape(trace.repeats, trace.m, trace.n)
    row_starts, col_starts = _starts(trace, mapping)
    by_row = np.add.reduceat(mask, col_starts, axis=2, dtype=np.int64)
    return np.add.reduceat(by_row, row_starts, axis=1)


def refetched_bytes(
    trace: LayerTrace, mapping: Mapping, a_resident: bool, b_resident: bool
) -> dict[str, Integers]:
    """Return what redoing each tile fetches again of A and B (repeats, row strips, column strips).

    The last fold's operands are still there. The terms of the folds before it are fetched for
    the rows and columns that hold a flagged output, unless the whole operand is resident.
    """
    nothing = np.zeros((trace.repeats, mapping.row_strips, mapping.col_strips), np.int64)
    earlier = (mapping.term_strips - 1) * mapping.terms
    if trace.recomputed is None or earlier == 0:
        return {"a": nothing, "b": nothing}
    row_starts, col_starts = _starts(trace, mapping)
    bits, mask = trace.operand_format.bits, trace.recomputed.reshape(-1, trace.m, trace.n)
    by_row = np.logical_or.reduceat(mask, col_starts, axis=2)
    by_col = np.logical_or.reduceat(mask, row_starts, axis=1)
    rows = np.add.reduceat(by_row, row_starts, axis=1, dtype=np.int64)
    cols = np.add.reduceat(by_col, col_starts, axis=2, dtype=np.int64)
    return {
        "a": nothing if a_resident else -(-rows * earlier * bits // 8),
        "b": nothing if b_resident else -(-cols * earlier * bits // 8),
    }


def _starts(trace: LayerTrace, mapping: Mapping) -> tuple[Integers, Integers]:
    """Return the first row of each row strip, and the first column of each column strip."""
    return np.arange(0, trace.m, mapping.tile_rows), np.arange(0, trace.n, mapping.tile_cols)


def _extents(size: int, step: int) -> Integers:
    """Return the extents of the pieces when `size` is cut every `step`."""
    return np.diff(np.append(np.arange(0, size, step), size))


def _bytes_each(rows: Integers, cols: Integers, bits: int) -> Integers:
    return -(-np.multiply.outer(rows, cols) * bits // 8)


def _check_fits(where: str, pad: Scratchpad, key: str, size_bytes: int, what: str) -> None:
    if size_bytes > pad.buffer_bytes:
        raise AccelsimError(
            f"{where}: {what} take {size_bytes} bytes, but half of"
            f" scratchpads.{key} holds {pad.buffer_bytes};"
            f" capacity_bytes of at least {2 * size_bytes} would fit"
        )
