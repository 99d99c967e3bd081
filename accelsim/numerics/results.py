"""What products tell beside their values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sums(NamedTuple):
    """What one pass over all products can tell of each output; arrays of the result's shape."""

    values: NDArray[np.floating[Any]]
    absolute: NDArray[np.float64]
    """S = Σ|a·b| of the products before they are rounded, in binary64."""
    running: NDArray[np.float64]
    """Σ|ŝ|, over every rounded sum, in binary64: u·running bounds the error of exact products."""
    overflows: NDArray[np.int64]
    """Roundings of a finite number that was out of range, whatever they gave."""
    underflows: NDArray[np.int64]
    """Roundings of a number that was not zero to zero."""
    spills: NDArray[np.int64]
    """Additions to the wide sum of an accumulator that spills, that at the end included; else 0."""

    @property
    def nans(self) -> NDArray[np.bool_]:
        """Outputs that are NaN."""
        nans: NDArray[np.bool_] = np.isnan(self.values)
        return nans


class Watched(NamedTuple):
    """A product, and which of its outputs overflowed on the way; arrays of one shape."""

    values: NDArray[np.floating[Any]]
    overflowed: NDArray[np.bool_]


class Running(NamedTuple):
    """A product, which of its outputs overflowed on the way, and Σ|ŝ|; arrays of one shape."""

    values: NDArray[np.floating[Any]]
    overflowed: NDArray[np.bool_]
    running: NDArray[np.float64]


class Spilled(NamedTuple):
    """What accumulators that spill gave; arrays of one shape."""

    values: NDArray[np.floating[Any]]
    overflowed: NDArray[np.bool_]
    """Outputs of which `matmul_sums` counts an overflow."""
    spills: NDArray[np.int64]
    """Additions to the wide sum, that at the end included."""
