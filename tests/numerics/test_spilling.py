"""Sums that spill, many at a time: equal to one at a time, and to the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import Accumulator, matmul, round_to
from accelsim.numerics import matmul_spilling, matmul_sums, products
from accelsim.numerics.formats import FixedFormat
from accelsim.numerics.kernels import spilling
from accelsim.numerics.orders import accumulate_exact
from accelsim.numerics.spilling import spills_exactly


def same(acc: Accumulator, a: Any, b: Any) -> bool:
    """Whether all that is told fast is what is told slowly."""
    slow, fast = matmul_sums(a, b, acc), matmul_spilling(a, b, acc)
    again = matmul(a, b, acc)
    return (
        fast.values.dtype == slow.values.dtype == again.dtype
        and all(
            np.array_equal(values, slow.values, equal_nan=True)
            and np.array_equal(np.signbit(values), np.signbit(slow.values))
            for values in (fast.values, again)
        )
        and np.array_equal(fast.spills, slow.spills)
        and np.array_equal(fast.overflowed, slow.overflows > 0)
    )


@pytest.mark.parametrize(
    ("narrow", "outer", "overflow", "more", "exact"),
    [
        ("fixed10.7", "fp32", "saturate", {}, True),
        ("fixed8.6", "fp16", "saturate", {}, True),
        ("e3m4", "fp16", "inf", {}, True),
        ("fixed10.4", "fixed14.4", "wrap", {}, False),
        ("int8", "int32", "saturate", {}, True),
        ("int8", "uint16", "saturate", {}, True),  # the wide sum holds nothing below zero
        ("e4m3fn", "fp16", "saturate", {}, True),
        ("e4m3", "fp32", "inf", {"rounding": "toward-zero"}, False),
        ("e4m3", "e4m3", "inf", {"rounding": "downward"}, False),
        ("e4m3fn", "fp32", "inf", {"product": "e4m3fn"}, False),
        ("fp16", "e4m3fn", "saturate", {}, True),  # the wide sum holds less
        ("e5m2", "e5m10", "saturate", {"rounding": "stochastic", "seed": 3}, False),
    ],
)
@pytest.mark.parametrize("scale", [0.5, 40.0, 3000.0])
def test_spilling_is_told_fast_as_it_is_told_slowly(
    narrow: str, outer: str, overflow: str, more: dict[str, Any], exact: bool, scale: float
) -> None:
    acc = Accumulator(narrow, order="spill", outer=outer, overflow=overflow, **more)
    rng = np.random.default_rng(7)
    large = "saturate" if isinstance(acc.format, FixedFormat) else "inf"
    factors = scale ** rng.random((30, 1))
    a = round_to("e4m3fn", rng.normal(size=(30, 40)) * factors, overflow=large)
    b = round_to("e4m3fn", rng.normal(size=(40, 300)))
    a[0], b[:, 0] = 0.0, -0.0
    assert spills_exactly(acc, a, b) == (exact and bool(np.isfinite(a).all()))
    assert same(acc, a, b)


FORMATS = st.sampled_from(
    ["int4", "int8", "uint8", "fixed6.6", "fixed8.6", "fixed12.3", "e2m1fn", "e4m3", "e5m2", "e3m7"]
)


@given(FORMATS, FORMATS, st.sampled_from(["inf", "saturate"]), st.integers(0, 2**32 - 1))
def test_spilling_is_as_defined(narrow: str, outer: str, overflow: str, seed: int) -> None:
    try:
        acc = Accumulator(narrow, order="spill", outer=outer, overflow=overflow)
    except ValueError:
        acc = Accumulator(narrow, order="spill", outer=outer, overflow="saturate")
    rng = np.random.default_rng(seed)
    a, b = (
        round_to("e4m3fn", rng.normal(size=shape) * 4.0 ** rng.integers(-3, 3, shape))
        for shape in ((15, 12), (12, 12))  # just enough for the kernel that is meant
    )
    assert spills_exactly(acc, a, b)
    found = matmul_spilling(a, b, acc)
    for i in range(0, 15, 7):
        for j in range(0, 12, 5):
            right = accumulate_exact(a[i].tolist(), b[:, j].tolist(), acc)
            assert found.values[i, j] == right or np.isnan([found.values[i, j], right]).all()
    assert same(acc, a, b)


def forced(acc: Accumulator, a: Any, b: Any) -> Any:
    """Return what the kernel makes of operands that it may not be right for."""
    out = np.empty((len(a), b.shape[1]))
    beside = np.empty(out.shape, np.bool_), np.empty(out.shape, np.int64)
    setting = products._setting(acc, a.shape[1])
    spilling.multiply(a, b, 0, len(a), setting.inner, setting.outer, out, *beside)
    return out


@pytest.mark.parametrize(("bits", "exact"), [(18, True), (19, False), (23, False)])
def test_what_binary64_may_not_hold_is_left_to_the_slow_kernel(bits: int, exact: bool) -> None:
    # 4·(1 - 2^-bits)·(1 + 2^-bits) lies just below 4, and brings 8200 nearly to the tie with its
    # neighbour in fp16, which is even and which a tie goes to.
    acc = Accumulator("int2", order="spill", outer="fp16", overflow="saturate")
    a = np.array([[8200.0, 4 * (1 - 2.0**-bits)]], np.float32).repeat(8, axis=0)
    b = np.array([[1.0], [1 + 2.0**-bits]], np.float32).repeat(300, axis=1)
    assert spills_exactly(acc, a, b) == exact
    assert same(acc, a, b)
    assert (matmul_spilling(a, b, acc).values == 8200.0).all()
    out = np.empty((8, 300))
    beside = np.empty(out.shape, np.bool_), np.empty(out.shape, np.int64)
    setting = products._setting(acc, 2)
    spilling.multiply(a, b, 0, 8, setting.inner, setting.outer, out, *beside)
    assert (out == (8208.0 if bits == 23 else 8200.0)).all()  # by the fast kernel, forced


def test_a_batch_is_its_parts_whatever_the_threads() -> None:
    acc = Accumulator("fixed8.6", order="spill", outer="fp16", overflow="saturate")
    rng = np.random.default_rng(1)
    a = round_to("e4m3fn", rng.normal(size=(2, 1, 31, 70)))
    b = round_to("e4m3fn", rng.normal(size=(3, 70, 290)))
    found = matmul_spilling(a, b, acc, threads=1)
    assert found.values.shape == found.overflowed.shape == found.spills.shape == (2, 3, 31, 290)
    assert np.array_equal(found.values, matmul(a, b, acc, threads=2))
    assert np.array_equal(found.spills, matmul_spilling(a, b, acc, threads=2).spills)
    assert np.array_equal(found.spills[1, 2], matmul_spilling(a[1, 0], b[2], acc).spills)


def test_a_wide_sum_that_comes_back_into_range_has_overflowed() -> None:
    acc = Accumulator("int2", order="spill", outer="e4m3", overflow="saturate")
    a = np.ones((40, 3), np.float32)
    a[1, 1] = 0.0
    b = np.array([[200.0], [100.0], [-150.0]], np.float32).repeat(30, axis=1)
    found = matmul_spilling(a, b, acc)
    assert found.overflowed[0].all()
    assert found.values[0, 0] == 88.0  # 240, the largest, less 150: 90, on a grid of 8
    assert not found.overflowed[1].any()
    assert found.values[1, 0] == 40.0  # 192, as 200 is a tie, less 150: a tie again
    assert same(acc, a, b)


def test_spilling_is_told_of_accumulators_that_spill() -> None:
    with pytest.raises(ValueError, match="acc has order 'sequential', expected 'spill'"):
        matmul_spilling([[1.0]], [[1.0]], Accumulator("fp16"))
