"""Vectors of the machine, written as arithmetic: what `tile` emits is read here.

A `Vector` is an LLVM value of several float lanes with the operators of a float. Nothing is
evaluated here: each operator appends one instruction, without any flag that would let LLVM
change a result.
"""

from __future__ import annotations

from llvmlite import ir

from accelsim.numerics.kernels.spec import WIDE

_INT32 = ir.IntType(32)
_FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}
FRACTION_BITS = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}
# The last operand of VRANGE: which of two it returns; and its sign, that of the first unless said.
_LARGER_MAGNITUDE, _WITHOUT_SIGN = 0b11, 0b1000


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

    def __neg__(self):
        return self.like(self.builder.fneg(self.value))

    def __abs__(self):
        return self._call("fabs")

    def signed_as(self, other):
        """Return the magnitude with the sign of `other`."""
        return self._call("copysign", other)

    def given_sign_of(self, other):
        """Return these lanes, which are not negative, with the sign of `other`."""
        integers, kind = self._integers()
        sign = self._integer(kind, -(2 ** (self.bits - 1)))
        return self._floats(
            self.builder.or_(integers, self.builder.and_(other._integers()[0], sign))
        )

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

    def farthest(self, other):
        """Return what is farther from zero of both, signed as these lanes. AVX-512 only."""
        return self._range(other, _LARGER_MAGNITUDE)

    def largest(self, other):
        """Return the larger magnitude of both; where a lane is NaN, the other's."""
        if not WIDE:
            return abs(other).at_least(abs(self))
        return self._range(other, _LARGER_MAGNITUDE | _WITHOUT_SIGN)

    def _range(self, other, choice):
        """Append the instruction VRANGE; the choice is its last operand."""
        kind, mask = self.value.type, ir.IntType(self.lanes)
        name = f"llvm.x86.avx512.mask.range.p{'s' if self.bits == 32 else 'd'}.512"
        function = self.builder.module.globals.get(name)
        if function is None:
            arguments = [kind, kind, _INT32, kind, mask, _INT32]
            function = ir.Function(self.builder.module, ir.FunctionType(kind, arguments), name=name)
        all_lanes, current_direction = mask(-1), _INT32(4)
        values = [self.value, self._value(other), _INT32(choice), self.value, all_lanes]
        return self.like(self.builder.call(function, [*values, current_direction]))

    def opaque(self):
        """Return these lanes through an instruction that LLVM does not see through, on x86."""
        kind = ir.FunctionType(self.value.type, [self.value.type])
        return self.like(self.builder.asm(kind, "", "=x,0", [self.value], side_effect=True))

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
        fraction = FRACTION_BITS[self.bits]
        mask = self._integer(kind, (2 ** (self.bits - 1 - fraction) - 1) << fraction)
        return self._floats(self.builder.and_(integers, mask))

    def power_times(self, factor):
        """Return the product of a power of two and a positive normal number, by their exponents.

        Of a zero, as if it were half of the smallest normal number.
        """
        integers, kind = self._integers()
        one = self._integer(kind, _BIAS[self.bits] << FRACTION_BITS[self.bits])
        exponent = self.builder.sub(factor._integers()[0], one)
        return self._floats(self.builder.add(integers, exponent))

    def reciprocal_of_power(self):
        """Return 1/x of a normal power of two whose reciprocal is normal."""
        integers, kind = self._integers()
        twice_bias = self._integer(kind, 2 * _BIAS[self.bits] << FRACTION_BITS[self.bits])
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


def load(builder, pointer, offset, bits, lanes):
    """Load `lanes` consecutive floats from pointer[offset:]."""
    kind = ir.VectorType(_FLOATS[bits], lanes)
    address = builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())
    return Vector(builder, builder.load(address, align=bits // 8), bits, lanes)


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
    """Return the random integers of one rounding, an LLVM vector: see `numerics.draws`."""
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
    return builder.lshr(x, _spread_int(builder, unused, lanes))


def part(builder, integers, number, bits, lanes):
    """Return `lanes` of the integers, from number·lanes on, as floats; they are below 2^31."""
    places = range(number * lanes, (number + 1) * lanes)
    mask = ir.Constant(ir.VectorType(_INT32, lanes), list(places))
    some = builder.shuffle_vector(integers, ir.Constant(integers.type, ir.Undefined), mask)
    value = builder.sitofp(some, ir.VectorType(_FLOATS[bits], lanes))
    return Vector(builder, value, bits, lanes)


def _spread_int(builder, scalar, lanes):
    kind = ir.VectorType(_INT32, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _INT32(0))
    zeros = ir.Constant(kind, [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)
