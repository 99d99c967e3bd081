"""How good outputs are, by themselves and beside those of the float32 network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def accuracy(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the fraction of rows whose largest output is at the label; a NaN row is wrong."""
    predicted = np.argmax(outputs, axis=1)
    correct = (predicted == labels) & ~np.isnan(outputs).any(axis=1)
    return float(np.mean(correct))


def flip_rate(reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> float:
    """Return the fraction of rows whose largest output is elsewhere; a NaN row is flipped."""
    moved = np.argmax(outputs, axis=1) != np.argmax(reference, axis=1)
    return float(np.mean(moved | np.isnan(outputs).any(axis=1)))


def kl_divergence(reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> float:
    """Return the mean over rows of KL(softmax(reference) ‖ softmax(outputs)), in nats.

    Infinite if an output is not finite.
    """
    if not np.isfinite(outputs).all():
        return float("inf")
    # Rounding may leave the divergence of equal rows a hair below zero.
    return max(0.0, float(np.mean(divergences(reference, outputs))))


def divergences(
    reference: NDArray[np.floating[Any]], outputs: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Return KL(softmax(reference) ‖ softmax(outputs)) of each row, in nats."""
    log_p, log_q = log_softmax(reference), log_softmax(outputs)
    return np.asarray(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))


def log_softmax(x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the logarithms of the class probabilities (rows, classes)."""
    shifted = x.astype(np.float64) - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))
