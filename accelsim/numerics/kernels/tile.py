"""A tile of outputs in the registers of the machine, for sums in sequence and in groups.

The same roundings as `scalar`, on vectors: ROWS rows of VECTORS vectors take in one term after
the other, without touching memory for their sums. What is compiled depends on the types of a
`Spec`; the numbers of the formats are arguments.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from accelsim.numerics.kernels import vector
from accelsim.numerics.kernels.beside import Notes, RunningSum
from accelsim.numerics.kernels.lane import Lane, kinds_of
from accelsim.numerics.kernels.spec import (
    PAIRED_ROWS,
    ROWS,
    VECTORS,
    WIDE,
    Downward,
    Exact,
    InGroups,
    Noted,
    Paired,
    Rounded,
    Running,
    Single,
    SingleDirected,
    Sticky,
    Stochastic,
    Watched,
)
from accelsim.numerics.kernels.vector import load, spread, store

_SIZE = ir.IntType(64)
_ONE = _SIZE(1)


def _pointer(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


def _pointers(context, builder, kinds, values):
    arrays = cgutils.unpack_tuple(builder, values, len(kinds.types))
    return [_pointer(context, builder, *both) for both in zip(kinds.types, arrays, strict=True)]


@intrinsic
def advance(
    typing, spec, inner, product, a, first, depth, b, start, stop, step, align, keys, notes, watch,
    unsigned, sums,
):  # fmt: skip
    """Add up the terms start..stop-1, of which there is one at least, in a tile of sums.

    All floats are of the lane's type. sums: ROWS rows of VECTORS vectors. b: such a row a term.
    a: from `first` on ROWS rows of `depth` terms; where operands are paired, an array like sums a
    term, and PAIRED_ROWS rows of sums.
    watch: one row. step: terms in a group, or between two looks at a watched sum. align:
    2^-align_bits. notes: binary64, 4 arrays like sums, or one for the running sum. unsigned: None,
    or a uint32 a row: then zeros get their sign with the last term, and bit c is set if that of
    column c is a sum of nothing but zeros, whose sign is not known. keys: uint32 arrays: two like
    sums with the keys of outputs, then those of the roundings of sums and of products, one a term.
    """
    single = kinds_of(spec)["lane"] in (Single, SingleDirected)

    def generate(context, builder, signature, arguments):
        lane = Lane(builder, spec, 32 if single else 64)
        pointers = {
            name: _pointer(context, builder, kind, value)
            for name, kind, value in zip(
                ("a", "b", "notes", "watch", "unsigned", "sums"),
                (a, b, notes, watch, unsigned, sums),
                (arguments[3], arguments[6], *arguments[12:]),
                strict=True,
            )
            if not isinstance(kind, types.NoneType)
        }
        pointers["keys"] = _pointers(context, builder, keys, arguments[11])
        targets = (lane.target(inner, arguments[1]), lane.target(product, arguments[2]))
        lane.prepare_draws(targets[0]["random_bits"])
        mode = lane.set_mode()
        tile = _Tile(lane, pointers, targets, *arguments[4:6])
        start, stop, step, align = arguments[7:11]
        if lane.kinds["order"] is InGroups:
            tile.in_groups(start, stop, step, align)
        else:
            signs = "unsigned" in pointers
            last = builder.sub(stop, _ONE) if signs else stop
            tile.in_blocks(start, last, step)
            if signs:
                tile.take_in(lambda cells: tile.term(last, cells, signs=True))
        if lane.kinds["overflow"] is Sticky:
            tile.note_infinite()
        tile.save()
        lane.reset_mode(mode)
        return context.get_dummy_value()

    arguments = (spec, inner, product, a, first, depth, b, start, stop, step, align, keys)
    return types.none(*arguments, notes, watch, unsigned, sums), generate


class _Tile:
    """The sums of a tile, and the loops over terms."""

    def __init__(self, lane, pointers, targets, first, depth):
        self.lane, self.pointers, self.first, self.depth = lane, pointers, first, depth
        self.inner, self.product = targets
        self.rows = PAIRED_ROWS if lane.kinds["operands"] is Paired else ROWS
        self.cells = range(self.rows * VECTORS)
        self.row_size = VECTORS * lane.lanes
        self.sums, self.notes, self.running = [], [], []
        zero = spread(lane.builder, ir.FloatType()(0.0), lane.bits, lane.lanes)
        for cell in self.cells:
            offset = _SIZE(cell * lane.lanes)
            kept = cgutils.alloca_once(lane.builder, zero.value.type)
            lane.builder.store(zero.value, kept)
            self.sums.append(kept)
            if lane.kinds["notes"] is Noted:
                self.notes.append(Notes(lane, pointers["notes"], offset))
            if lane.kinds["notes"] is Running:
                self.running.append(RunningSum(lane, pointers["notes"], offset, zero))

    def total(self, cell):
        value = self.lane.builder.load(self.sums[cell])
        return vector.Vector(self.lane.builder, value, self.lane.bits, self.lane.lanes)

    def save(self):
        for cell in self.cells:
            store(self.total(cell), self.pointers["sums"], _SIZE(cell * self.lane.lanes))
            if self.notes:
                self.notes[cell].save()

    def _term(self, array, k, size, place):
        """Return the vector at `place` of term k in an array of `size` numbers a term."""
        lane, builder = self.lane, self.lane.builder
        offset = builder.add(builder.mul(k, _SIZE(size)), _SIZE(place))
        return load(builder, self.pointers[array], offset, lane.bits, lane.lanes)

    def operands(self, k):
        """Return the two operands of term k for every cell."""
        lane, builder = self.lane, self.lane.builder
        if lane.kinds["operands"] is Paired:
            for cell in self.cells:
                place, size = cell * lane.lanes, len(self.cells) * lane.lanes
                yield self._term("a", k, size, place), self._term("b", k, size, place)
            return
        columns = [self._term("b", k, self.row_size, v * lane.lanes) for v in range(VECTORS)]
        for r in range(self.rows):
            offset = builder.add(self.first, builder.mul(self.depth, _SIZE(r)))
            place = builder.gep(self.pointers["a"], [builder.add(offset, k)])
            row = spread(builder, builder.load(place), lane.bits, lane.lanes)
            for column in columns:
                yield row, column

    def draws(self, k, which):
        """Return the random integers of term k for every cell; which: 2 sums, 3 products."""
        lane, builder = self.lane, self.lane.builder
        if lane.kinds["rounding"] is not Stochastic:
            yield from [None] * len(self.cells)
            return
        keys, bits = self.pointers["keys"], self.inner["random_bits"]
        key = builder.load(builder.gep(keys[which], [k]))
        for r in range(self.rows):
            offset = _SIZE(r * self.row_size)
            row = vector.draws(builder, keys[:2], offset, key, bits, self.row_size)
            for v in range(VECTORS):
                yield vector.part(builder, row, v, lane.bits, lane.lanes)

    def rounded(self, x, target, draw, cell, *, is_sum=True):
        lane = self.lane
        grid = lane.to_grid(x, target, draw, cell)
        result = lane.in_range(x, grid, target)
        if self.notes:
            self.notes[cell].rounding(x, grid, result, target)
            if is_sum:
                self.notes[cell].add(1, abs(result))
        if self.running:
            self.running[cell].add(abs(result))
        return result

    def term(self, k, cells, *, signs=False):
        """Let some cells take in a term; with signs, zeros have theirs afterwards."""
        lane, builder = self.lane, self.lane.builder
        rounds = lane.kinds["product"] is Rounded
        products = self.draws(k, 3) if rounds else [None] * len(self.cells)
        totals = {}
        for cell, ((x, y), draw) in enumerate(zip(self.operands(k), products, strict=True)):
            if cell not in cells:
                continue
            if self.notes:
                self.notes[cell].add(0, abs(x * y))
            if rounds:
                x = self.rounded(x * y, self.product, draw, cell, is_sum=False)
                y = None
            totals[cell] = lane.sum(self.total(cell), x, y)
        inner = lane.fresh(self.inner)
        for cell, draw in enumerate(self.draws(k, 2)):
            if cell in cells:
                result = self.rounded(totals[cell], inner, draw, cell)
                if signs:
                    result = self._signed(result, totals[cell], cell)
                builder.store(result.value, self.sums[cell])

    def _signed(self, result, x, cell):
        """Give a sum the sign that it has before it is rounded, and write whether it is a zero like
        all that was added up.

        What cancels is +0, but where the processor rounds downward: there that is -0, and a
        negative sum is never so small that it becomes 0.
        """
        lane, builder = self.lane, self.lane.builder
        row, v = divmod(cell, VECTORS)
        zero = x.is_("==", 0.0)
        unsigned = builder.and_(zero, self.total(cell).is_("==", 0.0))
        bits = builder.zext(builder.bitcast(unsigned, ir.IntType(lane.lanes)), ir.IntType(32))
        place = builder.gep(self.pointers["unsigned"], [_SIZE(row)])
        if v > 0:
            bits = builder.shl(bits, ir.IntType(32)(v * lane.lanes))
            bits = builder.or_(bits, builder.load(place))
        builder.store(bits, place)
        result = result.signed_as(x)
        if lane.kinds["rounding"] is Downward:
            return x.constant(0.0).where(zero, result)
        return result

    def in_blocks(self, start, stop, size):
        """Take in the terms; if something is kept beside the sums, so many at a time."""
        lane, builder = self.lane, self.lane.builder

        def in_turn(low, high, cells):
            with cgutils.for_range_slice(builder, low, high, _ONE, _SIZE) as (k, _):
                self.term(k, cells)

        if not (self.running or lane.kinds["overflow"] is Watched):
            in_turn(start, stop, self.cells)
            return
        with cgutils.for_range_slice(builder, start, stop, size, _SIZE) as (low, _):
            high = self._end(low, size, stop)
            self.take_in(lambda cells: in_turn(low, high, cells))

    def take_in(self, terms):
        """Let all cells take in the same terms, then add up what is kept beside the sums, and of
        those that are watched the largest magnitude in each column.
        """
        lane, builder = self.lane, self.lane.builder
        # Two sums an output are too many for 16 registers, but for half of a tile at a time.
        parts = 2 if self.running and not WIDE else 1
        for part in range(parts):
            size_of_part = len(self.cells) // parts
            cells = self.cells[size_of_part * part : size_of_part * (part + 1)]
            terms(cells)
            for running in self.running[cells.start : cells.stop]:
                running.flush()
        for v in range(VECTORS if lane.kinds["overflow"] is Watched else 0):
            place = _SIZE(v * lane.lanes)
            seen = load(builder, self.pointers["watch"], place, lane.bits, lane.lanes)
            for r in range(self.rows):
                seen = seen.largest(self.total(r * VECTORS + v))
            store(seen, self.pointers["watch"], place)

    def note_infinite(self):
        """Make the watch of a column NaN if a sum of it is infinite or NaN, and else 0."""
        lane = self.lane
        for v in range(VECTORS):
            seen = self.total(v) * 0.0
            for r in range(1, self.rows):
                seen = seen + self.total(r * VECTORS + v) * 0.0
            store(seen, self.pointers["watch"], _SIZE(v * lane.lanes))

    def _end(self, low, size, stop):
        beyond = self.lane.builder.add(low, size)
        earlier = self.lane.builder.icmp_signed("<", beyond, stop)
        return self.lane.builder.select(earlier, beyond, stop)

    def in_groups(self, start, stop, group, align):
        lane, builder = self.lane, self.lane.builder
        align = spread(builder, align, 64, lane.lanes)
        largest, units = (
            [cgutils.alloca_once(builder, self.total(0).value.type) for _ in self.cells]
            for _ in range(2)
        )
        with cgutils.for_range_slice(builder, start, stop, group, _SIZE) as (low, _):
            high = self._end(low, group, stop)
            for cell in self.cells:
                builder.store(self.total(cell).power_of_two().value, largest[cell])
            with cgutils.for_range_slice(builder, low, high, _ONE, _SIZE) as (k, _):
                for cell, (x, y) in enumerate(self.operands(k)):
                    known = x.like(builder.load(largest[cell]))
                    power = self.operand_power(x) * self.operand_power(y)
                    builder.store(power.at_least(known).value, largest[cell])
            inverse = []
            for cell in self.cells:
                unit = self.total(cell).like(builder.load(largest[cell])) * align
                inverse.append(unit.at_least(2.0**-500).reciprocal_of_power())
                builder.store((self.total(cell) * inverse[cell]).truncated().value, units[cell])
            with cgutils.for_range_slice(builder, low, high, _ONE, _SIZE) as (k, _):
                for cell, (x, y) in enumerate(self.operands(k)):
                    if self.notes:
                        self.notes[cell].add(0, abs(x * y))
                    known = x.like(builder.load(units[cell]))
                    cut = ((x * y) * inverse[cell]).truncated()
                    builder.store((known + cut).value, units[cell])
            for cell, draw in enumerate(self.draws(low, 2)):
                total = self.total(cell)
                unit = total.like(builder.load(largest[cell])) * align
                x = total.like(builder.load(units[cell])) * unit + 0.0
                x = x.where(abs(total).is_("<", float("inf")), total)
                result = self.rounded(x, self.inner, draw, cell)
                builder.store(result.value, self.sums[cell])

    def operand_power(self, x):
        """Return the power of two that an operand is aligned by, 0 of a zero."""
        power = x.power_of_two()
        if self.lane.kinds["product"] is Exact:
            return power  # no operand is subnormal
        power = power.at_least(self.product["least"])
        return power.where(x.is_("!=", 0.0), 0.0)


@intrinsic
def exceeds(typing, spec, watch, limit):
    """Whether a number of the watch is larger than the limit, or NaN."""
    single = kinds_of(spec)["lane"] in (Single, SingleDirected)

    def generate(context, builder, signature, arguments):
        lane = Lane(builder, spec, 32 if single else 64)
        pointer = _pointer(context, builder, watch, arguments[1])
        most = spread(builder, arguments[2], lane.bits, lane.lanes)
        within = ir.Constant(ir.VectorType(ir.IntType(1), lane.lanes), [True] * lane.lanes)
        for v in range(VECTORS):
            seen = load(builder, pointer, _SIZE(v * lane.lanes), lane.bits, lane.lanes)
            within = builder.and_(within, seen.is_("<=", most))
        bits = builder.bitcast(within, ir.IntType(lane.lanes))
        return builder.icmp_unsigned("!=", bits, bits.type(-1))

    return types.boolean(spec, watch, limit), generate


@intrinsic
def fold(typing, spec, outer, partial, rounding_key, keys, notes, totals):
    """Add a tile of partial sums to a tile of totals, rounded. All floats are binary64."""

    def generate(context, builder, signature, arguments):
        lane = Lane(builder, spec, 64)
        target = lane.target(outer, arguments[1])
        lane.prepare_draws(target["random_bits"])
        source, kept, sums = (
            _pointer(context, builder, kind, value)
            for kind, value in (
                (partial, arguments[2]),
                (notes, arguments[5]),
                (totals, arguments[6]),
            )
        )
        outputs = _pointers(context, builder, keys, arguments[4])[:2]
        count = context.make_array(totals)(context, builder, arguments[6]).nitems
        size = _SIZE(lane.lanes)
        with cgutils.for_range_slice(builder, _SIZE(0), count, size, _SIZE) as (offset, _):
            term = load(builder, source, offset, 64, lane.lanes)
            total = load(builder, sums, offset, 64, lane.lanes)
            x = lane.sum(total, term, None)
            draw = None
            if lane.kinds["rounding"] is Stochastic:
                bits = target["random_bits"]
                drawn = vector.draws(builder, outputs, offset, arguments[3], bits, lane.lanes)
                draw = vector.part(builder, drawn, 0, 64, lane.lanes)
            grid = lane.to_grid(x, target, draw)
            result = lane.in_range(x, grid, target)
            store(result, sums, offset)
            if lane.kinds["notes"] is Noted:
                record = Notes(lane, kept, offset)
                record.rounding(x, grid, result, target)
                record.add(1, abs(result))
                record.save()
        return context.get_dummy_value()

    return types.none(spec, outer, partial, rounding_key, keys, notes, totals), generate
