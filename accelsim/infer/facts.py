"""What rules that give each layer an accumulator may know of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.infer.hessian import backward, largest_eigenvalue, trace
from accelsim.infer.prepared import FP32_ACCUMULATOR, Prepared, add_bias, to_operands
from accelsim.networks import Workload, activate
from accelsim.numerics import Accumulator
from accelsim.policies import LayerFacts

Measure = Literal["trace", "eigenvalue", "mean-deviation"]
_NO_DATA = "the rule needs the training set"
_PARTS = 10
"""Parts of the samples over which the deviation of an eigenvalue is taken, as in Q-BERT."""


@dataclass(frozen=True)
class ShapeFacts:
    """What is known of a workload without weights: how long sums are."""

    workload: Workload

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The matrix products, in order."""
        fmt = self.workload.operand_format
        return tuple(LayerFacts(gemm.k, gemm.n, fmt) for gemm in self.workload.gemms)

    @property
    def input_range(self) -> tuple[float, float]:
        """Refuse."""
        raise TypeError(_NO_DATA)

    def curvatures(self, by: Measure, samples: int, probes: int, seed: int) -> tuple[float, ...]:
        """Refuse."""
        raise TypeError(_NO_DATA)

    def squared_errors(
        self, accumulators: Sequence[Accumulator], samples: int
    ) -> list[list[float]]:
        """Refuse."""
        raise TypeError(_NO_DATA)


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network with weights and a training set."""

    prepared: Prepared

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The layers, in order."""
        fmt = self.prepared.workload.operand_format
        pairs = zip(self.prepared.layers, self.prepared.weights, strict=True)
        return tuple(
            LayerFacts(layer.inputs, layer.outputs, fmt, weight, layer.bias, layer.activation)
            for layer, weight in pairs
        )

    @property
    def input_range(self) -> tuple[float, float]:
        """Least and largest operand of the first layer on the training set."""
        dataset = self.prepared.workload.dataset
        assert dataset is not None
        ends = to_operands(dataset.train_inputs, self.prepared.workload.operand_format)
        return float(ends.min()), float(ends.max())

    def curvatures(self, by: Measure, samples: int, probes: int, seed: int) -> tuple[float, ...]:
        """Return a measure of the Hessian for each layer: see `Facts`."""
        layers = self.prepared.layers
        inputs, labels = self._samples(samples)
        whole = backward(layers, inputs, labels)
        indices = range(len(layers))
        if by == "trace":
            return tuple(trace(whole, index, probes, seed) for index in indices)
        if by == "eigenvalue":
            return tuple(largest_eigenvalue(whole, index, seed) for index in indices)
        parts = [
            backward(layers, inputs[part::_PARTS], labels[part::_PARTS]) for part in range(_PARTS)
        ]
        found = np.array(
            [[largest_eigenvalue(part, index, seed) for part in parts] for index in indices]
        )
        return tuple((np.abs(found.mean(axis=1)) + found.std(axis=1)).tolist())

    def squared_errors(
        self, accumulators: Sequence[Accumulator], samples: int
    ) -> list[list[float]]:
        """Return what accumulators change in each layer: see `Facts`."""
        h, _ = self._samples(samples)
        found = []
        for layer, weight in zip(self.prepared.layers, self.prepared.weights, strict=True):
            operands = self.prepared.operands(h)
            exact = numerics.matmul(operands, weight, FP32_ACCUMULATOR)
            errors = [
                numerics.matmul(operands, weight, acc).astype(np.float64) - exact
                for acc in accumulators
            ]
            found.append([float(np.sum(error**2)) / len(h) for error in errors])
            h = activate(layer.activation, add_bias(exact.astype(np.float32), layer.bias))
        return found

    def _samples(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return so many samples of the training set, evenly spread, or all that there are."""
        dataset = self.prepared.workload.dataset
        assert dataset is not None
        there = len(dataset.train_inputs)
        chosen = np.arange(min(number, there)) * there // min(number, there)
        return dataset.train_inputs[chosen], dataset.train_labels[chosen]
