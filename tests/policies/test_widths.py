"""Accumulators that are wide enough before the run: by statistics, and by bounds that hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import workload

from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.infer.facts import NetworkFacts
from accelsim.networks import Gemm, Workload
from accelsim.numerics import Accumulator, FloatFormat, dot, matmul_sums, round_to
from accelsim.numerics.conditioning import gamma
from accelsim.policies import PathNorm, parse_policy, policy_at
from accelsim.policies.widths import (
    Range,
    a2q_plus_limit,
    fixed_format,
    growth,
    integer_accumulators,
    mantissa_for_variance,
    mantissas_for_growth,
    partial_sums,
    path_bound,
    variance_retention,
)

ACTIVATIONS: Any = st.sampled_from(["relu", "tanh"])


def test_the_variance_of_three_terms_by_hand() -> None:
    # Swamped at the second step with q = P(|s_2| ≥ 1)·P(|s_1| < 1), never with r = P(|s_3| < 1)
    q = math.erfc(0.5) * math.erf(math.sqrt(0.5))
    r = math.erf(math.sqrt(1 / 6))
    assert variance_retention(0, 3) == pytest.approx((2 * q + 3 * r) / (3 * (q + r)), rel=1e-14)
    assert [variance_retention(0, terms) for terms in (1, 2)] == [1.0, 1.0]


@given(st.integers(0, 20), st.integers(2, 3000))
def test_more_bits_keep_more_of_the_variance(bits: int, terms: int) -> None:
    assert 0.0 < variance_retention(bits, terms) <= variance_retention(bits + 1, terms) + 1e-12
    assert variance_retention(bits + 1, terms) <= 1.0 + 1e-12


def test_longer_sums_take_more_bits() -> None:
    bits = [mantissa_for_variance(n, 50.0) for n in (2, 16, 64, 256, 784, 4096, 100_000)]
    assert bits == [0, 2, 5, 6, 7, 9, 11]
    for n, found in ((64, 5), (784, 7)):
        assert math.exp(n * (1 - variance_retention(found, n))) < 50
        assert math.exp(n * (1 - variance_retention(found - 1, n))) >= 50


@pytest.mark.parametrize("terms", [64, 256])
def test_the_bits_that_are_found_keep_the_variance_of_sums_rounded_to_nearest(terms: int) -> None:
    x = np.random.default_rng(0).standard_normal((4000, terms)).astype(np.float32)
    bits = mantissa_for_variance(terms, 50.0)
    kept = {
        m: dot(x, np.ones_like(x), Accumulator(FloatFormat(8, m))).var() / x.sum(axis=1).var()
        for m in (bits, bits - 4)
    }
    assert kept[bits] == pytest.approx(1.0, abs=0.01)
    assert kept[bits - 4] < 0.9


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), terms=st.integers(2, 40), input_bits=st.integers(1, 8))
def test_integers_are_as_wide_as_a2q_plus_says_and_no_narrower_ones_hold_the_sums(
    seed: int, terms: int, input_bits: int
) -> None:
    half = np.random.default_rng(seed).integers(-100, 101, terms)
    weight = np.concatenate([half, -half]).astype(np.float32)[:, None]  # sum zero
    most = 2.0**input_bits - 1.0
    inputs = Range(np.zeros(2 * terms), np.full(2 * terms, most))
    fmt = fixed_format(partial_sums(weight.astype(np.float64), inputs), 2 * terms, 0, 32)
    norm = float(np.abs(weight).sum())
    assert norm <= a2q_plus_limit(fmt.total_bits, input_bits)
    if fmt.total_bits > 1:
        assert norm > a2q_plus_limit(fmt.total_bits - 1, input_bits)
    worst = np.where(weight[:, 0] > 0, most, 0.0).astype(np.float32)[None]
    for bits, overflows in ((fmt.total_bits, False), (fmt.total_bits - 1, norm > 0)):
        if bits:
            acc = Accumulator(f"int{bits}", overflow="saturate")
            assert (matmul_sums(worst, weight, acc).overflows > 0).any() == overflows


def test_partial_sums_lie_between_what_the_signs_allow() -> None:
    inputs = Range(np.array([0.0, -1.0]), np.array([2.0, 3.0]))
    found = partial_sums(np.array([[1.0, -4.0], [5.0, 0.0]]), inputs)
    assert found.least.tolist() == [-5.0, -8.0]
    assert found.largest.tolist() == [17.0, 0.0]


def test_a_format_is_as_narrow_as_the_sums_allow() -> None:
    def width(least: float, largest: float, fraction: int = 1, most: int = 32) -> str:
        sums = Range(np.array([least, 0.0]), np.array([0.0, largest]))
        return fixed_format(sums, 4, fraction, most).name

    assert width(-4.0, 3.5) == "fixed4.1"
    assert width(-4.5, 3.5) == "fixed5.1"
    assert width(-4.0, 4.0) == "fixed5.1"
    # Units of 1, and four steps that lose half a one each: from -6.5 to 5.5
    assert width(-4.5, 3.5, most=4) == "int4"
    # However large the unit, four halves of it and a sum in whole ones: 3, which takes three bits
    with pytest.raises(ValueError, match="rounded sums of 4 terms take at least 3"):
        width(-4.5, 3.5, most=2)


@settings(deadline=None, max_examples=25)
@example(seed=0, activation="relu", bits=32)
@given(seed=st.integers(0, 2**32), activation=ACTIVATIONS, bits=st.integers(8, 32))
def test_no_integer_accumulator_of_a_network_ever_overflows(
    seed: int, activation: Any, bits: int
) -> None:
    drawn = workload(seed, (5, 9, 7, 4), activation)
    facts = NetworkFacts(prepare(drawn))
    formats = integer_accumulators(facts.layers, facts.input_range, bits)
    least, largest = facts.input_range
    h = np.random.default_rng(seed).choice([least, largest], (40, 5)).astype(np.float32)
    for layer, fmt in zip(facts.layers, formats, strict=True):
        assert fmt.total_bits <= bits
        weight, bias = layer.require_weights()
        found = matmul_sums(h, weight, Accumulator(fmt, overflow="saturate"))
        assert not found.overflows.any()
        exact = h.astype(np.float64) @ weight
        assert (np.abs(found.values - exact) <= layer.k * 2.0**-fmt.fraction_bits / 2).all()
        if fmt.fraction_bits == 18:  # e4m3fn times e4m3fn
            np.testing.assert_array_equal(found.values.astype(np.float64), exact)
        v = exact + bias
        h = round_to("e4m3fn", np.maximum(v, 0) if activation == "relu" else np.tanh(v)).astype(
            np.float32
        )


def test_growth_by_hand() -> None:
    # γ = 4/16/(1 - 4/16) = 1/3 and 1/7: 4/3·8/7 - 1
    assert growth((4, 2), (1 / 16, 1 / 16)) == pytest.approx(32 / 21 - 1)
    assert growth((4, 16), (1 / 16, 1 / 16)) == math.inf
    # One layer, one term: γ = u/(1 - u) ≤ 1 for u = 1/2, and ≤ 1/3 for u = 1/4
    assert mantissas_for_growth((1,), 1.0) == (0,)
    assert mantissas_for_growth((1,), 1 / 3) == (1,)
    assert mantissas_for_growth((1,), 0.33) == (2,)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.floats(1e-3, 10))
def test_the_mantissas_that_are_found_are_the_fewest(terms: list[int], tolerance: float) -> None:
    found = mantissas_for_growth(terms, tolerance)
    assert growth(terms, [2.0 ** -(bits + 1) for bits in found]) <= tolerance * (1 + 1e-9)
    share = (1 + tolerance) ** (1 / len(terms)) - 1
    for n, bits in zip(terms, found, strict=True):
        assert bits == 0 or gamma(n, 2.0**-bits) > share * (1 - 1e-9)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    activation=ACTIVATIONS,
    tolerance=st.floats(0.01, 30),
    operands=st.sampled_from(["e4m3fn", "bf16"]),
)
def test_no_error_of_a_network_exceeds_its_path_bound(
    seed: int, activation: Any, tolerance: float, operands: str
) -> None:
    prepared = prepare(workload(seed, (5, 9, 7, 4), activation, operands))
    facts, data = NetworkFacts(prepared), prepared.workload.dataset
    assert data is not None
    policy = PathNorm(tolerance=tolerance)
    found = infer(prepared, policy).outputs
    assert found is not None
    exact = data.test_inputs.astype(np.float64)
    for layer in facts.layers:
        weight, bias = layer.require_weights()
        exact = exact @ weight + bias
        if layer.activation != "identity":
            exact = np.maximum(exact, 0) if activation == "relu" else np.tanh(exact)
    inputs = data.test_inputs.astype(np.float64)
    bound = path_bound(facts.layers, policy.accumulators(facts), inputs)
    assert (np.abs(found - exact) <= bound).all()


def test_a_path_bound_by_hand() -> None:
    # |x| = 1, w = 2, b = 1 and k = 1: with γ = 1/15 of 2·(1 + 1/16), and 2/16 from the operand
    prepared = prepare(workload(0, (1, 1), "relu"))
    (layer,) = NetworkFacts(prepared).layers
    one = np.ones((1, 1), np.float32)
    layer = type(layer)(1, 1, layer.operand_format, 2 * one, one[0])
    found = path_bound([layer], [Accumulator("e8m3")], -np.ones((1, 1)))
    assert found[0, 0] == pytest.approx(2 / 16 + 2 / 15 * (17 / 16), abs=0.01)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("variance-retention", ["e5m5, saturating", "e5m6, saturating"]),
        ("variance-retention:exponent_bits=8,cutoff=1e9,overflow=inf", ["e8m3", "e8m6"]),
        ("path-norm:tolerance=1", ["e8m7, saturating", "e8m9, saturating"]),
    ],
)
def test_the_length_of_the_sums_is_all_that_some_rules_need(text: str, formats: list[str]) -> None:
    fmt = FloatFormat.parse("e4m3fn")
    shapes = tuple(Gemm(str(k), 3, k, 2) for k in (64, 256))
    trace = infer(prepare(Workload("shapes", fmt, shapes)), parse_policy(text)).trace
    expected = ["bf16" + f[4:] if f.startswith("e8m7") else f for f in formats]
    assert [str(layer.accumulator) for layer in trace.products] == expected
    assert all(layer.recomputed is None and layer.detector is None for layer in trace.products)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "path-norm:tolerance=1e-9",
            "policy path-norm: tolerance 1e-09 takes 35 mantissa bits, and there are at most 23",
        ),
        (
            "l1-bound",
            "policy l1-bound looks at values, but workload shapes has no weights: use a uniform or"
            " chunked policy, or random:rate=R",
        ),
    ],
)
def test_what_a_rule_cannot_do_is_said_in_a_line(text: str, said: str) -> None:
    shapes = Workload("shapes", FloatFormat.parse("e4m3fn"), (Gemm("only", 3, 64, 2),))
    with pytest.raises(AccelsimError) as caught:
        infer(prepare(shapes), parse_policy(text))
    assert str(caught.value) == said


def test_too_few_bits_for_what_rounding_adds_up_to_are_said() -> None:
    with pytest.raises(AccelsimError, match=r"policy l1-bound: bits is 2, but rounded sums of 5"):
        infer(prepare(workload(1, (5, 9, 4), "relu")), parse_policy("l1-bound:bits=2"))


def test_there_is_no_table_before_there_is_a_network() -> None:
    with pytest.raises(TypeError, match="needs the network first"):
        policy_at(PathNorm(), 0, 2)


def test_a_high_last_layer_replaces_a_line_of_the_table() -> None:
    prepared = prepare(workload(1, (5, 9, 4), "relu"))
    for text in ("variance-retention", "l1-bound:bits=20", "path-norm"):
        plain, high = (
            [str(layer.accumulator) for layer in infer(prepared, policy).trace.products]
            for policy in (parse_policy(text), parse_policy(text).model_copy(update={"last": FP32}))
        )
        assert high == [plain[0], "fp32, saturating"]


FP32 = FloatFormat.parse("fp32")
