"""A tile of outputs in the registers of the machine, for sums in sequence and in groups.

The same roundings as `scalar`, on vectors: eight rows of one vector each take in one term after
the other, without touching memory for their sums. What is compiled depends on the types of a
`Spec`; the numbers of the formats are arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from accelsim.numerics.kernels import vector
from accelsim.numerics.kernels.vector import load, spread, store

ROWS = 8
_WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
SINGLE_LANES = 16 if _WIDE else 8
DOUBLE_LANES = SINGLE_LANES // 2


def _tag(name):
    return NamedTuple(name, [("unused", int)])


# In what a sum is computed: a float32 or float64 that `lanes` proves enough, or rounded to odd.
Single, Double, Odd = _tag("Single"), _tag("Double"), _tag("Odd")
# How it is rounded, in the order of `rounding.ROUNDINGS`.
NearestEven, NearestAway, TowardZero = _tag("NearestEven"), _tag("NearestAway"), _tag("TowardZero")
Upward, Downward, Stochastic = _tag("Upward"), _tag("Downward"), _tag("Stochastic")
ROUNDINGS = (NearestEven, NearestAway, TowardZero, Upward, Downward, Stochastic)
# What happens beyond the largest value: it is proved not to happen, or saturates, or IEEE 754.
# IEEE 754 for finite terms needs less than for terms that may be infinite or NaN themselves.
Bounded, Clamped = _tag("Bounded"), _tag("Clamped")
# A watched sum goes on as if there were no largest value, and the largest magnitude is kept.
Replaced, Special, Watched = _tag("Replaced"), _tag("Special"), _tag("Watched")
# What becomes of small numbers: all sums are multiples of the finest spacing and need no care, or
# zeros need no sign, or they have it, or subnormals are flushed.
Multiples, Unsigned = _tag("Multiples"), _tag("Unsigned")
Signed, Flushed = _tag("Signed"), _tag("Flushed")
# What enters the sum: the exact product, or the product rounded. (In groups: whether all operands
# are normal numbers, or some are subnormal and aligned by their smallest exponent.)
Exact, Rounded = _tag("Exact"), _tag("Rounded")
# How terms follow each other.
InTurn, InGroups = _tag("InTurn"), _tag("InGroups")
# Whether a row of the tile meets every column, or each output has operands of its own.
Crossed, Paired = _tag("Crossed"), _tag("Paired")
# Whether S, Σ|ŝ| and the counts are kept beside the sum.
Plain, Noted = _tag("Plain"), _tag("Noted")


class Spec(NamedTuple):
    """What to compile: one of the types above for each field."""

    lane: tuple
    rounding: tuple
    overflow: tuple
    small: tuple
    product: tuple
    order: tuple
    operands: tuple
    notes: tuple


class _Code:
    """One function being written: the builder, the spec, and the formats' numbers as vectors."""

    def __init__(self, builder, spec, bits):
        self.builder = builder
        self.kinds = {
            field: kind.instance_class for field, kind in zip(spec.fields, spec.types, strict=True)
        }
        self.bits = bits
        # Without a sign of zero the format is fixed point, whose lowest value is not -max.
        self.symmetric = self.kinds["small"] is not Unsigned or self.kinds["lane"] is Single
        self.lanes = SINGLE_LANES if bits == 32 else DOUBLE_LANES

    def target(self, kind, value):
        """Return a Target's numbers as vectors; `random_bits` stays an integer."""
        numbers = cgutils.unpack_tuple(self.builder, value, len(kind.fields))
        named = dict(zip(kind.fields, numbers, strict=True))
        return {
            name: number
            if name in ("rounding", "random_bits")
            else spread(self.builder, number, self.bits, self.lanes)
            for name, number in named.items()
        }

    def to_grid(self, x, target, draw):
        """See `scalar.round_to_grid`."""
        rounding = self.kinds["rounding"]
        power = x.power_of_two()
        if self.kinds["small"] is not Multiples or rounding is Stochastic:
            power = power.larger_positive(target["least"])
        shift = power.power_times(target["magic"])
        near = (x + shift) - shift
        if rounding is NearestEven:
            return near
        quantum = power * target["unit"]
        if rounding is Upward:
            return (near + quantum).where(near.is_("<", x), near)
        if rounding is Downward:
            return (near - quantum).where(near.is_(">", x), near)
        away = quantum.signed_as(x)
        excess = abs(near) - abs(x)
        if rounding is NearestAway:
            return (near + away).where((excess + excess + quantum).is_("==", 0.0), near)
        cut = (near - away).where(excess.is_(">", 0.0), near)
        if rounding is TowardZero:
            return cut
        inverse = power.reciprocal_of_power() * self.inverse_unit
        fraction = ((abs(x) - abs(cut)) * inverse * self.scale).floor()
        return (cut + away).where((fraction + draw).is_(">=", self.scale), cut)

    def in_range(self, x, grid, target):
        """See `scalar.into_range` and `scalar.round_one`."""
        overflow = self.kinds["overflow"]
        if overflow is Clamped:
            if self.symmetric:
                grid = grid.clamped(target["max"])
            else:
                grid = grid.at_most(target["max"]).at_least(target["lowest"])
        elif overflow not in (Bounded, Watched):
            fits = abs(grid).is_("<=", target["max"])
            if self.kinds["rounding"] in (Upward, Downward):
                low = target["low"].where(x.is_("<", 0.0), x)
                grid = grid.where(fits, target["high"].where(x.is_(">", 0.0), low))
            else:
                # An infinity stays one, and NaN where the format has no infinity.
                grid = grid.where(fits, target["high"].signed_as(x))
        small = self.kinds["small"]
        if small is Flushed:
            grid = x.constant(0.0).where(abs(grid).is_("<", target["smallest"]), grid)
        if small in (Signed, Flushed):
            grid = grid.signed_as(x)
        if overflow is Special:
            infinite = target["infinite_high"].where(x.is_(">", 0.0), target["infinite_low"])
            unbounded = infinite.where(x.is_("==", x), x)
            grid = grid.where(abs(x).is_("<", float("inf")), unbounded)
        return grid

    def prepare_draws(self, target):
        """Compute 2^random_bits and the reciprocal of the unit once."""
        if self.kinds["rounding"] is Stochastic:
            one = ir.IntType(64)(1)
            scale = self.builder.shl(one, target["random_bits"])
            scale = self.builder.sitofp(scale, ir.DoubleType())
            self.scale = spread(self.builder, scale, 64, self.lanes)
            self.inverse_unit = target["unit"].reciprocal_of_power()

    def sum(self, total, x, y):
        """Return total + x·y in the lane of the spec; y is None for total + x."""
        if self.kinds["lane"] is not Odd:
            return total + x if y is None else x.times_plus(y, total)
        p = x if y is None else x * y
        high = total + p
        t = high - total
        return high.moved_to_odd((total - (high - t)) + (p - t))


class _Notes:
    """The sums beside the sum, in memory that LLVM turns into registers."""

    def __init__(self, code, pointer, offset):
        self.code, self.pointer = code, pointer
        self.offsets = [
            code.builder.add(offset, offset.type(n * ROWS * code.lanes)) for n in range(4)
        ]
        self.cells = []
        for place in self.offsets:
            kept = load(code.builder, pointer, place, 64, code.lanes, 64)
            cell = cgutils.alloca_once(code.builder, kept.value.type)
            code.builder.store(kept.value, cell)
            self.cells.append(cell)

    def add(self, n, amount):
        builder = self.code.builder
        kept = amount.like(builder.load(self.cells[n]))
        builder.store((kept + amount).value, self.cells[n])

    def rounding(self, x, grid, result, target):
        """Count an overflow or an underflow."""
        one, zero = x.constant(1.0), x.constant(0.0)
        beyond = abs(grid).is_(">", target["max"])
        self.add(2, one.where(beyond, zero))
        lost = one.where(result.is_("==", 0.0), zero).where(x.is_("!=", 0.0), zero)
        self.add(3, zero.where(beyond, lost))

    def save(self):
        builder = self.code.builder
        for place, cell in zip(self.offsets, self.cells, strict=True):
            store(
                vector.Vector(builder, builder.load(cell), 64, self.code.lanes),
                self.pointer,
                place,
            )


def _pointer(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


@intrinsic
def advance(
    typing, spec, inner, product, a, first, row_step, b, start, stop, group, align, keys, notes,
    watch, sums,
):  # fmt: skip
    """Let a tile of sums take in the terms start..stop-1.

    sums: ROWS vectors, binary32 or binary64 as the lane is. watch: one such vector.
    b: one vector of binary32 a term. a: rows of numbers in the lane's type, term k of row r at
    first + r·row_step + k. Where operands are paired: both ROWS vectors of binary32 a term.
    group, align: terms in a group and 2^-align_bits. notes: 4 arrays like sums.
    keys: uint32 arrays: two like sums with the keys of outputs, then those of the roundings of
    sums and of products, one a term.
    """
    single = spec.types[0].instance_class is Single

    def generate(context, builder, signature, arguments):
        code = _Code(builder, spec, 32 if single else 64)
        pointers = {
            name: _pointer(context, builder, kind, value)
            for name, kind, value in zip(
                ("a", "b", "notes", "watch", "sums"),
                (a, b, notes, watch, sums),
                (arguments[3], arguments[6], *arguments[12:]),
                strict=True,
            )
        }
        key_arrays = cgutils.unpack_tuple(builder, arguments[11], 4)
        pointers["keys"] = [
            _pointer(context, builder, kind, value)
            for kind, value in zip(keys.types, key_arrays, strict=True)
        ]
        targets = (code.target(inner, arguments[1]), code.target(product, arguments[2]))
        code.prepare_draws(targets[0])
        tile = _Tile(code, pointers, targets, arguments[4], arguments[5])
        if code.kinds["order"] is InGroups:
            tile.in_groups(*arguments[7:11])
        else:
            tile.in_turn(*arguments[7:9])
        tile.save()
        return context.get_dummy_value()

    arguments = (spec, inner, product, a, first, row_step, b, start, stop, group, align, keys)
    return types.none(*arguments, notes, watch, sums), generate


class _Tile:
    """The sums of a tile, and the loops over terms."""

    def __init__(self, code, pointers, targets, first, row_step):
        self.code, self.pointers = code, pointers
        self.first, self.row_step = first, row_step
        self.inner, self.product = targets
        self.size = ir.IntType(64)
        self.cells, self.notes = [], []
        for r in range(ROWS):
            offset = self.size(r * code.lanes)
            total = load(code.builder, pointers["sums"], offset, code.bits, code.lanes, code.bits)
            cell = cgutils.alloca_once(code.builder, total.value.type)
            code.builder.store(total.value, cell)
            self.cells.append(cell)
            if code.kinds["notes"] is Noted:
                self.notes.append(_Notes(code, pointers["notes"], offset))
        self.watch = None
        if code.kinds["overflow"] is Watched:
            self.watch = cgutils.alloca_once(code.builder, self.total(0).value.type)
            seen = load(
                code.builder, pointers["watch"], self.size(0), code.bits, code.lanes, code.bits
            )
            code.builder.store(seen.value, self.watch)

    def total(self, r):
        value = self.code.builder.load(self.cells[r])
        return vector.Vector(self.code.builder, value, self.code.bits, self.code.lanes)

    def save(self):
        for r in range(ROWS):
            offset = self.size(r * self.code.lanes)
            store(self.total(r), self.pointers["sums"], offset)
            if self.notes:
                self.notes[r].save()
        if self.watch:
            seen = self.total(0).like(self.code.builder.load(self.watch))
            store(seen, self.pointers["watch"], self.size(0))

    def row_operand(self, k, r):
        code, builder = self.code, self.code.builder
        if code.kinds["operands"] is Paired:
            offset = builder.mul(k, self.size(ROWS * code.lanes))
            offset = builder.add(offset, self.size(r * code.lanes))
            return load(builder, self.pointers["a"], offset, code.bits, code.lanes, 32)
        offset = builder.add(self.first, builder.mul(self.row_step, self.size(r)))
        offset = builder.add(offset, k)
        scalar = builder.load(builder.gep(self.pointers["a"], [offset]))
        return spread(builder, scalar, code.bits, code.lanes)

    def column_operand(self, k, r):
        code, builder = self.code, self.code.builder
        paired = code.kinds["operands"] is Paired
        offset = builder.mul(k, self.size(code.lanes * (ROWS if paired else 1)))
        if paired:
            offset = builder.add(offset, self.size(r * code.lanes))
        return load(builder, self.pointers["b"], offset, code.bits, code.lanes, 32)

    def draw(self, k, r, which, target):
        """Return the random integers of row r's rounding of term k; which: 2 sums, 3 products."""
        code = self.code
        if code.kinds["rounding"] is not Stochastic:
            return None
        keys = self.pointers["keys"]
        key = code.builder.load(code.builder.gep(keys[which], [k]))
        offset = self.size(r * code.lanes)
        return vector.draws(code.builder, keys[:2], offset, key, target["random_bits"], code.lanes)

    def rounded(self, x, target, k, r, which):
        code = self.code
        grid = code.to_grid(x, target, self.draw(k, r, which, target))
        result = code.in_range(x, grid, target)
        if self.watch:
            seen = grid.like(code.builder.load(self.watch))
            code.builder.store(grid.larger_magnitude(seen).value, self.watch)
        if self.notes:
            self.notes[r].rounding(x, grid, result, target)
            if which == 2:
                self.notes[r].add(1, abs(result))
        return result

    def in_turn(self, start, stop):
        code, builder = self.code, self.code.builder
        with cgutils.for_range_slice(builder, start, stop, self.size(1), self.size) as (k, _):
            for r in range(ROWS):
                x, y = self.row_operand(k, r), self.column_operand(k, r)
                if self.notes:
                    self.notes[r].add(0, abs(x * y))
                if code.kinds["product"] is Rounded:
                    x, y = self.rounded(x * y, self.product, k, r, 3), None
                total = code.sum(self.total(r), x, y)
                builder.store(self.rounded(total, self.inner, k, r, 2).value, self.cells[r])

    def in_groups(self, start, stop, group, align):
        code, builder = self.code, self.code.builder
        align = spread(builder, align, 64, code.lanes)
        one = self.size(1)
        largest, units = (
            [cgutils.alloca_once(builder, self.total(0).value.type) for _ in range(ROWS)]
            for _ in range(2)
        )
        with cgutils.for_range_slice(builder, start, stop, group, self.size) as (low, _):
            beyond = builder.add(low, group)
            high = builder.select(builder.icmp_signed("<", beyond, stop), beyond, stop)
            for r in range(ROWS):
                builder.store(self.total(r).power_of_two().value, largest[r])
            with cgutils.for_range_slice(builder, low, high, one, self.size) as (k, _):
                for r in range(ROWS):
                    x = self.operand_power(self.row_operand(k, r))
                    y = self.operand_power(self.column_operand(k, r))
                    known = x.like(builder.load(largest[r]))
                    builder.store((x * y).at_least(known).value, largest[r])
            inverse = []
            for r in range(ROWS):
                unit = self.total(r).like(builder.load(largest[r])) * align
                inverse.append(unit.at_least(2.0**-500).reciprocal_of_power())
                builder.store((self.total(r) * inverse[r]).truncated().value, units[r])
            with cgutils.for_range_slice(builder, low, high, one, self.size) as (k, _):
                for r in range(ROWS):
                    x, y = self.row_operand(k, r), self.column_operand(k, r)
                    if self.notes:
                        self.notes[r].add(0, abs(x * y))
                    known = x.like(builder.load(units[r]))
                    cut = ((x * y) * inverse[r]).truncated()
                    builder.store((known + cut).value, units[r])
            for r in range(ROWS):
                total = self.total(r)
                unit = total.like(builder.load(largest[r])) * align
                x = total.like(builder.load(units[r])) * unit + 0.0
                x = x.where(abs(total).is_("<", float("inf")), total)
                builder.store(self.rounded(x, self.inner, low, r, 2).value, self.cells[r])

    def operand_power(self, x):
        """Return the power of two that an operand is aligned by, 0 of a zero."""
        power = x.power_of_two()
        if self.code.kinds["product"] is Exact:
            return power  # no operand is subnormal
        power = power.at_least(self.product["least"])
        return power.where(x.is_("!=", 0.0), 0.0)


@intrinsic
def fold(typing, spec, outer, partial, rounding_key, keys, notes, totals):
    """Add a tile of partial sums to a tile of binary64 totals, rounded, and clear the former."""

    def generate(context, builder, signature, arguments):
        code = _Code(builder, spec, 64)
        partial_bits = 32 if partial.dtype == types.float32 else 64
        target = code.target(outer, arguments[1])
        code.prepare_draws(target)
        source, kept, sums = (
            _pointer(context, builder, kind, value)
            for kind, value in (
                (partial, arguments[2]),
                (notes, arguments[5]),
                (totals, arguments[6]),
            )
        )
        key_arrays = cgutils.unpack_tuple(builder, arguments[4], 4)
        key_pointers = [
            _pointer(context, builder, kind, value)
            for kind, value in zip(keys.types, key_arrays, strict=True)
        ]
        vectors = ROWS * (SINGLE_LANES if partial_bits == 32 else DOUBLE_LANES) // code.lanes
        size = ir.IntType(64)
        with cgutils.for_range_slice(builder, size(0), size(vectors), size(1), size) as (n, _):
            offset = builder.mul(n, size(code.lanes))
            term = load(builder, source, offset, 64, code.lanes, partial_bits)
            total = load(builder, sums, offset, 64, code.lanes, 64)
            x = code.sum(total, term, None)
            draw = None
            if code.kinds["rounding"] is Stochastic:
                draw = vector.draws(
                    builder,
                    key_pointers[:2],
                    offset,
                    arguments[3],
                    target["random_bits"],
                    code.lanes,
                )
            grid = code.to_grid(x, target, draw)
            result = code.in_range(x, grid, target)
            store(result, sums, offset)
            if code.kinds["notes"] is Noted:
                record = _Notes(code, kept, offset)
                record.rounding(x, grid, result, target)
                record.add(1, abs(result))
                record.save()
        return context.get_dummy_value()

    return types.none(spec, outer, partial, rounding_key, keys, notes, totals), generate
