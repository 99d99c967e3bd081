"""Policies: what they are called, which accumulators they use, which outputs they recompute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views import layer, selected

from accelsim.errors import AccelsimError
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies import (
    POLICIES,
    Absolute,
    Chunked,
    LayerView,
    NextLayer,
    Oracle,
    PerLayer,
    Policy,
    Random,
    Selective,
    Static,
    Uniform,
    UniformHigh,
    UniformLow,
    parse_policy,
    policy_at,
)
from accelsim.policies.cluster import Cluster

FORMATS = [FloatFormat.parse(name) for name in ("e4m3fn", "e5m2", "fp16", "bf16", "fp32", "e6m5")]
formats = st.sampled_from(FORMATS)
overflows = st.sampled_from(["inf", "saturate"])
shared = {"overflow": overflows, "last": st.none() | formats}
narrow, wide = (st.sampled_from(some) for some in ([*FORMATS[:2], FORMATS[-1]], FORMATS[2:-1]))
pair = {"low": narrow, "high": wide, **shared}
positive = st.one_of(st.floats(0, allow_nan=False), st.sampled_from([0.0, 8.0, math.inf]))
rates = st.lists(st.floats(0, 1), min_size=1, max_size=4).map(tuple)
taus = st.lists(positive, min_size=1, max_size=4).map(tuple)
scored = {
    "numerator": st.sampled_from(["exact", "l2", "l1-inf", "low", "running-error"]),
    "margin": st.none() | st.floats(0, 1e300),
    "redo": st.sampled_from(["high", "compensated", "ozaki"]),
    **pair,
}
levels: list[dict[str, Any]] = [
    {"tau": positive},
    {"layer_taus": taus},
    {"rate": st.floats(0, 1)},
]
sides = st.none() | st.integers(1, 99)
any_policy: st.SearchStrategy[Policy] = st.one_of(
    st.builds(UniformLow, format=formats, **shared),
    st.builds(UniformHigh, format=formats, **shared),
    st.builds(Uniform, format=formats, **shared),
    st.builds(PerLayer, formats=st.lists(formats, min_size=1, max_size=4).map(tuple), **shared),
    st.builds(Chunked, chunk=st.integers(1, 10**6), **pair),
    st.builds(Selective, tau=positive, numerator=st.just("constant"), **pair),
    *(
        st.builds(cls, **level, **scored)
        for cls in (Selective, Absolute, NextLayer)
        for level in levels
    ),
    st.builds(Static, rate=st.floats(0, 1), tau=positive, **pair),
    st.builds(Static, layer_rates=rates, **pair),
    st.builds(
        Random,
        rate=st.floats(0, 1),
        seed=st.integers(0, 2**64),
        cluster=st.builds(Cluster, sides, sides),
        **pair,
    ),
    st.builds(Oracle, rate=st.floats(0, 1), **pair),
)


@given(any_policy)
def test_a_policy_prints_the_text_that_makes_it_again(policy: Policy) -> None:
    assert parse_policy(str(policy)) == policy


@pytest.mark.parametrize(
    ("given_text", "printed"),
    [
        ("uniform-low", "uniform-low"),
        ("uniform-high", "uniform-high"),
        ("uniform:format=bf16", "uniform:format=bf16"),
        ("uniform-low:format=e5m2,overflow=inf", "uniform-low:format=e5m2,overflow=inf"),
        ("chunked", "chunked:chunk=32"),
        ("chunked:high=fp16,chunk=8", "chunked:chunk=8,high=fp16"),
        ("selective", "selective:tau=16,numerator=constant"),
        ("selective:tau=1e3,numerator=exact", "selective:tau=1000,numerator=exact"),
        ("selective:tau=inf", "selective:tau=inf,numerator=constant"),
        ("absolute", "absolute:tau=1,numerator=exact"),
        ("selective:rate=0.1", "selective:rate=0.1,numerator=constant"),
        ("static", "static:rate=0.1,tau=16"),
        ("random", "random:rate=0.1"),
        ("random:rate=0.12345678912,seed=3", "random:rate=0.12345678912,seed=3"),
    ],
)
def test_a_policy_prints_what_makes_it_differ_from_the_default(
    given_text: str, printed: str
) -> None:
    assert str(parse_policy(given_text)) == printed


def test_a_policy_stands_for_itself() -> None:
    policy = Selective(tau=3.0)
    assert parse_policy(policy) is policy


NAMES = f"allowed are {', '.join(POLICIES)}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"policy: unknown name ''; {NAMES}"),
        ("magic", f"policy: unknown name 'magic'; {NAMES}"),
        ("selectiv", f"policy: unknown name 'selectiv'; did you mean 'selective'? {NAMES}"),
        (
            "uniform",
            "policy uniform: format and preset are missing, allowed is one of them, as in"
            " uniform:format=fp16 or uniform:preset=h100-e4m3",
        ),
        (
            "uniform:format=fp8",
            "policy uniform: format: unknown format 'fp8'; allowed are eXmY and eXmYfn"
            " (X 2 to 8, Y 0 to 23), fp16, bf16, tf32, fp32, intN, uintN, fixedN.F and ufixedN.F"
            " (N 1 to 32 bits, F of them fraction)",
        ),
        (
            "uniform:format=e8m23fn",
            "policy uniform: format: format is e8m23fn, whose largest values float32 does not hold",
        ),
        ("selective:tau", "policy selective: got 'tau', expected key=value"),
        ("selective:tau=", "policy selective: got 'tau=', expected key=value"),
        ("selective:tau=1,", "policy selective: got '', expected key=value"),
        ("selective:tau=1,tau=2", "policy selective: parameter 'tau' is given twice"),
        (
            "selective:ta=1",
            "policy selective: unknown parameter 'ta'; did you mean 'tau'?"
            " allowed are tau, layer_taus, rate, numerator, margin, across, cluster, low, high,"
            " chunk, redo, overflow, last",
        ),
        (
            "selective:tau=-1",
            "policy selective: tau is '-1', expected: greater than or equal to 0",
        ),
        (
            "selective:tau=nan",
            "policy selective: tau is 'nan', expected: greater than or equal to 0",
        ),
        (
            "selective:numerator=guess",
            "policy selective: numerator is 'guess', expected: 'exact', 'constant', 'l2',"
            " 'l1-inf', 'low' or 'running-error'",
        ),
        ("random:rate=1.5", "policy random: rate is '1.5', expected: less than or equal to 1"),
        (
            "random:rate=lots",
            "policy random: rate is 'lots', expected: a valid number,"
            " unable to parse string as a number",
        ),
        ("random:seed=-1", "policy random: seed is '-1', expected: greater than or equal to 0"),
        ("chunked:chunk=0", "policy chunked: chunk is '0', expected: greater than or equal to 1"),
        (
            "chunked:chunk=9223372036854775808",
            "policy chunked: chunk is '9223372036854775808',"
            " expected: less than or equal to 2147483648",
        ),
        (
            "chunked:chunk=1.5",
            "policy chunked: chunk is '1.5', expected: a valid integer,"
            " unable to parse string as an integer",
        ),
        (
            "random:rate=0.1,low=fp32,high=e4m3fn",
            "policy random: high is e4m3fn, which has no value that low, fp32, has not: allowed is"
            " a format with more mantissa bits or a wider range",
        ),
        (
            "selective:tau=1,low=fp16,high=fp16",
            "policy selective: high is fp16, which has no value that low, fp16, has not: allowed is"
            " a format with more mantissa bits or a wider range",
        ),
        (
            "uniform-low:overflow=wrap",
            "policy uniform-low: overflow is 'wrap', expected: 'inf' or 'saturate'",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        parse_policy(text)
    assert str(caught.value) == said


def test_every_policy_has_a_name_and_a_summary_of_its_own() -> None:
    assert all(name == cls.name for name, cls in POLICIES.items())
    assert len({cls.summary for cls in POLICIES.values()}) == len(POLICIES)


@pytest.mark.parametrize(
    ("policy", "first", "second"),
    [
        ("uniform-low", Accumulator("e4m3fn", overflow="saturate"), None),
        ("uniform-high", Accumulator("fp32", overflow="saturate"), None),
        ("uniform:format=fp16,overflow=inf", Accumulator("fp16"), None),
        (
            "chunked:chunk=8,low=e5m2,high=fp16",
            Accumulator("e5m2", overflow="saturate", chunk=8, outer="fp16"),
            None,
        ),
        (
            "selective:low=fp16",
            Accumulator("fp16", overflow="saturate"),
            Accumulator("fp32", overflow="saturate"),
        ),
        ("random:high=bf16,overflow=inf", Accumulator("e4m3fn"), Accumulator("bf16")),
    ],
)
def test_a_policy_names_its_accumulators(
    policy: str, first: Accumulator, second: Accumulator | None
) -> None:
    rule = parse_policy(policy)
    assert rule.first == first
    assert rule.second == second
    assert (rule.detector(layer([[1.0]])) is None) == (second is None)


def test_policies_without_recomputation_select_nothing() -> None:
    view = LayerView(0, 4, 8, 4)
    for text in ("uniform-low", "uniform-high", "uniform:format=fp16", "chunked"):
        assert parse_policy(text).select(view) is None


def test_the_constant_numerator_selects_small_sums() -> None:
    view = layer([[1.0, -2.0, 4.0, 8.0]], mean=8.0)  # κ = 8, 4, 2, 1
    assert selected("selective:tau=2", view) == [[True, True, False, False]]
    assert selected("selective:tau=1.99", view) == [[True, True, True, False]]
    assert selected("selective:tau=8", view) == [[False, False, False, False]]


def test_the_exact_numerator_selects_cancellation() -> None:
    # S = 2 + 2 + 2 = 6 for both; v = 2 and 6: κ = 3 and 1
    view = layer(
        [[2.0, 6.0]],
        inputs=[[1.0, -2.0, 0.5]],
        weight=[[2.0, 2.0], [1.0, -1.0], [4.0, 4.0]],
        mean=1e6,
    )
    assert selected("selective:tau=2.99,numerator=exact", view) == [[True, False]]
    assert selected("selective:tau=3,numerator=exact", view) == [[False, False]]
    assert selected("selective:tau=0.99,numerator=exact", view) == [[True, True]]


def test_the_bias_counts_in_v_but_not_in_the_numerator() -> None:
    # sum 2, S = 2, bias -1.5: κ = 2 / 0.5 = 4
    view = layer([[0.5]], sums=[[2.0]], inputs=[[1.0, 1.0]], weight=[[1.0], [1.0]])
    assert selected("selective:tau=3.99,numerator=exact", view) == [[True]]
    assert selected("selective:tau=4,numerator=exact", view) == [[False]]


def test_a_relu_output_is_recomputed_unless_it_is_certainly_zero() -> None:
    # k = 2 and low = e4m3fn, u = 1/16: γ = 1/7, and with S = 7 the margin is 1
    view = layer([[-0.5, -1.0, -1.125, 3.5]], activation="relu", mean=7.0, k=2)
    assert selected("selective:tau=1", view) == [[True, True, False, True]]
    assert selected("selective:tau=2", view) == [[True, True, False, False]]


def test_without_a_bound_no_relu_output_is_certainly_zero() -> None:
    view = layer([[-1.0, -8.0]], activation="relu", mean=8.0, k=16)  # n·u = 1
    assert selected("selective:tau=4", view) == [[True, False]]


def test_a_saturated_tanh_output_is_left_alone() -> None:
    view = layer([[0.25, 20.0]], activation="tanh", mean=40.0)
    assert selected("selective:tau=1", view) == [[True, False]]


def test_a_sum_that_cancels_to_zero_is_recomputed_and_a_sum_of_zeros_is_not() -> None:
    view = layer(
        [[0.0, 0.0]], inputs=[[1.0, 1.0]], weight=[[1.0, 0.0], [-1.0, 0.0]], activation="tanh"
    )
    assert selected("selective:tau=1000000,numerator=exact", view) == [[True, False]]


@pytest.mark.parametrize("tau", ["1", "inf"])
@pytest.mark.parametrize("numerator", ["exact", "constant"])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_what_overflowed_is_recomputed_whatever_tau(
    tau: str, numerator: str, activation: str
) -> None:
    sums = [[448.0, -448.0, math.inf, -math.inf, math.nan, 416.0]]
    view = layer(sums, activation=activation, mean=1.0)
    mask = selected(f"selective:tau={tau},numerator={numerator}", view)
    assert mask == [[True, True, True, True, True, False]]


def test_a_bias_does_not_hide_a_saturated_sum() -> None:
    assert selected("selective:tau=inf", layer([[-1.0]], sums=[[448.0]])) == [[True]]


def test_random_rates_may_differ_between_layers() -> None:
    policy = parse_policy("random:layer_rates=0.25/1.0,seed=3")
    assert str(policy) == "random:layer_rates=0.25/1,seed=3"
    assert parse_policy(str(policy)) == policy
    counts = [np.count_nonzero(policy.select(LayerView(i, 4, 8, 5))) for i in (0, 1)]  # type: ignore[arg-type]
    assert counts == [5, 20]
    with pytest.raises(AccelsimError) as caught:
        policy_at(policy, 0, 3)
    assert str(caught.value) == (
        "policy random: layer_rates has 2 values, expected 3: one for each matrix product of the"
        " workload"
    )


def test_tau_zero_recomputes_everything() -> None:
    view = layer([[0.0, 5.0, -400.0, math.nan]], activation="relu", mean=0.0)
    assert selected("selective:tau=0", view) == [[True] * 4]


def test_selective_recomputation_cannot_work_from_shapes() -> None:
    with pytest.raises(TypeError, match="needs the values of the layer"):
        Selective().select(LayerView(0, 1, 1, 1))


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activation=st.sampled_from(["identity", "relu", "tanh"]),
    numerator=st.sampled_from(["exact", "constant"]),
    taus=st.tuples(positive, positive),
)
def test_a_larger_tau_recomputes_a_subset(
    seed: int, activation: str, numerator: str, taus: tuple[float, float]
) -> None:
    generator = np.random.default_rng(seed)
    view = layer(
        generator.standard_normal((5, 7)) * 10.0 ** generator.integers(-3, 4, (5, 7)),
        inputs=generator.standard_normal((5, 3)),
        weight=generator.standard_normal((3, 7)),
        activation=activation,
    )
    few, many = (
        np.array(selected(f"selective:tau={tau!r},numerator={numerator}", view))
        for tau in sorted(taus, reverse=True)
    )
    assert not (few & ~many).any()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    activation=st.sampled_from(["identity", "relu"]),
    tau=st.floats(0.1, 1000),
)
def test_scaling_neurons_by_powers_of_two_changes_no_selection(
    seed: int, activation: str, tau: float
) -> None:
    generator = np.random.default_rng(seed)
    inputs, weight = generator.standard_normal((6, 4)), generator.standard_normal((4, 5))
    v = inputs.astype(np.float32) @ weight.astype(np.float32)
    before, after = 2.0 ** generator.integers(-8, 9, 4), 2.0 ** generator.integers(-8, 9, 5)
    policy = f"selective:tau={tau!r},numerator=exact,low=bf16"
    plain = layer(v, inputs=inputs, weight=weight, activation=activation, top=math.inf)
    scaled = layer(
        v * after,
        inputs=inputs * before,
        weight=weight / before[:, None] * after,
        activation=activation,
        top=math.inf,
    )
    assert selected(policy, plain) == selected(policy, scaled)


@given(m=st.integers(1, 20), n=st.integers(1, 20), rate=st.floats(0, 1), seed=st.integers(0, 9))
def test_random_recomputes_exactly_its_rate(m: int, n: int, rate: float, seed: int) -> None:
    mask = Random(rate=rate, seed=seed).select(LayerView(0, m, 3, n))
    assert mask.shape == (m, n)
    assert np.count_nonzero(mask) == round(rate * m * n)


def test_random_recomputes_nothing_at_rate_zero_and_everything_at_rate_one() -> None:
    view = LayerView(3, 11, 5, 13)
    assert not Random(rate=0.0).select(view).any()
    assert Random(rate=1.0).select(view).all()


def test_a_random_draw_depends_on_the_seed_and_the_layer_alone() -> None:
    def draw(seed: int, index: int, k: int = 5) -> Any:
        return Random(rate=0.5, seed=seed).select(LayerView(index, 16, k, 16)).tolist()

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) == draw(0, 0, k=7)
    assert draw(0, 0) != draw(1, 0)
    assert draw(0, 0) != draw(0, 1)
    assert draw(0, 1) != draw(1, 0)


def test_random_draws_every_output_equally_often() -> None:
    draws = sum(
        Random(rate=0.25, seed=seed).select(LayerView(0, 4, 2, 4)).astype(int)
        for seed in range(2000)
    )
    # 500 expected, standard deviation 19
    assert np.abs(np.asarray(draws) - 500).max() < 100


def test_every_bad_parameter_of_a_policy_is_named_at_once() -> None:
    with pytest.raises(AccelsimError) as caught:
        parse_policy("random:rate=7,low=fp8,rate=1,spare,magic=red,seed=-1")
    assert str(caught.value).splitlines() == [
        "policy random: parameter 'rate' is given twice",
        "policy random: got 'spare', expected key=value",
        "policy random: unknown parameter 'magic'; allowed are rate, layer_rates, seed, cluster,"
        " low, high, chunk, redo, overflow, last",
        "policy random: low: unknown format 'fp8'; allowed are eXmY and eXmYfn (X 2 to 8, Y 0 to"
        " 23), fp16, bf16, tf32, fp32",
        "policy random: rate is '7', expected: less than or equal to 1",
        "policy random: seed is '-1', expected: greater than or equal to 0",
    ]
