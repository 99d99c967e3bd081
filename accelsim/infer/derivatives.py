"""Derivatives of a network's outputs and of its loss: what an error in a layer does to them.

Everything is computed by products in fp32 whose terms are added in order, so that neither
batches nor threads change a bit; `multiply` may be another product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.infer.measures import log_softmax
from accelsim.networks import DenseLayer
from accelsim.numerics import Accumulator

Array = NDArray[Any]
Multiply = Callable[[Array, Array], Array]
_FP32 = Accumulator("fp32")


def fp32_product(a: Array, b: Array) -> Array:
    """Return a (m,k) times b (k,n) in fp32."""
    return numerics.matmul(a, b, _FP32)


def forward(
    layers: Sequence[DenseLayer], h: Array, multiply: Multiply = fp32_product
) -> list[Array]:
    """Return the pre-activations of all layers for inputs h (samples, inputs)."""
    found = []
    for layer in layers:
        found.append(multiply(h, layer.weight.T.astype(h.dtype)) + layer.bias)
        h = value(layer.activation, found[-1])
    return found


def jacobians(
    layers: Sequence[DenseLayer],
    pre_activations: Sequence[Array],
    multiply: Multiply = fp32_product,
) -> Iterator[Array]:
    """Yield ∂outputs/∂h (samples, classes, n) for the outputs h of each layer, from the last on,
    and then for the inputs of the first.

    By one backward pass for each class.
    """
    samples, classes = pre_activations[-1].shape
    kind = pre_activations[-1].dtype
    found = np.broadcast_to(np.eye(classes, dtype=kind), (samples, classes, classes))
    yield found
    for layer, v in zip(layers[::-1], pre_activations[::-1], strict=True):
        inner = (found * slope(layer.activation, v)[:, None]).reshape(samples * classes, -1)
        found = multiply(inner, layer.weight.astype(kind)).reshape(samples, classes, -1)
        yield found


def spread(probabilities: NDArray[np.float64], changes: Array) -> NDArray[np.float64]:
    """Return the variance over classes (samples, n) of changes (samples, classes, n).

    It is d'(diag p - pp')d: twice the KL divergence that a change d of the logits makes, to
    second order.
    """
    p = probabilities[:, :, None]
    mean = np.sum(p * changes, axis=1)
    return np.asarray(np.sum(p * (changes - mean[:, None]) ** 2, axis=1))


def gauss_newton_diagonals(
    layers: Sequence[DenseLayer], inputs: Array
) -> list[NDArray[np.float64]]:
    """Return for each layer the diagonal of the Gauss-Newton matrix of the class probabilities
    with regard to the layer's outputs, sample by sample: (samples, n).

    An element times e²/2 is the KL divergence that an error e in that output alone makes, to
    second order. It is exact, and no estimate from drawn labels.
    """
    pre = forward(layers, inputs)
    p = np.exp(log_softmax(value(layers[-1].activation, pre[-1])))
    # In this order zip asks for no more Jacobians than there are layers.
    pairs = zip(layers, jacobians(layers, pre), strict=False)
    return [spread(p, jacobian) for _, jacobian in pairs][::-1]


def value(activation: str, v: Array) -> Array:
    """Return φ(v) in the precision of v."""
    if activation == "relu":
        return np.asarray(np.maximum(v, v.dtype.type(0)))
    return np.asarray(np.tanh(v)) if activation == "tanh" else v


def slope(activation: str, v: Array) -> Array:
    """Return φ'(v); 0 for ReLU at zero."""
    if activation == "relu":
        return (v > 0).astype(v.dtype)
    return np.asarray(1 - np.tanh(v) ** 2) if activation == "tanh" else np.ones_like(v)


def curvature(activation: str, v: Array) -> Array:
    """Return φ''(v); 0 for ReLU, at zero too."""
    if activation == "tanh":
        bent = np.tanh(v)
        return np.asarray(-2 * bent * (1 - bent**2))
    return np.zeros_like(v)
