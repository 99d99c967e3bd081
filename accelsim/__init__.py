"""accelsim: what selective recomputation costs a real accelerator, in cycles and joules.

The names below are imported when they are first used, so that the command line is there at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from accelsim.point import run
    from accelsim.result import Run
    from accelsim.study.engine import study
    from accelsim.study.results import Study

__version__ = "0.1.0"

_HOMES = {
    "AccelsimError": "accelsim.errors",
    "InputError": "accelsim.errors",
    "Run": "accelsim.result",
    "Study": "accelsim.study.results",
    "run": "accelsim.point",
}

__all__ = [
    "AccelsimError",
    "Accumulator",
    "FixedFormat",
    "FloatFormat",
    "InputError",
    "Run",
    "Study",
    "Sums",
    "conv2d",
    "dot",
    "matmul",
    "matmul_at",
    "matmul_sums",
    "product_table",
    "round_to",
    "run",
    "study",
]


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "study":  # a package that can be called
        return import_module("accelsim.study")
    value: object = getattr(import_module(_HOMES.get(name, "accelsim.numerics")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
