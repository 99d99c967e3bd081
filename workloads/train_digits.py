"""Train the digit networks of this folder: `python workloads/train_digits.py` (seconds).

Writes, for each activation, the weights as an npz archive beside its YAML file. The same
versions of NumPy and scikit-learn give the same weights.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from accelsim.networks.datasets import digits

HIDDEN = (256, 128)
NAMES = ("hidden1", "hidden2", "logits")
EPOCHS = 60


def train(activation: str) -> None:
    """Train one network and write `digits-<activation>.npz`."""
    data = digits()
    model = MLPClassifier(HIDDEN, activation=activation, max_iter=EPOCHS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is wanted
        model.fit(data.train_inputs, data.train_labels)
    arrays = {}
    for name, weight, bias in zip(NAMES, model.coefs_, model.intercepts_, strict=True):
        arrays[f"{name}.weight"] = np.ascontiguousarray(weight.T, np.float32)
        arrays[f"{name}.bias"] = bias.astype(np.float32)
    path = Path(__file__).parent / f"digits-{activation}.npz"
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # arrays are not options
    temporary.replace(path)
    score = model.score(data.test_inputs, data.test_labels)
    print(f"{path.name}: test accuracy {score:.4f} in float32 arithmetic")


if __name__ == "__main__":
    for name in ("relu", "tanh"):
        train(name)
