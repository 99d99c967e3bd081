"""Layers as a rule sees them, made of a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.numerics import Accumulator, matmul_sums
from accelsim.policies import LayerValues, LayerView, parse_policy


def layer(
    v: Any,
    *,
    sums: Any = None,
    activation: str = "identity",
    mean: float = 1.0,
    inputs: Any = None,
    weight: Any = None,
    k: int = 2,
    top: float = 448.0,
) -> LayerView:
    """Return a view of a layer with these pre-activations; sums from `top` on overflowed."""
    pre = np.array(v, np.float32)
    given_sums = pre if sums is None else np.array(sums, np.float32)
    m, n = pre.shape
    left = np.ones((m, k), np.float32) if inputs is None else np.array(inputs, np.float32)
    right = np.ones((k, n), np.float32) if weight is None else np.array(weight, np.float32)
    overflowed = ~(np.abs(given_sums) < top)
    values = LayerValues(left, right, given_sums, overflowed, pre, activation, mean)
    return LayerView(0, m, left.shape[1], n, values)


def selected(policy: str, view: LayerView) -> list[list[bool]]:
    mask = parse_policy(policy).select(view)
    assert mask is not None
    assert mask.dtype == np.bool_
    rows: list[list[bool]] = mask.tolist()
    return rows


def product(
    inputs: Any, weight: Any, *, low: str = "e4m3fn", activation: str = "identity", **changes: Any
) -> LayerView:
    """Return a view of a product without bias, as an accumulator in `low` leaves it."""
    left, right = np.array(inputs, np.float32), np.array(weight, np.float32)
    found = matmul_sums(left, right, Accumulator(low, overflow="saturate"))
    sums = found.values.astype(np.float32)
    given: dict[str, Any] = {
        "inputs": left,
        "weight": right,
        "sums": sums,
        "overflowed": found.overflows > 0,
        "pre_activation": sums,
        "activation": activation,
        "mean_abs_sum": 1.0,
        "running": found.running,
        "next_column_norms": np.ones(right.shape[1]),
    }
    (m, k), n = left.shape, right.shape[1]
    return LayerView(0, m, k, n, LayerValues(**given | changes))
