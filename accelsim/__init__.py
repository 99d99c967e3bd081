"""accelsim: what selective recomputation costs a real accelerator, in cycles and joules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelsim import numerics
from accelsim.errors import AccelsimError, InputError
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat, product_table
from accelsim.result import Run
from accelsim.run import run

if TYPE_CHECKING:
    from accelsim.numerics import Sums, conv2d, dot, matmul, matmul_at, matmul_sums, round_to

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


def __getattr__(name: str) -> Any:
    """Pass on what numerics imports when it is first asked for."""
    if name in __all__:
        return getattr(numerics, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
