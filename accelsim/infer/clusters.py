"""How flagged outputs lie together, which decides what hardware can do with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.trace import Trace

BLOCKS: dict[str, tuple[int | None, int | None]] = {
    "rows": (1, None),
    "columns": (None, 1),
    "blocks_1x16": (1, 16),
    "blocks_16x1": (16, 1),
    "blocks_8x8": (8, 8),
    "blocks_32x32": (32, 32),
    "blocks_128x128": (128, 128),
}
"""Rows and columns of blocks that layers are cut into; None is a layer's whole side. A row is a
sample, a column a neuron; blocks at the edges are smaller. The largest are what an array of that
size computes at a time when outputs stay in place."""


class Cluster(NamedTuple):
    """Of the blocks of all layers: the share that holds a flagged output, and what that share
    would be if as many outputs of each layer had been flagged independently of each other.
    """

    flagged: float
    by_lot: float


def clusters(trace: Trace) -> dict[str, Cluster]:
    """Return how the flagged outputs of a run lie together, for every entry of `BLOCKS`."""
    return {name: _cluster(trace, *sides) for name, sides in BLOCKS.items()}


def _cluster(trace: Trace, height: int | None, width: int | None) -> Cluster:
    blocks = 0
    flagged = by_lot = 0.0
    for layer in trace.products:
        shape = layer.repeats * layer.m, layer.n
        rows, cols = (
            np.arange(0, size, size if side is None else side)
            for size, side in zip(shape, (height, width), strict=True)
        )
        blocks += rows.size * cols.size
        if layer.recomputed is None:
            continue
        held = np.logical_or.reduceat(layer.recomputed, cols, axis=1)
        flagged += float(np.count_nonzero(np.logical_or.reduceat(held, rows, axis=0)))
        rate = layer.recomputed_outputs / layer.outputs
        sizes = np.outer(np.diff(rows, append=shape[0]), np.diff(cols, append=shape[1]))
        by_lot += float(np.sum(1.0 - (1.0 - rate) ** sizes))
    return Cluster(flagged / blocks, by_lot / blocks) if blocks else Cluster(0.0, 0.0)
