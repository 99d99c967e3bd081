"""Floating-point formats, exact rounding, accumulators and condition numbers."""

from accelsim.numerics.accumulate import Accumulator, dot, matmul, matmul_at, round_to
from accelsim.numerics.formats import FloatFormat

__all__ = ["Accumulator", "FloatFormat", "dot", "matmul", "matmul_at", "round_to"]
