"""What a format is: its range, its name, and what the independent libraries say of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import gfloat.formats as gf
import ml_dtypes
import numpy as np
import pytest
from cases import magnitudes, whole

from accelsim.numerics.formats import FixedFormat, FloatFormat, parse_format

ML_DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "e2m1fn": ml_dtypes.float4_e2m1fn,
    "e2m3fn": ml_dtypes.float6_e2m3fn,
    "e3m2fn": ml_dtypes.float6_e3m2fn,
    "e3m4": ml_dtypes.float8_e3m4,
    "e4m3": ml_dtypes.float8_e4m3,
    "e4m3fn": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "fp16": np.float16,
    "fp32": np.float32,
}
GFLOAT = {
    "bf16": gf.format_info_bfloat16,
    "e2m1fn": gf.format_info_ocp_e2m1,
    "e2m3fn": gf.format_info_ocp_e2m3,
    "e3m2fn": gf.format_info_ocp_e3m2,
    "e4m3fn": gf.format_info_ocp_e4m3,
    "e5m2": gf.format_info_ocp_e5m2,
    "fp16": gf.format_info_binary16,
    "fp32": gf.format_info_binary32,
}
SMALL = [
    FloatFormat(x, y, finite) for x in range(2, 9) for y in range(9 - x) for finite in (False, True)
]


@pytest.mark.parametrize("name", ML_DTYPES)
def test_range_is_that_of_ml_dtypes(name: str) -> None:
    fmt, info = FloatFormat.parse(name), ml_dtypes.finfo(ML_DTYPES[name])  # type: ignore[no-untyped-call]
    assert fmt.max == float(info.max)
    assert fmt.min_normal == float(info.smallest_normal)
    assert fmt.min_subnormal == float(info.smallest_subnormal)
    assert 2 * fmt.unit_roundoff == float(info.eps)


@pytest.mark.parametrize("name", GFLOAT)
def test_range_is_that_of_gfloat(name: str) -> None:
    fmt, info = FloatFormat.parse(name), GFLOAT[name]
    assert fmt.max == info.max
    assert fmt.min_normal == info.smallest_normal
    assert fmt.min_subnormal == info.smallest_subnormal
    assert fmt.bias == info.bias
    assert fmt.has_infinity == (info.num_posinfs > 0)
    assert fmt.has_nan == (info.num_nans > 0)


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_extremes_are_those_of_the_decoded_codes(fmt: FloatFormat) -> None:
    values = magnitudes(fmt)
    assert fmt.max == values[-1]
    assert fmt.min_subnormal == values[1]
    assert fmt.min_normal == values[2**fmt.mantissa_bits]


def test_the_three_e4m3_maxima_are_kept_apart() -> None:
    assert FloatFormat.parse("e4m3").max == 240
    assert FloatFormat.parse("e4m3fn").max == 448
    assert FloatFormat(4, 1, finite=True).max == 384  # short formats have no NaN to leave out


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_the_name_parses_back(fmt: FloatFormat) -> None:
    assert FloatFormat.parse(fmt.name) == fmt
    assert FloatFormat.parse(fmt) is fmt
    assert str(fmt) == fmt.name


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [("fp16", "e5m10"), ("bf16", "e8m7"), ("tf32", "e8m10"), ("fp32", "e8m23")],
)
def test_aliases_are_formats_of_their_own_name(alias: str, canonical: str) -> None:
    assert FloatFormat.parse(alias) == FloatFormat.parse(canonical)
    assert FloatFormat.parse(canonical).name == alias


def test_bits_count_the_sign() -> None:
    names = ("e4m3fn", "fp16", "tf32", "fp32")
    assert [FloatFormat.parse(name).bits for name in names] == [8, 16, 19, 32]


@pytest.mark.parametrize(
    ("exponent_bits", "mantissa_bits", "message"),
    [
        (1, 3, "format: exponent_bits is 1, allowed are 2 to 8"),
        (9, 3, "format: exponent_bits is 9, allowed are 2 to 8"),
        (4, -1, "format: mantissa_bits is -1, allowed are 0 to 23"),
        (4, 24, "format: mantissa_bits is 24, allowed are 0 to 23"),
    ],
)
def test_a_width_out_of_range_is_refused(
    exponent_bits: int, mantissa_bits: int, message: str
) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        FloatFormat(exponent_bits, mantissa_bits)


def test_a_name_out_of_range_is_refused_by_name() -> None:
    message = "unknown format 'e9m3': format: exponent_bits is 9, allowed are 2 to 8"
    with pytest.raises(ValueError, match=whole(message)):
        FloatFormat.parse("e9m3")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatFormat(4.0, 3), "format: exponent_bits is 4.0, allowed are 2 to 8"),  # type: ignore[arg-type]
        (lambda: FloatFormat(4, "3"), "format: mantissa_bits is '3', allowed are 0 to 23"),  # type: ignore[arg-type]
        (lambda: FloatFormat(4, True), "format: mantissa_bits is True, allowed are 0 to 23"),
        (
            lambda: FloatFormat(4, 3, exponent_bias=7.5),  # type: ignore[arg-type]
            "format: exponent_bias is 7.5, allowed are -256 to 511",
        ),
        (
            lambda: FloatFormat(4, 3, exponent_bias=512),
            "format: exponent_bias is 512, allowed are -256 to 511",
        ),
        (lambda: FixedFormat(33), "format: total_bits is 33, allowed are 1 to 32"),
        (
            lambda: FixedFormat(8, 65),
            "format: fraction_bits is 65, allowed are -64 to 64",
        ),
    ],
)
def test_a_field_is_an_integer_in_range(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=whole(message)):
        make()


def test_integers_of_numpy_are_integers() -> None:
    assert FloatFormat(np.int64(4), np.int8(3)) == FloatFormat(4, 3)  # type: ignore[arg-type]
    assert repr(FixedFormat(np.uint8(8))) == repr(FixedFormat(8))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["e\uff14m3", "e4m\u0663", "e4m3b\u0667", "int\u0668", "fixed8.\u0664"]
)
def test_digits_of_another_script_are_no_format(name: str) -> None:
    assert any(ord(character) > 127 and character.isdigit() for character in name)
    with pytest.raises(ValueError, match=f"^unknown format {re.escape(repr(name))}; allowed are "):
        parse_format(name)
