"""accelsim: what selective recomputation costs a real accelerator, in cycles and joules."""

from accelsim.errors import AccelsimError, InputError
from accelsim.numerics import (
    Accumulator,
    FixedFormat,
    FloatFormat,
    Sums,
    conv2d,
    dot,
    matmul,
    matmul_at,
    matmul_sums,
    product_table,
    round_to,
)
from accelsim.result import Run
from accelsim.run import run

__version__ = "0.1.0"

__all__ = [
    "AccelsimError",
    "Accumulator",
    "FixedFormat",
    "FloatFormat",
    "InputError",
    "Run",
    "Sums",
    "conv2d",
    "dot",
    "matmul",
    "matmul_at",
    "matmul_sums",
    "product_table",
    "round_to",
    "run",
]
