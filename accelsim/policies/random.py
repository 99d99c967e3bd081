"""The control: as many outputs recomputed, but chosen by lot."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from accelsim.numerics.shuffle import shuffled
from accelsim.policies.base import THRESHOLD, LayerView
from accelsim.policies.cluster import Cluster, sides
from accelsim.policies.recomputing import RatePolicy
from accelsim.trace import Detector, Mask


class Random(RatePolicy):
    """Recompute a fraction of every layer's outputs, drawn without replacement.

    `cluster`, written `8x1` for eight rows of one column, draws outputs by rectangles of a fixed
    grid, the last of them in part; `1x*` draws whole rows, `*x1` whole columns. The rows of all
    products of a batch count as one layer's. The draw depends on `seed` and the layer's place
    alone. The machine is charged one comparison an output, as for the cheapest real detector.
    """

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "low first, then a random fraction of the outputs in high"

    seed: Annotated[int, Field(ge=0)] = 0
    cluster: Annotated[Cluster, BeforeValidator(Cluster.parse)] = Cluster()

    def detector(self, layer: LayerView) -> Detector:
        """One comparison, of a random number with the rate."""
        return THRESHOLD

    def select(self, layer: LayerView) -> Mask:
        """Return a mask with round(rate·m·n) outputs set."""
        number = round(self.rate_of(layer.index) * layer.m * layer.n)
        generator = np.random.Generator(np.random.PCG64([self.seed, layer.index]))
        return draw(layer.m, layer.n, number, self.cluster, generator)


def draw(m: int, n: int, number: int, cluster: Cluster, generator: np.random.Generator) -> Mask:
    """Return a mask (m,n) with `number` outputs set, by rectangles in a random order.

    The rectangles cover the outputs from the first row and column on; those at the far edges are
    cut off there. Of the last one, the outputs that come first in row-major order are set.
    """
    rows, columns = cluster.rows or m, cluster.columns or n
    high, wide = -(-m // rows), -(-n // columns)
    order = shuffled(high * wide, generator)
    heights, widths = sides(m, rows), sides(n, columns)
    if high * rows == m and wide * columns == n:
        whole, rest = divmod(number, rows * columns)
    else:
        reached = np.cumsum(heights[order // wide] * widths[order % wide])
        whole = int(np.searchsorted(reached, number, side="right"))
        rest = number - int(reached[whole - 1] if whole else 0)
    chosen = np.zeros(high * wide, np.bool_)
    chosen[order[:whole]] = True
    grid = chosen.reshape(high, wide)
    mask = grid if rows == columns == 1 else np.repeat(np.repeat(grid, heights, 0), widths, 1)
    if rest:
        i, j = divmod(int(order[whole]), wide)
        part = np.arange(heights[i] * widths[j]).reshape(heights[i], widths[j]) < rest
        mask[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = part
    return mask
