"""`round_to` is the exact definition, and what ml_dtypes and gfloat do."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import gfloat
import numpy as np
import pytest
from cases import F64, magnitudes, nearest_even, probes, rounded, same, whole
from hypothesis import given
from hypothesis import strategies as st
from test_formats import GFLOAT, ML_DTYPES

from accelsim.numerics import round_to
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.rounding import ROUNDINGS, overflow_value, round_exact

UP_TO_16_BITS = [
    FloatFormat(x, y, finite)
    for x in range(2, 9)
    for y in range(16 - x)
    for finite in (False, True)
]
FORMATS = st.builds(FloatFormat, st.integers(2, 8), st.integers(0, 23), st.booleans())
DIRECTED = ["nearest-away", "toward-zero", "upward", "downward"]
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan]


def both_signs(x: F64) -> F64:
    return np.concatenate([x, -x])


def expected_by_codes(fmt: FloatFormat, overflow: str) -> tuple[F64, F64]:
    x, below, above = probes(fmt)
    expected = nearest_even(fmt, x, below, above)
    expected[expected > fmt.max] = overflow_value(fmt, overflow)
    return both_signs(x), both_signs(expected)


@pytest.mark.parametrize("fmt", UP_TO_16_BITS, ids=str)
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_every_value_midpoint_and_neighbour_goes_to_the_nearest_code(
    fmt: FloatFormat, overflow: str
) -> None:
    x, expected = expected_by_codes(fmt, overflow)
    assert same(round_to(fmt, x, overflow=overflow), expected)


def assert_rounds_by_codes(fmt: FloatFormat, rounding: str, overflow: str) -> None:
    points = probes(fmt)
    for sign in (1.0, -1.0):
        expected = rounded(fmt, rounding, sign, points)
        beyond = abs(expected) > fmt.max
        value = overflow_value(fmt, overflow, rounding, positive=sign > 0)
        expected = np.where(beyond, value, expected)
        assert same(round_to(fmt, sign * points[0], rounding, overflow), expected)
        if fmt.bits <= 6:
            slow = [round_exact(fmt, float(v), overflow, rounding) for v in sign * points[0]]
            assert same(np.array(slow), expected)


@pytest.mark.parametrize("rounding", DIRECTED)
@pytest.mark.parametrize("fmt", UP_TO_16_BITS, ids=str)
def test_every_rounding_chooses_the_right_code(fmt: FloatFormat, rounding: str) -> None:
    for overflow in ("inf", "saturate"):
        assert_rounds_by_codes(fmt, rounding, overflow)


@pytest.mark.parametrize("fmt", UP_TO_16_BITS, ids=str)
def test_stochastic_rounding_of_every_point_gives_a_neighbour_and_keeps_values(
    fmt: FloatFormat,
) -> None:
    x, below, above = probes(fmt)
    got = round_to(fmt, x, "stochastic", "saturate", random_bits=20, seed=1)
    ceiling = np.minimum(above, fmt.max)
    assert (((got == below) | (got == ceiling)) & ((x != below) | (got == below))).all()
    up = got[(x > below) & (above <= fmt.max)] > below[(x > below) & (above <= fmt.max)]
    # A sixth each of the points lie 0, ½, ½, ½, 1 of a spacing (and next to these) above a value.
    share = 0.5
    assert abs(up.mean() - share) < 5 * 0.5 / np.sqrt(up.size) + 0.02


def exact(fmt: FloatFormat, x: F64, overflow: str) -> F64:
    return np.array([round_exact(fmt, float(value), overflow) for value in x])


@pytest.mark.parametrize("fmt", [f for f in UP_TO_16_BITS if f.bits <= 9], ids=str)
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_the_definition_agrees_on_every_point_of_the_small_formats(
    fmt: FloatFormat, overflow: str
) -> None:
    x, expected = expected_by_codes(fmt, overflow)
    assert same(exact(fmt, x, overflow), expected)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [f for f in UP_TO_16_BITS if f.bits > 9], ids=str)
def test_the_definition_agrees_on_every_point_of_the_formats_up_to_16_bits(
    fmt: FloatFormat,
) -> None:
    x, expected = expected_by_codes(fmt, "inf")
    assert same(exact(fmt, x, "inf"), expected)


@given(FORMATS, st.floats(), st.sampled_from(["inf", "saturate"]))
def test_any_float_is_rounded_as_the_definition_says(
    fmt: FloatFormat, x: float, overflow: str
) -> None:
    got = round_to(fmt, np.array([x]), overflow=overflow)
    assert same(got, np.array([round_exact(fmt, x, overflow)]))


@given(FORMATS, st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_rounding_is_monotone_odd_and_idempotent(fmt: FloatFormat, x: float, y: float) -> None:
    low, high, minus = (
        float(round_to(fmt, np.array([v]), overflow="saturate")[0])
        for v in (min(x, y), max(x, y), -min(x, y))
    )
    assert low <= high
    assert minus == -low
    assert round_exact(fmt, low) == low


@given(FORMATS, st.fractions())
def test_the_result_is_no_farther_than_half_a_unit_in_the_last_place(
    fmt: FloatFormat, x: Fraction
) -> None:
    rounded = round_exact(fmt, x)
    if math.isfinite(rounded):
        bound = max(abs(x) * Fraction(fmt.unit_roundoff), Fraction(fmt.min_subnormal) / 2)
        assert abs(Fraction(rounded) - x) <= bound


@pytest.mark.parametrize("name", [n for n in ML_DTYPES if n != "fp32"])
def test_ml_dtypes_rounds_alike(name: str) -> None:
    fmt, dtype = FloatFormat.parse(name), ML_DTYPES[name]
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.concatenate([both_signs(probes(fmt)[0]), SPECIAL]).astype(np.float32)
        theirs = x.astype(dtype).astype(np.float32)
    overflow = "inf" if fmt.has_nan else "saturate"
    finite = np.isfinite(x) if not fmt.has_nan else np.full(x.shape, True)  # they have no answer
    assert same(round_to(fmt, x, overflow=overflow)[finite], theirs[finite])


@pytest.mark.parametrize("name", GFLOAT)
@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_gfloat_rounds_alike(name: str, overflow: str) -> None:
    fmt = FloatFormat.parse(name)
    if fmt.bits > 16:
        rng = np.random.default_rng(1)
        x = np.ldexp(rng.standard_normal(5000), rng.integers(-160, 130, 5000))
    else:
        x = both_signs(probes(fmt)[0])
    if overflow == "inf" and not fmt.has_nan:
        x = x[abs(x) <= fmt.max]  # gfloat refuses to round what such a format cannot say
    theirs: Any = gfloat.round_ndarray(GFLOAT[name], x, sat=overflow == "saturate")
    assert same(round_to(fmt, x, overflow=overflow), theirs)


@pytest.mark.parametrize("fmt", UP_TO_16_BITS[::7], ids=str)
def test_specials(fmt: FloatFormat) -> None:
    infinity = math.inf if fmt.has_infinity else math.nan
    expected = np.array([0.0, -0.0, infinity, -infinity, math.nan])
    assert same(round_to(fmt, np.array(SPECIAL)), expected)
    saturated = np.array([0.0, -0.0, fmt.max, -fmt.max, math.nan])
    assert same(round_to(fmt, np.array(SPECIAL), overflow="saturate"), saturated)


def test_a_negative_value_that_rounds_to_zero_keeps_its_sign() -> None:
    assert same(round_to("e4m3fn", np.array([-1e-30, 1e-30])), np.array([-0.0, 0.0]))


def test_one_binade_above_the_maximum_is_an_overflow_and_not_zero() -> None:
    assert round_to("e5m2", np.array([2.0**16]))[0] == math.inf
    assert round_to("e5m2", np.array([2.0**16]), overflow="saturate")[0] == 57344
    assert round_to("e4m3fn", np.array([464.0]))[0] == 448  # the tie goes back
    assert np.isnan(round_to("e4m3fn", np.array([464.1]))[0])


def test_a_format_without_mantissa_rounds_ties_to_the_larger() -> None:
    assert round_to("e4m0", np.array([1.5, 3.0, 2.0**-7])).tolist() == [2.0, 4.0, 0.0]


def test_shape_and_type() -> None:
    assert round_to("fp16", np.ones((2, 3, 4), np.float32)).shape == (2, 3, 4)
    assert round_to("fp16", np.ones(3, np.float32)).dtype == np.float32
    assert round_to("fp16", np.ones(3, np.float64)).dtype == np.float64
    assert round_to("fp16", 3).shape == ()
    assert round_to("fp16", np.ones((0, 5))).shape == (0, 5)
    assert round_to("e8m7fn", np.float32(1)).dtype == np.float64  # 2^128 is one of its values


def test_every_value_of_a_format_stays() -> None:
    for fmt in (FloatFormat.parse("e4m3fn"), FloatFormat.parse("e8m7")):
        values = both_signs(magnitudes(fmt))
        assert same(round_to(fmt, values), values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("e4m3", [1.0], "nearest"),
            "rounding is 'nearest', allowed are " + ", ".join(ROUNDINGS),
        ),
        (
            ("e4m3", [1.0], "nearest-even", "clip"),
            "overflow is 'clip', allowed are inf, saturate, wrap",
        ),
        (("e4m3", ["a"]), "x holds <U1, expected real numbers"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        round_to(*arguments)
