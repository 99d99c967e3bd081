"""Layers, networks and the data they are run on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from accelsim.networks import (
    ACTIVATIONS,
    DATASETS,
    Dataset,
    DenseLayer,
    Gemm,
    Network,
    Workload,
    activate,
)
from accelsim.numerics import FloatFormat

E4M3 = FloatFormat.parse("e4m3fn")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return DATASETS["digits"]()


def test_half_of_the_digits_are_for_testing(digits: Dataset) -> None:
    assert digits.train_inputs.shape == (898, 64)
    assert digits.test_inputs.shape == (899, 64)
    assert digits.train_labels.shape == (898,)
    assert digits.test_labels.shape == (899,)


def test_digits_are_float32_pixels_between_zero_and_one(digits: Dataset) -> None:
    for inputs in (digits.train_inputs, digits.test_inputs):
        assert inputs.dtype == np.float32
        assert (inputs.min(), inputs.max()) == (0.0, 1.0)
        np.testing.assert_array_equal(inputs * 16, np.round(inputs * 16))


def test_every_digit_is_split_in_halves(digits: Dataset) -> None:
    train, test = (np.bincount(labels) for labels in (digits.train_labels, digits.test_labels))
    assert len(train) == len(test) == 10
    assert np.abs(train - test).max() <= 1


def test_the_halves_together_are_all_the_images(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    images = load_digits().data
    given = np.concatenate([digits.train_inputs, digits.test_inputs]) * 16
    np.testing.assert_array_equal(given[np.lexsort(given.T)], images[np.lexsort(images.T)])


def test_the_split_never_changes(digits: Dataset) -> None:
    again = DATASETS["digits"]()
    np.testing.assert_array_equal(again.test_inputs, digits.test_inputs)
    assert digits.train_labels[:12].tolist() == [8, 1, 4, 3, 1, 6, 2, 8, 6, 5, 2, 3]
    assert digits.test_labels[:12].tolist() == [6, 5, 9, 4, 8, 8, 2, 3, 9, 3, 0, 7]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("identity", [-2.0, 0.0, 0.5, 3e38]),
        ("relu", [0.0, 0.0, 0.5, 3e38]),
        ("tanh", [math.tanh(-2.0), 0.0, math.tanh(0.5), 1.0]),
    ],
)
def test_an_activation_is_correct_to_the_last_bit_of_float32(
    activation: str, expected: list[float]
) -> None:
    v = np.array([-2.0, 0.0, 0.5, 3e38], np.float32)
    found = activate(activation, v)  # type: ignore[arg-type]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_nan_stays_a_nan(activation: str) -> None:
    found = activate(activation, np.array([np.nan], np.float32))  # type: ignore[arg-type]
    assert np.isnan(found).all()


def layer(name: str, inputs: int, outputs: int) -> DenseLayer:
    weight = np.zeros((outputs, inputs), np.float32)
    return DenseLayer(name, weight, np.zeros(outputs, np.float32), "relu")


def test_a_layer_knows_its_inputs_and_outputs() -> None:
    assert (layer("x", 3, 2).inputs, layer("x", 3, 2).outputs) == (3, 2)


def test_a_layer_must_be_whole() -> None:
    weight = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^layer x: weight and bias have shapes \(2, 3\) and"):
        DenseLayer("x", weight, np.zeros(3, np.float32), "relu")
    with pytest.raises(ValueError, match=r"^layer x: weight and bias must be finite$"):
        DenseLayer("x", weight, np.array([0, np.nan], np.float32), "relu")


def test_layers_must_follow_each_other() -> None:
    with pytest.raises(ValueError, match=r"^layer b takes 3 inputs, but layer a has 2 outputs$"):
        Network((layer("a", 4, 2), layer("b", 3, 1)), E4M3)


def test_a_workload_is_a_network_with_data_or_shapes(digits: Dataset) -> None:
    network = Network((layer("a", 64, 10),), E4M3)
    gemm = Gemm("a", 1, 2, 3)
    assert Workload("x", E4M3, network=network, dataset=digits).shapes == ()
    assert Workload("x", E4M3, shapes=(gemm,)).network is None
    for wrong in (
        {},
        {"network": network},
        {"dataset": digits},
        {"shapes": (gemm,), "network": network, "dataset": digits},
    ):
        with pytest.raises(ValueError, match=r"^workload x: expected either a network and a"):
            Workload("x", E4M3, **wrong)


def test_rules_learn_from_samples_spread_evenly_over_a_large_training_set() -> None:
    def of(number: int) -> Dataset:
        inputs = np.arange(number, dtype=np.float32)[:, None]
        return Dataset(inputs, np.zeros(number, np.int64), inputs[:1], np.zeros(1, np.int64))

    assert of(7).calibration_inputs.ravel().tolist() == [*range(7)]
    some = of(25_000).calibration_inputs.ravel()
    assert (len(some), some[0], some[-1]) == (5_000, 0, 24_995)
    assert set(np.diff(some)) == {5}
