"""What is computed in haste, and how it shows where that was wrong: plans for the tile kernel.

Let F be the accumulator's format, m its stored mantissa bits and emax the exponent of its largest
number, s a value of F, p a product, and t = s + p as a lane has it (see `lanes`).

Some sums are first computed as if there were no largest value and zeros had no sign, and
again with care where that may have been wrong. If |s| ≤ g for a value g of F, then after a term
of magnitude P with g + P ≤ h for another value h, the rounded sum is at most h, as rounding is
monotone and leaves h alone. `_limit` goes back from the largest value in as many such steps as
there are terms between two looks at the sum, a block. Zeros of either sign lead to the same sums
until the last; `kernels.tile` gives that its sign, which t has before it is rounded.

Sticky sums need no looks. Columns are scaled by a power of two, 2^(105 + m - emax), with which all
there is remains what it was, unless it becomes too large for a lane, and then infinite. Rounding
to nearest in a float32 lane adds 2^(23-m)·c to t, or 1.5 times that, and takes it away again: c is
t, or a power of two at t. Where |t| < 2^emax all of it is below 2^128. Where the first of these
operations overflows the second leaves an infinity; the next sum is infinite or NaN, and is rounded
to NaN, as one infinity is taken from another; and NaN stays. Where it does not overflow although
|t| ≥ 2^emax, then c = t and (2^(23-m) - 1)·|t| < 2^128, so that t is less than half a spacing above
2^emax, and rounded to that. So a sum that is finite at the end has never been beyond 2^emax.

Running sums. |ŝ| ≤ T: 2^c where that bounds the sums (see `lanes`), 2^emax of sticky sums that stay
finite, the largest value of those that are watched. All |ŝ| are multiples of 2^L. So b of them add
up exactly in a float32 lane if b·T ≤ 2^(L+24), in any order; and if 4·T ≤ 2^(L+24), 2^31 of them in
binary64, to which a lane adds its sum after each block of b ≥ 4 terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FloatFormat, Format
from accelsim.numerics.kernels import spec as specs
from accelsim.numerics.kernels.spec import Spec
from accelsim.numerics.spans import Span

SINGLE_BITS, SINGLE_MAX_EXPONENT, SINGLE_LOWEST_BIT = 24, 127, -149
NEAREST = ("nearest-even", "nearest-away")
_BINARY32 = FloatFormat.parse("fp32")


@dataclass(frozen=True)
class Plan:
    """What the tile kernel is to compile.

    Where there is a `hasty` spec, its sums are right if after every `block` terms they are no
    larger than `limit`, or, of columns that are multiplied by `scale`, if they are finite at the
    end; and if they are not zeros where `zeros` says that their sign is lost.
    """

    hasty: Spec | None
    careful: Spec
    fold: Spec | None
    limit: float = math.inf
    zeros: bool = False
    block: int = 0
    scale: float = 1.0

    @property
    def tells_overflows(self) -> bool:
        """Whether the sums that are not doubtful are known not to have overflowed."""
        if self.fold is not None:
            return False  # nobody watches the outer sums
        seen = (specs.Watched, specs.Sticky)
        if self.hasty is not None and isinstance(self.hasty.overflow, seen):
            return True
        bounded = isinstance(self.careful.overflow, specs.Bounded)
        # Binary32 has infinities.
        return bounded and not isinstance(self.careful.rounding, specs.Native)


def hasten(acc: Accumulator, careful: Spec, fold: Spec | None, terms: Span, columns: Span) -> Plan:
    """Add the hasty spec, if there is one, to the plan for a floating-point sum of products.

    columns: the span of what may be scaled.
    """
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
    elif acc.rounding not in NEAREST and fmt.subnormals:
        single = _directed_in_single(acc)
        lane: Any = specs.SingleDirected if single else specs.DoubleDirected
        hasty = careful._replace(lane=lane(0), overflow=specs.Watched(0))
    if hasty.single and not isinstance(hasty.rounding, specs.Native):
        # M of numbers up to `top` is finite.
        top = min(top, 2.0 ** (SINGLE_MAX_EXPONENT - SINGLE_BITS + fmt.mantissa_bits))
    zeros = isinstance(hasty.small, specs.Signed) or type(hasty.lane) is not type(careful.lane)
    if isinstance(hasty.small, specs.Signed):
        hasty = hasty._replace(small=specs.Unsigned(0))
    if isinstance(hasty.overflow, specs.Bounded):
        return Plan(hasty, careful, fold, zeros=zeros) if zeros else Plan(None, careful, fold)
    scale = _scale(fmt, hasty, columns) if fold is None else None
    if scale is not None:
        hasty = hasty._replace(overflow=specs.Sticky(0))
        return Plan(hasty, careful, fold, zeros=zeros, scale=scale)
    # The longer a block, the faster; but the smaller the sums that are doubted.
    limits = [(_limit(fmt, top, terms.largest, block), block) for block in specs.BLOCKS]
    limit, block = max(
        (pair for pair in limits if 3 * pair[0] >= top), key=lambda p: p[1], default=limits[0]
    )
    if limit < 0:
        return Plan(None, careful, fold)
    return Plan(hasty._replace(overflow=specs.Watched(0)), careful, fold, limit, zeros, block)


def _scale(fmt: FloatFormat, hasty: Spec, columns: Span) -> float | None:
    """Return by what to scale columns for sticky sums, or None if they would not do or not pay."""
    unsigned = isinstance(hasty.small, specs.Unsigned)
    if not hasty.single or not isinstance(hasty.rounding, specs.NearestEven):
        return None
    if not (unsigned or isinstance(hasty.small, specs.Multiples)):
        return None  # zeros have their sign from the start, or are what subnormals are flushed to
    if not (specs.WIDE or (specs.FEW_REGISTERS and unsigned)):
        return None  # rounding by operations on integers, which sticky sums cannot have, pays more
    exponent = SINGLE_MAX_EXPONENT + 2 - SINGLE_BITS + fmt.mantissa_bits - largest_exponent(fmt)
    if exponent < 0 or max(columns.highest, 2) + exponent > SINGLE_MAX_EXPONENT:
        return None
    return math.ldexp(1.0, exponent)


def _directed_in_single(acc: Accumulator) -> bool:
    """Whether what is rounded in its direction to binary32 can be rounded on to the format."""
    fmt = acc.format
    assert isinstance(fmt, FloatFormat)
    m, lowest = fmt.mantissa_bits, fmt.lowest_bit
    if m > SINGLE_BITS - 4:
        return False  # M and x + M share a binade only with two bits to spare
    if acc.rounding == "stochastic":
        # What is cut off is less than what the random bits can tell apart.
        m, lowest = m + acc.random_bits, lowest - acc.random_bits
    return (
        m < SINGLE_BITS
        and lowest >= SINGLE_LOWEST_BIT
        and fmt.min_exponent >= 1 - SINGLE_MAX_EXPONENT
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


def keep_running(acc: Accumulator, chosen: Plan, terms: Span, largest_sum: int) -> Plan | None:
    """Let the first sweep of a plan keep running sums beside the sums, if they are exact.

    Where sums are bounded, they are so by 2^largest_sum.
    """
    spec, fmt = chosen.hasty or chosen.careful, acc.format
    watched = isinstance(spec.overflow, specs.Watched)
    if not isinstance(fmt, FloatFormat) or not spec.single or chosen.fold is not None:
        return None
    if watched:
        largest = fmt.max
    elif isinstance(spec.overflow, specs.Sticky):
        largest = math.ldexp(1.0, largest_exponent(fmt))
    elif isinstance(spec.overflow, specs.Bounded) and not isinstance(spec.rounding, specs.Native):
        largest = math.ldexp(1.0, largest_sum)
    else:
        return None
    lowest = max(terms.lowest, fmt.lowest_bit)
    exact = [b for b in specs.BLOCKS if b * largest <= math.ldexp(1.0, lowest + SINGLE_BITS)]
    if not exact or (watched and chosen.block not in exact):
        return None
    hasty = spec._replace(notes=specs.Running(0))
    return replace(chosen, hasty=hasty, block=chosen.block if watched else exact[-1])


def largest_exponent(fmt: Format) -> int:
    """Return the exponent of the largest value."""
    return math.frexp(max(fmt.max, -fmt.lowest))[1] - 1
