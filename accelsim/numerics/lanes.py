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
spacing too. So 2^L is the larger of the two. The last bit of all products is first taken from the
spans of the operands, as if the smallest of both met; where that leads to the slowest lane, from
the smallest in each column of the one and row of the other, which do meet.

Overflow. If |p| ≤ 2^H and rounding is to nearest, |s| never passes 2^c with c = H + m + 2: in the
binade above, half a spacing is 2^(c-m-1) = 2^(H+1), so that 2^c + p goes back to 2^c. Where
c ≤ emax nothing overflows. M of `kernels.scalar` stays finite in a float32 lane if the largest
power of two of a sum, below 2^(c+1) and below 2^(max(emax+1, H)+1), times 2^(24-m) is below 2^128.

Haste. Some sums are first computed as if there were no largest value and zeros had no sign, and
again with care where that may have been wrong. If |s| ≤ g for a value g of F, then after a term
of magnitude P with g + P ≤ h for another value h, the rounded sum is at most h, as rounding is
monotone and leaves h alone. `_limit` goes back from the largest value in as many such steps as
there are terms between two looks at the sum, a block. Zeros of either sign lead to the same sums
until the last; `kernels.product` finds the sign of that.

Running sums. Where rounding is to nearest or sums are watched, |ŝ| ≤ T, T the largest power of two
or the limit of above; all |ŝ| are multiples of 2^L. So b of them add up exactly in a float32 lane
if b·T ≤ 2^(L+24), in any order; and if 4·T ≤ 2^(L+24), 2^31 of them in binary64, to which a lane
adds its sum after each block of b ≥ 4 terms.

Direction. If G and H are grids, and G holds every value of H, then rounding in a direction to G
and on to H is rounding to H, since no value of H lies strictly between a number and its rounding
to G. Binary32 or binary64 is G, and a fused operation of the processor in its rounding mode is the
first rounding; the second, x + M, has M on the side of x where the direction depends on the sign.
Stochastic rounding adds U quanta, U a multiple of 2^-r, to the magnitude cut off to G and cuts off
the sum: if G is no coarser than 2^-r quanta, no multiple of a quantum less U quanta lies between
the magnitude and what G left of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FixedFormat, FloatFormat, Format
from accelsim.numerics.kernels import spec as specs
from accelsim.numerics.kernels.spec import Spec
from accelsim.numerics.rounding import ROUNDINGS
from accelsim.numerics.spans import Span, lowest_product, span

_SINGLE_BITS, _DOUBLE_BITS = 24, 53
_SINGLE_MAX_EXPONENT = 127
_SINGLE_LOWEST_BIT = -149
_NEAREST = ("nearest-even", "nearest-away")
_BINARY32 = FloatFormat.parse("fp32")


@dataclass(frozen=True)
class Plan:
    """What the tile kernel is to compile.

    Where there is a `hasty` spec, its sums are right if after every `block` terms they are no
    larger than `limit`, and if they are not zeros where `zeros` says that their sign is lost.
    """

    hasty: Spec | None
    careful: Spec
    fold: Spec | None
    limit: float = math.inf
    zeros: bool = False
    block: int = 0

    @property
    def tells_overflows(self) -> bool:
        """Whether the sums that are not doubtful are known not to have overflowed."""
        if self.fold is not None:
            return False  # nobody watches the outer sums
        if self.hasty is not None and isinstance(self.hasty.overflow, specs.Watched):
            return True
        bounded = isinstance(self.careful.overflow, specs.Bounded)
        # Binary32 has infinities.
        return bounded and not isinstance(self.careful.rounding, specs.Native)


def plan(
    acc: Accumulator,
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    *,
    paired: bool = False,
    noted: bool = False,
    running: bool = False,
) -> Plan | None:
    """Choose the tile kernel for sums from zero, or None if only the general one serves.

    With `running`, one that keeps Σ|ŝ| in a float32 lane, or None if that is not surely exact.
    """
    if not _has_tiles(acc):
        return None
    left, right = span(a), span(b)
    if left is None or right is None:
        return None
    exact = left.times(right)
    chosen = _plan(acc, left, right, exact, paired, noted)
    if running:
        return None if chosen is None else _running(acc, chosen, exact)
    if chosen is None or not isinstance((chosen.hasty or chosen.careful).lane, specs.Odd):
        return chosen
    if not paired:  # the slowest lane: a sharper look at the operands may avoid it
        exact = exact._replace(lowest=max(exact.lowest, lowest_product(a, b, left, right)))
    return _plan(acc, left, right, exact, paired, noted)


@lru_cache(1024)
def _running(acc: Accumulator, chosen: Plan, terms: Span) -> Plan | None:
    """Let the first sweep of a plan keep running sums beside the sums, if they are exact."""
    spec, fmt = chosen.hasty or chosen.careful, acc.format
    watched = isinstance(spec.overflow, specs.Watched)
    bounded = isinstance(spec.overflow, specs.Bounded)
    if not isinstance(fmt, FloatFormat) or not spec.single or chosen.fold is not None:
        return None
    if not (watched or bounded) or isinstance(spec.rounding, specs.Native):
        return None
    largest = fmt.max if watched else math.ldexp(1.0, _largest_sum(acc, terms))
    lowest = max(terms.lowest, fmt.lowest_bit)
    exact = [b for b in specs.BLOCKS if b * largest <= math.ldexp(1.0, lowest + _SINGLE_BITS)]
    if not exact or (watched and chosen.block not in exact):
        return None
    hasty = spec._replace(notes=specs.Running(0))
    return replace(chosen, hasty=hasty, block=chosen.block if watched else exact[-1])


def _has_tiles(acc: Accumulator) -> bool:
    formats = [fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None]
    if acc.order != "sequential" or acc.multiplier is not None or acc.overflow == "wrap":
        return False
    if any(isinstance(fmt, FloatFormat) and not fmt.signed for fmt in formats):
        return False
    # Only one of the two kinds has a negative zero.
    return len({isinstance(fmt, FixedFormat) for fmt in formats}) == 1


@lru_cache(1024)
def _plan(
    acc: Accumulator, left: Span, right: Span, exact: Span, paired: bool, noted: bool
) -> Plan | None:
    formats = [fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None]
    terms = exact
    if acc.product is not None:
        if acc.overflow == "inf" and exact.highest > _exponent(acc.product):
            return None  # the product may be infinite, and infinities cancel to NaN
        terms = exact.rounded_to(acc.product)
    lane = _lane(acc, exact, terms, noted)
    finite: Any = specs.Bounded if _cannot_overflow(acc, terms) else specs.Replaced
    if acc.overflow == "saturate":
        finite = specs.Clamped
    keeps = acc.group is None and all(
        isinstance(fmt, FixedFormat) or exact.lowest >= fmt.lowest_bit
        for fmt in (acc.format, acc.product)
        if fmt is not None
    )
    small: Any = specs.Multiples if keeps else specs.Signed
    if isinstance(acc.format, FixedFormat):
        small = specs.Unsigned
    if any(isinstance(fmt, FloatFormat) and not fmt.subnormals for fmt in formats):
        small = specs.Flushed
    rounds = acc.product is not None
    if acc.group is not None:
        # Zeros have no exponent to raise; anything smaller than a normal operand has.
        rounds = min(left.smallest, right.smallest) < _least_operand(acc)
    notes = (specs.Noted if noted else specs.Plain)(0)
    spec = Spec(
        lane=lane,
        rounding=specs.ROUNDINGS[ROUNDINGS.index(acc.rounding)](0),
        overflow=finite(0),
        small=small(0),
        product=(specs.Rounded if rounds else specs.Exact)(0),
        order=(specs.InTurn if acc.group is None else specs.InGroups)(0),
        operands=(specs.Paired if paired else specs.Crossed)(0),
        notes=notes,
    )
    fold = None
    if acc.chunk is not None:
        fold = spec._replace(
            lane=specs.Odd(0),
            rounding=specs.ROUNDINGS[ROUNDINGS.index(acc.outer_rounding)](0),
            overflow=(specs.Clamped if acc.overflow == "saturate" else specs.Special)(0),
            small=(specs.Signed if small is specs.Multiples else small)(0),
            product=specs.Exact(0),
            order=specs.InTurn(0),
            operands=specs.Crossed(0),
        )
    if noted or rounds or acc.group is not None or isinstance(acc.format, FixedFormat):
        return Plan(None, spec, fold)
    return _hasten(acc, spec, fold, exact)


def _hasten(acc: Accumulator, careful: Spec, fold: Spec | None, terms: Span) -> Plan:
    """Add the hasty spec, if there is one, to the plan for a floating-point sum of products."""
    fmt = acc.format
    assert isinstance(fmt, FloatFormat)
    hasty, top = careful, fmt.max
    if fmt == _BINARY32 and acc.rounding == "nearest-even":
        # Fused operations in binary32 are the accumulator, with its zeros and its infinities.
        hasty = careful._replace(
            lane=specs.Single(0), rounding=specs.Native(0), small=specs.Multiples(0)
        )
        if acc.overflow == "inf":
            hasty = hasty._replace(overflow=specs.Bounded(0))
            return Plan(None, hasty, fold)
    elif acc.rounding not in _NEAREST and fmt.subnormals:
        single = _directed_in_single(acc)
        lane: Any = specs.SingleDirected if single else specs.DoubleDirected
        hasty = careful._replace(lane=lane(0), overflow=specs.Watched(0))
    if hasty.single and not isinstance(hasty.rounding, specs.Native):
        # M of numbers up to `top` is finite.
        top = min(top, 2.0 ** (_SINGLE_MAX_EXPONENT - _SINGLE_BITS + fmt.mantissa_bits))
    zeros = isinstance(hasty.small, specs.Signed) or type(hasty.lane) is not type(careful.lane)
    if isinstance(hasty.small, specs.Signed):
        hasty = hasty._replace(small=specs.Unsigned(0))
    if isinstance(hasty.overflow, specs.Bounded):
        return Plan(hasty, careful, fold, zeros=zeros) if zeros else Plan(None, careful, fold)
    # The longer a block, the faster; but the smaller the sums that are doubted.
    limits = [(_limit(fmt, top, terms.largest, block), block) for block in specs.BLOCKS]
    limit, block = max(
        (pair for pair in limits if 3 * pair[0] >= top), key=lambda p: p[1], default=limits[0]
    )
    if limit < 0:
        return Plan(None, careful, fold)
    return Plan(hasty._replace(overflow=specs.Watched(0)), careful, fold, limit, zeros, block)


def _directed_in_single(acc: Accumulator) -> bool:
    """Whether what is rounded in its direction to binary32 can be rounded on to the format."""
    fmt = acc.format
    assert isinstance(fmt, FloatFormat)
    m, lowest = fmt.mantissa_bits, fmt.lowest_bit
    if m > _SINGLE_BITS - 4:
        return False  # M and x + M share a binade only with two bits to spare
    if acc.rounding == "stochastic":
        # What is cut off is less than what the random bits can tell apart.
        m, lowest = m + acc.random_bits, lowest - acc.random_bits
    return (
        m < _SINGLE_BITS
        and lowest >= _SINGLE_LOWEST_BIT
        and fmt.min_exponent >= 1 - _SINGLE_MAX_EXPONENT
    )


def _limit(fmt: FloatFormat, top: float, term: float, block: int) -> float:
    """Return the magnitude from which a block of terms cannot lead above `top`, else -1.

    As `top` is a value of the format and rounding is monotone, |s| + term ≤ top is enough for
    one step, in any direction of rounding.
    """
    limit = top
    for _ in range(block):
        limit = (limit - term) * (1 - 2.0**-50)  # no larger than the exact difference
        if limit <= 0:
            return -1.0
        exponent = max(math.frexp(limit)[1] - 1, fmt.min_exponent)
        limit = math.floor(math.ldexp(limit, fmt.mantissa_bits - exponent))
        limit = math.ldexp(limit, exponent - fmt.mantissa_bits)
    return limit


def _least_operand(acc: Accumulator) -> float:
    return acc.operands.min_normal if isinstance(acc.operands, FloatFormat) else 0.0


def _lane(acc: Accumulator, exact: Span, terms: Span, noted: bool) -> Any:
    if acc.group is not None:
        return specs.Double(0)  # sums of integers below 2^53
    single = (
        not noted
        and not _is_fixed(acc)
        and acc.rounding != "stochastic"  # its random bits would not fit
        and _exact_in_single(acc, exact)
        and _fits_single(acc, terms)
    )
    if single and _sum_is_right(acc, terms, _SINGLE_BITS):
        return specs.Single(0)
    if _sum_is_right(acc, terms, _DOUBLE_BITS):
        return specs.Double(0)
    return specs.Odd(0)


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
    # M and x + M share a binade only with two bits to spare, or as `Lane` says, and M is normal.
    most = (_SINGLE_BITS - 3) // 2 if acc.rounding == "nearest-even" else _SINGLE_BITS - 4
    if max(m, _mantissa_bits(acc.product)) > most:
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
