"""accelsim: what selective recomputation costs a real accelerator, in cycles and joules."""

from accelsim.errors import AccelsimError, InputError
from accelsim.numerics import Accumulator, FloatFormat, dot, matmul, matmul_at, round_to
from accelsim.result import Run
from accelsim.run import run

__version__ = "0.1.0"

__all__ = [
    "AccelsimError",
    "Accumulator",
    "FloatFormat",
    "InputError",
    "Run",
    "dot",
    "matmul",
    "matmul_at",
    "round_to",
    "run",
]
