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

Direction. If G and H are grids, and G holds every value of H, then rounding in a direction to G
and on to H is rounding to H, since no value of H lies strictly between a number and its rounding
to G. Binary32 or binary64 is G, and a fused operation of the processor in its rounding mode is the
first rounding; the second, x + M, has M on the side of x where the direction depends on the sign.
Stochastic rounding adds U quanta, U a multiple of 2^-r, to the magnitude cut off to G and cuts off
the sum: if G is no coarser than 2^-r quanta, no multiple of a quantum less U quanta lies between
the magnitude and what G left of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FixedFormat, FloatFormat, Format
from accelsim.numerics.haste import (
    NEAREST,
    SINGLE_BITS,
    SINGLE_LOWEST_BIT,
    SINGLE_MAX_EXPONENT,
    Plan,
    hasten,
    keep_running,
    largest_exponent,
)
from accelsim.numerics.kernels import spec as specs
from accelsim.numerics.kernels.spec import Spec
from accelsim.numerics.rounding import ROUNDINGS
from accelsim.numerics.spans import Magnitudes, Span, glance, lowest_product, outline, span

_DOUBLE_BITS = 53


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
    if not _is_tiled(acc):
        return None
    chosen, sure = _at_first_glance(acc, *glance(a, b), paired, noted, running)
    if sure and not _is_odd(chosen):
        return chosen
    # Where the operands have their last bit matters: a longer look at them tells.
    left, right = _spans(a, b)
    chosen = _chosen(acc, left, right, paired, noted, running)
    if running or paired or not _is_odd(chosen):
        return chosen
    # The slowest lane: a sharper look at the operands may avoid it.
    return _chosen(acc, left, right, paired, noted, running, lowest_product(a, b, left, right))


def _is_odd(chosen: Plan | None) -> bool:
    return chosen is not None and isinstance((chosen.hasty or chosen.careful).lane, specs.Odd)


def _spans(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[Span, Span]:
    left, right = span(a), span(b)
    assert left is not None  # no tile takes what is not finite
    assert right is not None
    return left, right


@lru_cache(1024)
def _at_first_glance(
    acc: Accumulator,
    seen_left: Magnitudes,
    seen_right: Magnitudes,
    paired: bool,
    noted: bool,
    running: bool,
) -> tuple[Plan | None, bool]:
    """Choose for operands of such outlines, and say whether spans would lead to the same."""
    left, right = outline(seen_left), outline(seen_right)
    if left is None or right is None:
        return None, True
    chosen = _chosen(acc, left, right, paired, noted, running)
    return chosen, chosen == _chosen(acc, left.at_best, right.at_best, paired, noted, running)


@lru_cache(1024)
def _chosen(
    acc: Accumulator,
    left: Span,
    right: Span,
    paired: bool,
    noted: bool,
    running: bool,
    lowest: int = 2 * SINGLE_LOWEST_BIT,
) -> Plan | None:
    """Choose for operands of such spans, whose products are multiples of 2^lowest as well."""
    exact = left.times(right)
    exact = exact._replace(lowest=max(exact.lowest, lowest))
    chosen = _plan(acc, left, right, exact, paired, noted)
    if not running or chosen is None:
        return chosen
    return keep_running(acc, chosen, exact, _largest_sum(acc, exact))


@lru_cache(1024)
def _is_tiled(acc: Accumulator) -> bool:
    formats = [fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None]
    if acc.order != "sequential" or acc.multiplier is not None or acc.overflow == "wrap":
        return False
    if any(isinstance(fmt, FloatFormat) and not fmt.signed for fmt in formats):
        return False
    # Only one of the two kinds has a negative zero.
    return len({isinstance(fmt, FixedFormat) for fmt in formats}) == 1


def _plan(
    acc: Accumulator, left: Span, right: Span, exact: Span, paired: bool, noted: bool
) -> Plan | None:
    formats = [fmt for fmt in (acc.format, acc.product, acc.outer) if fmt is not None]
    terms = exact
    if acc.product is not None:
        if acc.overflow == "inf" and exact.highest > largest_exponent(acc.product):
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
    return hasten(acc, spec, fold, exact, right)


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
    if single and _sum_is_right(acc, terms, SINGLE_BITS):
        return specs.Single(0)
    if _sum_is_right(acc, terms, _DOUBLE_BITS):
        return specs.Double(0)
    return specs.Odd(0)


def _sum_is_right(acc: Accumulator, terms: Span, w: int) -> bool:
    fmt = acc.format
    lowest = max(terms.lowest, fmt.lowest_bit)
    # The span of s and p together; s may have been rounded to a spacing finer than p's.
    if max(largest_exponent(fmt) + 1, terms.highest) + 1 - min(terms.lowest, lowest) <= w:
        return True
    if acc.rounding not in NEAREST or isinstance(fmt, FixedFormat):
        return False
    m, bits = fmt.mantissa_bits, terms.significant_bits
    if bits + m > w - 2 or 2 * m >= w - 2:
        return False
    return bits <= m + 1 or min(largest_exponent(fmt), terms.highest - 1) < lowest + w


def _exact_in_single(acc: Accumulator, exact: Span) -> bool:
    if exact.significant_bits > SINGLE_BITS or exact.lowest < SINGLE_LOWEST_BIT:
        return False
    top = SINGLE_MAX_EXPONENT - SINGLE_BITS - 1
    return exact.highest <= (SINGLE_MAX_EXPONENT if acc.product is None else top)


def _fits_single(acc: Accumulator, terms: Span) -> bool:
    assert isinstance(acc.format, FloatFormat)
    m = acc.format.mantissa_bits
    # M and x + M share a binade only with two bits to spare, or as `Lane` says, and M is normal.
    most = (SINGLE_BITS - 3) // 2 if acc.rounding == "nearest-even" else SINGLE_BITS - 4
    if max(m, _mantissa_bits(acc.product)) > most:
        return False
    if any(
        isinstance(fmt, FloatFormat) and fmt.min_exponent < 1 - SINGLE_MAX_EXPONENT
        for fmt in (acc.format, acc.product)
    ):
        return False
    power = max(largest_exponent(acc.format) + 1, terms.highest)
    if acc.rounding in NEAREST:
        power = min(power, _largest_sum(acc, terms))
    return power + SINGLE_BITS - m < SINGLE_MAX_EXPONENT


def _cannot_overflow(acc: Accumulator, terms: Span) -> bool:
    if acc.rounding not in NEAREST or acc.group is not None or acc.product is not None:
        return False
    return _largest_sum(acc, terms) <= largest_exponent(acc.format)


def _largest_sum(acc: Accumulator, terms: Span) -> int:
    """Return the c of the module's last paragraph."""
    fmt = acc.format
    if isinstance(fmt, FixedFormat):
        return SINGLE_MAX_EXPONENT
    return max(terms.highest + fmt.mantissa_bits + 2, fmt.min_exponent)


def _mantissa_bits(fmt: Format | None) -> int:
    return fmt.mantissa_bits if isinstance(fmt, FloatFormat) else 0


def _is_fixed(acc: Accumulator) -> bool:
    return isinstance(acc.format, FixedFormat)
