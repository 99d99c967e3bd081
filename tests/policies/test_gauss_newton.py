"""Sensitivities of the class probabilities, and the rule that weighs errors by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import perceptron, workload
from views import product, selected

from accelsim.infer import infer, prepare
from accelsim.infer.derivatives import (
    curvature,
    forward,
    gauss_newton_diagonals,
    jacobians,
    slope,
    spread,
    value,
)
from accelsim.infer.measures import divergences, log_softmax
from accelsim.networks import DenseLayer
from accelsim.policies import parse_policy

ACTIVATIONS: Any = ["relu", "tanh"]


def outputs_from(layers: Sequence[DenseLayer], h: Any) -> Any:
    pre = forward(layers, h, np.matmul)
    return value(layers[-1].activation, pre[-1])


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("v", [-1.25, -0.25, 0.5, 2.0])
def test_slopes_and_curvatures_are_those_of_differences(activation: str, v: float) -> None:
    at, step = np.array([v]), 1e-5
    difference = (value(activation, at + step) - value(activation, at - step)) / (2 * step)
    assert slope(activation, at) == pytest.approx(difference, abs=1e-9)
    difference = (slope(activation, at + step) - slope(activation, at - step)) / (2 * step)
    assert curvature(activation, at) == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobians_are_those_of_differences(activation: Any) -> None:
    layers = perceptron(3, (5, 7, 6, 4), activation)
    h = np.random.default_rng(4).standard_normal((3, 5))
    pre = forward(layers, h, np.matmul)
    found = list(jacobians(layers, pre, np.matmul))[::-1]
    inputs, *found = found
    assert [jacobian.shape for jacobian in found] == [(3, 4, 7), (3, 4, 6), (3, 4, 4)]
    assert inputs.shape == (3, 4, 5)
    for index, jacobian in enumerate(found[:2]):
        at = value(activation, pre[index])
        for neuron in range(at.shape[1]):
            step = np.zeros_like(at)
            step[:, neuron] = 1e-6
            ends = [outputs_from(layers[index + 1 :], at + sign * step) for sign in (1, -1)]
            difference = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(jacobian[:, :, neuron], difference, atol=1e-7)
    np.testing.assert_array_equal(found[2][0], np.eye(4))


def test_the_fp32_products_agree_with_those_in_binary64() -> None:
    layers = perceptron(3, (5, 7, 6, 4), "tanh")
    h = np.random.default_rng(4).standard_normal((3, 5)).astype(np.float32)
    wide = forward(layers, h.astype(np.float64), np.matmul)
    narrow = forward(layers, h)
    assert narrow[-1].dtype == np.float32
    for a, b in zip(jacobians(layers, narrow), jacobians(layers, wide, np.matmul), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_diagonal_of_two_classes_is_the_variance_of_a_bit() -> None:
    # p = (3/4, 1/4): p(1 - p) = 3/16 for both logits, and for h = (1,) with w = (2, -1): 9·3/16
    first = DenseLayer("a", np.ones((1, 1), np.float32), np.zeros(1, np.float32), "relu")
    bias = np.array([np.log(3.0) - 3.0, 0.0], np.float32)
    last = DenseLayer("b", np.array([[2.0], [-1.0]], np.float32), bias, "identity")
    hidden, logits = gauss_newton_diagonals((first, last), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(logits, [[3 / 16, 3 / 16]], rtol=1e-6)
    np.testing.assert_allclose(hidden, [[27 / 16]], rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_the_variance_is_twice_the_divergence_of_a_small_change(seed: int) -> None:
    generator = np.random.default_rng(seed)
    z, change = generator.standard_normal((1, 5)) * 2, generator.standard_normal((1, 5)) * 1e-3
    p = np.exp(log_softmax(z))
    divergence = divergences(z, z + change)[0]
    assert spread(p, change[:, :, None])[0, 0] == pytest.approx(2 * divergence, rel=1e-2)


def test_errors_are_weighed_by_what_they_do_to_the_probabilities() -> None:
    weights = np.array([8.0, 1.0, 0.0])
    weight = [[1.0, 2.0, 4.0]] * 2  # S = 2, 4 and 8
    view = product([[1.0, 1.0]], weight, sensitivities=weights)
    assert selected("gauss-newton:tau=4", view) == [[True, False, False]]
    assert selected("gauss-newton:tau=3.9", view) == [[True, True, False]]
    view = product([[448.0, 448.0]], weight, sensitivities=weights)
    assert selected("gauss-newton:tau=inf", view) == [[True] * 3]


def test_thresholds_of_columns_cost_what_one_threshold_costs() -> None:
    view = product([[1.0, 1.0]], [[1.0]] * 2, activation="tanh")
    for numerator in ("exact", "l2", "running-error"):
        ours, plain = (
            parse_policy(f"{name}:numerator={numerator}").detector(view)
            for name in ("gauss-newton", "absolute")
        )
        assert ours == plain


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sensitivities_come_from_the_training_set_in_any_batches(activation: Any) -> None:
    drawn = workload(1, (6, 9, 8, 3), activation)
    data, network = drawn.dataset, drawn.network
    assert data is not None
    assert network is not None
    found = prepare(drawn).sensitivities
    expected = gauss_newton_diagonals(network.layers, data.train_inputs)
    for root, diagonals in zip(found, expected, strict=True):
        np.testing.assert_allclose(root**2, diagonals.mean(axis=0), rtol=1e-12)
    other = dataclasses.replace(
        data, test_inputs=data.test_inputs[:2], test_labels=data.test_labels[:2]
    )
    again = prepare(dataclasses.replace(drawn, dataset=other), batch=1).sensitivities
    assert [a.tobytes() for a in found] == [a.tobytes() for a in again]


def test_a_neuron_without_effect_is_left_alone() -> None:
    drawn = workload(2, (6, 9, 3), "tanh")
    network = drawn.network
    assert network is not None
    last = network.layers[1]
    cut = last.weight.copy()
    cut[:, 4] = 0.0
    layers = (network.layers[0], dataclasses.replace(last, weight=cut))
    changed = dataclasses.replace(drawn, network=dataclasses.replace(network, layers=layers))
    mask = infer(prepare(changed), parse_policy("gauss-newton:tau=1e-9")).trace.products[0]
    assert mask.recomputed is not None
    assert mask.recomputed.sum(axis=0).tolist() == [12, 12, 12, 12, 0, 12, 12, 12, 12]
