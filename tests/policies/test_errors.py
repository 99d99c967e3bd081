"""Rules about absolute errors, and the oracle that knows them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views import layer, product, selected

from accelsim.numerics import Accumulator, matmul
from accelsim.numerics.conditioning import absolute_error
from accelsim.policies import LayerView, Oracle, Random
from accelsim.trace import Mask


def error(activation: str, v: float, numerator: float, margin: float = 0.0) -> float:
    return float(absolute_error(activation, [v], [numerator], margin)[0])


@pytest.mark.parametrize(
    ("activation", "v", "numerator", "margin", "expected"),
    [
        ("identity", -7.0, 3.0, 0.0, 3.0),
        ("identity", 0.0, 3.0, 0.0, 3.0),
        ("relu", 2.0, 3.0, 1.0, 3.0),
        ("relu", -1.0, 3.0, 1.0, 3.0),
        ("relu", -1.001, 3.0, 1.0, 0.0),
        ("relu", -1e30, 3.0, math.inf, 3.0),
        ("tanh", 0.0, 3.0, 0.0, 3.0),
        ("tanh", 1.0, 3.0, 0.0, 3.0 / math.cosh(1.0) ** 2),
        ("tanh", -1000.0, 3.0, 0.0, 0.0),
    ],
)
def test_an_absolute_error_is_the_bound_times_the_slope(
    activation: str, v: float, numerator: float, margin: float, expected: float
) -> None:
    assert error(activation, v, numerator, margin) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize(
    ("v", "numerator"), [(math.inf, 1.0), (-math.inf, 0.0), (math.nan, 1.0), (-9e9, math.inf)]
)
def test_the_error_of_what_is_not_finite_is_infinite(
    activation: str, v: float, numerator: float
) -> None:
    assert error(activation, v, numerator) == math.inf


@given(
    activation=st.sampled_from(["identity", "relu", "tanh"]),
    v=st.floats(-3, 3),
    change=st.floats(-1e-6, 1e-6),
)
def test_the_error_of_an_output_is_within_the_bound_to_first_order(
    activation: str, v: float, change: float
) -> None:
    function = {"identity": float, "relu": lambda x: max(x, 0.0), "tanh": math.tanh}[activation]
    bound = abs(change)
    found = error(activation, v, bound, margin=bound)
    assert abs(function(v + change) - function(v)) <= found + bound**2 + 1e-15


def test_absolute_errors_are_selected_above_tau() -> None:
    # S = 2, 4 and 8, whatever v
    view = layer([[1.0, 0.0, 400.0]], inputs=[[1.0, -1.0]], weight=[[1.0, 2.0, 4.0]] * 2)
    assert selected("absolute:tau=4", view) == [[False, False, True]]
    assert selected("absolute:tau=3.9", view) == [[False, True, True]]
    assert selected("absolute:tau=0", view) == [[True] * 3]


def test_the_next_layer_weighs_the_errors() -> None:
    norms = np.array([8.0, 1.0, 0.0])
    weight = [[1.0, 2.0, 4.0]] * 2  # S = 2, 4 and 8
    view = product([[1.0, 1.0]], weight, next_column_norms=norms)
    assert selected("next-layer:tau=4", view) == [[True, False, False]]
    assert selected("next-layer:tau=3.9", view) == [[True, True, False]]


def test_an_output_that_overflowed_is_recomputed_though_no_weight_meets_it() -> None:
    view = product([[448.0, 448.0]], [[1.0], [1.0]], next_column_norms=np.zeros(1))
    assert selected("next-layer:tau=4", view) == [[True]]


@pytest.mark.parametrize("name", ["absolute", "next-layer"])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), activation=st.sampled_from(["identity", "relu", "tanh"]))
def test_a_larger_tau_recomputes_a_subset(name: str, seed: int, activation: str) -> None:
    generator = np.random.default_rng(seed)
    left, right = generator.standard_normal((5, 6)), generator.standard_normal((6, 7))
    norms = generator.random(7)
    left, right = left.astype(np.float16) / 8, right.astype(np.float16)
    view = product(left, right, activation=activation, next_column_norms=norms)
    few, many = (np.array(selected(f"{name}:tau={tau}", view)) for tau in (0.5, 0.1))
    assert not (few & ~many).any()


def with_errors(errors: list[list[float]]) -> LayerView:
    """Return a view whose exact values are zero."""
    pre = np.array(errors, np.float32)
    view = product(np.ones((len(pre), 1)), np.ones((1, pre.shape[1])), pre_activation=pre)
    assert view.values is not None
    object.__setattr__(view.values, "exact", np.zeros_like(pre))
    return view


def oracle(rate: float, view: LayerView) -> Mask:
    rule = Oracle(rate=rate)
    calibration = rule.calibrate(view, rule.scores(view))
    return rule.select(replace(view, calibration=calibration))


def test_an_oracle_knows_nothing_by_itself() -> None:
    with pytest.raises(TypeError, match="needs the test set first"):
        Oracle().select(with_errors([[1.0]]))


def test_the_oracle_redoes_the_largest_errors() -> None:
    view = with_errors([[1.0, -3.0, 2.0], [-2.0, math.inf, math.nan]])
    by_rate = {rate: oracle(rate, view).tolist() for rate in (1 / 3, 1 / 2, 2 / 3)}
    assert by_rate[1 / 3] == [[False, False, False], [False, True, True]]
    assert by_rate[1 / 2] == [[False, True, False], [False, True, True]]
    assert by_rate[2 / 3] == [[False, True, True], [False, True, True]]  # the first of equals


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), lot=st.integers(0, 99))
def test_the_oracle_is_never_worse_than_chance_in_true_error(
    seed: int, rate: float, lot: int
) -> None:
    generator = np.random.default_rng(seed)
    left, right = (generator.standard_normal(s).astype(np.float16) for s in ((6, 9), (9, 5)))
    exact = matmul(left, right, Accumulator("fp32")).astype(np.float32)
    view = product(left, right, exact=exact)
    assert view.values is not None
    errors = np.abs(view.values.sums - exact)
    known, chance = oracle(rate, view), Random(rate=rate, seed=lot).select(view)
    assert known.sum() == chance.sum()
    assert errors[~known].sum() <= errors[~chance].sum() * (1 + 1e-6)
    assert errors[~known].max(initial=0.0) <= errors[~chance].max(initial=0.0)
