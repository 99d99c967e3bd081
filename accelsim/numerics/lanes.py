"""When a narrow lane is exact: the choice of the fast kernel, with its proof.

Let F be the accumulator's format with m stored mantissa bits and emin, emax the exponents of its
smallest and largest normal numbers, s a value of F, p a product of at most P significant bits
with |p| < 2^H, and t = s + p rounded to nearest at w bits (w = 24 in a float32 lane, 53 in a
float64 lane). Rounding t to F, to nearest, gives what rounding z = s + p gives, in either of two
cases.

Range. All s and p are multiples of 2^L, and |z| ≤ 2^(L+w): then t = z. This serves every rounding.

Ties. P + m ≤ w - 2, 2m < w - 2, and P ≤ m + 1 or min(emax, H - 1) < L + w. Proof. Rounding is
monotone, and values and midpoints of F are numbers of w bits; so the result can differ only if t
is a midpoint μ of F and z ≠ μ. Let 2^e ≤ |z| < 2^(e+1); then |z - μ| ≤ 2^(e-w), and z is not a
number of w bits, so that the last bit of p or of s lies below 2^(e+1-w).

(A) It is p's. Then |p| < 2^(e-w+P), and |s - μ| ≤ |z - μ| + |p| ≤ 2^(e-w+P) ≤ 2^(e-m-2). But s is
a value of F and μ a midpoint at exponent e, which are at least 2^(e-m-1) apart. Contradiction.

(B) It is s's, and p is a multiple of 2^(e+1-w). Then |s| < 2^(e-w+m+1), so that p and μ are less
than 2^(e-w+m+1) apart and both are multiples of 2^(e-P) and of 2^(e-m-1), at least one of which is
smaller than the distance allows unless p = μ. So p is a midpoint, which takes m + 2 significant
bits: impossible if P ≤ m + 1. (Among the subnormals of F the case does not arise, as the last bit
of s is at least 2^(emin-m).) Moreover |z - μ| = |s| ≤ 2^(e-w), s is not 0, and |s| ≥ 2^L, so that
e ≥ L + w; and e ≤ H - 1, and e ≤ emax unless all of z, t and μ overflow alike.

L. A sum that starts at 0 stays a multiple of the last bit of all products: rounding to a finer
grid changes nothing, and a coarser grid consists of such multiples. It is a multiple of F's finest
spacing too. So 2^L is the larger of the two.

Overflow. If |p| ≤ 2^H and rounding is to nearest, |s| never passes 2^c with c = H + m + 2: in the
binade above, half a spacing is 2^(c-m-1) = 2^(H+1), so that 2^c + p goes back to 2^c. Where
c ≤ emax nothing overflows. M of `kernels.scalar` stays finite in a float32 lane if the largest
power of two of a sum, below 2^(c+1) and below 2^(max(emax+1, H)+1), times 2^(24-m) is below 2^128.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FixedFormat, FloatFormat, Format
from accelsim.numerics.kernels import tile
from accelsim.numerics.kernels.scan import scan
from accelsim.numerics.rounding import ROUNDINGS

_SINGLE_BITS, _DOUBLE_BITS = 24, 53
_SINGLE_MAX_EXPONENT = 127
_SINGLE_LOWEST_BIT = -149
_SINGLE_MIN_NORMAL = 2.0**-126
_NEAREST = ("nearest-even", "nearest-away")


class Span(NamedTuple):
    """What values have in common: multiples of 2^lowest, of magnitude largest or less."""

    significant_bits: int
    lowest: int
    largest: float
    smallest: float
    """Smallest magnitude that is not zero, inf where there is none."""

    @property
    def highest(self) -> int:
        """The H with magnitudes below 2^H."""
        return math.frexp(self.largest)[1]

    def times(self, other: Span) -> Span:
        """Return the span of products."""
        bits = self.significant_bits + other.significant_bits
        if 1 in (self.significant_bits, other.significant_bits):
            bits -= 1  # a power of two adds none
        return Span(
            bits,
            self.lowest + other.lowest,
            self.largest * other.largest,
            self.smallest * other.smallest,
        )

    def rounded_to(self, fmt: Format) -> Span:
        """Return the span after rounding to a format, where that does not overflow."""
        bits = fmt.total_bits if isinstance(fmt, FixedFormat) else fmt.mantissa_bits + 1
        lowest = max(self.lowest, fmt.lowest_bit)
        # A number may be rounded up to the next power of two, or to the finest spacing.
        largest = max(2.0**self.highest, 2.0**fmt.lowest_bit)
        outermost = max(fmt.max, -fmt.lowest)
        significant = min(self.significant_bits, bits)
        return Span(significant, lowest, min(largest, outermost), fmt.min_subnormal)


@dataclass(frozen=True)
class Plan:
    """What the tile kernel is to compile."""

    hasty: tile.Spec
    """As `careful`, but for sums that overflow, and for zeros, whose sign it loses."""
    careful: tile.Spec
    fold: tile.Spec

    @property
    def single(self) -> bool:
        """Whether the lane is float32."""
        return isinstance(self.careful.lane, tile.Single)

    @property
    def watched(self) -> bool:
        """Whether the two differ."""
        return self.hasty != self.careful or _kinds(self.hasty) != _kinds(self.careful)


def span(values: NDArray[np.float32]) -> Span | None:
    """Return the span of binary32 values, None if one is not finite."""
    fractions, last, smallest, largest = scan(values.ravel())
    if not math.isfinite(largest):
        return None
    if largest == 0.0:
        return Span(1, 0, 0.0, math.inf)
    trailing = (int(fractions) & -int(fractions)).bit_length() - 1 if fractions else 23
    bits = 24 - trailing
    if smallest < _SINGLE_MIN_NORMAL:
        return Span(24, _SINGLE_LOWEST_BIT, largest, smallest)
    lowest = max(math.frexp(smallest)[1] - bits, math.frexp(last)[1] - 1)
    return Span(bits, lowest, largest, smallest)


def plan(
    acc: Accumulator,
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    *,
    paired: bool = False,
    noted: bool = False,
) -> Plan | None:
    """Choose the tile kernel for sums from zero, or None if only the general one serves."""
    formats = [fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None]
    if acc.order != "sequential" or acc.multiplier is not None or acc.overflow == "wrap":
        return None
    if any(isinstance(fmt, FloatFormat) and not fmt.signed for fmt in formats):
        return None
    if len({isinstance(fmt, FixedFormat) for fmt in formats}) > 1:
        return None  # only one of the two kinds has a negative zero
    left, right = span(a), span(b)
    if left is None or right is None:
        return None
    exact = left.times(right)
    terms = exact
    if acc.product is not None:
        if acc.overflow == "inf" and exact.highest > _exponent(acc.product):
            return None  # the product may be infinite, and infinities cancel to NaN
        terms = exact.rounded_to(acc.product)
    lane = _lane(acc, exact, terms, noted)
    finite: Any = tile.Bounded if _cannot_overflow(acc, terms) else tile.Replaced
    if acc.overflow == "saturate":
        finite = tile.Clamped
    keeps = acc.group is None and all(
        isinstance(fmt, FixedFormat) or exact.lowest >= fmt.lowest_bit
        for fmt in (acc.format, acc.product)
        if fmt is not None
    )
    small: Any = tile.Multiples if keeps else tile.Signed
    if isinstance(acc.format, FixedFormat):
        small = tile.Unsigned
    if any(isinstance(fmt, FloatFormat) and not fmt.subnormals for fmt in formats):
        small = tile.Flushed
    rounds = acc.product is not None
    if acc.group is not None:
        # Zeros have no exponent to raise; anything smaller than a normal operand has.
        rounds = min(left.smallest, right.smallest) < _least_operand(acc)
    notes = (tile.Noted if noted else tile.Plain)(0)
    spec = tile.Spec(
        lane=lane,
        rounding=tile.ROUNDINGS[ROUNDINGS.index(acc.rounding)](0),
        overflow=finite(0),
        small=small(0),
        product=(tile.Rounded if rounds else tile.Exact)(0),
        order=(tile.InTurn if acc.group is None else tile.InGroups)(0),
        operands=(tile.Paired if paired else tile.Crossed)(0),
        notes=notes,
    )
    fold = spec._replace(
        lane=tile.Odd(0),
        rounding=tile.ROUNDINGS[ROUNDINGS.index(acc.outer_rounding)](0),
        overflow=(tile.Clamped if acc.overflow == "saturate" else tile.Special)(0),
        small=(tile.Signed if small is tile.Multiples else small)(0),
        product=tile.Exact(0),
        order=tile.InTurn(0),
        operands=tile.Crossed(0),
    )
    hasty = spec
    if acc.group is None and acc.product is None and not noted and not paired:
        if finite is tile.Replaced or (finite is tile.Clamped and not _is_fixed(acc)):
            hasty = hasty._replace(overflow=tile.Watched(0))
        if small is tile.Signed:
            hasty = hasty._replace(small=tile.Unsigned(0))
    return Plan(hasty, spec, fold)


def _kinds(spec: tile.Spec) -> list[type]:
    return [type(kind) for kind in spec]


def _least_operand(acc: Accumulator) -> float:
    return acc.operands.min_normal if isinstance(acc.operands, FloatFormat) else 0.0


def _lane(acc: Accumulator, exact: Span, terms: Span, noted: bool) -> Any:
    if acc.group is not None:
        return tile.Double(0)  # sums of integers below 2^53
    single = (
        not noted
        and not _is_fixed(acc)
        and _exact_in_single(acc, exact)
        and _fits_single(acc, terms)
    )
    if single and _sum_is_right(acc, terms, _SINGLE_BITS):
        return tile.Single(0)
    if _sum_is_right(acc, terms, _DOUBLE_BITS):
        return tile.Double(0)
    return tile.Odd(0)


def _sum_is_right(acc: Accumulator, terms: Span, w: int) -> bool:
    fmt = acc.format
    lowest = max(terms.lowest, fmt.lowest_bit)
    # The span of s and p together; s may have been rounded to a spacing finer than p's.
    if max(_exponent(fmt) + 1, terms.highest) + 1 - min(terms.lowest, lowest) <= w:
        return True
    if acc.rounding not in _NEAREST or isinstance(fmt, FixedFormat):
        return False
    m, bits = fmt.mantissa_bits, terms.significant_bits
    if bits + m > w - 2 or 2 * m >= w - 2:
        return False
    return bits <= m + 1 or min(_exponent(fmt), terms.highest - 1) < lowest + w


def _exact_in_single(acc: Accumulator, exact: Span) -> bool:
    if exact.significant_bits > _SINGLE_BITS or exact.lowest < _SINGLE_LOWEST_BIT:
        return False
    top = _SINGLE_MAX_EXPONENT - _SINGLE_BITS - 1
    return exact.highest <= (_SINGLE_MAX_EXPONENT if acc.product is None else top)


def _fits_single(acc: Accumulator, terms: Span) -> bool:
    assert isinstance(acc.format, FloatFormat)
    m = acc.format.mantissa_bits
    # M and x + M share a binade only with two bits to spare, and M must be normal.
    if max(m, _mantissa_bits(acc.product)) > _SINGLE_BITS - 4:
        return False
    if any(
        isinstance(fmt, FloatFormat) and fmt.min_exponent < 1 - _SINGLE_MAX_EXPONENT
        for fmt in (acc.format, acc.product)
    ):
        return False
    power = max(_exponent(acc.format) + 1, terms.highest)
    if acc.rounding in _NEAREST:
        power = min(power, _largest_sum(acc, terms))
    return power + _SINGLE_BITS - m < _SINGLE_MAX_EXPONENT


def _cannot_overflow(acc: Accumulator, terms: Span) -> bool:
    if acc.rounding not in _NEAREST or acc.group is not None or acc.product is not None:
        return False
    return _largest_sum(acc, terms) <= _exponent(acc.format)


def _largest_sum(acc: Accumulator, terms: Span) -> int:
    """Return the c of the module's last paragraph."""
    fmt = acc.format
    if isinstance(fmt, FixedFormat):
        return _SINGLE_MAX_EXPONENT
    return max(terms.highest + fmt.mantissa_bits + 2, fmt.min_exponent)


def _mantissa_bits(fmt: Format | None) -> int:
    return fmt.mantissa_bits if isinstance(fmt, FloatFormat) else 0


def _exponent(fmt: Format) -> int:
    """Return the exponent of the largest value."""
    return math.frexp(max(fmt.max, -fmt.lowest))[1] - 1


def _is_fixed(acc: Accumulator) -> bool:
    return isinstance(acc.format, FixedFormat)
