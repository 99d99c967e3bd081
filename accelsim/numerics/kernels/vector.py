"""Vectors of the machine, written as arithmetic: what `tile` emits is read here.

A `Vector` is an LLVM value of several float lanes with the operators of a float. Nothing is
evaluated here: each operator appends one instruction, without any flag that would let LLVM
change a result.
"""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir

RANGES = bool(llvm.get_host_cpu_features().get("avx512dq"))
_INT32 = ir.IntType(32)
_FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}
_FRACTION_BITS = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}


class Vector:
    """`lanes` floats of `bits` bits each; comparisons give masks for `where`."""

    def __init__(self, builder, value, bits, lanes):
        self.builder, self.value, self.bits, self.lanes = builder, value, bits, lanes

    def like(self, value):
        """Wrap another value of the same type."""
        return Vector(self.builder, value, self.bits, self.lanes)

    def constant(self, number):
        """Return a vector of one number."""
        kind = ir.VectorType(_FLOATS[self.bits], self.lanes)
        return self.like(ir.Constant(kind, [float(number)] * self.lanes))

    def _value(self, other):
        return other.value if isinstance(other, Vector) else self.constant(other).value

    def _call(self, name, *others):
        kind = self.value.type
        values = [self.value, *(self._value(other) for other in others)]
        text = f"llvm.{name}.v{self.lanes}f{self.bits}"
        function_type = ir.FunctionType(kind, [kind] * len(values))
        function = self.builder.module.globals.get(text)
        if function is None:
            function = ir.Function(self.builder.module, function_type, name=text)
        return self.like(self.builder.call(function, values))

    def __add__(self, other):
        return self.like(self.builder.fadd(self.value, self._value(other)))

    def __sub__(self, other):
        return self.like(self.builder.fsub(self.value, self._value(other)))

    def __mul__(self, other):
        return self.like(self.builder.fmul(self.value, self._value(other)))

    def times_plus(self, factor, addend):
        """Return self·factor + addend, rounded once."""
        return self._call("fma", factor, addend)

    def __abs__(self):
        return self._call("fabs")

    def signed_as(self, other):
        """Return the magnitude with the sign of `other`."""
        return self._call("copysign", other)

    def floor(self):
        """Round each lane down to an integer."""
        return self._call("floor")

    def truncated(self):
        """Round each lane toward zero to an integer."""
        return self._call("trunc")

    def is_(self, relation, other):
        """Compare, false where a lane is NaN: `<`, `<=`, `==`, `!=`, `>`, `>=`."""
        return self.builder.fcmp_ordered(relation, self.value, self._value(other))

    def where(self, mask, other):
        """Return these lanes where the mask holds, the other's elsewhere."""
        return self.like(self.builder.select(mask, self.value, self._value(other)))

    def at_least(self, other):
        """Return the larger lanes; where a lane is NaN, the other's."""
        return self.where(self.is_(">", other), other)

    def at_most(self, other):
        """Return the smaller lanes; where a lane is NaN, the other's."""
        return self.where(self.is_("<", other), other)

    def larger_magnitude(self, other):
        """Return |self| or |other|, whichever is larger; where self is NaN, |other|."""
        if not (RANGES and self.bits * self.lanes == 512):
            return abs(self).at_least(other)
        return self._range(other, 0b1011)

    def clamped(self, limit):
        """Return the lanes brought into -limit … limit."""
        if not (RANGES and self.bits * self.lanes == 512):
            return self.at_most(limit).at_least(limit.constant(0.0) - limit)
        return self._range(limit, 0b0010)

    def _range(self, other, selection):
        # AVX-512DQ's vrangeps and vrangepd: the larger magnitude without its sign, or the
        # smaller magnitude with the sign of the first operand, in one instruction.
        kind, mask = self.value.type, ir.IntType(self.lanes)
        suffix = {32: "ps", 64: "pd"}[self.bits]
        name = f"llvm.x86.avx512.mask.range.{suffix}.512"
        function = self.builder.module.globals.get(name)
        if function is None:
            parts = [kind, kind, _INT32, kind, mask, _INT32]
            function = ir.Function(self.builder.module, ir.FunctionType(kind, parts), name=name)
        current_rounding = _INT32(4)
        arguments = [self.value, other.value, _INT32(selection), self.value]
        arguments += [mask(-1), current_rounding]
        return self.like(self.builder.call(function, arguments))

    # Bits.

    def _integers(self):
        kind = ir.VectorType(ir.IntType(self.bits), self.lanes)
        return self.builder.bitcast(self.value, kind), kind

    def _integer(self, kind, number):
        return ir.Constant(kind, [number] * self.lanes)

    def _floats(self, integers):
        return self.like(self.builder.bitcast(integers, self.value.type))

    def power_of_two(self):
        """Keep the exponent field: 2^⌊log₂|x|⌋ of a normal number, 0 of zero, inf of infinity."""
        integers, kind = self._integers()
        fraction = _FRACTION_BITS[self.bits]
        mask = self._integer(kind, (2 ** (self.bits - 1 - fraction) - 1) << fraction)
        return self._floats(self.builder.and_(integers, mask))

    def larger_positive(self, other):
        """Return the larger of numbers that are not negative, compared as integers.

        Processors have more units for integers than for floats.
        """
        integers, others = self._integers()[0], other._integers()[0]
        larger = self.builder.icmp_signed(">", integers, others)
        return self._floats(self.builder.select(larger, integers, others))

    def power_times(self, factor):
        """Return the product of a power of two and a positive normal number, by their exponents.

        Of a zero, as if it were half of the smallest normal number.
        """
        integers, kind = self._integers()
        one = self._integer(kind, _BIAS[self.bits] << _FRACTION_BITS[self.bits])
        exponent = self.builder.sub(factor._integers()[0], one)
        return self._floats(self.builder.add(integers, exponent))

    def reciprocal_of_power(self):
        """Return 1/x of a normal power of two whose reciprocal is normal."""
        integers, kind = self._integers()
        twice_bias = self._integer(kind, 2 * _BIAS[self.bits] << _FRACTION_BITS[self.bits])
        return self._floats(self.builder.sub(twice_bias, integers))

    def moved_to_odd(self, rest):
        """Move a sum to the odd neighbour on the side of its `rest`, unless that is zero."""
        integers, kind = self._integers()
        signs = self.builder.xor(integers, rest._integers()[0])
        # -1 where the rest has the other sign, which makes an odd number even and an even one
        # odd; setting the last bit undoes the first, as it does what is wanted for like signs.
        back = self.builder.ashr(signs, self._integer(kind, self.bits - 1))
        odd = self.builder.or_(self.builder.add(integers, back), self._integer(kind, 1))
        return self._floats(odd).where(rest.is_("!=", 0.0), self)


def load(builder, pointer, offset, bits, lanes, stored_bits):
    """Load `lanes` consecutive floats of `stored_bits` bits from pointer[offset:], as `bits`."""
    kind = ir.VectorType(_FLOATS[stored_bits], lanes)
    address = builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())
    value = builder.load(address, align=stored_bits // 8)
    if bits != stored_bits:
        value = builder.fpext(value, ir.VectorType(_FLOATS[bits], lanes))
    return Vector(builder, value, bits, lanes)


def store(vector, pointer, offset):
    """Store to pointer[offset:]."""
    builder = vector.builder
    address = builder.bitcast(builder.gep(pointer, [offset]), vector.value.type.as_pointer())
    builder.store(vector.value, address, align=vector.bits // 8)


def spread(builder, scalar, bits, lanes):
    """Return a vector of one scalar float, converted to `bits`."""
    kind = ir.VectorType(_FLOATS[bits], lanes)
    if scalar.type != _FLOATS[bits]:
        convert = builder.fptrunc if bits == 32 else builder.fpext
        scalar = convert(scalar, _FLOATS[bits])
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT32(0))
    zeros = ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
    value = builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)
    return Vector(builder, value, bits, lanes)


def _mixed_step(builder, x, shift, factor, lanes):
    kind = ir.VectorType(_INT32, lanes)
    x = builder.xor(x, builder.lshr(x, ir.Constant(kind, [shift] * lanes)))
    return builder.mul(x, ir.Constant(kind, [factor] * lanes)) if factor else x


def draws(builder, keys, offset, rounding_key, random_bits, lanes):
    """Return the random integers of one rounding as binary64: see `accelsim.numerics.draws`."""
    kind = ir.VectorType(_INT32, lanes)
    first, second = (
        builder.load(builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer()), align=4)
        for pointer in keys
    )
    key = _spread_int(builder, rounding_key, lanes)
    x = _mixed_step(builder, builder.xor(first, key), 16, 0x7FEB352D, lanes)
    x = _mixed_step(builder, builder.xor(x, second), 15, 0x846CA68B, lanes)
    x = _mixed_step(builder, x, 16, None, lanes)
    unused = builder.sub(_INT32(32), builder.trunc(random_bits, _INT32))
    x = builder.lshr(x, _spread_int(builder, unused, lanes))
    value = builder.uitofp(x, ir.VectorType(_FLOATS[64], lanes))
    return Vector(builder, value, 64, lanes)


def _spread_int(builder, scalar, lanes):
    kind = ir.VectorType(_INT32, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT32(0))
    zeros = ir.Constant(kind, [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)
