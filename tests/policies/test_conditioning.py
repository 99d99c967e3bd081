"""Condition numbers: their values, their derivatives, and the cases a naive reading gets wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from accelsim.numerics import Accumulator, FloatFormat, matmul, round_to
from accelsim.numerics.conditioning import activation_condition, condition_number, gamma

ACTIVATIONS = ("identity", "relu", "tanh")
Array = NDArray[np.float32]


def kappa(activation: str, v: float, numerator: float, gamma_n: float = 0.0) -> float:
    margin = gamma_n * numerator
    return float(condition_number(activation, [v], [numerator], margin)[0])


def test_gamma_is_the_bound_of_n_roundings() -> None:
    assert gamma(1, 0.25) == 1 / 3
    assert gamma(4, 0.0625) == 1 / 3
    assert gamma(0, 0.5) == 0.0


@pytest.mark.parametrize("terms", [16, 17, 1000])
def test_there_is_no_bound_when_n_u_reaches_one(terms: int) -> None:
    assert gamma(terms, 0.0625) == math.inf


@pytest.mark.parametrize(
    ("activation", "v", "numerator", "expected"),
    [
        ("identity", 2.0, 6.0, 3.0),
        ("identity", -2.0, 6.0, 3.0),
        ("identity", 0.5, 0.5, 1.0),
        ("relu", 2.0, 6.0, 3.0),
        ("tanh", 0.5, 1.0, 2.0 / math.sinh(1.0)),
        ("tanh", -0.5, 1.0, 2.0 / math.sinh(1.0)),
        ("tanh", 2.0, 8.0, 4.0 * (4.0 / math.sinh(4.0))),
    ],
)
def test_kappa_is_the_numerator_over_v_times_the_condition_of_the_activation(
    activation: str, v: float, numerator: float, expected: float
) -> None:
    assert kappa(activation, v, numerator) == pytest.approx(expected, rel=1e-15)


@given(
    activation=st.sampled_from(ACTIVATIONS),
    v=st.floats(0.01, 15.0),
    negative=st.booleans(),
)
def test_the_condition_of_an_activation_is_its_relative_derivative(
    activation: str, v: float, negative: bool
) -> None:
    functions = {"identity": lambda x: x, "relu": lambda x: max(x, 0.0), "tanh": math.tanh}
    function = functions[activation]
    v = -v if negative else v
    found = float(activation_condition(activation, [v])[0])
    if function(v) == 0.0:
        assert (activation, found) == ("relu", 0.0)
        return
    step = v * 1e-6
    derivative = (function(v + step) - function(v - step)) / (2 * step)
    assert found == pytest.approx(abs(v * derivative / function(v)), rel=1e-4, abs=1e-8)


@given(
    activation=st.sampled_from(ACTIVATIONS),
    v=st.floats(-300, 300).filter(lambda v: v != 0.0),
    numerator=st.floats(0.001, 1000),
)
def test_where_the_sign_is_certain_kappa_is_the_product_of_its_two_factors(
    activation: str, v: float, numerator: float
) -> None:
    assume(abs(v) > 1e-300)  # a smaller one overflows the quotient below, times a factor of zero
    factor = float(activation_condition(activation, [v])[0])
    product = numerator / abs(v) * factor
    assert kappa(activation, v, numerator, gamma_n=0.0) == pytest.approx(product, rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cancellation_to_zero_is_infinitely_ill_conditioned(activation: str) -> None:
    assert kappa(activation, 0.0, 1e-30, gamma_n=0.1) == math.inf
    assert kappa(activation, -0.0, 1e-30, gamma_n=0.1) == math.inf


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("v", [0.0, 3.0, -3.0])
@pytest.mark.parametrize("gamma_n", [0.1, math.inf])
def test_a_sum_of_zeros_is_perfectly_conditioned(activation: str, v: float, gamma_n: float) -> None:
    assert kappa(activation, v, 0.0, gamma_n) == 0.0


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("v", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("numerator", [0.0, 1.0, math.inf])
def test_what_is_not_finite_is_infinitely_ill_conditioned(
    activation: str, v: float, numerator: float
) -> None:
    assert kappa(activation, v, numerator, gamma_n=0.1) == math.inf


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_infinite_numerator_is_infinitely_ill_conditioned(activation: str) -> None:
    assert kappa(activation, 1.0, math.inf) == math.inf
    assert kappa(activation, 1000.0, math.inf) == math.inf


def test_a_negative_relu_input_is_skipped_only_where_its_sign_is_certain() -> None:
    # γ S = 0.25 · 8 = 2
    assert kappa("relu", -2.0001, 8.0, 0.25) == 0.0
    assert kappa("relu", -2.0, 8.0, 0.25) == 4.0
    assert kappa("relu", -1.0, 8.0, 0.25) == 8.0
    assert kappa("relu", -1e30, 8.0, math.inf) == pytest.approx(8e-30, rel=1e-15)


def test_a_saturated_tanh_forgives_any_error() -> None:
    assert kappa("tanh", 1000.0, 1e300) == 0.0


def test_one_numerator_serves_a_whole_layer() -> None:
    v = [[1.0, 2.0], [4.0, 8.0]]
    found = condition_number("identity", v, np.full((1, 1), 8.0), 0.0)
    np.testing.assert_array_equal(found, [[8.0, 4.0], [2.0, 1.0]])


magnitudes = st.floats(2.0**-20, 2.0**20)


@given(
    activation=st.sampled_from(["identity", "relu"]),
    v=st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda x: -x)),
    numerator=st.one_of(st.just(0.0), magnitudes),
    gamma_n=st.floats(0, 2),
    exponent=st.integers(-100, 100),
)
def test_scaling_a_neuron_by_a_power_of_two_changes_no_kappa(
    activation: str, v: float, numerator: float, gamma_n: float, exponent: int
) -> None:
    scaled = kappa(activation, v * 2.0**exponent, numerator * 2.0**exponent, gamma_n)
    assert scaled == kappa(activation, v, numerator, gamma_n)


def operands(seed: int, terms: int) -> tuple[Array, Array]:
    """Return e4m3fn operands: their products and sums are far above where fp16 underflows."""
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((24, terms))
    b = generator.standard_normal((terms, 24))
    left, right = (round_to("e4m3fn", x).astype(np.float32) for x in (a, b))
    return left, right


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), terms=st.sampled_from([4, 16, 60]))
def test_kappa_from_the_low_result_encloses_the_true_one(seed: int, terms: int) -> None:
    left, right = operands(seed, terms)
    computed = matmul(left, right, Accumulator("fp16")).astype(np.float64)
    exact = left.astype(np.float64) @ right.astype(np.float64)  # of e4m3 products: no rounding
    numerator = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    gamma_n = gamma(terms, FloatFormat.parse("fp16").unit_roundoff)
    assert (np.abs(computed - exact) <= gamma_n * numerator).all()
    estimate = condition_number("identity", computed, numerator, gamma_n * numerator)
    true = condition_number("identity", exact, numerator, 0.0)
    enclosed = gamma_n * estimate < 0.5
    assert enclosed.mean() > 0.3
    estimate, true = estimate[enclosed], true[enclosed]
    assert (estimate / (1 + gamma_n * estimate) <= true * (1 + 1e-12)).all()
    assert (true <= estimate / (1 - gamma_n * estimate) * (1 + 1e-12)).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), fmt=st.sampled_from(["fp16", "bf16", "e6m5"]))
def test_a_relu_input_that_is_skipped_is_negative_in_exact_arithmetic_too(
    seed: int, fmt: str
) -> None:
    left, right = operands(seed, 16)
    computed = matmul(left, right, Accumulator(fmt)).astype(np.float64)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    numerator = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    found = condition_number(
        "relu", computed, numerator, gamma(16, FloatFormat.parse(fmt).unit_roundoff)
    )
    assert (found == 0.0).any()
    assert (exact[found == 0.0] < 0.0).all()


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_condition_numbers_are_those_of_their_definition(activation: str, dtype: type) -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e30, 3.0, -3.0, 0.1, -0.1])
    v: NDArray[np.floating[Any]] = np.resize(special, (7, 66)).astype(dtype)
    numerators: tuple[ArrayLike, ...] = (
        0.0,
        2.5,
        np.resize([0.0, 0.3, np.inf, np.nan, 1e300], (7, 1)),
        np.resize([0.0, 0.3, np.inf, np.nan, 1e300, 7.0, 1e-320], (7, 66)),
    )
    margins: tuple[ArrayLike, ...] = (0.0, 0.5, np.inf, np.resize([0.0, 0.2, 5.0], (1, 66)))

    def definition(value: float, total: float, margin: float) -> float:
        if not (math.isfinite(value) and math.isfinite(total)):
            return math.inf
        if total == 0.0 or (activation == "relu" and value < -margin):
            return 0.0
        with np.errstate(over="ignore"):
            return float(np.float64(total) / abs(value)) if value else math.inf

    for numerator in numerators:
        for margin in margins:
            found = condition_number(activation, v, numerator, margin)
            every = np.broadcast(v, numerator, margin)
            right = np.reshape([definition(*map(float, each)) for each in every], v.shape)
            np.testing.assert_array_equal(found, right)
            assert found.dtype == np.float64
