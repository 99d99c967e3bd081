"""Estimates of the numerator: their values, what they bound, and what they cost a machine."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from views import layer, product, selected

from accelsim.numerics import Accumulator, FloatFormat, matmul_watched, round_to
from accelsim.policies import LayerView, Selective, parse_policy
from accelsim.policies.numerators import Chunks, Numerator, error_bound, error_factor, estimate
from accelsim.trace import Detector

E4M3 = FloatFormat.parse("e4m3fn")
NUMERATORS: tuple[Numerator, ...] = get_args(Numerator)
BOUNDS: tuple[Numerator, ...] = ("exact", "l2", "l1-inf", "running-error")
ACTIVATIONS = ("identity", "relu", "tanh")


def value(kind: Numerator, view: LayerView) -> float:
    return float(np.broadcast_to(estimate(kind, view, E4M3), (view.m, view.n))[0, 0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("exact", 3 + 8),
        ("constant", 1.0),
        ("l2", 5 * math.sqrt(5)),
        ("l1-inf", (1 + 2) * 4),
        ("low", 11),
        ("running-error", 3 + 5 + 2 * 2**-6),
    ],
)
def test_each_estimate_of_a_sum_of_two_terms(kind: Numerator, expected: float) -> None:
    view = product([[3.0, -4.0]], [[1.0], [2.0]])  # 3, then 3 - 8 = -5
    assert value(kind, view) == pytest.approx(expected, rel=1e-15)
    # κ is that over 5
    below, above = expected / 5 * 0.999, expected / 5 * 1.001
    assert selected(f"selective:tau={below!r},numerator={kind}", view) == [[True]]
    assert selected(f"selective:tau={above!r},numerator={kind}", view) == [[False]]


def test_a_low_numerator_stagnates_where_terms_no_longer_count() -> None:
    view = product(np.ones((1, 40)), np.ones((40, 1)))
    assert value("exact", view) == 40
    assert value("low", view) == 16  # in e4m3fn 16 + 1 is a tie, and goes to 16


def test_a_low_numerator_that_saturates_knows_nothing() -> None:
    view = product([[16.0, 16.0]], [[24.0], [-12.0]])  # 384, then 192; S = 576
    assert value("low", view) == math.inf
    assert selected("selective:tau=1e6,numerator=low", view) == [[True]]
    assert selected("selective:tau=4,numerator=exact", view) == [[False]]


def operands(seed: int, terms: int) -> tuple[Any, Any]:
    """Return values of e4m3fn of all sizes, many of them zero."""
    generator = np.random.default_rng(seed)
    shapes = (6, terms), (terms, 5)
    left, right = (
        round_to("e4m3fn", generator.standard_normal(s) * 2.0 ** generator.integers(-9, 2, s))
        * (generator.random(s) < 0.7)
        for s in shapes
    )
    return left, right


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    terms=st.sampled_from([1, 3, 15, 60]),
    kind=st.sampled_from(BOUNDS),
    low=st.sampled_from(["e4m3fn", "e5m2", "fp16", "bf16"]),
)
def test_an_error_never_exceeds_its_bound(seed: int, terms: int, kind: Numerator, low: str) -> None:
    left, right = operands(seed, terms)
    view = product(left, right, low=low)
    assert view.values is not None
    exact = left.astype(np.float64) @ right.astype(np.float64)  # of 4-bit significands: exact
    fmt = FloatFormat.parse(low)
    bound = error_bound(kind, estimate(kind, view, fmt), terms, fmt, margin=None)
    error = np.abs(view.values.sums - exact)
    assert ((error <= bound * (1 + 1e-6)) | view.values.overflowed).all()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    terms=st.sampled_from([1, 3, 15, 60]),
    chunk=st.sampled_from([1, 4, 8, 100]),
    kind=st.sampled_from(["exact", "l2", "l1-inf"]),
    formats=st.sampled_from([("e4m3fn", "fp32"), ("e4m3fn", "e4m7"), ("fp16", "bf16")]),
)
def test_an_error_of_chunks_never_exceeds_its_bound(
    seed: int, terms: int, chunk: int, kind: Numerator, formats: tuple[str, str]
) -> None:
    left, right = operands(seed, terms)
    low, high = map(FloatFormat.parse, formats)
    acc = Accumulator(low, overflow="saturate", chunk=chunk, outer=high)
    found = matmul_watched(left, right, acc)
    exact = left.astype(np.float64) @ right.astype(np.float64)  # of 4-bit significands: exact
    numerator = estimate(kind, product(left, right), low)
    bound = error_bound(kind, numerator, terms, low, None, Chunks(chunk, high))
    assert np.isfinite(bound).all() == (min(chunk, terms) * low.unit_roundoff < 1.0)
    error = np.abs(found.values - exact)
    assert ((error <= bound * (1 + 1e-6)) | found.overflowed).all()


def test_the_bound_of_chunks_is_that_of_both_sums() -> None:
    # e4m3fn in chunks of 4: 4/16 over 3/4. fp16 over 15 chunks: 15/2048 over its rest.
    between = (15 / 2048) / (1 - 15 / 2048)
    found = error_factor("exact", 60, E4M3, None, Chunks(4, FloatFormat.parse("fp16")))
    assert found == pytest.approx((1 + 1 / 3) * (1 + between) - 1, rel=1e-15)
    whole = error_factor("exact", 3, E4M3, None, Chunks(4, FloatFormat.parse("fp32")))
    assert whole == pytest.approx((1 + 3 / 13) * (1 + 2**-24 / (1 - 2**-24)) - 1, rel=1e-15)


def test_a_sign_is_certain_in_chunks_where_it_is_not_without() -> None:
    weight = [[-1.0]] * 16
    view = product([[1.0] * 16], weight, activation="relu")
    assert view.values is not None
    assert view.values.sums[0, 0] == -16
    assert selected("selective:tau=0.5,numerator=exact", view) == [[True]]
    assert selected("selective:tau=0.5,numerator=exact,chunk=4", view) == [[False]]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), terms=st.sampled_from([1, 7, 100]))
def test_norms_are_no_less_than_what_they_estimate(seed: int, terms: int) -> None:
    view = product(*operands(seed, terms))
    exact = estimate("exact", view, E4M3)
    for kind in ("l2", "l1-inf"):
        assert (estimate(kind, view, E4M3) >= exact * (1 - 1e-6)).all()


@settings(deadline=None, max_examples=20)
@example(seed=1572, tau=1.0)  # a sum of zero
@given(seed=st.integers(0, 2**32), tau=st.floats(1, 100))
def test_what_the_running_error_leaves_alone_has_no_larger_error_than_it_says(
    seed: int, tau: float
) -> None:
    left, right = operands(seed, 40)
    view = product(left, right, low="fp16")
    assert view.values is not None
    policy = f"selective:tau={tau!r},numerator=running-error,low=fp16"
    left_alone = ~np.array(selected(policy, view))
    exact = left.astype(np.float64) @ right.astype(np.float64)
    error, allowed = np.abs(view.values.sums - exact), tau * 2.0**-11 * np.abs(view.values.sums)
    assert (error[left_alone] <= allowed[left_alone]).all()


@pytest.mark.parametrize("kind", NUMERATORS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cancellation_to_zero_is_recomputed_whatever_the_estimate(
    kind: Numerator, activation: str
) -> None:
    view = product([[1.0, 1.0]], [[1.0], [-1.0]], activation=activation)
    assert selected(f"selective:tau=1e6,numerator={kind}", view) == [[True]]


@pytest.mark.parametrize("kind", ["exact", "l2", "l1-inf", "low"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_sum_of_zeros_is_left_alone(kind: Numerator, activation: str) -> None:
    view = product([[0.0, 0.0]], [[1.0], [-1.0]], activation=activation)
    assert selected(f"selective:tau=1e-6,numerator={kind}", view) == [[False]]


def test_the_running_error_cannot_tell_a_sum_of_zeros_from_one_that_underflowed() -> None:
    for left in (0.0, 2.0**-6):
        view = product([[left, left]], [[2.0**-6], [2.0**-6]])
        assert selected("selective:tau=1e6,numerator=running-error", view) == [[True]]


@pytest.mark.parametrize("kind", NUMERATORS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["selective", "absolute", "next-layer"])
def test_what_overflowed_is_recomputed_whatever_the_rule(
    name: str, kind: Numerator, activation: str
) -> None:
    if (name, kind) in {("absolute", "constant"), ("next-layer", "constant")}:
        return
    view = product([[16.0, 16.0, -4.0]], [[28.0], [28.0], [16.0]], activation=activation)
    assert selected(f"{name}:tau=inf,numerator={kind}", view) == [[True]]
    assert selected(f"{name}:tau=0,numerator={kind}", product([[0.0]], [[0.0]])) == [[True]]


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_relu_output_is_skipped_only_below_the_bound_of_its_error(kind: Numerator) -> None:
    # Of the columns -v the first is just within the bound of its error, the second just beyond.
    low = FloatFormat.parse("fp16")
    left, right = [[1.0, -1.0]], [[0.5, 0.5], [0.5, 0.5]]
    view = product(left, right, low="fp16", activation="relu")
    bound = error_bound(kind, estimate(kind, view, low), 2, low, None)[0]
    pre = np.array([-bound[0] * 0.999, -bound[1] * 1.001], np.float32)[None]
    view = product(left, right, low="fp16", activation="relu", pre_activation=pre)
    for name in ("selective", "absolute"):
        policy = f"{name}:tau=0.25,numerator={kind},low=fp16"
        assert selected(policy, view) == [[True, False]]


def test_a_margin_takes_likely_signs_for_certain() -> None:
    # u·S = 1/2 and underflow adds 1/64; γ is infinite: 16 terms and u = 1/16
    view = layer(
        [[-0.51, -0.52, 4.0]],
        activation="relu",
        inputs=np.ones((1, 16)),
        weight=np.full((16, 3), 0.5),
    )
    assert selected("selective:tau=2.1,numerator=exact", view) == [[True, True, False]]
    assert selected("selective:tau=2.1,numerator=exact,margin=1", view) == [[True, False, False]]
    assert selected("absolute:tau=2.1,numerator=exact", view) == [[True, True, True]]
    assert selected("absolute:tau=2.1,numerator=exact,margin=1", view) == [[True, False, True]]


def test_without_a_margin_nothing_below_zero_is_redone() -> None:
    # Of 16 terms of e4m3fn underflow adds up to 1/64, which -0.01 is within; a chunked sum more.
    view = layer(
        [[-0.01, -1e-30, 0.0, 0.01]],
        activation="relu",
        inputs=np.ones((1, 16)),
        weight=np.full((16, 4), 0.5),
    )
    for rule in ("selective", "absolute"):
        for rest in ("", ",chunk=4,high=fp16"):
            policy = f"{rule}:tau=2.1,numerator=exact{rest}"
            assert selected(f"{policy},margin=1e-9", view) == [[True] * 4]
            assert selected(f"{policy},margin=0", view) == [[False, False, True, True]]
    assert error_bound("exact", np.ones((1, 1)), 16, E4M3, 0.0) == 0.0


def detector(policy: str, activation: str = "identity", k: int = 4) -> Detector:
    view = layer([[1.0]], activation=activation, k=k)
    found = parse_policy(policy).detector(view)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("numerator", "printed"),
    [
        ("exact", "exact numerator: 1 fp32 addition a MAC"),
        ("constant", "threshold: "),
        (
            "l2",
            "product of 2-norms: 1 multiplication a word, 1 addition a word,"
            " 8 multiplications a row, 2 additions a row",
        ),
        ("l1-inf", "product of 1- and max-norm: 1 comparison a word"),
        ("low", "numerator in e4m3fn: 1 e4m3fn addition a MAC"),
        ("running-error", "running error: 1 fp32 addition a MAC"),
    ],
)
def test_a_detector_prints_what_its_estimate_costs(numerator: str, printed: str) -> None:
    rest = "1 comparison an output"
    if numerator != "constant":
        rest = f", 1 multiplication an output, {rest}"
    assert str(detector(f"selective:numerator={numerator}")) == printed + rest


def test_a_sign_that_may_be_certain_costs_a_second_comparison() -> None:
    one = {"multiplies_per_output": 1, "adds_per_output": 0, "compares_per_output": 1}
    two = {"multiplies_per_output": 2, "adds_per_output": 1, "compares_per_output": 2}

    def work(*arguments: Any) -> dict[str, int]:
        found = detector(*arguments)
        return {key: getattr(found, key) for key in one}

    # γ = 1/3 for four terms of e4m3fn: below τ = 3, |v| < S/τ says less than |v| < γS.
    assert work("selective:tau=2.9,numerator=exact", "relu") == two
    assert work("selective:tau=3.1,numerator=exact", "relu") == one
    assert work("selective:tau=2.9,numerator=exact", "tanh") == one
    assert work("selective:tau=2.9,numerator=exact", "relu", 16) == one  # no sign is certain
    assert work("selective:tau=2.9,numerator=exact,margin=1", "relu", 16) == two
    # Without a margin the sign is enough.
    assert work("selective:tau=2.9,numerator=exact,margin=0", "relu") == one
    assert work("absolute:numerator=exact,margin=0", "relu") == one | {"multiplies_per_output": 0}
    # The running error holds what underflow can add.
    assert work("selective:tau=2.9,numerator=running-error", "relu") == two | {"adds_per_output": 0}
    assert work("selective:tau=2.9,numerator=constant", "relu") == one | {
        "multiplies_per_output": 0
    }
    # An absolute error is compared with a constant; its bound costs a product.
    assert work("absolute:numerator=exact") == one | {"multiplies_per_output": 0}
    assert work("absolute:numerator=exact", "tanh") == one
    assert work("absolute:numerator=exact", "relu") == one | {
        "adds_per_output": 1,
        "compares_per_output": 2,
    }
    assert work("absolute:numerator=exact", "relu", 16) == one | {"multiplies_per_output": 0}
    assert detector("next-layer") == detector("absolute")


def test_a_numerator_in_low_is_as_wide_as_low() -> None:
    assert str(detector("selective:numerator=low,low=fp16").numerator_format) == "fp16"


def test_the_default_numerator_costs_one_comparison_an_output() -> None:
    assert Selective().detector(layer([[1.0]])) == Detector("threshold", None, 0, 1)
