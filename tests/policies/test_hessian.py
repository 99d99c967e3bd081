"""Second derivatives of the loss, and the formats that they ask for."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import perceptron, workload

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.infer.derivatives import value
from accelsim.infer.facts import NetworkFacts
from accelsim.infer.hessian import backward, largest_eigenvalue, trace
from accelsim.infer.measures import log_softmax
from accelsim.numerics import Accumulator, FloatFormat, matmul
from accelsim.policies import Hessian, parse_policy
from accelsim.policies.hessian import least_harm, widest_first

WORKLOADS = Path(__file__).parents[2] / "workloads"
SIZES = (4, 5, 6, 3)


def network(activation: Any) -> tuple[Any, Any, Any]:
    """Return layers, inputs and labels of a tiny network, in binary64."""
    generator = np.random.default_rng(5)
    inputs = generator.standard_normal((7, SIZES[0]))
    return perceptron(6, SIZES, activation), inputs, generator.integers(0, SIZES[-1], 7)


def losses(layers: Any, h: Any, labels: Any, index: int, shift: Any) -> Any:
    """Return the loss of each sample with `shift` added to the pre-activations of a layer."""
    for number, layer in enumerate(layers):
        v = h @ layer.weight.T.astype(np.float64) + layer.bias
        h = value(layer.activation, v + shift if number == index else v)
    return -log_softmax(h)[np.arange(len(labels)), labels]


def explicit(layers: Any, h: Any, labels: Any, index: int, step: float = 1e-4) -> Any:
    """Return the Hessian of each sample (samples, n, n) by differences of losses."""
    n = layers[index].outputs
    units = np.eye(n) * step

    def at(shift: Any) -> Any:
        return losses(layers, h, labels, index, shift)

    found = np.empty((len(labels), n, n))
    for i, j in itertools.product(range(n), repeat=2):
        a, b = units[i], units[j]
        found[:, i, j] = (at(a + b) - at(a - b) - at(b - a) + at(-a - b)) / (4 * step**2)
    return found


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_products_with_the_hessian_are_those_of_differences(activation: Any, index: int) -> None:
    layers, inputs, labels = network(activation)
    found = backward(layers, inputs, labels, np.matmul)
    directions = np.random.default_rng(9).standard_normal((7, SIZES[index + 1]))
    hessians = explicit(layers, inputs, labels, index)
    expected = np.einsum("sij,sj->si", hessians, directions)
    np.testing.assert_allclose(found.product(index, directions), expected, atol=2e-6)
    mean = hessians.mean(axis=0) @ directions[0]
    np.testing.assert_allclose(found.mean_product(index, directions[0]), mean, atol=2e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradients_are_those_of_differences(activation: Any) -> None:
    layers, inputs, labels = network(activation)
    gradients = backward(layers, inputs, labels, np.matmul).gradients
    step = 1e-6 * np.eye(3)
    for column in range(3):
        ends = [losses(layers, inputs, labels, 2, sign * step[column]) for sign in (1, -1)]
        np.testing.assert_allclose(gradients[2][:, column], (ends[0] - ends[1]) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_traces_and_eigenvalues_are_those_of_the_explicit_matrix(
    activation: Any, index: int
) -> None:
    layers, inputs, labels = network(activation)
    hessians = explicit(layers, inputs, labels, index)
    found = backward(layers, inputs, labels, np.matmul)
    exact = np.trace(hessians, axis1=1, axis2=2).mean()
    estimates = [trace(found, index, 50, seed) for seed in range(8)]
    spread = np.std(estimates) / np.sqrt(8)
    assert abs(np.mean(estimates) - exact) < 4 * spread + 1e-6
    assert abs(np.mean(estimates) - exact) < 0.1 * abs(exact)
    eigenvalues = np.linalg.eigvalsh(hessians.mean(axis=0))
    largest = max(eigenvalues, key=abs)
    for seed in range(3):
        assert largest_eigenvalue(found, index, seed) == pytest.approx(largest, rel=2e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_products_in_fp32_agree_with_those_in_binary64(activation: Any) -> None:
    layers, inputs, labels = network(activation)
    narrow = backward(layers, inputs.astype(np.float32), labels)
    wide = backward(layers, inputs.astype(np.float32).astype(np.float64), labels, np.matmul)
    direction = np.ones(SIZES[1])
    assert narrow.product(0, direction).dtype == np.float32
    np.testing.assert_allclose(
        narrow.product(0, direction), wide.product(0, direction), rtol=1e-3, atol=1e-6
    )


def test_a_loss_without_curvature_has_no_largest_eigenvalue() -> None:
    layers, inputs, labels = network("relu")
    last = dataclasses.replace(layers[2], weight=np.zeros_like(layers[2].weight))
    flat = backward((*layers[:2], last), inputs, labels, np.matmul)
    assert largest_eigenvalue(flat, 0, 0) == 0.0


def test_the_least_harm_by_hand() -> None:
    costs, harms = [[8, 16], [80, 160]], [[5.0, 1.0], [7.0, 2.0]]
    assert least_harm(costs, harms, 88) == [0, 0]
    assert least_harm(costs, harms, 96) == [1, 0]
    assert least_harm(costs, harms, 168) == [0, 1]
    assert least_harm(costs, harms, 1000) == [1, 1]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=3),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 20),
)
def test_no_other_choice_within_the_budget_does_less_harm(
    layers: list[list[tuple[int, int]]], spare: int
) -> None:
    costs = [sorted(cost for cost, _ in layer) for layer in layers]
    harms = [[float(harm) for _, harm in layer] for layer in layers]
    budget = sum(cost[0] for cost in costs) + spare
    chosen = least_harm(costs, harms, budget)

    def total(table: Any, choice: Any) -> Any:
        return sum(row[i] for row, i in zip(table, choice, strict=True))

    assert total(costs, chosen) <= budget
    for other in itertools.product(*(range(len(cost)) for cost in costs)):
        if total(costs, other) <= budget:
            assert total(harms, chosen) <= total(harms, other)
    greedy = widest_first(costs, [float(i) for i in range(len(costs))], budget)
    assert total(costs, greedy) <= budget


def test_the_most_curved_layer_is_widened_first() -> None:
    costs = [[8, 16, 32], [80, 160, 320]]
    assert widest_first(costs, [2.0, 1.0], 88 + 24) == [2, 0]
    assert widest_first(costs, [1.0, 2.0], 88 + 24) == [1 + 1, 0]
    assert widest_first(costs, [1.0, 2.0], 88 + 88) == [1, 1]
    assert widest_first(costs, [2.0, 1.0], 88 + 104) == [2, 1]


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    by=st.sampled_from(["trace", "eigenvalue", "mean-deviation"]),
    bits=st.floats(8, 40),
)
def test_the_accumulators_are_as_wide_as_the_budget_on_average(
    seed: int, by: str, bits: float
) -> None:
    prepared = prepare(workload(seed, (5, 9, 7, 4), "tanh", samples=20))
    found = infer(prepared, parse_policy(f"hessian:bits={bits!r},by={by}")).trace.products
    widths = sum(layer.k * layer.n * layer.accumulator.format.bits for layer in found)
    assert widths <= bits * sum(layer.k * layer.n for layer in found)
    if bits >= 32:
        assert all(layer.accumulator.format.bits == 32 or by == "trace" for layer in found)


def test_squared_errors_are_those_of_the_training_set() -> None:
    prepared = prepare(workload(3, (5, 9, 4), "relu"))
    data, low = prepared.workload.dataset, Accumulator("e4m3fn", overflow="saturate")
    assert data is not None
    found = NetworkFacts(prepared).squared_errors([low, Accumulator("fp32")], 512)
    h = prepared.operands(data.train_inputs)
    error = matmul(h, prepared.weights[0], low) - matmul(
        h, prepared.weights[0], Accumulator("fp32")
    )
    assert found[0][0] == pytest.approx(float(np.mean(np.sum(error**2, axis=1))), rel=1e-6)
    assert [row[1] for row in found] == [0.0, 0.0]
    assert found[1][0] > 0.0


def test_a_trace_chooses_the_formats_of_the_digits() -> None:
    prepared = prepare(load_workload(WORKLOADS / "digits-tanh.yaml"))
    found = infer(prepared, Hessian(bits=8.3))
    assert [str(layer.accumulator.format) for layer in found.trace.products] == [
        "e4m3fn",
        "e4m3fn",
        "fp16",
    ]
    again = infer(prepared, Hessian(bits=8.3, seed=3, probes=2))
    assert again.trace == found.trace


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "hessian:formats=fp16/bf16",
            "policy hessian: formats is fp16/bf16, expected each to be wider than the one before",
        ),
        (
            "hessian:bits=7",
            "policy hessian: bits is 7, but e4m3fn alone has 8 bits",
        ),
    ],
)
def test_formats_have_to_fit_the_budget(text: str, said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        parse_policy(text)
    assert str(caught.value) == said


def test_a_choice_of_formats_prints_itself() -> None:
    assert str(parse_policy("hessian")) == "hessian:bits=12,by=trace"
    text = "hessian:bits=20,by=eigenvalue,formats=fp16/fp32,samples=99,seed=4"
    assert str(parse_policy(text)) == text
    assert FloatFormat.parse("fp16") in Hessian().formats
