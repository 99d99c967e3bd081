"""Matrix products by tiles: pack the operands, let `tile` accumulate, put the sums in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.numerics.kernels.compiled import helper, kernel
from accelsim.numerics.kernels.scalar import Target, output_keys, rounding_key
from accelsim.numerics.kernels.spec import DOUBLE_WIDTH, ROWS, SINGLE_WIDTH
from accelsim.numerics.kernels.tile import advance, exceeds, fold

_SUM, _PRODUCT, _OUTER = 0, 1, 5
_TERMS, _PAIRED_TERMS = 16, 64
"""Terms that are packed at a time, of whole columns and of pairs: what they are written to stays
in the cache."""


# Why a tile is doubtful.
SIGN, RANGE = 1, 2


class Job(NamedTuple):
    """The settings that are numbers."""

    inner: Target
    product: Target | None
    """None where the spec says that nothing reads it, as for `outer`."""
    outer: Target | None
    chunk: int
    step: int
    """Terms in a group, or between two looks at a watched sum."""
    align: float
    scale: float
    """Columns are multiplied by this power of two, and so are their sums on the way."""
    limit: float
    """Sums that were no larger than this whenever they were looked at never overflowed."""
    gives_up: int
    """The least doubt of which many make the rest doubtful, and leave it out."""


class Scratch(NamedTuple):
    """Arrays that a kernel may use as it likes, for one tile if nothing else is said.

    `keys` hold random keys, as `tile.advance` wants them; `outer_keys` are of the roundings of
    outer sums. The packed operands, the watch and the sums are of the lane's type.
    """

    left: np.ndarray
    """A multiple of ROWS·K numbers."""
    right: np.ndarray
    """A multiple of K rows of a tile."""
    keys: tuple
    outer_keys: np.ndarray
    notes: np.ndarray
    watch: np.ndarray
    sums: np.ndarray
    unsigned: np.ndarray | None
    """Not None if zeros have no sign until the last term: a bit for each sum that still has none,
    a uint32 a row."""
    partial: np.ndarray
    results: np.ndarray
    """The sums, or, with chunks, binary64 numbers of their own."""


@kernel
def set_rounding_keys(seed, sum_keys, product_keys, outer_keys):
    """Write the keys of the roundings of every term."""
    for k in range(outer_keys.size):
        sum_keys[k] = rounding_key(seed, 8 * k + _SUM)
        product_keys[k] = rounding_key(seed, 8 * k + _PRODUCT)
        outer_keys[k] = rounding_key(seed, 8 * k + _OUTER)


@helper
def _note_unsigned(totals, partial, width, unsigned):
    """Write which totals have no sign: a fold keeps signs, but for a zero that has none."""
    if unsigned is not None:
        for r in range(unsigned.size):
            bits = np.uint32(0)
            for c in range(width):
                t = r * width + c
                bits |= np.uint32((totals[t] == 0.0) & (partial[t] == 0.0)) << np.uint32(c)
            unsigned[r] = bits


@helper
def _accumulate(spec, fold_spec, job, a, first, b, depth, scratch):
    """Accumulate one tile into `scratch.results`; without a fold_spec there are no chunks."""
    sums, partial = scratch.sums, scratch.partial
    for j in range(scratch.watch.size):
        scratch.watch[j] = 0
    for t in range(scratch.notes.size):
        scratch.notes[t] = 0.0
    if fold_spec is None:
        advance(
            spec, job.inner, job.product, a, first, depth, b, 0, depth, job.step, job.align,
            scratch.keys, scratch.notes, scratch.watch, scratch.unsigned, sums,
        )  # fmt: skip
    else:
        totals = scratch.results
        for t in range(sums.size):
            totals[t] = 0.0
        for start in range(0, depth, job.chunk):
            stop = min(start + job.chunk, depth)
            advance(
                spec, job.inner, job.product, a, first, depth, b, start, stop, job.step,
                job.align, scratch.keys, scratch.notes, scratch.watch, None, sums,
            )  # fmt: skip
            for t in range(sums.size):
                partial[t] = sums[t]
            key = scratch.outer_keys[(stop - 1) % scratch.outer_keys.size]
            fold(fold_spec, job.outer, partial, key, scratch.keys, scratch.notes, totals)
        _note_unsigned(totals, partial, scratch.watch.size, scratch.unsigned)


@helper
def _any_unsigned(unsigned, rows, columns):
    """Whether an output is a sum of nothing but zeros, which has been given no sign."""
    found = np.uint32(0)
    if unsigned is not None:
        for r in range(rows):
            found |= unsigned[r]
    return found & np.uint32((1 << columns) - 1) != 0


@helper
def _pack_rows(a, start, stop, packed):
    """Copy rows, with rows of zeros after them until their number is a multiple of ROWS."""
    depth = np.uint64(a.shape[1])
    for i in range(start, stop):
        place, row = np.uint64(i - start) * depth, np.uint64(i)
        for k in range(depth):
            packed[place + k] = a[row, k]
    end = np.uint64((stop - start + ROWS - 1) // ROWS * ROWS)
    for place in range(np.uint64(stop - start) * depth, end * depth):
        packed[place] = 0


@helper
def _width(numbers):
    """Return the columns of a tile; LLVM knows it, as it depends on the type alone."""
    return SINGLE_WIDTH if numbers.itemsize == 4 else DOUBLE_WIDTH


@helper
def _pack_columns(b, start, stop, scale, packed):
    """Copy columns, scaled, in panels as wide as a tile, with columns of zeros at the end."""
    width, scale = _width(packed), packed.dtype.type(scale)
    depth = b.shape[0]
    whole = (stop - start) // width
    for k0 in range(0, depth, _TERMS):
        for panel in range(whole):
            for k in range(k0, min(k0 + _TERMS, depth)):
                row, source = np.uint64(k), np.uint64(start + panel * width)
                place = np.uint64((panel * depth + k) * width)
                for j in range(np.uint64(width)):
                    packed[place + j] = b[row, source + j] * scale
    rest = start + whole * width
    if rest < stop:
        for k in range(depth):
            for j in range(width):
                number = b[k, rest + j] if rest + j < stop else b.dtype.type(0)
                packed[(whole * depth + k) * width + j] = number * scale


@helper
def _put(totals, width, i, rows, j, columns, scale, out):
    back = totals.dtype.type(1.0 / scale)
    for r in range(rows):
        row, column = np.uint64(i + r), np.uint64(j)
        place = np.uint64(r * width)
        for c in range(np.uint64(columns)):
            out[row, column + c] = totals[place + c] * back


@helper
def _put_notes(notes, width, i, rows, j, columns, scale, stats):
    size = ROWS * width
    for r in range(rows):
        for c in range(columns):
            for n in range(np.uint64(stats.shape[2])):
                stats[i + r, j + c, n] = notes[n * size + r * width + c] / scale


@helper
def _set_keys(seed, first, second, width, row, rows, column, columns):
    for r in range(rows):
        for c in range(columns):
            t = r * width + c
            first[t], second[t] = output_keys(seed, row + r, column + c)


@kernel
def multiply(
    a, flat, b, row_range, column_range, first_row, spec, fold_spec, job, seed, scratch, out, stats,
    doubts, wanted,
):  # fmt: skip
    """Write the rows and columns of a (M,K) times b (K,N) that are asked for to out.

    a and b are binary32. Not None are: `flat`, the numbers of a in a row, if the lane is binary32,
    so that whole tiles need no copy of them; fold_spec if there are chunks, seed if there are
    random bits, stats (M,N,4) if they are wanted, (M,N,1) for the running sum alone. Row i draws
    its random bits as row first_row + i. Of the tiles, ⌈M/ROWS⌉ by ⌈N/width⌉, those that are not
    wanted are left out. Doubts are written for the others, SIGN and RANGE added up: zeros may lack
    their sign, sums may have been out of range.
    Both ranges begin with a tile.
    """
    depth = b.shape[0]
    width = scratch.watch.size
    left, right = scratch.left, scratch.right
    results = scratch.results
    high, wide = left.size // depth, right.size // depth
    done, doubted = 0, 0
    for j0 in range(column_range[0], column_range[1], wide):
        j1 = min(j0 + wide, column_range[1])
        _pack_columns(b, j0, j1, job.scale, right)
        for i0 in range(row_range[0], row_range[1], high):
            i1 = min(i0 + high, row_range[1])
            if flat is None:
                _pack_rows(a, i0, i1, left)
            elif i1 % ROWS > 0:
                _pack_rows(a, i1 // ROWS * ROWS, i1, left)
            for j in range(j0, j1, width):
                columns = min(width, j1 - j)
                panel = right[(j - j0) * depth :]
                for i in range(i0, i1, ROWS):
                    if not wanted[i // ROWS, j // width]:
                        continue
                    if 4 * doubted > done + 8:
                        # So many that the rest is better left to the careful spec at once.
                        doubts[i // ROWS, j // width] = SIGN + RANGE
                        continue
                    rows = min(ROWS, i1 - i)
                    if seed is not None:
                        _set_keys(
                            seed, scratch.keys[0], scratch.keys[1], width, first_row + i, rows, j,
                            columns,
                        )  # fmt: skip
                    source, first = left, (i - i0) * depth
                    if flat is not None:
                        first = 0
                        if rows == ROWS:
                            source, first = flat, i * depth
                    _accumulate(spec, fold_spec, job, source, first, panel, depth, scratch)
                    doubt = RANGE * exceeds(spec, scratch.watch, job.limit)
                    doubt += SIGN * _any_unsigned(scratch.unsigned, rows, columns)
                    _put(results, width, i, rows, j, columns, job.scale, out)
                    if stats is not None:
                        _put_notes(scratch.notes, width, i, rows, j, columns, job.scale, stats)
                    doubts[i // ROWS, j // width] = doubt
                    doubted += doubt >= job.gives_up
                    done += 1


@helper
def _pack_pairs(a, row, first, count, scale, packed):
    """Copy `count` rows of a, scaled, one beside the other for each term, and the last again."""
    depth, scale = a.shape[1], packed.dtype.type(scale)
    size = packed.size // depth
    for start in range(0, depth, _PAIRED_TERMS):
        stop = min(start + _PAIRED_TERMS, depth)
        for t in range(size):
            i, place = np.uint64(row[first + min(t, count - 1)]), np.uint64(t)
            for k in range(np.uint64(start), np.uint64(stop)):
                packed[k * np.uint64(size) + place] = a[i, k] * scale


@kernel
def multiply_pairs(a, b, row, column, spec, fold_spec, job, seed, scratch, out, doubts):
    """Accumulate row[t] of a (M,K) times row column[t] of b (N,K), binary32, into out[t].

    See `multiply`. A one in doubts says that out[t] may be wrong. Output t draws its random bits
    as output (row[t], column[t]).
    """
    depth = a.shape[1]
    size = scratch.sums.size
    left, right = scratch.left, scratch.right
    results = scratch.results
    for t0 in range(0, row.size, size):
        count = min(size, row.size - t0)
        _pack_pairs(a, row, t0, count, 1.0, left)
        _pack_pairs(b, column, t0, count, job.scale, right)
        if seed is not None:
            for t in range(count):
                both = output_keys(seed, row[t0 + t], column[t0 + t])
                scratch.keys[0][t], scratch.keys[1][t] = both
        _accumulate(spec, fold_spec, job, left, 0, right, depth, scratch)
        doubt = exceeds(spec, scratch.watch, job.limit)
        width = scratch.watch.size
        doubt |= _any_unsigned(scratch.unsigned, size // width, width)
        for t in range(count):
            out[t0 + t] = results[t] / results.dtype.type(job.scale)
            doubts[t0 + t] = doubt
