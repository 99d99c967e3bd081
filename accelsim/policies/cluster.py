"""Outputs that are recomputed together: rectangles of a fixed grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from accelsim.policies.base import Score


@dataclass(frozen=True)
class Cluster:
    """A rectangle of outputs that are recomputed together; None is all rows or all columns."""

    rows: int | None = 1
    columns: int | None = 1

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the cluster that `8x1`, `1x*` or `*x1` describes."""
        if isinstance(text, cls):
            return text
        sides = str(text).split("x")
        if len(sides) != 2 or not all(_is_side(side) for side in sides):
            raise ValueError(
                f"{text!r} is not rows x columns, such as 8x1, or 1x* for rows as wide as the layer"
            )
        return cls(*(None if side == "*" else int(side) for side in sides))

    def __str__(self) -> str:
        return "x".join("*" if side is None else str(side) for side in (self.rows, self.columns))


def sides(length: int, step: int) -> NDArray[np.int64]:
    """Return how `length` is cut into steps, the last one shorter if need be."""
    return np.minimum(step, length - np.arange(0, length, step))


def together(scores: Score, cluster: Cluster) -> Score:
    """Return for each output (m,n) the root of the mean square of the scores of its rectangle.

    The rectangles cover the outputs from the first row and column on; those at the far edges are
    cut off there, and the mean is over what is left of them.
    """
    m, n = scores.shape
    heights = sides(m, cluster.rows or m)
    widths = sides(n, cluster.columns or n)
    starts = np.cumsum(heights) - heights, np.cumsum(widths) - widths
    with np.errstate(over="ignore"):
        squares = np.add.reduceat(np.add.reduceat(scores**2, starts[0], 0), starts[1], 1)
    means = np.sqrt(squares / np.outer(heights, widths))
    return np.repeat(np.repeat(means, heights, 0), widths, 1)


def _is_side(text: str) -> bool:
    return text == "*" or (text.isascii() and text.isdigit() and 1 <= int(text) <= 2**31)
