"""The Pareto front: the points that no other point beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(losses: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows of `losses` (points, objectives) no other row beats.

    Smaller is better. A row is beaten by one that is nowhere larger and somewhere smaller, so
    that equal rows are on the front together. A row with a NaN beats none and is beaten by none.

    Rows are looked at in the order of their objectives, so that a row can only be beaten by one
    before it: memory grows with the rows on the front, and not with the square of all.
    """
    values = np.asarray(losses, np.float64) + 0.0  # there is one zero
    if values.ndim != 2:
        raise ValueError(f"losses have shape {values.shape}, expected (points, objectives)")
    kept = np.zeros(len(values), np.bool_)
    broken = np.isnan(values).any(axis=1)
    distinct, inverse = np.unique(values[~broken], axis=0, return_inverse=True)
    best = np.zeros(len(distinct), np.bool_)
    front = np.empty_like(distinct)
    size = 0
    for index, row in enumerate(distinct):  # sorted: first objective first, then the next
        if not (front[:size] <= row).all(axis=1).any():
            front[size] = row
            size += 1
            best[index] = True
    kept[~broken] = best[inverse.reshape(-1)]
    kept[broken] = True
    return kept
