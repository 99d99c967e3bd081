"""What adding terms to a sum takes: with every term, and once for a group added together."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.machine.counts import Arithmetic, Operation, arithmetic
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.accumulator import added_in, group_bits
from accelsim.numerics.formats import MAX_FIXED_BITS, Format

_PRODUCT_BITS = 3
"""Of an aligned term before the point: a product is below 4 units, and has a sign."""


class Adder(NamedTuple):
    """The adder of a sum in `kept`, which adds in `added`: with random bits of stochastic rounding
    below the last place of `kept`, and else the same.

    A fused `group` of terms is aligned to `align_bits` below the largest of their exponents, added
    as integers, and becomes a number in `kept` once.
    """

    kept: Format
    added: Format
    group: int = 1
    align_bits: int | None = None

    @classmethod
    def of(cls, acc: Accumulator | Format) -> Adder:
        """Return what adds products. Raises ValueError if that is wider than any format."""
        if not isinstance(acc, Accumulator):
            return cls(acc, acc)
        added = added_in(acc.format, acc.rounding, acc.random_bits)
        return cls(acc.format, added, acc.group or 1, acc.align_bits)

    @classmethod
    def of_sums(cls, acc: Accumulator) -> Adder:
        """Return what adds the sums of chunks, or those that were spilled."""
        kept = acc.outer_format
        return cls(kept, added_in(kept, acc.outer_rounding, acc.random_bits))

    def each_term(self, of: Format, additions: int = 1) -> list[Arithmetic]:
        """Return what a term takes that is made of `of`: additions, each of which reads and writes
        the register that the sum is in, and a shift into fixed point of what is of floating.

        Of a group: the largest exponent is found by a comparison, each exponent taken from it, and
        the term shifted and added.
        """
        if self.align_bits is not None:
            exponent = FixedFormat(self._exponent_bits(of))
            return [
                arithmetic("compare", exponent),
                *self._aligned(exponent),
                *_wide("add", group_bits(self.group, self.align_bits) + 1),
            ]
        shifted = [arithmetic("shift", self.added)] if needs_shift(of, self.kept) else []
        addition = [arithmetic("add", self.added), arithmetic("register", self.kept)]
        return shifted + additions * addition

    def each_group(self, of: Format) -> list[Arithmetic]:
        """Return what a fused group takes beside its terms: its running sum is aligned as they are,
        and the magnitude of the whole shifted back and kept. Nothing of what is not fused.
        """
        if self.align_bits is None:
            return []
        return [
            *self._aligned(FixedFormat(self._exponent_bits(of))),
            *_wide("shift", group_bits(self.group, self.align_bits)),
            arithmetic("register", self.kept),
        ]

    def _aligned(self, exponent: FixedFormat) -> list[Arithmetic]:
        assert self.align_bits is not None
        return [
            arithmetic("add", exponent),
            *_wide("shift", self.align_bits + _PRODUCT_BITS),
        ]

    def _exponent_bits(self, of: Format) -> int:
        """Return the bits of the exponents that are compared: of products, and of the sum."""
        product, kept = (
            fmt.exponent_bits if isinstance(fmt, FloatFormat) else 0 for fmt in (of, self.kept)
        )
        return max(product + 1, kept)

    def __str__(self) -> str:
        text = str(self.kept)
        if self.added != self.kept:
            text += f" by way of {self.added}"
        return text if self.align_bits is None else f"{text} in groups of {self.group}"


def needs_shift(of: Format, into: Format) -> bool:
    """Whether values of one format are shifted before they are added in another."""
    return isinstance(of, FloatFormat) and isinstance(into, FixedFormat)


def groups(acc: Accumulator, terms: int) -> int:
    """Return the groups of a sum of so many terms: they start anew with every chunk."""
    group, chunk = acc.group or 1, acc.chunk or terms
    whole, rest = divmod(terms, chunk)
    return whole * -(-chunk // group) + -(-rest // group)


def _wide(operation: Operation, bits: int) -> list[Arithmetic]:
    """Return an integer operation; one of more bits than any format has is two side by side."""
    widths = [MAX_FIXED_BITS] * (bits // MAX_FIXED_BITS) + [bits % MAX_FIXED_BITS]
    return [arithmetic(operation, FixedFormat(width)) for width in widths if width]
