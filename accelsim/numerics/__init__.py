"""Number formats, exact rounding, accumulators and the inner products they compute."""

from accelsim.numerics.accumulate import (
    Accumulator,
    Sums,
    conv2d,
    dot,
    matmul,
    matmul_at,
    matmul_sums,
    round_to,
)
from accelsim.numerics.formats import FixedFormat, FloatFormat
from accelsim.numerics.multipliers import product_table

__all__ = [
    "Accumulator",
    "FixedFormat",
    "FloatFormat",
    "Sums",
    "conv2d",
    "dot",
    "matmul",
    "matmul_at",
    "matmul_sums",
    "product_table",
    "round_to",
]
