"""Run a workload under a policy: accuracy, and the trace that a machine is charged for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.errors import AccelsimError
from accelsim.networks import DenseLayer, VectorWork, Workload, activate
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies import Calibration, LayerValues, LayerView, Policy, policy_at
from accelsim.progress import Progress, silent
from accelsim.trace import LayerTrace, Mask, Trace, VectorTrace

FP32 = FloatFormat.parse("fp32")
MAX_MASKED_OUTPUTS = 2**26
"""A mask takes a byte an output, and drawing it five times that."""
_FP32_ACCUMULATOR = Accumulator(FP32)


@dataclass(frozen=True)
class Prepared:
    """What all policies share: operands, reference outputs, constants of the layers.

    `reference` (samples, classes) are the outputs of the float32 network, operands unrounded.
    `mean_abs_sums` holds the mean of S = |W||h| of each layer over the training set, and
    `next_column_norms` what the next layer makes of an error in each output: see `LayerValues`.
    """

    workload: Workload
    weights: tuple[NDArray[np.float32], ...] = ()
    reference: NDArray[np.float32] | None = None
    mean_abs_sums: tuple[float, ...] = ()
    next_column_norms: tuple[NDArray[np.float64], ...] = ()

    @property
    def layers(self) -> tuple[DenseLayer, ...]:
        """The layers of the network; none where only shapes are known."""
        return () if self.workload.network is None else self.workload.network.layers


@dataclass(frozen=True)
class Inference:
    """What a policy gave.

    Accuracy and KL divergence (nats, mean over samples, from the float32 network's class
    probabilities to these) are None for a workload without weights. `false_negative_rate` is the
    share of the outputs that the rule would redo if it saw exact values, and did not; None unless
    it was asked for and the rule has such an idea. `calibrations` holds what the rule learned of
    each layer on the training set.
    """

    trace: Trace
    outputs: NDArray[np.float32] | None = None
    accuracy: float | None = None
    kl_divergence: float | None = None
    false_negative_rate: float | None = None
    calibrations: tuple[Calibration | None, ...] = ()


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
    norms = [np.linalg.norm(weight.astype(np.float64), axis=1) for weight in weights[1:]]
    norms.append(np.ones(network.layers[-1].outputs))
    return Prepared(workload, weights, reference, tuple(mean_abs_sums), tuple(norms))


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
    calibrations = _calibrate(prepared, policy)
    h = dataset.test_inputs
    layers = []
    needed = missed = 0
    number = len(network.layers)
    for index in progress(range(number), f"infer {workload.name}"):
        rule = policy_at(policy, index, number)
        inputs = _operands(h, network.operand_format)
        view = _first_pass(prepared, index, inputs, rule, calibrations[index])
        mask = rule.select(view)
        output_format = FP32 if index == number - 1 else network.operand_format
        name = network.layers[index].name
        layers.append(_layer_trace(name, network.operand_format, output_format, rule, view, mask))
        h = _outputs(prepared, rule, view, mask)
        wanted = None
        if audit and rule.needs_values:
            wanted = rule.needed(_exact_view(prepared, index, inputs, calibrations[index]))
        if wanted is not None and mask is not None:
            needed += int(np.count_nonzero(wanted))
            missed += int(np.count_nonzero(wanted & ~mask))
    assert prepared.reference is not None
    return Inference(
        Trace(tuple(layers), samples=len(h)),
        outputs=h,
        accuracy=accuracy(h, dataset.test_labels),
        kl_divergence=kl_divergence(prepared.reference, h),
        false_negative_rate=missed / needed if needed else None,
        calibrations=calibrations,
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


def _calibrate(prepared: Prepared, policy: Policy) -> tuple[Calibration | None, ...]:
    """Let a rule learn of each layer on the training set, as it leaves the layers before."""
    network, dataset = prepared.workload.network, prepared.workload.dataset
    assert network is not None
    assert dataset is not None
    number = len(network.layers)
    rules = [policy_at(policy, index, number) for index in range(number)]
    found: list[Calibration | None] = [None] * number
    learning = [index for index, rule in enumerate(rules) if rule.calibrates]
    h = dataset.train_inputs
    for index in range(learning[-1] + 1 if learning else 0):
        inputs = _operands(h, network.operand_format)
        view = _first_pass(prepared, index, inputs, rules[index], None)
        found[index] = rules[index].calibrate(view)
        view = replace(view, calibration=found[index])
        h = _outputs(prepared, rules[index], view, rules[index].select(view))
    return tuple(found)


def _first_pass(
    prepared: Prepared,
    index: int,
    inputs: NDArray[np.float32],
    rule: Policy,
    calibration: Calibration | None,
) -> LayerView:
    """Return what a rule sees after the first pass over a layer."""
    sums: NDArray[np.float32]
    weight, running = prepared.weights[index], None
    if rule.needs_values:
        counted = numerics.matmul_sums(inputs, weight, rule.first)
        sums, running = counted.values.astype(np.float32), counted.running
        overflowed = counted.overflows > 0
    else:
        sums = numerics.matmul(inputs, weight, rule.first).astype(np.float32, copy=False)
        overflowed = np.zeros(sums.shape, np.bool_)
    exact = None
    if rule.needs_exact and rule.second is not None:
        exact = _add(numerics.matmul(inputs, weight, rule.second), prepared.layers[index].bias)
    return _view(prepared, index, inputs, (sums, overflowed, running), exact, calibration)


def _exact_view(
    prepared: Prepared, index: int, inputs: NDArray[np.float32], calibration: Calibration | None
) -> LayerView:
    """Return the layer as a rule would see it after a pass in fp32."""
    counted = numerics.matmul_sums(inputs, prepared.weights[index], _FP32_ACCUMULATOR)
    sums = counted.values.astype(np.float32, copy=False)
    found = (sums, np.zeros(sums.shape, np.bool_), counted.running)
    return _view(prepared, index, inputs, found, None, calibration)


def _view(
    prepared: Prepared,
    index: int,
    inputs: NDArray[np.float32],
    found: tuple[NDArray[np.float32], Mask, NDArray[np.float64] | None],
    exact: NDArray[np.float32] | None,
    calibration: Calibration | None,
) -> LayerView:
    layer = prepared.layers[index]
    sums, overflowed, running = found
    values = LayerValues(
        inputs=inputs,
        weight=prepared.weights[index],
        sums=sums,
        overflowed=overflowed,
        pre_activation=_add(sums, layer.bias),
        activation=layer.activation,
        mean_abs_sum=prepared.mean_abs_sums[index],
        running=running,
        next_column_norms=prepared.next_column_norms[index],
        exact=exact,
    )
    return LayerView(index, len(inputs), layer.inputs, layer.outputs, values, calibration)


def _outputs(
    prepared: Prepared, rule: Policy, view: LayerView, mask: Mask | None
) -> NDArray[np.float32]:
    """Return the outputs of a layer, those in `mask` from the second accumulator."""
    layer, values = prepared.layers[view.index], view.require_values()
    v = values.pre_activation
    if mask is not None and rule.second is not None:
        rows, columns = np.nonzero(mask)
        again = numerics.matmul_at(values.inputs, values.weight, rows, columns, rule.second)
        v = v.copy()
        v[rows, columns] = _add(again, layer.bias[columns])
    return activate(layer.activation, v)


def _trace_of_shapes(workload: Workload, policy: Policy, progress: Progress) -> Trace:
    if policy.needs_values:
        does = "is calibrated on training data" if policy.calibrates else "looks at values"
        raise AccelsimError(
            f"policy {policy.name} {does}, but workload {workload.name} has no weights:"
            " use a uniform or chunked policy, or random:rate=R"
        )
    operand_format = workload.operand_format
    layers: list[LayerTrace | VectorTrace] = []
    index, number = 0, len(workload.gemms)  # products alone have outputs to choose from
    for gemm in progress(workload.shapes, f"choose outputs of {workload.name}"):
        if isinstance(gemm, VectorWork):
            layers.append(_vector_trace(gemm, operand_format))
            continue
        rule = policy_at(policy, index, number)
        rows = gemm.repeats * gemm.m
        if rule.second is not None and rows * gemm.n > MAX_MASKED_OUTPUTS:
            raise AccelsimError(
                f"layer {gemm.name}: {rows}x{gemm.n} outputs, and recomputation can be drawn for"
                f" at most {MAX_MASKED_OUTPUTS}"
            )
        view = LayerView(index, rows, gemm.k, gemm.n)
        index += 1
        trace = _layer_trace(
            gemm.name,
            operand_format,
            operand_format,
            rule,
            view,
            rule.select(view),
            repeats=gemm.repeats,
            recurrent=gemm.recurrent,
        )
        layers.append(trace)
    return Trace(tuple(layers), samples=1)


def _layer_trace(
    name: str,
    operand_format: FloatFormat,
    output_format: FloatFormat,
    rule: Policy,
    view: LayerView,
    mask: Mask | None,
    *,
    repeats: int = 1,
    recurrent: bool = False,
) -> LayerTrace:
    return LayerTrace(
        name=name,
        m=view.m // repeats,
        k=view.k,
        n=view.n,
        operand_format=operand_format,
        output_format=output_format,
        accumulator=rule.first,
        recompute_accumulator=rule.second,
        detector=rule.detector(view),
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
