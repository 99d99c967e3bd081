"""Which kernel computes a product, and on how many threads."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.kernels import product, sums, tile
from accelsim.numerics.lanes import Plan, plan
from accelsim.numerics.multipliers import offset
from accelsim.numerics.operands import target

_ORDERS = {
    "sequential": sums.Sequential(),
    "pairwise": sums.Pairwise(),
    "kahan": sums.Kahan(),
    "sorted": sums.Sorted(),
    "spill": sums.Spill(),
}
_ROW_BLOCK = 64
_COLUMN_BLOCK = 64
_SMALL = 200_000
"""Products of fewer terms are computed by one thread: to wake another takes as long."""
_TINY = 2_000
"""Products of fewer terms are not worth a kernel of their own, which takes seconds to compile."""

Floats = NDArray[np.floating[Any]]


def multiply(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    acc: Accumulator,
    first_row: int,
    out: Floats,
    stats: NDArray[np.float64] | None,
    threads: int,
) -> None:
    """Write a (M,K) times b (K,N) to out, and to stats (M,N,4) what `kernels.sums` notes.

    Row i draws its random bits as row first_row + i.
    """
    (rows, depth), columns = a.shape, b.shape[1]
    tiled = rows * columns * depth >= _TINY
    chosen = plan(acc, a, b, noted=stats is not None) if tiled else None
    if chosen is None:
        row, column = (x.ravel() for x in np.indices((rows, columns)))
        kept = None if stats is None else stats.reshape(-1, 4)
        wanted = np.ascontiguousarray(b.T)
        result = np.empty(row.size, out.dtype)
        _general(a, wanted, row, column, first_row, acc, None, result, kept, threads)
        out[...] = result.reshape(out.shape)
        return
    noted = np.empty((0, 0, 4)) if stats is None else stats
    job = _job(acc, chosen, depth, stats is not None)

    left = a if chosen.single else a.astype(np.float64)

    def block(part: tuple[tuple[int, int], tuple[int, int]]) -> None:
        specs = (chosen.hasty, chosen.careful, chosen.fold)
        product.multiply(left, b, *part, first_row, *specs, job, _scratch(chosen), out, noted)

    if threads == 1 or rows * columns * depth < _SMALL:
        block(((0, rows), (0, columns)))
        return
    row_parts = _parts(rows, _ROW_BLOCK, threads)
    column_parts = _parts(columns, _COLUMN_BLOCK, -(-threads // len(row_parts)))
    _run(block, [(r, c) for r in row_parts for c in column_parts], threads)


def multiply_pairs(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    acc: Accumulator,
    addend: NDArray[np.float64] | None,
    out: Floats,
    threads: int,
) -> None:
    """Write the inner products of row[t] of a (M,K) and row column[t] of b (N,K) to out[t]."""
    depth = a.shape[1]
    tiled = row.size * depth >= _TINY and addend is None
    chosen = plan(acc, a, b, paired=True) if tiled else None
    if chosen is None:
        _general(a, b, row, column, 0, acc, addend, out, None, threads)
        return
    job = _job(acc, chosen, depth, noted=False)

    def block(part: tuple[int, int]) -> None:
        low, high = part
        product.multiply_pairs(
            a,
            b,
            row[low:high],
            column[low:high],
            0,
            chosen.careful,
            chosen.fold,
            job,
            _scratch(chosen),
            out[low:high],
        )

    workers = threads if row.size * depth >= _SMALL else 1
    _run(block, _parts(row.size, _ROW_BLOCK, workers), workers)


def _general(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    first_row: int,
    acc: Accumulator,
    addend: NDArray[np.float64] | None,
    out: Floats,
    stats: NDArray[np.float64] | None,
    threads: int,
) -> None:
    depth = a.shape[1]
    setting = _setting(acc, depth)
    order = sums.Groups() if acc.group is not None else _ORDERS[acc.order]
    c = np.zeros(row.size) if addend is None else addend.copy()
    kept = np.empty((row.size, 4)) if stats is None else stats

    def block(part: tuple[int, int]) -> None:
        here = slice(*part)
        result = np.empty(part[1] - part[0])
        sums.accumulate(
            a, b, c[here], row[here], column[here], first_row, order, setting, result, kept[here]
        )
        with np.errstate(invalid="ignore"):
            out[here] = result

    workers = threads if row.size * depth >= _SMALL else 1
    _run(block, _parts(row.size, _ROW_BLOCK, workers), workers)


def _run(block: Callable[[Any], None], parts: Iterable[Any], threads: int) -> None:
    here, *others = parts
    futures = [_pool(threads - 1, os.getpid()).submit(block, part) for part in others]
    block(here)
    for future in futures:
        future.result()


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the threads beside the caller's; a forked process has none of its parent's."""
    return ThreadPoolExecutor(max(threads, 1), thread_name_prefix=f"accelsim-{process}")


def _parts(size: int, block: int, count: int) -> list[tuple[int, int]]:
    """Cut `size` into about `count` ranges whose ends are multiples of `block`."""
    blocks = max(-(-size // block), 1)
    count = max(min(count, blocks), 1)
    ends = [min(blocks * i // count * block, size) for i in range(count + 1)]
    return list(itertools.pairwise(ends))


def _scratch(chosen: Plan) -> Floats:
    if chosen.single:
        return np.empty(tile.ROWS * tile.SINGLE_LANES, np.float32)
    return np.empty(tile.ROWS * tile.DOUBLE_LANES, np.float64)


def _job(acc: Accumulator, chosen: Plan, depth: int, noted: bool) -> product.Job:
    setting = _setting(acc, depth, 24 if chosen.single else 53)
    term = setting.product
    if acc.group is not None:
        term = term._replace(least=setting.least_operand)
    return product.Job(
        inner=setting.inner,
        product=term,
        outer=setting.outer,
        chunk=setting.chunk,
        chunked=setting.chunked,
        group=setting.group,
        align=setting.align,
        seed=setting.seed,
        noted=noted,
        watched=chosen.watched,
    )


def _setting(acc: Accumulator, depth: int, carrier_bits: int = 53) -> sums.Setting:
    term = acc.format if acc.product is None else acc.product
    operands = acc.operands if isinstance(acc.operands, FloatFormat) else None
    multiplied = 0.0
    if acc.multiplier is not None and operands is not None:
        multiplied = float(offset(acc.multiplier, operands))
    return sums.Setting(
        inner=target(acc.format, acc.rounding, acc.overflow, acc.random_bits, carrier_bits),
        product=target(term, acc.rounding, acc.overflow, acc.random_bits, carrier_bits),
        outer=target(acc.outer_format, acc.outer_rounding, acc.overflow, acc.random_bits),
        rounds_product=acc.product is not None,
        chunk=acc.chunk or max(depth, 1),
        chunked=acc.chunk is not None,
        group=acc.group or 1,
        align=2.0 ** -(acc.align_bits or 0),
        least_operand=0.0 if operands is None else operands.min_normal,
        approximate=acc.multiplier is not None,
        offset=multiplied,
        carries=acc.multiplier != "l-mul",
        seed=np.uint64(acc.seed),
    )
