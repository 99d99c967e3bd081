"""Number formats, exact rounding, accumulators and the inner products they compute."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accelsim.numerics.accumulator import Accumulator
from accelsim.numerics.formats import FixedFormat, FloatFormat
from accelsim.numerics.multipliers import product_table

if TYPE_CHECKING:
    from accelsim.numerics.accumulate import (
        Running,
        Spilled,
        Sums,
        Watched,
        conv2d,
        dot,
        matmul,
        matmul_at,
        matmul_running,
        matmul_spilling,
        matmul_sums,
        matmul_watched,
        round_to,
    )

__all__ = [
    "Accumulator",
    "FixedFormat",
    "FloatFormat",
    "Running",
    "Spilled",
    "Sums",
    "Watched",
    "conv2d",
    "dot",
    "matmul",
    "matmul_at",
    "matmul_running",
    "matmul_spilling",
    "matmul_sums",
    "matmul_watched",
    "product_table",
    "round_to",
]


def __getattr__(name: str) -> Any:
    """Import what runs compiled code when it is first asked for: the compiler takes its time."""
    if name in __all__:
        return getattr(import_module("accelsim.numerics.accumulate"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
