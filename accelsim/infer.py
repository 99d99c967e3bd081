"""Run a workload under a policy: accuracy, and the trace that a machine is charged for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.errors import AccelsimError
from accelsim.networks import DenseLayer, Network, VectorWork, Workload, activate
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies import LayerValues, LayerView, Policy
from accelsim.progress import Progress, silent
from accelsim.trace import LayerTrace, Mask, Trace, VectorTrace

FP32 = FloatFormat.parse("fp32")
MAX_MASKED_OUTPUTS = 2**26
"""A mask takes a byte an output, and drawing it nine times that."""
_FP32_ACCUMULATOR = Accumulator(FP32)


@dataclass(frozen=True)
class Prepared:
    """What all policies share: operands, reference outputs, constants of the layers.

    `reference` (samples, classes) are the outputs of the float32 network, operands unrounded.
    `mean_abs_sums` holds the mean of S = |W||h| of each layer over the training set.
    """

    workload: Workload
    weights: tuple[NDArray[np.float32], ...] = ()
    reference: NDArray[np.float32] | None = None
    mean_abs_sums: tuple[float, ...] = ()


@dataclass(frozen=True)
class Inference:
    """What a policy gave.

    Accuracy and KL divergence (nats, mean over samples, from the float32 network's class
    probabilities to these) are None for a workload without weights. `false_negative_rate` is the
    share of the outputs that the rule would redo if it saw exact values, and did not; None unless
    it was asked for and the rule has such an idea.
    """

    trace: Trace
    outputs: NDArray[np.float32] | None = None
    accuracy: float | None = None
    kl_divergence: float | None = None
    false_negative_rate: float | None = None


def prepare(workload: Workload) -> Prepared:
    """Compute what does not depend on the policy.

    Raises AccelsimError if the float32 network has outputs that are not finite.
    """
    network, dataset = workload.network, workload.dataset
    if network is None or dataset is None:
        return Prepared(workload)
    weights = tuple(
        np.ascontiguousarray(_operands(layer.weight, network.operand_format).T)
        for layer in network.layers
    )
    reference = dataset.test_inputs
    for layer in network.layers:
        reference = activate(layer.activation, _pre_activation(layer, reference, layer.weight.T))
    if not np.isfinite(reference).all():
        raise AccelsimError(
            f"workload {workload.name}: in float32 the network overflows, so that there is nothing"
            " to compare with: its weights are too large"
        )
    mean_abs_sums = []
    h = dataset.train_inputs
    for layer, weight in zip(network.layers, weights, strict=True):
        h = _operands(h, network.operand_format)
        total = numerics.matmul(np.abs(h), np.abs(weight), _FP32_ACCUMULATOR)
        mean_abs_sums.append(float(np.mean(total, dtype=np.float64)))
        h = activate(layer.activation, _pre_activation(layer, h, weight))
    return Prepared(workload, weights, reference, tuple(mean_abs_sums))


def infer(
    prepared: Prepared, policy: Policy, *, audit: bool = False, progress: Progress = silent
) -> Inference:
    """Run the workload under `policy`; with `audit`, also find what its rule missed.

    Raises AccelsimError if the policy needs values that the workload lacks.
    """
    workload = prepared.workload
    network, dataset = workload.network, workload.dataset
    if network is None or dataset is None:
        return Inference(_trace_of_shapes(workload, policy, progress))
    h = dataset.test_inputs
    layers = []
    needed = missed = 0
    for index in progress(range(len(network.layers)), f"infer {workload.name}"):
        inputs = _operands(h, network.operand_format)
        h, trace = _run_layer(prepared, network, index, inputs, policy)
        layers.append(trace)
        wanted = policy.needed(_exact_view(prepared, network, index, inputs)) if audit else None
        if wanted is not None and trace.recomputed is not None:
            needed += int(np.count_nonzero(wanted))
            missed += int(np.count_nonzero(wanted & ~trace.recomputed))
    assert prepared.reference is not None
    return Inference(
        Trace(tuple(layers), samples=len(h)),
        outputs=h,
        accuracy=accuracy(h, dataset.test_labels),
        kl_divergence=kl_divergence(prepared.reference, h),
        false_negative_rate=missed / needed if needed else None,
    )


def accuracy(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the fraction of rows whose largest output is at the label; a NaN row is wrong."""
    predicted = np.argmax(outputs, axis=1)
    correct = (predicted == labels) & ~np.isnan(outputs).any(axis=1)
    return float(np.mean(correct))


def kl_divergence(reference: NDArray[np.float32], outputs: NDArray[np.float32]) -> float:
    """Return the mean over rows of KL(softmax(reference) ‖ softmax(outputs)), in nats.

    Infinite if an output is not finite.
    """
    if not np.isfinite(outputs).all():
        return float("inf")
    log_p, log_q = _log_softmax(reference), _log_softmax(outputs)
    # Rounding may leave the divergence of equal rows a hair below zero.
    return max(0.0, float(np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))))


def _run_layer(
    prepared: Prepared, network: Network, index: int, inputs: NDArray[np.float32], policy: Policy
) -> tuple[NDArray[np.float32], LayerTrace]:
    layer, weight = network.layers[index], prepared.weights[index]
    m, k, n = len(inputs), layer.inputs, layer.outputs
    if policy.needs_values:
        counted = numerics.matmul_sums(inputs, weight, policy.first)
        sums, overflowed = counted.values.astype(np.float32), counted.overflows > 0
    else:
        sums, overflowed = numerics.matmul(inputs, weight, policy.first), np.zeros((m, n), np.bool_)
    v = _add(sums, layer.bias)
    mean_abs_sum = prepared.mean_abs_sums[index]
    values = LayerValues(inputs, weight, sums, overflowed, v, layer.activation, mean_abs_sum)
    mask = policy.select(LayerView(index, m, k, n, values))
    if mask is not None and policy.second is not None:
        rows, columns = np.nonzero(mask)
        again = numerics.matmul_at(inputs, weight, rows, columns, policy.second)
        v[rows, columns] = _add(again, layer.bias[columns])
    last = index == len(network.layers) - 1
    output_format = FP32 if last else network.operand_format
    trace = _layer_trace(layer.name, (m, k, n), network.operand_format, output_format, policy, mask)
    return activate(layer.activation, v), trace


def _exact_view(
    prepared: Prepared, network: Network, index: int, inputs: NDArray[np.float32]
) -> LayerView:
    """Return the layer as a rule would see it after a pass in fp32."""
    layer, weight = network.layers[index], prepared.weights[index]
    sums = numerics.matmul(inputs, weight, _FP32_ACCUMULATOR)
    values = LayerValues(
        inputs,
        weight,
        sums,
        np.zeros(sums.shape, np.bool_),
        _add(sums, layer.bias),
        layer.activation,
        prepared.mean_abs_sums[index],
    )
    return LayerView(index, len(inputs), layer.inputs, layer.outputs, values)


def _trace_of_shapes(workload: Workload, policy: Policy, progress: Progress) -> Trace:
    if policy.needs_values:
        raise AccelsimError(
            f"policy {policy.name} looks at values, but workload {workload.name} has no weights:"
            " use a uniform or chunked policy, or random:rate=R"
        )
    operand_format = workload.operand_format
    layers: list[LayerTrace | VectorTrace] = []
    index = 0  # among the products, which alone have outputs to choose from
    for gemm in progress(workload.shapes, f"choose outputs of {workload.name}"):
        if isinstance(gemm, VectorWork):
            layers.append(_vector_trace(gemm, operand_format))
            continue
        rows = gemm.repeats * gemm.m
        if policy.second is not None and rows * gemm.n > MAX_MASKED_OUTPUTS:
            raise AccelsimError(
                f"layer {gemm.name}: {rows}x{gemm.n} outputs, and recomputation can be drawn for"
                f" at most {MAX_MASKED_OUTPUTS}"
            )
        mask = policy.select(LayerView(index, rows, gemm.k, gemm.n))
        index += 1
        shape = (gemm.m, gemm.k, gemm.n)
        trace = _layer_trace(
            gemm.name,
            shape,
            operand_format,
            operand_format,
            policy,
            mask,
            repeats=gemm.repeats,
            recurrent=gemm.recurrent,
        )
        layers.append(trace)
    return Trace(tuple(layers), samples=1)


def _layer_trace(
    name: str,
    shape: tuple[int, int, int],
    operand_format: FloatFormat,
    output_format: FloatFormat,
    policy: Policy,
    mask: Mask | None,
    *,
    repeats: int = 1,
    recurrent: bool = False,
) -> LayerTrace:
    m, k, n = shape
    return LayerTrace(
        name=name,
        m=m,
        k=k,
        n=n,
        operand_format=operand_format,
        output_format=output_format,
        accumulator=policy.first,
        recompute_accumulator=policy.second,
        detector=policy.detector,
        recomputed=mask,
        repeats=repeats,
        recurrent=recurrent,
    )


def _vector_trace(work: VectorWork, value_format: FloatFormat) -> VectorTrace:
    return VectorTrace(
        name=work.name,
        kind=work.kind,
        rows=work.rows,
        row_inputs=work.row_inputs,
        row_outputs=work.row_outputs,
        adds=work.operations.add,
        multiplies=work.operations.multiply,
        compares=work.operations.compare,
        value_format=value_format,
        fused=work.fused,
        repeats=work.repeats,
    )


def _operands(x: NDArray[np.float32], fmt: FloatFormat) -> NDArray[np.float32]:
    return numerics.round_to(fmt, x, overflow="saturate").astype(np.float32, copy=False)


def _pre_activation(
    layer: DenseLayer, h: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    return _add(numerics.matmul(h, weight, _FP32_ACCUMULATOR), layer.bias)


def _add(sums: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(sums + bias)


def _log_softmax(x: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = x.astype(np.float64) - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))
