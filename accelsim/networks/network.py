"""A trained network: layers of weights, and what lies between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics import FloatFormat

Activation = Literal["identity", "relu", "tanh"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)

_FUNCTIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "identity": lambda v: v,
    "relu": lambda v: np.maximum(v, 0.0),
    "tanh": np.tanh,
}


def activate(activation: Activation, v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return φ(v) as float32; a NaN stays a NaN.

    Evaluated in float64, so that differences between mathematical libraries in the last bit do
    not reach the result.
    """
    return _FUNCTIONS[activation](v.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class DenseLayer:
    """h' = φ(W h + b): `weight` (outputs, inputs) and `bias` (outputs,), float32, finite."""

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Activation

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"layer {self.name}: weight and bias have shapes {self.weight.shape} and"
                f" {self.bias.shape}, expected (outputs, inputs) and (outputs,)"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise ValueError(f"layer {self.name}: weight and bias must be finite")

    @property
    def inputs(self) -> int:
        """Number of inputs: the length of its inner products."""
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron whose multipliers take operands in `operand_format`."""

    layers: tuple[DenseLayer, ...]
    operand_format: FloatFormat

    def __post_init__(self) -> None:
        for before, after in itertools.pairwise(self.layers):
            if before.outputs != after.inputs:
                raise ValueError(
                    f"layer {after.name} takes {after.inputs} inputs, but layer {before.name}"
                    f" has {before.outputs} outputs"
                )
