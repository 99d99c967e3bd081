"""What rules that give each layer an accumulator may know of a network."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.infer.prepared import Prepared, to_operands
from accelsim.networks import Workload
from accelsim.policies import LayerFacts


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
        raise TypeError("the rule needs the training set")


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
