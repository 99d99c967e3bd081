"""One rounding and one addition in every lane of a vector: the roundings of `scalar`.

Of the lanes that are called directed the processor rounds each operation in the direction that
the format is rounded in. Rounding down to 24 or 53 bits and then down to a coarser grid is
rounding down to that grid, and so for upward and toward zero: no exact sum is needed. Stochastic
rounding is toward zero after a random part of the quantum is added away from it.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from accelsim.numerics.kernels.spec import (
    DOUBLE_LANES,
    FEW_REGISTERS,
    SINGLE_LANES,
    WIDE,
    Bounded,
    Clamped,
    DoubleDirected,
    Downward,
    Flushed,
    Multiples,
    Native,
    NearestAway,
    NearestEven,
    Odd,
    Signed,
    Single,
    SingleDirected,
    Special,
    Sticky,
    Stochastic,
    TowardZero,
    Unsigned,
    Upward,
    Watched,
)
from accelsim.numerics.kernels.vector import FRACTION_BITS, spread

_MODES = {TowardZero: 0, Stochastic: 0, Upward: 2, Downward: 3}
"""The numbers of LLVM's intrinsic `llvm.set.rounding`."""


def kinds_of(spec):
    """Return the answers of a Spec's Numba type, by field."""
    return {field: kind.instance_class for field, kind in zip(spec.fields, spec.types, strict=True)}


class Lane:
    """One function being written: the builder, the spec, and the formats' numbers as vectors."""

    def __init__(self, builder, spec, bits):
        self.builder = builder
        self.kinds = kinds_of(spec)
        self.bits = bits
        self.directed = self.kinds["lane"] in (SingleDirected, DoubleDirected)
        # Without a sign of zero the format is fixed point, whose lowest value is not -max.
        single = self.kinds["lane"] in (Single, SingleDirected)
        self.symmetric = self.kinds["small"] is not Unsigned or single
        self.lanes = SINGLE_LANES if bits == 32 else DOUBLE_LANES

    def target(self, kind, value):
        """Return a Target's numbers as vectors; `random_bits` stays an integer; None of None."""
        if isinstance(kind, types.NoneType):
            return None
        numbers = cgutils.unpack_tuple(self.builder, value, len(kind.fields))
        named = dict(zip(kind.fields, numbers, strict=True))
        return {
            name: number
            if name in ("rounding", "random_bits")
            else spread(self.builder, number, self.bits, self.lanes)
            for name, number in named.items()
        }

    def fresh(self, target):
        """Return the target's numbers such that they need no registers before they are used.

        Where there are few, LLVM would keep these in them and put sums aside, which must not
        wait: it cannot see that to return a number unchanged is all that this does.
        """
        if not FEW_REGISTERS:
            return target
        return target | {name: target[name].opaque() for name in ("magic", "least")}

    def set_mode(self):
        """Let the processor round as the lane wants, and return its mode before, None if it is.

        LLVM takes arithmetic for independent of the mode. What is rounded here lies in a loop
        after loads, and LLVM moves neither over a call that may write to memory.
        """
        if not self.directed:
            return None
        before = self._call("llvm.get.rounding", ir.IntType(32), [])
        self.reset_mode(ir.IntType(32)(_MODES[self.kinds["rounding"]]))
        return before

    def reset_mode(self, mode):
        """Let the processor round as before."""
        if mode is not None:
            self._call("llvm.set.rounding", ir.VoidType(), [mode])

    def _call(self, name, result, arguments):
        function = self.builder.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [value.type for value in arguments])
            function = ir.Function(self.builder.module, kind, name=name)
        return self.builder.call(function, arguments)

    def to_grid(self, x, target, draw=None, turn=0):
        """See `scalar.round_to_grid`; `turn` spreads the work over the processor's units."""
        rounding = self.kinds["rounding"]
        if rounding is Native:
            return x
        if rounding is NearestEven and WIDE:
            return self._nearest(x, target)
        power = x.power_of_two()
        if self.kinds["small"] is not Multiples or rounding is Stochastic:
            power = power.at_least(target["least"])
        if self.directed:
            if rounding in (TowardZero, Stochastic):
                power = power.given_sign_of(x)  # M must be on the side of x
            if rounding is Stochastic:
                x = power.times_plus(draw * (target["unit"] * self.draw_unit), x)
            return self._near(x, power, target["magic"], turn)
        near = self._near(x, power, target["magic"], turn)
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
        inverse = (power * target["unit"]).reciprocal_of_power()
        fraction = ((abs(x) - abs(cut)) * inverse * self.scale).floor()
        return (cut + away).where((fraction + draw).is_(">=", self.scale), cut)

    def _nearest(self, x, target):
        """Round to nearest even by two fused operations: (x - K·c) + K·c, K = 2^(w-1-m).

        c is x, or 1.5 times the least power of two with the sign of x where that is larger. Let u
        be the quantum at x; then K·c is an even multiple of u wherever x lies between two others.
        Of numbers as large as x - K·c the last place is u, so that its rounding is that of x: or
        it is u/2, where x is above a power of two by at most 2^(m-w+1)·x < u/4, and the power,
        a multiple of u, is nearest either way. (2m < w-2, which `lanes` sees to in binary32.)
        """
        c = x
        if self.kinds["small"] is not Multiples:
            c = x.farthest(target["least"] * 1.5)
        factor = target["unit"] * 2.0 ** FRACTION_BITS[self.bits]
        return c.times_plus(factor, (-c).times_plus(factor, x))

    def _near(self, x, power, magic, turn):
        """Return (x + M) - M for M = power·magic, a product that is exact.

        By two fused operations, or by one on integers and two additions: of the units that do the
        former a processor has about as many as of the others, and some turns go each way. With
        few registers only those sums that need no smallest power can afford it.
        """
        mixed = turn % 2 == 1
        if FEW_REGISTERS:
            mixed = turn % 6 == 5 and self.kinds["small"] is Multiples
        if self.kinds["overflow"] is Sticky:
            mixed = False  # an integer has no infinity
        if mixed and not self.directed:
            shift = power.power_times(magic)
            return (x + shift) - shift
        near = power.times_plus(magic, x)
        return (-power).times_plus(magic, near)

    def in_range(self, x, grid, target):
        """See `scalar.into_range` and `scalar.round_one`."""
        overflow = self.kinds["overflow"]
        if overflow is Clamped:
            lowest = -target["max"] if self.symmetric else target["lowest"]
            grid = grid.at_most(target["max"]).at_least(lowest)
        elif overflow not in (Bounded, Watched, Sticky):
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

    def prepare_draws(self, random_bits):
        """Compute once what stochastic rounding scales its random integers by."""
        if self.kinds["rounding"] is Stochastic:
            scale = self.builder.shl(ir.IntType(64)(1), random_bits)
            scale = self.builder.sitofp(scale, ir.DoubleType())
            self.scale = spread(self.builder, scale, self.bits, self.lanes)
            self.draw_unit = self.scale.reciprocal_of_power()

    def sum(self, total, x, y):
        """Return total + x·y in the lane of the spec; y is None for total + x."""
        if self.kinds["lane"] is not Odd:
            return total + x if y is None else x.times_plus(y, total)
        p = x if y is None else x * y
        high = total + p
        t = high - total
        return high.moved_to_odd((total - (high - t)) + (p - t))
