"""What the tile kernels are compiled for: a `Spec` says it with one type a question.

The formats' numbers are arguments of the kernels; what is here decides which instructions there
are. Each answer is a type of its own, so that Numba compiles a version for each `Spec`.
"""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

import llvmlite.binding as llvm

WIDE = bool(llvm.get_host_cpu_features().get("avx512dq"))
FEW_REGISTERS = bool(llvm.get_host_cpu_features().get("avx2")) and not WIDE
SINGLE_LANES = 16 if WIDE else 8
DOUBLE_LANES = SINGLE_LANES // 2
# A tile has ROWS rows of VECTORS vectors of sums. While one sum waits for its addition the others
# go on: twelve are enough for that, and leave four of 16 registers; sixteen are a little faster
# where there are 32. What is packed for tiles of pairs grows with them, and has twelve.
ROWS, VECTORS = 8 if WIDE else 6, 2
PAIRED_ROWS = 6
CELLS = ROWS * VECTORS
SINGLE_WIDTH, DOUBLE_WIDTH = VECTORS * SINGLE_LANES, VECTORS * DOUBLE_LANES
BLOCKS = (4, 8, 16, 32)
"""Terms after which a watched sum may be looked at."""


def _tag(name):
    """Return a type for an answer; of tuples Python says that those of two types are equal."""
    tag = namedtuple(name, ["unused"])
    tag.__eq__ = lambda self, other: type(self) is type(other)
    tag.__hash__ = lambda self: hash(type(self))
    return tag


# In what a sum is computed: a float32 or float64 that `lanes` proves enough, a float64 rounded to
# odd, or a float32 or float64 while the processor itself rounds in the direction wanted.
Single, Double, Odd = _tag("Single"), _tag("Double"), _tag("Odd")
SingleDirected, DoubleDirected = _tag("SingleDirected"), _tag("DoubleDirected")
# How it is rounded, in the order of `rounding.ROUNDINGS`; or the lane is as narrow as the format.
NearestEven, NearestAway, TowardZero = _tag("NearestEven"), _tag("NearestAway"), _tag("TowardZero")
Upward, Downward, Stochastic = _tag("Upward"), _tag("Downward"), _tag("Stochastic")
ROUNDINGS = (NearestEven, NearestAway, TowardZero, Upward, Downward, Stochastic)
Native = _tag("Native")
# What happens beyond the largest value: it is proved not to happen, or saturates, or IEEE 754.
# IEEE 754 for finite terms needs less than for terms that may be infinite or NaN themselves.
Bounded, Clamped = _tag("Bounded"), _tag("Clamped")
# A watched sum goes on as if there were no largest value; the largest magnitude that it has after
# each block of terms is kept, which bounds those in between. A sticky one becomes infinite or NaN
# early, and stays so: operands are scaled such that rounding it takes more than a lane can hold.
Replaced, Special = _tag("Replaced"), _tag("Special")
Watched, Sticky = _tag("Watched"), _tag("Sticky")
# What becomes of small numbers: all sums are multiples of the finest spacing and need no care, or
# zeros need no sign, or they have it, or subnormals are flushed.
Multiples, Unsigned = _tag("Multiples"), _tag("Unsigned")
Signed, Flushed = _tag("Signed"), _tag("Flushed")
# What enters the sum: the exact product, or the product rounded. (In groups: whether all operands
# are normal numbers, or some are subnormal and aligned by their smallest exponent.)
Exact, Rounded = _tag("Exact"), _tag("Rounded")
# How terms follow each other.
InTurn, InGroups = _tag("InTurn"), _tag("InGroups")
# Whether a row of the tile meets every column, or each output has operands of its own.
Crossed, Paired = _tag("Crossed"), _tag("Paired")
# Whether S, Σ|ŝ| and the counts are kept beside the sum, in binary64; or Σ|ŝ| alone, in the lane,
# from which each block of terms goes to binary64.
Plain, Noted, Running = _tag("Plain"), _tag("Noted"), _tag("Running")


class Spec(NamedTuple):
    """What to compile: one of the types above for each field."""

    lane: tuple
    rounding: tuple
    overflow: tuple
    small: tuple
    product: tuple
    order: tuple
    operands: tuple
    notes: tuple

    @property
    def single(self):
        """Whether a lane is binary32."""
        return isinstance(self.lane, (Single, SingleDirected))

    @property
    def rows(self):
        """Rows of a tile."""
        return PAIRED_ROWS if isinstance(self.operands, Paired) else ROWS

    @property
    def width(self):
        """Columns of a tile."""
        return SINGLE_WIDTH if self.single else DOUBLE_WIDTH
