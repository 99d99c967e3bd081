"""High precision out of products of slices: exact sums in a low format, added up in fp32."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.numerics import Accumulator, FloatFormat, matmul, round_to
from accelsim.numerics.conditioning import gamma
from accelsim.numerics.slices import (
    Slices,
    dot_sliced,
    matmul_sliced,
    matmul_sliced_at,
    slice_bits,
)

E4M3, E5M2, FP16, BF16, FP32 = (
    FloatFormat.parse(name) for name in ("e4m3fn", "e5m2", "fp16", "bf16", "fp32")
)


def drawn(fmt: FloatFormat, shape: tuple[int, ...], seed: int, spread: float) -> Any:
    """Values of a format, both signs, over many powers of two."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) * 2.0 ** rng.uniform(-spread, spread, shape)
    return round_to(fmt, values, overflow="saturate").astype(np.float32)


def test_three_terms_by_hand() -> None:
    # 3·(2^b - 1)² ≤ 2^11 for b = 4: 3·225, and 3·31² is 2883. e4m3fn has 18 bits from 2^-9 to 2^8,
    # which makes five slices, the last of two bits.
    slices = Slices.of(E4M3, FP16, 3)
    assert slices == Slices(bits=4, number=5, lowest_bit=-9)
    assert str(slices) == "25 products of slices of 4 bits"
    # In units of 2^-9: 448 is 7·2^15, 1.125 is 9·2^6, and 2^-9 is 1.
    #   448    = 11 1000 0000 0000 0000 -> 3, 8, 0, 0, 0
    #   1.125  =           0010 0100 0000 -> 0, 0, 2, 4, 0
    #   -2^-9  =                        1 -> 0, 0, 0, 0, -1
    # 448·448 + 1.125·2^-9 - 2^-9·448 is 200704 + 9·2^-12 - 0.875: thirty bits. fp32 has 24 of them,
    # which are steps of 2^-6 there: -0.875 + 0.002 goes to -0.875.
    a, b = [448.0, 1.125, -(2.0**-9)], [448.0, 2.0**-9, 448.0]
    assert dot_sliced(a, b, slices, FP16) == 200703.125
    left, right = np.array([a], np.float32), np.array([b], np.float32).T
    assert matmul_sliced(left, right, slices)[0, 0] == 200703.125
    # fp16 alone cannot hold even the first product.
    assert matmul(left, right, Accumulator("fp16"))[0, 0] == np.inf


def test_slices_are_as_wide_as_exact_sums_of_their_products_allow() -> None:
    assert [slice_bits(E4M3, n) for n in (1, 2, 16, 17, 256)] == [2, 1, 1, 0, 0]
    assert [slice_bits(FP16, n) for n in (64, 256, 2048, 2049)] == [2, 1, 1, 0]
    assert [slice_bits(FP32, n) for n in (64, 256, 784)] == [9, 8, 7]
    # e3m5 has six significant bits, but ends at 15.75.
    assert [slice_bits(FloatFormat.parse("e3m5"), n) for n in (1, 15, 16)] == [2, 1, 0]
    assert slice_bits(FloatFormat.parse("ue4m3fn"), 1) == 0  # sums may be negative
    # e4m3fn has 18 bits from 2^-9 to 2^8. Of nine bits there could be 480, which it has not.
    assert [Slices.of(E4M3, fmt, 256).passes for fmt in (FP16, FP32)] == [324, 9]
    assert [Slices.of(E4M3, FP32, n).bits for n in (64, 256)] == [8, 8]


@pytest.mark.parametrize(
    ("operands", "accumulator", "terms", "message"),
    [
        (
            *(E4M3, E4M3, 17),
            "sums of 17 products of single bits are not exact in e4m3fn: allowed are at most 16"
            " terms",
        ),
        (
            *(BF16, FP16, 4),
            "operands are bf16: allowed are formats that hold 1, and of which fp32 holds every sum"
            " of 4 products to 24 bits",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(
    operands: FloatFormat, accumulator: FloatFormat, terms: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Slices.of(operands, accumulator, terms)


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from([E4M3, E5M2, FloatFormat.parse("e2m1fn"), FloatFormat.parse("e4m3ftz")]),
    st.sampled_from([FP16, FloatFormat.parse("e8m7"), FP32, FloatFormat.parse("e5m13")]),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 4.0, 12.0]),
)
def test_the_fast_product_is_the_definition_and_as_good_as_is_said(
    operands: FloatFormat, accumulator: FloatFormat, terms: int, seed: int, spread: float
) -> None:
    slices = Slices.of(operands, accumulator, terms)
    a = drawn(operands, (2, terms), seed, spread)
    b = drawn(operands, (terms, 2), seed + 1, spread)
    found = matmul_sliced(a, b, slices)
    for row, column in np.ndindex(2, 2):
        x, y = a[row].tolist(), b[:, column].tolist()
        assert found[row, column] == dot_sliced(x, y, slices, accumulator)
        terms_of = [Fraction(p) * Fraction(q) for p, q in zip(x, y, strict=True)]
        exact, size = sum(terms_of), sum(abs(term) for term in terms_of)
        bound = gamma(slices.passes - 1, FP32.unit_roundoff) * float(size)
        assert abs(float(Fraction(float(found[row, column])) - exact)) <= bound
        if size <= Fraction(2) ** (24 + 2 * operands.lowest_bit):
            assert Fraction(float(found[row, column])) == exact


@pytest.mark.parametrize(
    ("operands", "accumulator", "terms"),
    [(E4M3, E4M3, 16), (E4M3, "e8m3", 16), (E4M3, "e8m10", 128), (E5M2, FP16, 200)],
)
def test_every_pass_is_exact_in_the_low_format_and_wider_slices_are_not(
    operands: FloatFormat, accumulator: Any, terms: int
) -> None:
    low = FloatFormat.parse(accumulator)
    slices = Slices.of(operands, low, terms)
    full = np.full((1, terms), 2.0**slices.bits - 1.0)
    assert matmul(full, full.T, Accumulator(low))[0, 0] == (full @ full.T)[0, 0]
    more = np.full((1, terms), 2.0 ** (slices.bits + 1) - 1.0)
    odd = np.append(more, [[1.0]], axis=1)
    assert matmul(odd, odd.T, Accumulator(low))[0, 0] != (odd @ odd.T)[0, 0]


def test_some_outputs_are_those_of_the_whole() -> None:
    a, b = drawn(E4M3, (7, 30), 1, 2.0), drawn(E4M3, (30, 5), 2, 2.0)
    slices = Slices.of(E4M3, FP16, 30)
    rows, columns = np.array([6, 0, 6, 3]), np.array([1, 4, 0, 1])
    whole = matmul_sliced(a, b, slices)
    np.testing.assert_array_equal(
        matmul_sliced_at(a, b, rows, columns, slices), whole[rows, columns]
    )


def test_what_is_not_finite_makes_its_outputs_nan() -> None:
    a, b = np.ones((2, 3), np.float32), np.zeros((3, 2), np.float32)
    a[1, 2] = np.inf
    found = matmul_sliced(a, b, Slices.of(E5M2, FP16, 3))
    np.testing.assert_array_equal(found, [[0.0, 0.0], [np.nan, np.nan]])
