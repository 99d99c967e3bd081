"""Data sets by name, each split into a training half and a test half that never changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dataset:
    """Inputs (samples, features) float32 and labels (samples,) for training and testing."""

    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def digits() -> Dataset:
    """Return scikit-learn's bundled handwritten digits: 8×8 pixels scaled to [0, 1].

    Half of the 1,797 images, drawn with a fixed seed and stratified by digit, are for testing.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.5, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return Dataset(
        train_x.astype(np.float32),
        train_y.astype(np.int64),
        test_x.astype(np.float32),
        test_y.astype(np.int64),
    )


DATASETS = {"digits": digits}
