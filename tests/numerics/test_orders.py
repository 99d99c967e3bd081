"""Every order, rounding, format and multiplier is its exact definition, bit for bit."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from cases import same, whole
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.numerics import (
    Accumulator,
    dot,
    matmul,
    matmul_at,
    matmul_sums,
    product_table,
)
from accelsim.numerics.accumulator import ORDERS
from accelsim.numerics.formats import FixedFormat, FloatFormat, Format
from accelsim.numerics.multipliers import MULTIPLIERS, decode, multiply_exact
from accelsim.numerics.orders import accumulate_exact
from accelsim.numerics.rounding import ROUNDINGS, round_exact

FLOATS = st.builds(
    FloatFormat,
    exponent_bits=st.integers(2, 7),
    mantissa_bits=st.integers(0, 23),
    finite=st.booleans(),
    exponent_bias=st.none() | st.integers(3, 60),
    signed=st.booleans(),
    subnormals=st.booleans(),
).filter(lambda f: f.max < 2.0**120 and f.lowest_bit >= -149 and (f.mantissa_bits > 0 or f.finite))
FIXED = st.builds(FixedFormat, st.integers(1, 32), st.integers(-8, 24), st.booleans())
NEAR = st.builds(math.ldexp, st.integers(-(2**12), 2**12), st.integers(-24, 16))
FAR = st.floats(width=32, allow_nan=False, allow_infinity=False)
SPECIAL = st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])
E4M3 = FloatFormat.parse("e4m3fn")
FP16 = FloatFormat.parse("fp16")


@st.composite
def accumulators(draw: st.DrawFn, grouped: bool = False) -> Accumulator:
    fixed = draw(st.booleans()) and not grouped
    overflow = draw(st.sampled_from(["saturate", "wrap"] if fixed else ["inf", "saturate"]))
    formats: st.SearchStrategy[Format] = FIXED if fixed else FLOATS
    if overflow == "saturate" and not grouped:
        formats = st.one_of(FIXED, FLOATS)
    order = "sequential" if grouped else draw(st.sampled_from(ORDERS))
    chunk = None if order == "spill" else draw(st.none() | st.integers(1, 5))
    outer = draw(formats) if chunk or order == "spill" else None
    multiplier = None if grouped else draw(st.none() | st.sampled_from(MULTIPLIERS))
    operands: FloatFormat | None = draw(st.sampled_from([E4M3, FP16]))
    if multiplier is None and draw(st.booleans()):
        operands = None
    return Accumulator(
        draw(formats),
        rounding=draw(st.sampled_from(ROUNDINGS)),
        product=None if grouped else draw(st.none() | formats),
        overflow=overflow,
        order=order,
        chunk=chunk,
        outer=outer,
        outer_rounding=draw(st.none() | st.sampled_from(ROUNDINGS)) if outer else None,
        group=draw(st.integers(1, 6)) if grouped else None,
        align_bits=draw(st.integers(1, 30)) if grouped else None,
        operands=operands,
        multiplier=multiplier,
        random_bits=draw(st.integers(1, 28)),
        seed=draw(st.integers(0, 2**64 - 1)),
    )


def as_operands(fmt: Format, values: NDArray[Any]) -> NDArray[Any]:
    rounded = [
        round_exact(fmt, x, "saturate" if math.isfinite(x) else "inf") for x in values[0].tolist()
    ]
    return np.array(rounded).reshape(1, -1)


def assert_as_defined(acc: Accumulator, terms: list[tuple[float, float]], c: float) -> None:
    a = np.array([[x for x, _ in terms]], np.float32).reshape(1, -1)
    b = np.array([[y for _, y in terms]], np.float32).reshape(1, -1)
    mute = any(
        not (fmt.has_nan or fmt.has_infinity)
        for fmt in (acc.format, acc.product, acc.outer)
        if fmt is not None
    )
    if mute:
        a, b, c = (np.nan_to_num(v, nan=1.0, posinf=2.0, neginf=-2.0) for v in (a, b, c))  # type: ignore[assignment]
    if acc.operands is not None:
        a, b = (as_operands(acc.operands, v) for v in (a, b))
    left, right = a[0].tolist(), b[0].tolist()
    expected = np.array([accumulate_exact(left, right, acc, float(c))])
    assert same(dot(a, b, acc, np.array([c])), expected)
    three = np.repeat(a, 3, axis=0)
    expected = np.array([[accumulate_exact(left, right, acc, row=i)] for i in range(3)])
    assert same(matmul(three, b.T, acc), expected)
    assert same(matmul_at(three, b.T, [2, 0], [0, 0], acc), expected[[2, 0], 0])


@up_to(600)
@given(accumulators(), st.lists(st.tuples(NEAR, NEAR), max_size=12), NEAR)
def test_numbers_of_like_size(acc: Accumulator, terms: Any, c: float) -> None:
    assert_as_defined(acc, terms, c)


@up_to(300)
@given(accumulators(), st.lists(st.tuples(FAR | SPECIAL, FAR | NEAR | SPECIAL), max_size=8), FAR)
def test_numbers_of_any_size(acc: Accumulator, terms: Any, c: float) -> None:
    assert_as_defined(acc, terms, c)


@up_to(300)
@given(accumulators(grouped=True), st.lists(st.tuples(NEAR, NEAR), max_size=12), NEAR)
def test_groups_of_numbers_of_like_size(acc: Accumulator, terms: Any, c: float) -> None:
    assert_as_defined(acc, terms, c)


@up_to(200)
@given(
    accumulators(grouped=True), st.lists(st.tuples(FAR | SPECIAL, FAR | SPECIAL), max_size=8), FAR
)
def test_groups_of_numbers_of_any_size(acc: Accumulator, terms: Any, c: float) -> None:
    assert_as_defined(acc, terms, c)


def total(acc: Accumulator, terms: list[float]) -> float:
    values = np.array([terms], np.float32)
    return float(dot(values, np.ones_like(values), acc)[0])


def test_pairwise_sums_do_not_stagnate() -> None:
    assert total(Accumulator("e4m3fn", order="pairwise"), [1.0] * 256) == 256.0
    assert total(Accumulator("e4m3fn"), [1.0] * 256) == 16.0


def test_kahan_keeps_what_a_plain_sum_loses() -> None:
    assert total(Accumulator("e4m3fn", order="kahan"), [1.0] * 40) == 40.0


def test_sorted_sums_take_the_small_terms_first() -> None:
    terms = [16.0] + [1.0] * 16
    assert total(Accumulator("e4m3fn"), terms) == 16.0
    assert total(Accumulator("e4m3fn", order="sorted"), terms) == 32.0


def test_a_narrow_integer_spills_into_a_wide_one() -> None:
    acc = Accumulator("int8", order="spill", outer="int32", overflow="saturate")
    assert total(acc, [100.0] * 50 + [-1.0, 1000.0]) == 5999.0
    assert total(Accumulator("int8", overflow="saturate"), [100.0] * 50) == 127.0


def test_a_sum_tells_how_often_it_spilled() -> None:
    acc = Accumulator("int8", order="spill", outer="int32", overflow="saturate")
    rows = [
        [100.0, 100.0, 100.0, 1.0],  # twice, and at the end
        [100.0, 27.0, -1.0, 1.0],  # at the end
        [1000.0, 1.0, 0.0, 0.0],  # what was there, the term itself, and at the end
    ]
    got = matmul_sums(rows, np.ones((4, 1)), acc)
    assert got.spills.tolist() == [[3], [1], [3]]
    assert got.values.tolist() == [[301.0], [127.0], [1001.0]]
    assert got.absolute.tolist() == [[301.0], [129.0], [1001.0]]
    assert matmul_sums(rows, np.ones((4, 1)), Accumulator("fp16")).spills.tolist() == [[0]] * 3


def test_integers_wrap_and_saturate() -> None:
    assert total(Accumulator("int8", overflow="wrap"), [100.0, 100.0]) == -56.0
    assert total(Accumulator("int8", overflow="saturate"), [-100.0, -100.0]) == -128.0
    assert total(Accumulator("uint8", overflow="wrap"), [200.0, 100.0, -50.0]) == 250.0
    assert total(Accumulator("uint8", overflow="saturate"), [3.0, -5.0]) == 0.0
    assert total(Accumulator("fixed8.4", overflow="wrap"), [7.9375, 0.0625]) == -8.0
    wide = dot([[2.0**24, 1.0]], [[1.0, 1.0]], Accumulator("int32", overflow="wrap"))
    assert wide.dtype == np.float64
    assert wide[0] == 2**24 + 1


def test_wrapped_sums_are_right_modulo_the_word_whatever_passed_between() -> None:
    rng = np.random.default_rng(7)
    terms = rng.integers(-(2**20), 2**20, 300).astype(float)
    expected = (int(terms.sum()) + 128) % 256 - 128
    assert total(Accumulator("int8", overflow="wrap"), terms.tolist()) == expected


def test_unsigned_formats_have_nothing_below_zero() -> None:
    assert total(Accumulator("ue5m3", overflow="saturate"), [1.0, -2.0]) == 0.0
    assert math.isnan(total(Accumulator("ue5m3"), [1.0, -2.0]))
    assert FloatFormat.parse("ue5m3").bits == 8


def test_flushing_formats_have_nothing_below_the_smallest_normal() -> None:
    assert total(Accumulator("e4m3fnftz"), [2.0**-7]) == 0.0
    assert total(Accumulator("e4m3fnftz"), [2.0**-6, -(2.0**-7)]) == 0.0
    assert total(Accumulator("e4m3fnftz"), [2.0**-6]) == 2.0**-6


def test_a_bias_moves_the_range() -> None:
    assert FloatFormat.parse("e4m3b10").max == 240.0 / 8
    assert FloatFormat.parse("e4m3b7") == FloatFormat.parse("e4m3")


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_directed_rounding_sees_the_smallest_addend(sign: float) -> None:
    # A float64 sum of the two is 1 exactly.
    terms = [1.0, sign * 2.0**-100]
    up, down = 1.0 + 2.0**-23, 1.0 - 2.0**-24
    expected = {"upward": up if sign > 0 else 1.0, "downward": 1.0 if sign > 0 else down}
    expected |= {"toward-zero": 1.0 if sign > 0 else down, "nearest-away": 1.0}
    for rounding, value in expected.items():
        assert total(Accumulator("fp32", rounding), terms) == value, rounding


def test_directed_overflow_points_back_at_the_finite_numbers() -> None:
    terms = [448.0, 448.0]
    assert total(Accumulator("e4m3fn", "toward-zero"), terms) == 448.0
    assert total(Accumulator("e4m3fn", "downward"), terms) == 448.0
    assert math.isnan(total(Accumulator("e4m3fn", "upward"), terms))
    assert total(Accumulator("e5m2", "upward"), [57344.0] * 2) == math.inf
    assert total(Accumulator("e5m2", "upward"), [-57344.0] * 2) == -57344.0
    assert total(Accumulator("e5m2", "toward-zero"), [math.inf]) == math.inf


def test_the_bits_of_stochastic_rounding_depend_on_seed_and_position_alone() -> None:
    rng = np.random.default_rng(8)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((20, 70), (70, 30)))
    acc = Accumulator("bf16", "stochastic", seed=5)
    whole_product = matmul(a, b, acc)
    rows, columns = np.array([3, 19, 0]), np.array([29, 0, 7])
    assert same(matmul_at(a, b, rows, columns, acc), whole_product[rows, columns])
    assert same(matmul(a, b[:, :11], acc), whole_product[:, :11])
    assert same(matmul(a[:5], b, acc), whole_product[:5])
    assert not same(matmul(a, b, Accumulator("bf16", "stochastic", seed=6)), whole_product)
    batched = matmul(a.reshape(2, 10, 70), b, acc)
    assert same(batched.reshape(20, 30), whole_product)


def test_sums_beside_the_sum() -> None:
    a = np.array([[3.0, -100.0, 1.0, 2.0**-9]], np.float32)
    b = np.array([[1.0, 10.0, 1.0, 2.0**-9]], np.float32).T
    got = matmul_sums(a, b, Accumulator("e4m3fn", overflow="saturate"))
    assert got.values.tolist() == [[-448.0]]
    assert got.absolute.tolist() == [[1004.0 + 2.0**-18]]
    assert got.running.tolist() == [[3.0 + 3 * 448.0]]
    assert got.overflows.tolist() == [[1]]
    assert got.underflows.tolist() == [[0]]
    tiny = matmul_sums(a[:, 3:], b[3:], Accumulator("e4m3fn"))
    assert tiny.underflows.tolist() == [[1]]
    assert matmul_sums(a, b, Accumulator("e4m3fn")).nans.tolist() == [[True]]


def test_the_running_error_bounds_the_error() -> None:
    rng = np.random.default_rng(9)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((8, 200), (200, 8)))
    got = matmul_sums(a, b, Accumulator("e6m5"))
    error = abs(got.values - a.astype(np.float64) @ b.astype(np.float64))
    assert (error <= FloatFormat.parse("e6m5").unit_roundoff * got.running * (1 + 1e-9)).all()
    assert (error <= got.absolute).all()
    assert same(got.values, matmul(a, b, Accumulator("e6m5")))


@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_a_product_table_is_the_multiplier_on_every_pair_of_codes(multiplier: str) -> None:
    table = product_table(multiplier, "e4m3fn")
    values = np.array([decode(E4M3, code) for code in range(256)])
    finite = np.flatnonzero(np.isfinite(values))
    a, b = (x.ravel() for x in np.meshgrid(values[finite], values[finite], indexing="ij"))
    acc = Accumulator("e8m22", multiplier=multiplier, operands="e4m3fn")
    products = dot(a[:, None], b[:, None], acc, np.full(a.size, -0.0))
    assert same(products.reshape(finite.size, -1), table[np.ix_(finite, finite)])


def test_approximate_products_by_hand() -> None:
    # 1.5 · 1.5 = 2.25: the fractions add up to 1.
    assert multiply_exact("mitchell", E4M3, 1.5, 1.5) == 2
    assert multiply_exact("mitchell", E4M3, 1.25, 1.5) == Fraction(7, 4)
    assert multiply_exact("l-mul", E4M3, 1.5, 1.5) == Fraction(17, 8)
    assert multiply_exact("l-mul-carry", E4M3, 1.5, 1.5) == Fraction(9, 4)
    assert multiply_exact("l-mul", E4M3, -1.25, 3.0) == -Fraction(15, 4)
    assert multiply_exact("l-mul", FloatFormat.parse("e3m4"), 1.0, 1.0) == Fraction(9, 8)
    assert multiply_exact("l-mul", FP16, 1.0, 1.0) == Fraction(17, 16)
    assert math.copysign(1.0, float(multiply_exact("l-mul", E4M3, -0.0, 3.0))) == -1.0


def test_batches_broadcast() -> None:
    rng = np.random.default_rng(10)
    a, b = (rng.integers(-4, 5, s).astype(np.float32) for s in ((2, 1, 3, 5), (4, 5, 6)))
    acc = Accumulator("fp16")
    got = matmul(a, b, acc)
    assert got.shape == (2, 4, 3, 6)
    for i, j in itertools.product(range(2), range(4)):
        assert same(got[i, j], matmul(a[i, 0], b[j], acc))
    assert matmul(np.zeros((0, 2, 3)), np.zeros((3, 4)), acc).shape == (0, 2, 4)


def test_operands_are_checked_and_rounded_only_if_asked() -> None:
    acc = Accumulator("fp16", operands="e4m3fn")
    a, b = np.array([[1.0625]]), np.array([[1.0]])
    message = (
        "a holds 1.0625, which e4m3fn does not: round it first, with accelsim.round_to,"
        " or ask for round_operands"
    )
    with pytest.raises(ValueError, match=whole(message)):
        matmul(a, b, acc)
    assert matmul(a, b, acc, round_operands=True).tolist() == [[1.0]]
    message = "round_operands is True, allowed with an accumulator that states its operands"
    with pytest.raises(ValueError, match=whole(message)):
        matmul(a, b, Accumulator("fp16"), round_operands=True)


def test_a_format_without_infinity_or_nan_refuses_them() -> None:
    message = "b holds infinities or NaNs, allowed are finite numbers: int8 has neither"
    with pytest.raises(ValueError, match=whole(message)):
        matmul([[1.0]], [[math.inf]], Accumulator("int8", overflow="wrap"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "int8"}, "overflow is 'inf', allowed are saturate, wrap with format int8"),
        (
            {"format": "e4m3", "overflow": "wrap"},
            "overflow is 'wrap', allowed are inf, saturate with format e4m3",
        ),
        (
            {"format": "e4m3", "order": "spill"},
            "order 'spill' needs the wide format outer and no chunk, got chunk=None, outer=None",
        ),
        (
            {"format": "fp32", "group": 4},
            "group and align_bits go together, got group=4, align_bits=None",
        ),
        (
            {"format": "fp32", "group": 16, "align_bits": 46},
            "group is 16 with align_bits=46, allowed are align_bits of 1 to 45",
        ),
        (
            {"format": "fp32", "group": 2**60, "align_bits": 1},
            f"group is {2**60} with align_bits=1, allowed are smaller groups",
        ),
        (
            {"format": "fp32", "rounding": np.array(["upward"])},
            "rounding is array(['upward'], dtype='<U6'), allowed are nearest-even, nearest-away,"
            " toward-zero, upward, downward, stochastic",
        ),
        (
            {"format": "fp32", "group": 4, "align_bits": 9, "product": "fp16"},
            "group adds exact products in sequence, got order='sequential', product='fp16',"
            " multiplier=None",
        ),
        (
            {"format": "fp32", "multiplier": "mitchell"},
            "multiplier 'mitchell' needs a floating-point format operands, got None",
        ),
        (
            {"format": "fp32", "random_bits": 29},
            "random_bits is 29, expected an integer from 1 to 28",
        ),
        ({"format": "fp32", "seed": -1}, f"seed is -1, expected an integer from 0 to {2**64 - 1}"),
        (
            {"format": "fp32", "outer_rounding": "upward"},
            "outer_rounding is 'upward' without outer, allowed are both or neither",
        ),
        (
            {"format": "e8m23b130"},
            "format is e8m23b130, whose smallest values float32 does not hold",
        ),
        (
            {"format": "float8"},
            "format: unknown format 'float8'; allowed are eXmY and eXmYfn (X 2 to 8, Y 0 to 23),"
            " fp16, bf16, tf32, fp32, intN, uintN, fixedN.F and ufixedN.F (N 1 to 32 bits, F of"
            " them fraction)",
        ),
        (
            {"format": "int33"},
            "format: unknown format 'int33': format: total_bits is 33, allowed are 1 to 32",
        ),
        (
            {"format": "fp16", "product": "e9m3"},
            "product: unknown format 'e9m3': format: exponent_bits is 9, allowed are 2 to 8",
        ),
    ],
)
def test_contradictory_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        Accumulator(**options)


def test_an_accumulator_is_replaced_in_part() -> None:
    acc = Accumulator("fp16", "upward")
    assert replace(acc, seed=3) == Accumulator("fp16", "upward", seed=3)
    assert replace(Accumulator.preset("h100-e4m3"), operands=None).group == 32


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"format": "e5m2", "rounding": "stochastic", "seed": 3},
            "Accumulator(format='e5m2', rounding='stochastic', seed=3)",
        ),
        (
            {"format": "int8", "overflow": "wrap", "order": "spill", "outer": "int32"},
            "Accumulator(format='int8', overflow='wrap', order='spill', outer='int32')",
        ),
    ],
)
def test_the_representation_is_what_builds_the_accumulator(
    options: dict[str, Any], text: str
) -> None:
    acc = Accumulator(**options)
    assert repr(acc) == text


def test_an_accumulator_says_its_order() -> None:
    deepseek = Accumulator(
        "e8m13",
        "toward-zero",
        group=32,
        align_bits=13,
        chunk=128,
        outer="fp32",
        outer_rounding="nearest-even",
    )
    assert str(deepseek) == (
        "e8m13 toward-zero in groups of 32 aligned to 13 bits in chunks of 128,"
        " outer fp32 nearest-even"
    )
