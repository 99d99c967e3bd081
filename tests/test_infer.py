"""Inference: what a policy does to the outputs of a network, and what it leaves for the machine."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import (
    Inference,
    Prepared,
    accuracy,
    flip_rate,
    infer,
    kl_divergence,
    prepare,
)
from accelsim.infer.clusters import BLOCKS, Cluster, clusters
from accelsim.networks import Dataset, DenseLayer, Gemm, Network, Workload
from accelsim.numerics import Accumulator, FloatFormat, round_to
from accelsim.policies import parse_policy
from accelsim.trace import LayerTrace, Mask, Trace

WORKLOADS = Path(__file__).parents[1] / "workloads"
NAMES = ("digits-relu", "digits-tanh")
Array = NDArray[np.float32]


@pytest.fixture(scope="module", params=NAMES)
def prepared(request: pytest.FixtureRequest) -> Prepared:
    return prepare(load_workload(WORKLOADS / f"{request.param}.yaml"))


def run(prepared: Prepared, policy: str) -> Inference:
    return infer(prepared, parse_policy(policy))


def outputs(prepared: Prepared, policy: str) -> Array:
    found = run(prepared, policy).outputs
    assert found is not None
    return found


def assert_same_bits(a: Array, b: Array) -> None:
    np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))


def numpy_forward(network: Network, h: Array) -> NDArray[np.float64]:
    x = h.astype(np.float64)
    for layer in network.layers:
        x = x @ layer.weight.T.astype(np.float64) + layer.bias
        if layer.activation == "relu":
            x = np.maximum(x, 0.0)
        elif layer.activation == "tanh":
            x = np.tanh(x)
    return x


@pytest.mark.parametrize(("name", "expected"), [("digits-relu", 0.9744), ("digits-tanh", 0.9677)])
def test_the_committed_weights_reach_the_accuracy_of_their_training(
    name: str, expected: float
) -> None:
    workload = load_workload(WORKLOADS / f"{name}.yaml")
    reference = prepare(workload).reference
    assert reference is not None
    assert workload.dataset is not None
    assert round(accuracy(reference, workload.dataset.test_labels), 4) == expected


def test_the_reference_is_the_float32_network(prepared: Prepared) -> None:
    workload = prepared.workload
    assert workload.network is not None
    assert workload.dataset is not None
    assert prepared.reference is not None
    expected = numpy_forward(workload.network, workload.dataset.test_inputs)
    np.testing.assert_allclose(prepared.reference, expected, rtol=0, atol=2e-5)


def test_fp32_operands_and_accumulators_give_the_reference(prepared: Prepared) -> None:
    workload, fp32 = prepared.workload, FloatFormat.parse("fp32")
    assert workload.network is not None
    network = dataclasses.replace(workload.network, operand_format=fp32)
    wide = prepare(dataclasses.replace(workload, network=network, operand_format=fp32))
    found = run(wide, "uniform-high")
    assert found.outputs is not None
    assert prepared.reference is not None
    assert_same_bits(found.outputs, prepared.reference)
    assert found.kl_divergence == 0.0


def test_tau_zero_gives_uniform_high_bit_for_bit(prepared: Prepared) -> None:
    high = outputs(prepared, "uniform-high")
    for numerator in ("constant", "exact"):
        found = run(prepared, f"selective:tau=0,numerator={numerator}")
        assert found.outputs is not None
        assert_same_bits(found.outputs, high)
        assert found.trace.recompute_rate == 1.0


def test_rate_zero_gives_uniform_low_and_rate_one_uniform_high_bit_for_bit(
    prepared: Prepared,
) -> None:
    assert_same_bits(outputs(prepared, "random:rate=0"), outputs(prepared, "uniform-low"))
    assert_same_bits(outputs(prepared, "random:rate=1"), outputs(prepared, "uniform-high"))


def test_low_and_high_precision_differ(prepared: Prepared) -> None:
    low, high = outputs(prepared, "uniform-low"), outputs(prepared, "uniform-high")
    assert (low != high).mean() > 0.9


def test_a_chunk_longer_than_every_layer_rounds_only_the_end(prepared: Prepared) -> None:
    assert_same_bits(outputs(prepared, "chunked:chunk=1000"), outputs(prepared, "uniform-low"))


def test_one_format_inside_and_outside_of_chunks_of_one_is_that_format(prepared: Prepared) -> None:
    assert_same_bits(
        outputs(prepared, "chunked:chunk=1,low=fp32"), outputs(prepared, "uniform-high")
    )


@pytest.mark.parametrize(
    "policy",
    [
        "uniform-low",
        "uniform-high",
        "chunked:chunk=16",
        "selective:tau=8,numerator=constant",
        "selective:tau=8,numerator=exact",
        "selective:tau=20,numerator=l2",
        "selective:tau=20,numerator=l1-inf",
        "selective:tau=8,numerator=low",
        "selective:rate=0.1,numerator=running-error",
        "next-layer:tau=4",
        "static:rate=0.2",
    ],
)
def test_a_sample_is_computed_alike_in_any_batch(prepared: Prepared, policy: str) -> None:
    dataset = prepared.workload.dataset
    assert dataset is not None
    rows = np.r_[5, 898, 17:30, 3]
    few = dataclasses.replace(
        dataset, test_inputs=dataset.test_inputs[rows], test_labels=dataset.test_labels[rows]
    )
    part = prepare(dataclasses.replace(prepared.workload, dataset=few))
    assert_same_bits(outputs(part, policy), outputs(prepared, policy)[rows])


def test_an_inference_is_the_same_every_time(prepared: Prepared) -> None:
    for policy in ("uniform-low", "random:rate=0.3", "selective:tau=8"):
        assert_same_bits(outputs(prepared, policy), outputs(prepared, policy))


def test_the_trace_holds_the_layers_as_they_were_run(prepared: Prepared) -> None:
    trace = run(prepared, "selective:tau=16").trace
    assert trace.samples == 899
    assert [(layer.name, layer.m, layer.k, layer.n) for layer in trace.products] == [
        ("hidden1", 899, 64, 256),
        ("hidden2", 899, 256, 128),
        ("logits", 899, 128, 10),
    ]
    assert [str(layer.operand_format) for layer in trace.products] == ["e4m3fn"] * 3
    assert [str(layer.output_format) for layer in trace.products] == ["e4m3fn", "e4m3fn", "fp32"]
    assert all(layer.recomputed is not None for layer in trace.products)
    assert 0.0 < trace.recompute_rate < 1.0


def test_only_selected_outputs_are_recomputed() -> None:
    prepared = prepare(tiny(activation="identity"))
    low, high = outputs(prepared, "uniform-low"), outputs(prepared, "uniform-high")
    mixed = run(prepared, "random:rate=0.5")
    mask = mixed.trace.products[0].recomputed
    assert mask is not None
    assert mixed.outputs is not None
    assert (low != high).mean() > 0.5
    assert_same_bits(mixed.outputs, np.where(mask, high, low))


@pytest.mark.parametrize(
    "how", ["rate=1", "rate=0.5", "rate=0.02", "rate=0.3,cluster=1x*", "rate=0.3,cluster=*x1",
            "rate=0.1,cluster=16x16"],
)  # fmt: skip
def test_what_is_selected_is_recomputed_however_it_lies(how: str) -> None:
    generator = np.random.default_rng(5)
    inputs, weight, bias = (
        generator.standard_normal(shape).astype(np.float32) for shape in ((60, 16), (40, 16), 40)
    )
    layer, fmt = DenseLayer("only", weight, bias, "identity"), FloatFormat.parse("e4m3fn")
    data = Dataset(inputs, np.zeros(60, np.int64), inputs, np.zeros(60, np.int64))
    prepared = prepare(Workload("one", fmt, network=Network((layer,), fmt), dataset=data))
    low, high = outputs(prepared, "uniform-low"), outputs(prepared, "uniform-high")
    mixed = run(prepared, f"random:{how}")
    mask = mixed.trace.products[0].recomputed
    assert mask is not None
    assert mask.any()
    assert mixed.outputs is not None
    assert_same_bits(mixed.outputs, np.where(mask, high, low))


def tiny(activation: Any = "relu", scale: float = 1.0) -> Workload:
    """One layer of eight inputs and three outputs on six training and five test samples."""
    generator = np.random.default_rng(1)
    weight = (generator.standard_normal((3, 8)) * scale).astype(np.float32)
    bias = (generator.standard_normal(3) * scale).astype(np.float32)
    dataset = Dataset(
        generator.standard_normal((6, 8)).astype(np.float32),
        np.array([0, 1, 2, 0, 1, 2]),
        generator.standard_normal((5, 8)).astype(np.float32),
        np.array([0, 1, 2, 0, 1]),
    )
    fmt = FloatFormat.parse("e4m3fn")
    network = Network((DenseLayer("only", weight, bias, activation),), fmt)
    return Workload("tiny", fmt, network=network, dataset=dataset)


def test_operands_are_rounded_and_the_bias_is_not() -> None:
    workload = tiny("identity")
    assert workload.network is not None
    assert workload.dataset is not None
    layer = workload.network.layers[0]
    h, w = (round_to("e4m3fn", x) for x in (workload.dataset.test_inputs, layer.weight))
    exact = h.astype(np.float64) @ w.T.astype(np.float64)  # e4m3fn products fit
    expected = exact.astype(np.float32) + layer.bias
    found = outputs(prepare(workload), "uniform-high")
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_constant_numerator_is_the_mean_over_the_training_set() -> None:
    workload = tiny()
    assert workload.network is not None
    assert workload.dataset is not None
    h, w = (
        np.abs(round_to("e4m3fn", x)).astype(np.float64)
        for x in (workload.dataset.train_inputs, workload.network.layers[0].weight)
    )
    (found,) = prepare(workload).mean_abs_sums
    assert found == pytest.approx(np.mean(h @ w.T), rel=1e-6)


def test_accuracy_is_the_fraction_of_rows_whose_largest_output_is_at_the_label() -> None:
    given = np.array([[1, 2, 3], [3, 2, 1], [1, 3, 2], [1, 2, 3]], np.float32)
    assert accuracy(given, np.array([2, 0, 0, 1])) == 0.5


def test_a_row_with_a_nan_is_wrong_and_an_infinity_is_not() -> None:
    nan, inf = np.nan, np.inf
    given = np.array([[nan, 1, 2], [3, nan, 1], [1, inf, 2], [-inf, 0, 1]], np.float32)
    assert accuracy(given, np.array([0, 0, 1, 2])) == 0.5


def test_kl_divergence_is_the_mean_over_rows_in_nats() -> None:
    # softmax: (1/4, 3/4) from (1/2, 1/2), and equal rows
    reference = np.array([[0, math.log(3)], [5, 7]], np.float32)
    given = np.array([[1, 1], [5, 7]], np.float32)
    expected = (0.25 * math.log(0.5) + 0.75 * math.log(1.5)) / 2
    assert kl_divergence(reference, given) == pytest.approx(expected, rel=1e-6)


def test_kl_divergence_sees_no_shift_of_a_row() -> None:
    reference = np.array([[0, 1, 2]], np.float32)
    assert kl_divergence(reference, reference + 100) == pytest.approx(0.0, abs=1e-12)
    assert kl_divergence(reference, reference) == 0.0


def test_kl_divergence_survives_large_outputs() -> None:
    reference = np.array([[0, 3e38]], np.float32)
    assert kl_divergence(reference, -reference) == pytest.approx(3e38, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_diverge_infinitely(bad: float) -> None:
    reference = np.array([[0, 1]], np.float32)
    assert kl_divergence(reference, np.array([[0, bad]], np.float32)) == math.inf


def test_a_network_that_overflows_float32_is_refused() -> None:
    with pytest.raises(AccelsimError) as caught:
        prepare(tiny("identity", scale=1e38))
    assert str(caught.value) == (
        "workload tiny: in float32 the network overflows, so that there is nothing to compare with:"
        " its weights are too large"
    )


def shapes(m: int = 4, n: int = 6) -> Prepared:
    fmt = FloatFormat.parse("e5m2")
    return prepare(Workload("shapes", fmt, shapes=(Gemm("a", m, 5, n), Gemm("b", 2, 3, 2))))


def test_a_workload_of_shapes_has_a_trace_but_no_accuracy() -> None:
    found = run(shapes(), "random:rate=0.25")
    assert (found.outputs, found.accuracy, found.kl_divergence) == (None, None, None)
    assert found.trace.samples == 1
    assert [layer.recomputed_outputs for layer in found.trace.products] == [6, 1]
    assert found.trace.recompute_rate == 7 / 28
    assert {str(layer.output_format) for layer in found.trace.products} == {"e5m2"}


@pytest.mark.parametrize("policy", ["uniform-low", "uniform-high", "chunked"])
def test_without_recomputation_a_trace_has_no_mask(policy: str) -> None:
    trace = run(shapes(), policy).trace
    assert [layer.recomputed for layer in trace.products] == [None, None]
    assert trace.recompute_rate == 0.0


def test_selective_recomputation_needs_weights() -> None:
    with pytest.raises(AccelsimError) as caught:
        run(shapes(), "selective")
    assert str(caught.value) == (
        "policy selective looks at values, but workload shapes has no weights: use a uniform or"
        " chunked policy, or random:rate=R"
    )


@pytest.mark.parametrize("policy", ["static", "selective:rate=0.1", "next-layer:rate=0.1"])
def test_what_is_calibrated_needs_weights(policy: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        run(shapes(), policy)
    assert str(caught.value) == (
        f"policy {policy.partition(':')[0]} is calibrated on training data, but workload shapes has"
        " no weights: use a uniform or chunked policy, or random:rate=R"
    )


def test_a_last_layer_in_high_precision_is_charged_as_one(prepared: Prepared) -> None:
    plain, found = run(prepared, "selective:tau=8"), run(prepared, "selective:tau=8,last=fp32")
    *before, end = found.trace.products
    assert [str(layer) for layer in before] == [str(layer) for layer in plain.trace.products[:2]]
    assert str(end) == "logits: 899x128 by 128x10, e4m3fn operands, accumulated in fp32, saturating"
    assert (end.recompute_accumulator, end.detector, end.recomputed) == (None, None, None)


def test_one_format_for_each_layer_is_that_format_in_each(prepared: Prepared) -> None:
    assert_same_bits(
        outputs(prepared, "per-layer:formats=fp16/fp16/fp16"),
        outputs(prepared, "uniform:format=fp16"),
    )
    mixed = run(prepared, "per-layer:formats=e4m3fn/fp16/fp32").trace
    assert [str(layer.accumulator.format) for layer in mixed.products] == ["e4m3fn", "fp16", "fp32"]
    assert mixed.recompute_rate == 0.0


def test_shapes_can_have_a_format_for_each_layer_and_clusters() -> None:
    trace = run(shapes(), "per-layer:formats=fp16/fp32").trace
    assert [str(layer.accumulator) for layer in trace.products] == [
        "fp16, saturating",
        "fp32, saturating",
    ]
    first, end = run(shapes(), "random:rate=0.5,cluster=2x3,last=fp32").trace.products
    assert first.recomputed is not None
    assert sorted(first.recomputed.reshape(2, 2, 2, 3).sum(axis=(1, 3)).ravel()) == [0, 0, 6, 6]
    assert end.recomputed is None


def test_the_next_layer_takes_errors_by_its_columns(prepared: Prepared) -> None:
    network = prepared.workload.network
    assert network is not None
    for norms, after in zip(prepared.next_column_norms, network.layers[1:], strict=False):
        operands = round_to("e4m3fn", after.weight).astype(np.float64)
        np.testing.assert_allclose(norms, np.sqrt((operands**2).sum(axis=0)), rtol=1e-12)
    assert prepared.next_column_norms[-1].tolist() == [1.0] * 10


def test_the_oracle_redoes_what_is_most_wrong() -> None:
    prepared = prepare(tiny("identity"))
    low, high = outputs(prepared, "uniform-low"), outputs(prepared, "uniform-high")
    found = run(prepared, "oracle:rate=0.2")
    (layer,) = found.trace.products
    assert layer.recomputed is not None
    error = np.abs(low.astype(np.float64) - high)
    assert error[layer.recomputed].min() >= error[~layer.recomputed].max()
    assert np.count_nonzero(layer.recomputed) == 3


def test_a_mask_that_would_not_fit_memory_is_refused() -> None:
    huge = shapes(m=2**20, n=2**20)
    with pytest.raises(AccelsimError) as caught:
        run(huge, "random")
    assert str(caught.value) == (
        "layer a: 1048576x1048576 outputs, and recomputation can be drawn for at most 67108864"
    )
    assert run(huge, "uniform-low").trace.products[0].outputs == 2**40


def one_layer(h: list[list[float]], w: list[list[float]], bias: list[float]) -> Prepared:
    """A ReLU layer of these operands, on these samples."""
    inputs, labels = np.array(h, np.float32), np.zeros(len(h), np.int64)
    layer = DenseLayer("only", np.array(w, np.float32), np.array(bias, np.float32), "relu")
    fmt = FloatFormat.parse("e4m3fn")
    dataset = Dataset(inputs, labels, inputs, labels)
    return prepare(Workload("one", fmt, network=Network((layer,), fmt), dataset=dataset))


def test_a_sum_that_saturated_on_the_way_is_recomputed() -> None:
    prepared = one_layer([[16.0, 16.0, -4.0]], [[28.0, 28.0, 16.0]], [0.0])
    low = infer(prepared, parse_policy("uniform-low"))
    assert low.outputs is not None
    assert low.outputs.tolist() == [[384.0]]  # 448 + … - 64: nothing at the end of the range
    again = infer(prepared, parse_policy("selective:tau=4,numerator=exact"))
    assert again.outputs is not None
    assert again.outputs.tolist() == [[832.0]]


def test_underflow_alone_cannot_hide_a_positive_relu_output() -> None:
    # Every product rounds to zero, and the sign is that of the bias.
    prepared = one_layer([[2.0**-6] * 3], [[2.0**-5] * 3], [-0.4 * 3 * 2.0**-11])
    low = infer(prepared, parse_policy("uniform-low"))
    assert low.outputs is not None
    assert low.outputs[0, 0] == 0.0
    again = infer(prepared, parse_policy("selective:tau=0.001,numerator=exact"))
    assert again.outputs is not None
    assert again.outputs[0, 0] > 0.0


def test_false_negatives_are_what_exact_values_would_have_redone() -> None:
    # 18 + 1 - 18 is 1 and κ is 37; in e4m3fn 18 + 1 rounds to 20, the sum is 2 and κ 18.5.
    # The other column has no cancellation: κ is 1.
    prepared = one_layer([[18.0, 1.0, -18.0]], [[1, 1, 1], [1, 1, -1]], [0.0, 0.0])
    for tau, missed, rate in ((40.0, None, 0.0), (20.0, 1.0, 0.0), (18.0, 0.0, 0.5)):
        policy = parse_policy(f"selective:tau={tau},numerator=exact")
        found = infer(prepared, policy, audit=True)
        assert found.false_negative_rate == missed
        assert found.trace.recompute_rate == rate
        assert infer(prepared, policy).false_negative_rate is None
    assert infer(prepared, parse_policy("uniform-low"), audit=True).false_negative_rate is None


def test_a_sample_is_flipped_if_it_is_classified_otherwise_or_not_at_all() -> None:
    reference = np.array([[1, 2], [1, 2], [2, 1], [1, 2]], np.float32)
    outputs = np.array([[0, 9], [3, 2], [2, 1], [np.nan, 2]], np.float32)
    assert flip_rate(reference, outputs) == 0.5


def trace_of(*masks: Mask) -> Trace:
    low, high = (Accumulator(FloatFormat.parse(name)) for name in ("e4m3fn", "fp32"))
    e4m3 = FloatFormat.parse("e4m3fn")
    return Trace(
        tuple(
            LayerTrace(str(index), *(mask.shape[0], 5, mask.shape[1]), e4m3, e4m3, low, high,
                       recomputed=mask)
            for index, mask in enumerate(masks)
        ),
        samples=1,
    )  # fmt: skip


def test_how_flags_lie_together_is_counted_block_by_block() -> None:
    # 9x10 outputs: 4 blocks of 8x8, 9 of 1x16, 10 of 9x1. Two flags in row 1, one in row 8.
    mask = np.zeros((9, 10), np.bool_)
    mask[1, 2] = mask[1, 3] = mask[8, 9] = True
    found = clusters(trace_of(mask))
    rate = 3 / 90
    assert found["rows"] == pytest.approx((2 / 9, 1 - (1 - rate) ** 10))
    assert found["columns"] == pytest.approx((3 / 10, 1 - (1 - rate) ** 9))
    assert found["blocks_1x16"] == pytest.approx(found["rows"])
    sizes = np.array([64, 16, 8, 2])  # 8x8, and what is left at two edges and in the corner
    assert found["blocks_8x8"] == pytest.approx((2 / 4, np.mean(1 - (1 - rate) ** sizes)))
    both = clusters(trace_of(mask, np.ones((1, 10), np.bool_)))
    assert both["rows"].flagged == 3 / 10
    nothing = infer(one_layer([[1.0]], [[1.0]], [0.0]), parse_policy("uniform-low"))
    assert set(nothing.clusters.values()) == {Cluster(0.0, 0.0)}


def test_independent_flags_lie_as_by_lot() -> None:
    mask = np.random.default_rng(0).random((400, 320)) < 0.03
    for name, (height, width) in BLOCKS.items():
        if height and width:
            cluster = clusters(trace_of(mask))[name]
            blocks = -(-400 // height) * -(-320 // width)
            # A share of so many blocks, within five of the largest standard error it can have.
            assert cluster.flagged == pytest.approx(cluster.by_lot, abs=5 * 0.5 / blocks**0.5)
