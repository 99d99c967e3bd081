"""What all policies share, and how samples are cut into batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.errors import AccelsimError
from accelsim.infer.derivatives import gauss_newton_diagonals
from accelsim.networks import DenseLayer, Workload, activate
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.progress import Progress, silent

FP32 = FloatFormat.parse("fp32")
FP32_ACCUMULATOR = Accumulator(FP32)
_BATCH_VALUES = 2**19
"""Values of the widest layer that are at hand at a time: some of them several times over."""


@dataclass(frozen=True)
class Prepared:
    """What all policies share: operands, reference outputs, constants of the layers.

    `reference` (samples, classes) are the outputs of the float32 network, operands unrounded.
    `next_column_norms` holds what the next layer makes of an error in each output: see
    `LayerValues`. Samples are computed `batch` at a time, which changes nothing but time and
    memory. `progress` is shown what takes long.
    """

    workload: Workload
    weights: tuple[NDArray[np.float32], ...] = ()
    reference: NDArray[np.float32] | None = None
    next_column_norms: tuple[NDArray[np.float64], ...] = ()
    batch: int = 1
    progress: Progress = field(default=silent, repr=False, compare=False)

    @property
    def layers(self) -> tuple[DenseLayer, ...]:
        """The layers of the network; none where only shapes are known."""
        return () if self.workload.network is None else self.workload.network.layers

    def batches(self, samples: int, together: int = 1) -> list[slice]:
        """Cut so many samples into batches, the last one shorter if need be; all others hold a
        multiple of `together`.
        """
        batch = max(self.batch // together, 1) * together
        ends = range(0, samples, batch)
        return [slice(start, min(start + batch, samples)) for start in ends]

    def operands(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to the format of the multipliers."""
        return to_operands(x, self.workload.operand_format)

    @cached_property
    def mean_abs_sums(self) -> tuple[float, ...]:
        """The mean of S = |W||h| of each layer, over outputs and training set.

        It is linear in |h|, so that means of |h| are all that is taken from the training set. The
        layers before are in fp32. Computed when a rule first asks for it.
        """
        dataset = self.workload.dataset
        if dataset is None:
            return ()
        inputs = dataset.calibration_inputs
        totals = [np.zeros(layer.inputs) for layer in self.layers]
        for rows in self.progress(self.batches(len(inputs)), f"prepare {self.workload.name}"):
            h = inputs[rows]
            for index, layer in enumerate(self.layers):
                h = self.operands(h)
                _add_rows(totals[index], np.abs(h))
                if index + 1 < len(self.layers):
                    h = activate(layer.activation, pre_activation(layer, h, self.weights[index]))
        return tuple(
            float(np.sum(total * np.abs(weight).sum(axis=1, dtype=np.float64)))
            / (len(inputs) * weight.shape[1])
            for total, weight in zip(totals, self.weights, strict=True)
        )

    @cached_property
    def sensitivities(self) -> tuple[NDArray[np.float64], ...]:
        """The root of the mean over the training set of the Gauss-Newton diagonal, for the
        outputs of each layer: see `gauss_newton_diagonals`. Of the float32 network, operands
        unrounded. Computed when a rule first asks for it.
        """
        dataset = self.workload.dataset
        if dataset is None:
            return ()
        inputs = dataset.calibration_inputs
        totals = [np.zeros(layer.outputs) for layer in self.layers]
        few = max(self.batch // self.layers[-1].outputs, 1)  # a Jacobian has a row for each class
        batches = [slice(start, start + few) for start in range(0, len(inputs), few)]
        for rows in self.progress(batches, f"differentiate {self.workload.name}"):
            found = gauss_newton_diagonals(self.layers, inputs[rows])
            for total, diagonals in zip(totals, found, strict=True):
                _add_rows(total, diagonals)
        return tuple(np.sqrt(total / len(inputs)) for total in totals)


def prepare(workload: Workload, progress: Progress = silent, batch: int | None = None) -> Prepared:
    """Compute what does not depend on the policy.

    `batch` is the number of samples at a time, chosen by the width of the network unless given.
    Raises AccelsimError if the float32 network has outputs that are not finite.
    """
    network, dataset = workload.network, workload.dataset
    if network is None or dataset is None:
        return Prepared(workload)
    weights = tuple(
        np.ascontiguousarray(to_operands(layer.weight, network.operand_format).T)
        for layer in network.layers
    )
    norms = [np.linalg.norm(weight.astype(np.float64), axis=1) for weight in weights[1:]]
    norms.append(np.ones(network.layers[-1].outputs))
    if batch is None:
        widest = max(max(layer.inputs, layer.outputs) for layer in network.layers)
        batch = max(_BATCH_VALUES // widest, 1)
    inputs = dataset.test_inputs
    reference = np.empty((len(inputs), network.layers[-1].outputs), np.float32)
    prepared = Prepared(workload, weights, reference, tuple(norms), batch, progress)
    for rows in progress(prepared.batches(len(inputs)), f"{workload.name} in float32"):
        h = inputs[rows]
        for layer in network.layers:
            h = activate(layer.activation, pre_activation(layer, h, layer.weight.T))
        reference[rows] = h
    if not np.isfinite(reference).all():
        raise AccelsimError(
            f"workload {workload.name}: in float32 the network overflows, so that there is nothing"
            " to compare with: its weights are too large"
        )
    return prepared


def to_operands(x: NDArray[np.float32], fmt: FloatFormat) -> NDArray[np.float32]:
    """Round to the format of the multipliers; what is out of range saturates."""
    return numerics.round_to(fmt, x, overflow="saturate").astype(np.float32, copy=False)


def pre_activation(
    layer: DenseLayer, h: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return v = W h + b in fp32."""
    return add_bias(numerics.matmul(h, weight, FP32_ACCUMULATOR), layer.bias)


def add_bias(sums: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add in fp32, to infinity if need be."""
    with np.errstate(over="ignore"):
        return np.asarray(sums + bias)


def _add_rows(total: NDArray[np.float64], rows: NDArray[np.floating[Any]]) -> None:
    """Add rows to a total one after the other, so that batches make no difference."""
    for row in rows:
        total += row
