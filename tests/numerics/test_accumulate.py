"""Inner products are, bit for bit, what the exact definition says."""

from __future__ import annotations

import itertools
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cases import magnitudes, same, whole
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, dot, matmul, matmul_at, round_to
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.orders import accumulate_exact
from accelsim.numerics.rounding import ROUNDINGS

F32 = NDArray[np.float32]
FP8 = {"e4m3fn": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPES = list(itertools.product((1, 8, 13), (1, 3, 4), (1, 5, 37)))
FORMATS = st.builds(FloatFormat, st.integers(2, 8), st.integers(0, 23)).filter(lambda f: f.bits > 3)


def signed(fmt: FloatFormat) -> F32:
    values = magnitudes(fmt)
    return np.unique(np.concatenate([-values[1:], values])).astype(np.float32)


def products_of_two_8_bit_floats(name: str) -> F32:
    values = signed(FloatFormat.parse(name))
    return np.unique(np.multiply.outer(values, values)) + np.float32(0)  # one zero, +0


def exact_matmul(a: F32, b: F32, acc: Accumulator) -> NDArray[np.float64]:
    rows = [[float(x) for x in row] for row in a]
    columns = [[float(x) for x in column] for column in b.T]
    return np.array([[accumulate_exact(row, column, acc) for column in columns] for row in rows])


def one_step(totals: F32, products: F32, acc: Accumulator) -> F32:
    """Every accumulator value (rows) takes in every product (columns)."""
    left = np.stack([totals, np.ones_like(totals)], axis=1)
    right = np.stack([np.ones_like(products), products])
    return matmul(left, right, acc)


def assert_one_step_is_exact(
    name: str, operands: str, overflow: str, stride: int, **options: Any
) -> None:
    fmt, acc = FloatFormat.parse(name), Accumulator(name, overflow=overflow, **options)
    totals, products = signed(fmt), products_of_two_8_bit_floats(operands)[::stride]
    got, columns = one_step(totals, products, acc), products.tolist()
    expected = [
        [accumulate_exact([s, p], [1.0, 1.0], acc, 0.0, i, j) for j, p in enumerate(columns)]
        for i, s in enumerate(totals.tolist())
    ]
    assert same(got, np.array(expected))


@pytest.mark.parametrize("overflow", ["inf", "saturate"])
@pytest.mark.parametrize("operands", FP8)
@pytest.mark.parametrize("name", FP8)
def test_one_step_of_an_8_bit_accumulator(name: str, operands: str, overflow: str) -> None:
    assert_one_step_is_exact(name, operands, overflow, stride=23)


@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
@pytest.mark.parametrize("operands", FP8)
@pytest.mark.parametrize("name", FP8)
def test_every_step_of_an_8_bit_accumulator(name: str, operands: str, overflow: str) -> None:
    assert_one_step_is_exact(name, operands, overflow, stride=1)


@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
@pytest.mark.parametrize("rounding", ["nearest-away", "toward-zero", "upward", "downward"])
@pytest.mark.parametrize("operands", FP8)
@pytest.mark.parametrize("name", FP8)
def test_every_step_in_every_rounding(
    name: str, operands: str, rounding: str, overflow: str
) -> None:
    assert_one_step_is_exact(name, operands, overflow, 1, rounding=rounding)


@pytest.mark.parametrize("random_bits", [1, 8, 28])
@pytest.mark.parametrize("name", FP8)
def test_one_step_in_stochastic_rounding(name: str, random_bits: int) -> None:
    assert_one_step_is_exact(
        name, "e4m3fn", "inf", 23, rounding="stochastic", random_bits=random_bits, seed=3
    )


@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
@pytest.mark.parametrize("random_bits", [1, 8])
@pytest.mark.parametrize("operands", FP8)
@pytest.mark.parametrize("name", FP8)
def test_every_step_in_stochastic_rounding(
    name: str, operands: str, random_bits: int, overflow: str
) -> None:
    """Its draws are those of the seed, which the definition draws as well."""
    options = {"rounding": "stochastic", "random_bits": random_bits, "seed": 3}
    assert_one_step_is_exact(name, operands, overflow, 1, **options)


@pytest.mark.parametrize("name", FP8)
def test_a_sequence_is_a_loop_of_rounded_additions(name: str) -> None:
    # Products of e4m3 numbers and their sums with e4m3 numbers are exact in float64: 36 bits.
    rng = np.random.default_rng(0)
    a, b = (
        rng.standard_normal(shape).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
        for shape in ((5, 300), (300, 6))
    )
    total: NDArray[Any] = np.zeros((5, 6))
    for k in range(300):
        total = round_to(name, total + np.multiply.outer(a[:, k], b[k]).astype(np.float64))
    assert same(matmul(a, b, Accumulator(name)), total)


@given(
    fmt=FORMATS,
    product=st.none() | FORMATS,
    overflow=st.sampled_from(["inf", "saturate"]),
    terms=st.lists(st.tuples(FLOAT32, FLOAT32), max_size=8),
    chunk=st.none() | st.integers(1, 4),
    outer=FORMATS,
)
def test_any_accumulator_is_as_defined(
    fmt: FloatFormat,
    product: FloatFormat | None,
    overflow: str,
    terms: list[tuple[float, float]],
    chunk: int | None,
    outer: FloatFormat,
) -> None:
    acc = Accumulator(
        fmt, product=product, overflow=overflow, chunk=chunk, outer=outer if chunk else None
    )
    a = np.array([[x for x, _ in terms]], np.float32)
    b = np.array([[y for _, y in terms]], np.float32)
    expected = np.array([accumulate_exact(a[0].tolist(), b[0].tolist(), acc)])
    assert same(dot(a, b, acc), expected)
    assert same(matmul(a, b.T, acc), expected[None])


NEAR = st.builds(lambda n, e: math.ldexp(n, e), st.integers(-(2**12), 2**12), st.integers(-20, 14))


@given(
    fmt=st.sampled_from(["e4m3fn", "e5m2", "fp16", "bf16", "e6m9", "e3m2fn", "fp32"]),
    overflow=st.sampled_from(["inf", "saturate"]),
    terms=st.lists(st.tuples(NEAR, NEAR), min_size=1, max_size=12),
)
def test_numbers_of_like_size_where_ties_and_cancellation_are_common(
    fmt: str, overflow: str, terms: list[tuple[float, float]]
) -> None:
    acc = Accumulator(fmt, overflow=overflow)
    a = np.array([[x for x, _ in terms]], np.float32)
    b = np.array([[y for _, y in terms]], np.float32)
    expected = np.array([accumulate_exact(a[0].tolist(), b[0].tolist(), acc)])
    assert same(dot(a, b, acc), expected)
    assert same(matmul(a, b.T, acc), expected[None])


def check(name: str, terms: list[tuple[float, float]], expected: float, **options: Any) -> None:
    acc = Accumulator(name, **options)
    a = np.array([[x for x, _ in terms]], np.float32)
    b = np.array([[y for _, y in terms]], np.float32)
    want = np.array([expected])
    assert same(np.array([accumulate_exact(a[0].tolist(), b[0].tolist(), acc)]), want)
    assert same(dot(a, b, acc), want)
    assert same(matmul(a, b.T, acc), want[None])
    assert same(matmul_at(a, b.T, [0], [0], acc), want)


def test_a_tie_goes_to_the_even_neighbour() -> None:
    check("e4m3fn", [(8.0, 1.0), (0.5, 1.0)], 8.0)
    check("e4m3fn", [(9.0, 1.0), (0.5, 1.0)], 10.0)


def test_a_tie_broken_by_a_bit_that_float32_cannot_hold() -> None:
    check("e5m2", [(2.0**-16, 1.0), (9.0, 1.0)], 10.0)
    check("e5m2", [(-(2.0**-16), 1.0), (9.0, 1.0)], 8.0)
    check("e5m2", [(2.0**-16, 1.0), (9.0, 2.0**10)], 10.0 * 2**10)


def test_a_tie_broken_by_a_bit_that_float64_cannot_hold() -> None:
    tie, tiny = 1 + 2.0**-8, 2.0**-60
    check("bf16", [(tiny, 1.0), (tie, 1.0)], 1 + 2.0**-7)
    check("bf16", [(-tiny, 1.0), (tie, 1.0)], 1.0)
    check("fp32", [(tiny, 1.0), (1 + 2.0**-12, 1 + 2.0**-12)], 1 + 2.0**-11 + 2.0**-23)
    check("fp32", [(-tiny, 1.0), (1 + 2.0**-12, 1 + 2.0**-12)], 1 + 2.0**-11)
    check("fp32", [(0.0, 1.0), (1 + 2.0**-12, 1 + 2.0**-12)], 1 + 2.0**-11)


def test_fp16_products_whose_sum_float32_would_round_twice() -> None:
    x = 1 + 2.0**-10
    check("fp16", [(2.0**-24, 1.0), (x, 1 + 2.0**-1 + 2.0**-10)], 1.5 + 3 * 2.0**-10)
    check("fp16", [(2.0**-24, 1.0), (1 + 2.0**-5, 1 + 2.0**-6)], 1 + 3 * 2.0**-6 + 2.0**-10)
    check("fp16", [(0.0, 1.0), (1 + 2.0**-5, 1 + 2.0**-6)], 1 + 3 * 2.0**-6)


@pytest.mark.parametrize(("apart", "exact"), [(52, True), (53, True), (60, True), (120, True)])
def test_sums_just_outside_what_float64_holds(apart: int, exact: bool) -> None:
    # One bit at each end: 2^0 and 2^-apart, with the tie of bf16 in between.
    low = 2.0**-apart
    check("bf16", [(low, 1.0), (1 + 2.0**-8, 1.0)], 1 + 2.0**-7)
    check("bf16", [(-low, 1.0), (1 + 2.0**-8, 1.0)], 1.0)


def test_subnormals_are_kept_and_rounded_on_their_own_grid() -> None:
    least = 2.0**-9
    check("e4m3fn", [(least, 1.0), (least, 1.0), (least, 1.0)], 3 * least)
    check("e4m3fn", [(least, 0.5)], 0.0)
    check("e4m3fn", [(-least, 0.5)], -0.0)
    check("e4m3fn", [(least, 1.5)], 2 * least)
    check("fp32", [(2.0**-140, 2.0**-9)], 2.0**-149)
    check("fp32", [(2.0**-140, 2.0**-10)], 0.0)
    check("fp32", [(2.0**-140, 1.5 * 2.0**-10)], 2.0**-149)


def test_signs_of_zero() -> None:
    check("e4m3fn", [], 0.0)
    check("e4m3fn", [(-0.0, 1.0)], 0.0)  # a sum starts at +0
    check("e4m3fn", [(-1e-30, 1.0), (-0.0, 1.0)], -0.0)
    check("e4m3fn", [(-1e-30, 1.0), (0.0, 1.0)], 0.0)
    check("e4m3fn", [(1.0, 1.0), (-1.0, 1.0)], 0.0)


def test_lengths_none_and_one() -> None:
    acc = Accumulator("e4m3fn")
    assert same(matmul(np.zeros((2, 0)), np.zeros((0, 3)), acc), np.zeros((2, 3)))
    assert matmul(np.zeros((0, 4)), np.zeros((4, 3)), acc).shape == (0, 3)
    assert matmul(np.zeros((2, 4)), np.zeros((4, 0)), acc).shape == (2, 0)
    check("e4m3fn", [(1.0625, 1.0)], 1.0)
    assert dot(np.zeros((0, 4)), np.zeros((0, 4)), acc).shape == (0,)


def test_overflow_in_mid_sum_stays() -> None:
    check("e5m2", [(57344.0, 1.0), (57344.0, 1.0), (-57344.0, 1.0)], math.inf)
    check("e4m3fn", [(448.0, 1.0), (448.0, 1.0), (-448.0, 1.0)], math.nan)
    check("e5m2", [(57344.0, 1.0), (57344.0, 1.0), (-57344.0, 1.0)], 0.0, overflow="saturate")
    check("e4m3fn", [(448.0, 1.0), (448.0, 1.0), (-32.0, 1.0)], 416.0, overflow="saturate")
    check("bf16", [(2.0**100, 2.0**27), (2.0**100, 2.0**27)], math.inf)


def test_infinities_and_nans_of_operands() -> None:
    inf = math.inf
    check("e5m2", [(inf, 1.0), (1.0, 1.0)], inf)
    check("e5m2", [(inf, 1.0), (-inf, 1.0)], math.nan)
    check("e5m2", [(inf, 0.0)], math.nan)
    check("e5m2", [(inf, 1.0)], 57344.0, overflow="saturate")
    check("e5m2", [(inf, 1.0), (-inf, 1.0)], -57344.0, overflow="saturate")
    check("e4m3fn", [(inf, 1.0)], math.nan)
    check("e4m3fn", [(math.nan, 1.0)], math.nan, overflow="saturate")


def test_a_rounded_product_loses_what_a_fused_one_keeps() -> None:
    terms = [(1.0, 1.0), (1.125, 0.0625)]
    check("e5m2", [(1.75, 1.25), (1.75, 1.25)], 4.0, product="e5m2")
    check("e5m2", [(1.75, 1.25), (1.75, 1.25)], 4.0)
    check("fp16", terms, 1.0703125)
    check("fp16", terms, 1.0625, product="e4m0")


def test_chunks_start_anew_and_are_added_outside() -> None:
    ones = [(1.0, 1.0)] * 40
    check("e4m3fn", ones, 16.0)  # stagnates
    check("e4m3fn", ones, 40.0, chunk=8, outer="fp16")
    check("e4m3fn", ones[:20], 20.0, chunk=16, outer="fp16")  # the last chunk is short
    check("e4m3fn", ones, 40.0, chunk=1, outer="fp32")


def test_matmul_at_picks_outputs_of_matmul() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((7, 50)), rng.standard_normal((50, 9))
    a, b = a.astype(np.float32), b.astype(np.float32)
    acc = Accumulator("e4m3fn")
    rows, columns = np.array([0, 6, 6, 2]), np.array([8, 0, 0, 3])
    assert same(matmul_at(a, b, rows, columns, acc), matmul(a, b, acc)[rows, columns])
    assert matmul_at(a, b, [], [], acc).shape == (0,)


def test_operand_layouts_and_types_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.integers(-8, 9, (20, 20)).astype(np.float32) for _ in range(2))
    acc = Accumulator("e4m3fn", overflow="saturate")
    expected = matmul(a, b, acc)
    assert same(matmul(np.asfortranarray(a), b.T.copy().T, acc), expected)
    assert same(matmul(a.astype(np.int8), b.astype(ml_dtypes.float8_e4m3fn), acc), expected)
    assert same(matmul(a.astype(np.float64), b.tolist(), acc), expected)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_shapes_that_no_tile_divides(m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(5)
    a, b = (round_to("e4m3fn", rng.standard_normal(s).astype(np.float32)) for s in ((m, k), (k, n)))
    for acc in (Accumulator("e4m3fn"), Accumulator("fp16"), Accumulator("e5m2")):
        assert same(matmul(a, b, acc), exact_matmul(a, b, acc))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"format": "e4m3fn"}, "e4m3fn"),
        ({"format": "fp16", "overflow": "saturate"}, "fp16, saturating"),
        (
            {"format": "e4m3fn", "product": "fp16", "chunk": 32, "outer": "fp32"},
            "e4m3fn, product fp16 in chunks of 32, outer fp32",
        ),
    ],
)
def test_an_accumulator_says_what_it_is(options: dict[str, Any], text: str) -> None:
    assert str(Accumulator(**options)) == text


def test_the_result_has_the_outer_format() -> None:
    assert Accumulator("e4m3fn").outer_format.name == "e4m3fn"
    assert Accumulator("e4m3fn", chunk=8, outer="fp16").outer_format.name == "fp16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounding": "odd"}, "rounding is 'odd', allowed are " + ", ".join(ROUNDINGS)),
        ({"overflow": "nan"}, "overflow is 'nan', allowed are inf, saturate, wrap"),
        ({"chunk": 4}, "chunk and outer go together, got chunk=4, outer=None"),
        ({"outer": "fp32"}, "chunk and outer go together, got chunk=None, outer='fp32'"),
        (
            {"chunk": 0, "outer": "fp32"},
            "chunk is 0, expected an integer of at least 1",
        ),
        (
            {"product": "e8m7fn"},
            "product is e8m7fn, whose largest values float32 does not hold",
        ),
    ],
)
def test_contradictory_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        Accumulator("e4m3fn", **options)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (
            np.ones((2, 3)),
            np.ones((2, 3)),
            "a and b have shapes (2, 3) and (2, 3), expected (M,K) and (K,N)",
        ),
        (
            np.ones(3),
            np.ones((3, 2)),
            "a and b have shapes (3,) and (3, 2), expected (M,K) and (K,N)",
        ),
        (
            np.ones((2, 2, 3)),
            np.ones((4, 3, 3)),
            "a and b have batches (2,) and (4,), expected such as broadcast: equal, or 1, from the"
            " last on",
        ),
        (np.ones((1, 1), complex), np.ones((1, 1)), "a holds complex128, expected real numbers"),
        (
            np.ones((1, 1)),
            np.full((1, 1), 0.1),
            "b holds 0.1, which float32 does not: round it first, with accelsim.round_to",
        ),
    ],
)
def test_bad_operands_are_refused(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        matmul(a, b, Accumulator("e4m3fn"))


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([0, 2], [0, 0], "rows reaches 0 to 2, allowed 0 to 1"),
        ([0], [-1], "columns reaches -1 to -1, allowed 0 to 2"),
        ([0], [0, 1], "rows and columns have lengths 1 and 2, expected the same"),
        (
            [0.5],
            [0],
            "rows has shape (1,) and type float64, expected a vector of integers",
        ),
    ],
)
def test_positions_outside_the_product_are_refused(rows: Any, columns: Any, message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        matmul_at(np.ones((2, 4)), np.ones((4, 3)), rows, columns, Accumulator("fp16"))


def test_dot_needs_two_equal_shapes() -> None:
    message = "a and b have shapes (2, 3) and (2, 4), expected (n,K) both"
    with pytest.raises(ValueError, match=whole(message)):
        dot(np.ones((2, 3)), np.ones((2, 4)), Accumulator("fp16"))
