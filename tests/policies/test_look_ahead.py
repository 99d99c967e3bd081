"""Look-ahead for an arg-max: contenders are recomputed, and the largest output is found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views import layer, product, selected

from accelsim.config import load_workload
from accelsim.infer import infer, prepare
from accelsim.numerics import Accumulator, matmul, round_to
from accelsim.policies import LookAhead, parse_policy, policy_at
from accelsim.policies.look_ahead import overlap

WORKLOADS = Path(__file__).parents[2] / "workloads"


def test_contenders_are_those_whose_intervals_overlap() -> None:
    # E is 1 but for the third, whose interval reaches from 1 to 7: to 6 = 7 - 1 and beyond
    v, bound = np.array([[7.0, 5.5, 4.0, 4.5, -9.0]]), np.array([[1.0, 1.0, 3.0, 1.0, 1.0]])
    contends = overlap(v, bound) > 1.0
    assert contends.tolist() == [[True, True, True, False, False]]
    assert overlap(v, bound)[0, :3].tolist() == [2 / 1.5, 2 / 1.5, 4 / 3]


def test_a_largest_output_without_contenders_is_left_alone() -> None:
    assert not (overlap(np.array([[7.0, 4.0]]), np.ones((1, 2))) > 1.0).any()
    assert not (overlap(np.array([[7.0]]), np.ones((1, 1))) > 0.0).any()


def test_equal_outputs_contend_whatever_tau() -> None:
    assert overlap(np.array([[7.0, 7.0, 1.0]]), np.ones((1, 3)))[0, :2].tolist() == [math.inf] * 2


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), min_size=2, max_size=6),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_the_overlap_is_that_of_intervals(outputs: list[tuple[int, int]], tau: float) -> None:
    v, bound = (np.array([row], float) for row in zip(*outputs, strict=True))
    upper, lower = v + bound / tau, v - bound / tau
    reaches = np.all((lower < upper.T) | (v <= v.T), axis=1)[None]
    expected = reaches & bool(reaches.sum() > 1)
    assert (overlap(v, bound) > tau).tolist() == expected.tolist()


def test_the_constant_numerator_gives_all_intervals_one_width() -> None:
    # k = 2 and u = 1/16: γ = 1/7, and with S = 7 and what underflow adds E is a little above 1
    view = layer([[9.0, 7.0, 6.5, -1.0], [9.0, 6.9, 6.5, -1.0]], mean=7.0, k=2)
    text = "look-ahead:tau=1,numerator=constant"
    assert selected(text, view) == [[True, True, False, False], [False] * 4]
    assert selected("look-ahead:tau=0,numerator=constant", view) == [[True] * 4] * 2


def test_what_overflowed_may_be_the_largest() -> None:
    view = layer([[448.0, 9.0, -9.0]], mean=7.0, k=2)
    assert selected("look-ahead:numerator=constant", view) == [[True, True, False]]
    view = layer([[-448.0, 9.0, -9.0]], mean=7.0, k=2)
    assert selected("look-ahead:numerator=constant", view) == [[True, True, False]]
    view = layer([[math.nan, 9.0, 8.5]], mean=7.0, k=2)
    assert selected("look-ahead:tau=inf,numerator=constant", view) == [[True, False, False]]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    low=st.sampled_from(["e4m3fn", "e5m2", "fp16"]),
    numerator=st.sampled_from(["running-error", "exact", "l2", "l1-inf"]),
    terms=st.sampled_from([3, 12, 40]),
)
def test_the_largest_of_the_exact_sums_is_found(
    seed: int, low: str, numerator: str, terms: int
) -> None:
    generator = np.random.default_rng(seed)
    left = round_to("e4m3fn", generator.standard_normal((8, terms)))
    right = round_to("e4m3fn", generator.standard_normal((terms, 6)))
    view = product(left, right, low=low)
    assert view.values is not None
    mask = np.array(selected(f"look-ahead:low={low},numerator={numerator}", view))
    high = matmul(left, right, Accumulator("fp32"))
    found = np.argmax(np.where(mask, high, view.values.sums), axis=1)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    assert (exact[np.arange(8), found] >= exact.max(axis=1) - 1e-5).all()
    assert (mask.sum(axis=1) != 1).all() or view.values.overflowed.any()


def test_hidden_layers_are_left_in_a_format_of_their_own() -> None:
    policy = parse_policy("look-ahead:tau=2,numerator=exact,hidden=fp16")
    assert str(policy) == "look-ahead:tau=2,numerator=exact,hidden=fp16"
    assert [str(policy_at(policy, index, 3)) for index in (0, 1)] == ["uniform:format=fp16"] * 2
    assert policy_at(policy, 2, 3) is policy
    assert str(policy_at(parse_policy("look-ahead:low=bf16"), 0, 2)) == "uniform:format=bf16"


@pytest.mark.parametrize("name", ["digits-relu", "digits-tanh"])
def test_the_digits_are_told_apart_as_with_a_high_last_layer(name: str) -> None:
    prepared = prepare(load_workload(WORKLOADS / f"{name}.yaml"))
    found = infer(prepared, LookAhead(hidden="fp32", low="fp16"), audit=True)
    high = infer(prepared, parse_policy("uniform-high"))
    assert found.outputs is not None
    assert high.outputs is not None
    assert (found.outputs.argmax(axis=1) == high.outputs.argmax(axis=1)).all()
    assert 0.0 < found.trace.recompute_rate < 0.02
    assert found.false_negative_rate is not None
    assert found.false_negative_rate < 0.2
    assert [layer.recomputed_outputs for layer in found.trace.products[:2]] == [0, 0]
    assert [layer.detector is None for layer in found.trace.products] == [True, True, False]


@pytest.mark.parametrize(
    ("numerator", "printed"),
    [
        (
            "running-error",
            "running error: 1 fp32 addition a MAC, 1 multiplication an output,"
            " 2 additions an output, 2 comparisons an output",
        ),
        (
            "constant",
            "threshold: 1 multiplication an output, 3 additions an output, 2 comparisons an output",
        ),
    ],
)
def test_intervals_are_charged(numerator: str, printed: str) -> None:
    policy = parse_policy(f"look-ahead:numerator={numerator}")
    assert str(policy.detector(layer([[1.0]]))) == printed
