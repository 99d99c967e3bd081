"""The definition of accumulation, in every order: exact rational arithmetic, slow and readable.

A term is a product a·b, exact (a Fraction) unless it is zero, infinite or NaN (a float), so that
signs of zeros and non-finite values follow IEEE 754.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from accelsim.numerics import draws
from accelsim.numerics.formats import FloatFormat, Format
from accelsim.numerics.multipliers import multiply_exact
from accelsim.numerics.rounding import Draw, fits, round_exact, round_unbounded

if TYPE_CHECKING:
    from accelsim.numerics.accumulate import Accumulator

Term = Fraction | float


def accumulate_exact(
    a: Sequence[float],
    b: Sequence[float],
    acc: Accumulator,
    c: float = 0.0,
    row: int = 0,
    column: int = 0,
) -> float:
    """Return c + Σ a_k·b_k as the accumulator `acc` computes it, for the output (row, column).

    `c` may be any binary32 number. It is what a sequential sum, a sum in groups, in sorted order
    or with compensation starts from; a pairwise sum takes it in last, and sums in chunks and
    sums that spill start their wide part from it.
    """
    exact = _Exact(acc, row, column)
    if len(a) == 0:
        return exact.outer(c, -0.0, 0, draws.ADDEND)
    if acc.chunk is not None:
        total: Term = c
        for start in range(0, len(a), acc.chunk):
            stop = min(start + acc.chunk, len(a))
            partial = exact.inner(a, b, 0.0, start, stop)
            total = exact.outer(total, partial, stop - 1, draws.OUTER)
        return float(total)
    return exact.inner(a, b, c, 0, len(a))


class _Exact:
    """One output of an accumulator: its formats, and its draws where they are random."""

    def __init__(self, acc: Accumulator, row: int, column: int) -> None:
        self.acc = acc
        self.row, self.column = row, column

    def inner(
        self, a: Sequence[float], b: Sequence[float], c: float, start: int, stop: int
    ) -> float:
        if self.acc.group is not None:
            return self.in_groups(a, b, c, start, stop)
        terms = [self.product(a[k], b[k], k) for k in range(start, stop)]
        order: Callable[[list[Term], float, int], float] = {
            "sequential": self.sequential,
            "pairwise": self.pairwise,
            "kahan": self.kahan,
            "sorted": self.ascending,
            "spill": self.spilling,
        }[self.acc.order]
        return order(terms, c, start)

    def product(self, x: float, y: float, k: int) -> Term:
        if self.acc.multiplier is not None:
            assert isinstance(self.acc.operands, FloatFormat)
            exact = multiply_exact(self.acc.multiplier, self.acc.operands, x, y)
        else:
            exact = _product(x, y)
        if self.acc.product is None:
            return exact
        return self.rounded(self.acc.product, exact, k, draws.PRODUCT)

    def rounded(
        self, fmt: Format, value: Term, k: int, stage: int, rounding: str | None = None
    ) -> float:
        acc = self.acc
        rounding = acc.rounding if rounding is None else rounding
        return round_exact(fmt, value, acc.overflow, rounding, self.draw(k, stage))

    def draw(self, k: int, stage: int) -> Draw:
        number = draws.ROUNDINGS_PER_STEP * k + stage
        return draws.draw(self.acc.seed, self.row, self.column, number, self.acc.random_bits)

    def add(self, x: Term, y: Term, k: int, stage: int = draws.STEP) -> float:
        return self.rounded(self.acc.format, _sum(x, y), k, stage)

    def outer(self, x: Term, y: Term, k: int, stage: int) -> float:
        fmt, rounding = self.acc.outer_format, self.acc.outer_rounding
        return self.rounded(fmt, _sum(x, y), k, stage, rounding)

    def sequential(self, terms: list[Term], c: float, first: int) -> float:
        total = c
        for k, term in enumerate(terms, first):
            total = self.add(total, term, k)
        return total

    def ascending(self, terms: list[Term], c: float, first: int) -> float:
        """Add the terms of least magnitude first; equal magnitudes keep their order, NaNs end."""
        return self.sequential(sorted(terms, key=_magnitude), c, first)

    def pairwise(self, terms: list[Term], c: float, first: int) -> float:
        """Add neighbours, then neighbours of the sums, …; a last one without partner moves up.

        A sum is numbered by the first term of its right half.
        """
        nodes = [(first + i, term) for i, term in enumerate(terms)]
        while len(nodes) > 1:
            pairs = [
                (left[0], self.add(left[1], right[1], right[0]))
                for left, right in zip(nodes[::2], nodes[1::2], strict=False)
            ]
            nodes = pairs + nodes[2 * len(pairs) :]
        return self.add(c, nodes[0][1], first, draws.ADDEND)

    def kahan(self, terms: list[Term], c: float, first: int) -> float:
        """Compensate: what each addition lost is taken from the next term (Kahan, CACM 1965)."""
        total, lost = c, 0.0
        for k, term in enumerate(terms, first):
            corrected = self.add(term, -lost, k, draws.CORRECTED)
            new = self.add(total, corrected, k)
            difference = self.add(new, -total, k, draws.DIFFERENCE)
            lost = self.add(difference, -corrected, k, draws.COMPENSATION)
            total = new
        return total

    def spilling(self, terms: list[Term], c: float, first: int) -> float:
        """Sum narrowly; where that overflows, empty the narrow sum into the wide one first.

        A term too large for the narrow format goes to the wide one (dMAC, arXiv:2504.09072).
        """
        wide: Term = c
        narrow = 0.0
        for k, term in enumerate(terms, first):
            if self.fits(_sum(narrow, term), k):
                narrow = self.add(narrow, term, k)
                continue
            wide = self.outer(wide, narrow, k, draws.WIDE)
            if self.fits(term, k):
                narrow = self.add(0.0, term, k)
            else:
                wide = self.outer(wide, term, k, draws.OUTER)
                narrow = 0.0
        return self.outer(wide, narrow, first, draws.ADDEND)

    def fits(self, value: Term, k: int) -> bool:
        if not math.isfinite(value):
            return False
        fmt, draw = self.acc.format, self.draw(k, draws.STEP)
        return fits(fmt, round_unbounded(fmt, Fraction(value), self.acc.rounding, draw))

    def in_groups(
        self, a: Sequence[float], b: Sequence[float], c: float, start: int, stop: int
    ) -> float:
        """Add `group` products and the running sum at once, as tensor cores do.

        All are cut to `align_bits` fraction bits below the largest exponent among them, summed
        exactly, and the sum is rounded.
        """
        assert self.acc.group is not None
        total = c
        for low in range(start, stop, self.acc.group):
            high = min(low + self.acc.group, stop)
            pairs = list(zip(a[low:high], b[low:high], strict=True))
            total = self.rounded(self.acc.format, self.group(total, pairs), low, draws.STEP)
        return total

    def group(self, total: float, pairs: list[tuple[float, float]]) -> Term:
        assert self.acc.align_bits is not None
        special = 0.0 if math.isfinite(total) else total
        for x, y in pairs:
            if not (math.isfinite(x) and math.isfinite(y)):
                special += x * y
        if special != 0.0:
            return special
        fmt = self.acc.operands
        lowest = fmt.min_exponent if isinstance(fmt, FloatFormat) else -149
        exponents = [_exponent(x, lowest) + _exponent(y, lowest) for x, y in pairs if x != 0.0 != y]
        if total != 0.0:
            exponents.append(_exponent(total, -149))
        if not exponents:
            return 0.0
        unit = Fraction(2) ** (max(exponents) - self.acc.align_bits)
        values = [Fraction(total), *(Fraction(x) * Fraction(y) for x, y in pairs)]
        summed = sum((math.trunc(value / unit) for value in values), 0) * unit
        return summed if summed else 0.0


def _product(x: float, y: float) -> Term:
    # Operands are binary32 numbers, so that x·y is exact in binary64 and its sign of zero right.
    product = x * y
    return Fraction(product) if product != 0.0 and math.isfinite(product) else product


def _sum(x: Term, y: Term) -> Term:
    special = [t for t in (x, y) if isinstance(t, float) and not math.isfinite(t)]
    if special:
        return sum(special[1:], special[0])
    exact = Fraction(x) + Fraction(y)
    return exact if exact else float(x) + float(y)


def _magnitude(term: Term) -> tuple[bool, Term]:
    if isinstance(term, float):
        return (True, 0.0) if math.isnan(term) else (False, abs(term))
    return (False, abs(term))


def _exponent(x: float, lowest: int) -> int:
    return max(math.frexp(x)[1] - 1, lowest)
