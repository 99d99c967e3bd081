"""Which kernel computes a product, and on how many threads."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.haste import Plan
from accelsim.numerics.kernels import product, spilling, sums
from accelsim.numerics.kernels.spec import ROWS, Rounded, Running, Spec
from accelsim.numerics.lanes import plan
from accelsim.numerics.multipliers import offset
from accelsim.numerics.operands import target
from accelsim.numerics.scratch import scratch_for
from accelsim.numerics.spilling import spills_exactly

_ORDERS = {
    "sequential": sums.Sequential(),
    "pairwise": sums.Pairwise(),
    "kahan": sums.Kahan(),
    "sorted": sums.Sorted(),
    "spill": sums.Spill(),
}
_PAIRS = 64
"""Outputs one at a time are given to threads in multiples of this."""
_TOGETHER = 2**16
"""Of so many outputs one at a time what is computed beside them is kept at once."""
_SMALL = 200_000
"""Products of fewer terms are computed by one thread: to wake another takes as long."""
_TINY = 2_000
"""Products of fewer terms are not worth a kernel of their own, which takes seconds to compile."""

Floats = NDArray[np.floating[Any]]

Part = tuple[tuple[int, int], tuple[int, int]]
"""The rows and the columns, from and to."""


def multiply(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    acc: Accumulator,
    first_row: int,
    out: Floats,
    stats: NDArray[np.float64] | None,
    threads: int,
    overflowed: NDArray[np.bool_] | None = None,
    running: NDArray[np.float64] | None = None,
) -> None:
    """Write a (M,K) times b (K,N) to out, and to stats (M,N,4) what `kernels.sums` notes.

    Row i draws its random bits as row first_row + i. For `overflowed` and `running` see
    `multiply_watched`.
    """
    (rows, depth), columns = a.shape, b.shape[1]
    tiled = rows * columns * depth >= _TINY
    if acc.order == "spill" and stats is None:
        beside = np.empty(out.shape, np.bool_), np.empty(out.shape, np.int64)
        multiply_spilling(a, b, acc, first_row, out, *beside, threads)
        return
    wants = {"noted": stats is not None, "running": running is not None}
    chosen = plan(acc, a, b, **wants) if tiled else None
    if chosen is None:
        wanted = np.ascontiguousarray(b.T)
        step = max(_TOGETHER // max(columns, 1), 1)
        for start in range(0, rows, step):  # what is needed for each output stays small
            part = slice(start, start + step)
            row, column = (x.ravel() for x in np.indices(out[part].shape))
            kept = None if stats is None else stats[part].reshape(-1, stats.shape[-1])
            result = np.empty(row.size, out.dtype)
            first = first_row + start
            _general(a[part], wanted, row, column, first, acc, None, result, kept, threads)
            out[part] = result.reshape(out[part].shape)
        return
    workers = threads if rows * columns * depth >= _SMALL else 1

    def sweep(
        spec: Spec, job: product.Job, zeros: bool, wanted: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """Compute tiles of the product, and return the doubts about them."""
        doubts = np.zeros(wanted.shape, np.uint8)
        flat = a.reshape(-1) if spec.single else None

        def block(part: Part) -> None:
            (i0, i1), (j0, j1) = part
            scratch = scratch_for(spec, acc.chunk is None, zeros, seed, depth, i1 - i0, j1 - j0)
            kept = stats
            if running is not None and isinstance(spec.notes, Running):
                kept = running[..., None]
            product.multiply(
                a, flat, b, *part, first_row, spec, chosen.fold, job, seed, scratch, out,
                kept, doubts, wanted,
            )  # fmt: skip

        _run(block, _blocks(rows, columns, spec.width, workers), workers)
        return doubts

    seed = _seed(acc)
    spec = chosen.hasty or chosen.careful
    whole = np.ones((-(-rows // ROWS), -(-columns // spec.width)), np.bool_)
    job = _job(acc, spec, chosen)
    if overflowed is not None:  # a tile left out would have to be counted
        job = job._replace(gives_up=product.RANGE)
    doubts = sweep(spec, job, chosen.zeros, whole)
    careful = chosen.careful
    if overflowed is not None:
        overflowed[...] = False
        counted = doubts >= product.RANGE  # the other tiles have no overflows
        if counted.any():
            noted, stats = _noted(acc, a, b), np.zeros((rows, columns, 4))
            again = _retiled(counted, columns, spec.width, noted.width)
            sweep(noted, _job(acc, noted), False, again)
            overflowed[...] = stats[..., sums.OVERFLOWS] > 0
            if running is not None:
                redone = np.repeat(np.repeat(again, ROWS, 0)[:rows], noted.width, 1)[:, :columns]
                np.copyto(running, stats[..., sums.RUNNING], where=redone)
            doubts[counted], stats = 0, None
    if np.count_nonzero(doubts):
        again = _retiled(doubts > 0, columns, spec.width, careful.width)
        sweep(careful, _job(acc, careful), False, again)


def multiply_watched(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    acc: Accumulator,
    first_row: int,
    out: Floats,
    overflowed: NDArray[np.bool_],
    threads: int,
    running: NDArray[np.float64] | None = None,
) -> None:
    """Write a product as `multiply` does, to `overflowed` (M,N) where `stats` has overflows, and to
    `running` (M,N), if it is wanted, the Σ|ŝ| of `stats`.

    Where a first sweep watches the size of all sums, or none can overflow, only the tiles that are
    doubtful have to be counted. Of chunks nobody watches the outer sums; but those that overflow
    would not be finite if an overflow were infinite, which a second product says.
    """
    sought = running is not None
    chosen = plan(acc, a, b, running=sought) if a.size * b.shape[1] >= _TINY else None
    if chosen is not None and chosen.tells_overflows:
        multiply(a, b, acc, first_row, out, None, threads, overflowed, running)
        return
    if chosen is not None and chosen.fold is not None and _ends_infinite(acc, a, b):
        multiply(a, b, replace(acc, overflow="inf"), first_row, out, None, threads)
        np.logical_not(np.isfinite(out), out=overflowed)
        rows = np.flatnonzero(overflowed.any(axis=1)) if acc.overflow != "inf" else ()
        if len(rows):  # the others are the same whatever an overflow gives
            again = np.empty((len(rows), out.shape[1]), out.dtype)
            multiply(a[rows], b, acc, 0, again, None, threads)
            out[rows] = again
        return
    stats = np.empty((*out.shape, 4))
    multiply(a, b, acc, first_row, out, stats, threads)
    overflowed[...] = stats[..., sums.OVERFLOWS] > 0
    if running is not None:
        running[...] = stats[..., sums.RUNNING]


def multiply_spilling(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    acc: Accumulator,
    first_row: int,
    out: Floats,
    overflowed: NDArray[np.bool_],
    spills: NDArray[np.int64],
    threads: int,
) -> None:
    """Write a product as `multiply` does, to `overflowed` (M,N) where `stats` has overflows, and to
    `spills` (M,N) what it has of those.
    """
    size = a.size * b.shape[1]
    rows = np.arange(len(a))
    if size >= _TINY and spills_exactly(acc, a, b):
        setting = _setting(acc, a.shape[1])

        def block(part: tuple[int, int]) -> None:
            spilling.multiply(a, b, *part, setting.inner, setting.outer, out, overflowed, spills)

        workers = threads if size >= _SMALL else 1
        _run(block, _parts(len(a), 1, workers), workers)
        rows = np.flatnonzero(overflowed.any(axis=1))
    step = max(_TOGETHER // max(b.shape[1], 1), 1)
    for start in range(0, rows.size, step):
        some = rows[start : start + step]
        found = np.empty((some.size, b.shape[1]), out.dtype)
        stats = np.empty((*found.shape, sums.SPILLS + 1))
        left = np.broadcast_to(a[some], (some.size, a.shape[1]))  # read-only, as the operands are
        # These are all rows, or none that draws random bits.
        multiply(left, b, acc, first_row + start, found, stats, threads)
        out[some], overflowed[some] = found, stats[..., sums.OVERFLOWS] > 0
        spills[some] = stats[..., sums.SPILLS]


def _ends_infinite(acc: Accumulator, a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether an overflow, and nothing else, would leave a sum that is not finite.

    Up to its first overflow a sum is the same whatever becomes of that; a directed rounding may
    give the outermost number in the place of infinity.
    """
    nearest = {acc.rounding, acc.outer_rounding} <= {"nearest-even", "nearest-away"}
    floating = isinstance(acc.format, FloatFormat) and isinstance(acc.outer, FloatFormat)
    return nearest and floating and bool(np.isfinite(a).all() and np.isfinite(b).all())


def _noted(acc: Accumulator, a: NDArray[np.float32], b: NDArray[np.float32]) -> Spec:
    chosen = plan(acc, a, b, noted=True)
    assert chosen is not None
    return chosen.careful


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
    workers = threads if row.size * depth >= _SMALL else 1

    def sweep(spec: Spec, job: product.Job, zeros: bool, which: Any) -> NDArray[np.bool_]:
        """Compute some of the outputs, and return which of them are doubtful."""
        rows, columns = row[which], column[which]
        found, doubts = np.empty(rows.size, out.dtype), np.zeros(rows.size, np.bool_)

        def block(part: tuple[int, int]) -> None:
            here = slice(*part)
            scratch = scratch_for(spec, acc.chunk is None, zeros, seed, depth)
            product.multiply_pairs(
                a, b, rows[here], columns[here], spec, chosen.fold, job, seed, scratch,
                found[here], doubts[here],
            )  # fmt: skip

        _run(block, _parts(rows.size, spec.rows * spec.width, workers), workers)
        out[which] = found
        return doubts

    seed = _seed(acc)
    spec = chosen.hasty or chosen.careful
    doubts = sweep(spec, _job(acc, spec, chosen), chosen.zeros, slice(None))
    if doubts.any():
        sweep(chosen.careful, _job(acc, chosen.careful), False, doubts)


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

    def block(part: tuple[int, int]) -> None:
        for start in range(*part, _TOGETHER):
            here = slice(start, min(start + _TOGETHER, part[1]))
            number = here.stop - start
            c = np.zeros(number) if addend is None else addend[here].copy()
            kept = np.empty((number, 4)) if stats is None else stats[here]
            result = np.empty(number)
            sums.accumulate(
                a, b, c, row[here], column[here], first_row, order, setting, result, kept
            )
            with np.errstate(invalid="ignore"):
                out[here] = result

    workers = threads if row.size * depth >= _SMALL else 1
    _run(block, _parts(row.size, _PAIRS, workers), workers)


def _run(block: Callable[[Any], None], parts: list[Any], threads: int) -> None:
    """Call `block` for every part, the first of every `threads` on the caller's thread."""
    futures = []
    for number, part in enumerate(parts):
        if number % threads:
            futures.append(_pool(threads - 1, os.getpid()).submit(block, part))
    for part in parts[::threads]:
        block(part)
    for future in futures:
        future.result()


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the threads beside the caller's; a forked process has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"accelsim-{process}")


def _parts(size: int, block: int, count: int) -> list[tuple[int, int]]:
    """Cut `size` into about `count` ranges whose ends are multiples of `block`."""
    blocks = max(-(-size // block), 1)
    count = max(min(count, blocks), 1)
    ends = [min(blocks * i // count * block, size) for i in range(count + 1)]
    return list(itertools.pairwise(ends))


@functools.lru_cache(1024)
def _blocks(rows: int, columns: int, width: int, workers: int) -> list[Part]:
    """Cut a product for so many workers, each with as nearly as many tiles as can be."""
    high, wide = -(-rows // ROWS), -(-columns // width)
    splits = [(p, workers // p) for p in range(1, workers + 1) if workers % p == 0]
    p, q = min(splits, key=lambda split: -(-high // split[0]) * -(-wide // split[1]))
    row_parts, column_parts = _parts(rows, ROWS, p), _parts(columns, width, q)
    return list(itertools.product(row_parts, column_parts))


def _retiled(tiles: NDArray[np.bool_], columns: int, before: int, width: int) -> NDArray[np.bool_]:
    """Return which tiles of a width share columns with those given, which are `before` wide."""
    each = np.repeat(tiles, before, axis=1)[:, :columns]
    return np.logical_or.reduceat(each, np.arange(0, columns, width), axis=1)


def _seed(acc: Accumulator) -> np.uint64 | None:
    random = "stochastic" in (acc.rounding, acc.outer_rounding)
    return np.uint64(acc.seed) if random else None


def _job(acc: Accumulator, spec: Spec, chosen: Plan | None = None) -> product.Job:
    """Return the numbers for a spec, with those of a plan if it is its first sweep."""
    of_plan = () if chosen is None else (chosen.limit, chosen.block, chosen.scale)
    return _numbers(acc, spec.single, isinstance(spec.product, Rounded), *of_plan)


@functools.lru_cache(1024)
def _numbers(
    acc: Accumulator,
    single: bool,
    rounds: bool,
    limit: float = math.inf,
    block: int = 0,
    scale: float = 1.0,
) -> product.Job:
    setting = _setting(acc, 1, 24 if single else 53)
    term = setting.product
    if acc.group is not None:
        term = term._replace(least=setting.least_operand)
    return product.Job(
        inner=setting.inner._replace(least=setting.inner.least * scale),
        product=term if rounds else None,
        outer=None if acc.chunk is None else setting.outer,
        chunk=setting.chunk,
        step=block or setting.group,
        align=setting.align,
        scale=scale,
        limit=limit,
        gives_up=product.SIGN,
    )


@functools.lru_cache(1024)
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
