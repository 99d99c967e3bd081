"""Second derivatives of the loss by a layer's pre-activations, which is where accumulators err.

The Hessian of one sample's cross-entropy with regard to the pre-activations v of a layer says what
errors in them cost: e'He/2, and tr(H)·σ²/2 on average over independent errors of variance σ². Its
mean over samples is the Hessian with regard to the layer's biases. HAWQ and its kin take weights
in the place of v, since these are what they round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.infer.derivatives import (
    Array,
    Multiply,
    curvature,
    forward,
    fp32_product,
    slope,
    value,
)
from accelsim.infer.measures import log_softmax
from accelsim.networks import DenseLayer

_MOST_STEPS = 100
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Backward:
    """One pass forward and backward: what products with Hessians are made of."""

    layers: Sequence[DenseLayer]
    pre_activations: Sequence[Array]
    gradients: Sequence[Array]
    """∂loss/∂h (samples, n) for the outputs h of each layer."""
    probabilities: Array
    multiply: Multiply

    def product(self, index: int, direction: Array) -> Array:
        """Return H·direction for each sample (samples, n), `direction` (n,) or (samples, n).

        Forward over reverse: what is differentiated along the direction is the backward pass.
        """
        v, kind = self.pre_activations, self.probabilities.dtype
        moved = [np.broadcast_to(direction, v[index].shape).astype(kind)]
        for layer, before in zip(self.layers[index + 1 :], v[index:], strict=False):
            rate = slope(self.layers[index + len(moved) - 1].activation, before) * moved[-1]
            moved.append(self.multiply(rate, layer.weight.T.astype(kind)))
        p = self.probabilities
        logits = slope(self.layers[-1].activation, v[-1]) * moved[-1]
        change = p * (logits - np.sum(p * logits, axis=1, keepdims=True))
        for number in range(len(self.layers) - 1, index - 1, -1):
            layer = self.layers[number]
            bent = curvature(layer.activation, v[number]) * moved.pop() * self.gradients[number]
            change = bent + slope(layer.activation, v[number]) * change
            if number > index:
                change = self.multiply(change, layer.weight.astype(kind))
        return np.asarray(change)

    def mean_product(self, index: int, direction: Array) -> NDArray[np.float64]:
        """Return the product of the mean over samples with `direction` (n,)."""
        return np.asarray(self.product(index, direction).mean(axis=0, dtype=np.float64))


def backward(
    layers: Sequence[DenseLayer],
    inputs: Array,
    labels: NDArray[np.int64],
    multiply: Multiply = fp32_product,
) -> Backward:
    """Return the derivatives of the cross-entropy with `labels`, sample by sample."""
    pre = forward(layers, inputs, multiply)
    kind = pre[-1].dtype
    p = np.exp(log_softmax(value(layers[-1].activation, pre[-1]))).astype(kind)
    gradients = [p - np.eye(p.shape[1], dtype=kind)[labels]]
    for layer, v in zip(layers[:0:-1], pre[:0:-1], strict=True):
        inner = slope(layer.activation, v) * gradients[-1]
        gradients.append(multiply(inner, layer.weight.astype(kind)))
    return Backward(layers, pre, gradients[::-1], p, multiply)


def trace(found: Backward, index: int, probes: int, seed: int) -> float:
    """Return Hutchinson's estimate of tr(H), on average over samples.

    From random signs, `probes` of them for each sample; unbiased.
    """
    generator = _generator(seed, index)
    shape = found.pre_activations[index].shape
    total: float = 0.0
    for _ in range(probes):
        signs = generator.choice([-1.0, 1.0], shape)
        total += float(np.sum(signs * found.product(index, signs)))
    return total / (probes * int(shape[0]))


def largest_eigenvalue(found: Backward, index: int, seed: int) -> float:
    """Return the eigenvalue of largest magnitude of the mean Hessian, by power iteration."""
    start = _generator(seed, index).standard_normal(found.pre_activations[index].shape[1])
    direction = np.asarray(start / np.linalg.norm(start))
    eigenvalue = 0.0
    for _ in range(_MOST_STEPS):
        image = found.mean_product(index, direction)
        before, eigenvalue = eigenvalue, float(direction @ image)
        size = float(np.linalg.norm(image))
        if size == 0.0 or abs(eigenvalue - before) <= _TOLERANCE * abs(eigenvalue):
            break
        direction = image / size
    return eigenvalue


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, index]))
