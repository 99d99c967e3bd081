"""What correcting one output of a layer, and no other, does to the class probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.infer.derivatives import forward, fp32_product, jacobians, spread, value
from accelsim.infer.measures import divergences, log_softmax
from accelsim.networks import DenseLayer

_VALUES = 2**22
"""Values of the widest layer that are at hand at a time."""


def exact_effects(
    layers: Sequence[DenseLayer], before: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the KL divergence (samples, n) from the class probabilities with the one output
    corrected to those without, in fp32 and without rounding of operands.

    `before` and `after` are outputs (samples, n) of a layer, and `layers` are those behind it. Each
    output takes a pass of its own through them, but for the first of them, where it changes the
    sums by one row of weights.
    """
    samples, n = before.shape
    found = np.empty((samples, n))
    reference = _outputs(layers, before)
    start = before if not layers else fp32_product(before, layers[0].weight.T) + layers[0].bias
    widest = max([layer.outputs for layer in layers], default=n)
    together = max(_VALUES // (widest * samples), 1)
    for first in range(0, n, together):
        columns = np.arange(first, min(first + together, n))
        change = (after - before)[:, columns, None]
        if layers:
            shifted = start[:, None] + change * layers[0].weight.T[columns]
            h = value(layers[0].activation, shifted)
        else:
            h = start[:, None] + change * np.eye(n, dtype=np.float32)[columns]
        outputs = _outputs(layers[1:], h.reshape(samples * columns.size, -1))
        unchanged = np.repeat(reference, columns.size, axis=0)
        found[:, columns] = divergences(outputs, unchanged).reshape(samples, columns.size)
    return found


def first_order_effects(
    layers: Sequence[DenseLayer], before: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the same to first order in the logits, by one backward pass for each class, and to
    second order in the probabilities.
    """
    change = after.astype(np.float64) - before
    samples, n = before.shape
    if layers:
        pre = forward(layers, before)
        *_, jacobian = jacobians(layers, pre)
        outputs = value(layers[-1].activation, pre[-1])
    else:
        jacobian, outputs = np.broadcast_to(np.eye(n), (samples, n, n)), before
    return 0.5 * spread(np.exp(log_softmax(outputs)), jacobian) * change**2


def _outputs(layers: Sequence[DenseLayer], h: NDArray[np.float32]) -> NDArray[np.float32]:
    if not layers:
        return h
    return np.asarray(value(layers[-1].activation, forward(layers, h)[-1]), np.float32)
