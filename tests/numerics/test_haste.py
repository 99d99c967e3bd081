"""What is computed in haste is right, or known to be doubtful."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import same
from tiles import (
    F32,
    general,
    operands,
    sums_of,
    swept,
)

from accelsim.numerics import (
    Accumulator,
    matmul,
    matmul_at,
    matmul_running,
    round_to,
)
from accelsim.numerics.formats import FloatFormat
from accelsim.numerics.haste import _limit
from accelsim.numerics.kernels import spec
from accelsim.numerics.lanes import plan

STICKY = spec.WIDE or spec.FEW_REGISTERS


def assert_running_sums_are_those_of_the_general_kernel(a: F32, b: F32, acc: Accumulator) -> Any:
    expected, stats = general(a, b, acc)
    for threads in (1, 3):
        found = matmul_running(a, b, acc, threads=threads)
        assert same(found.values, expected)
        assert same(found.overflowed, stats[..., 2] > 0)
        assert same(found.running, stats[..., 1])
    return found


def runs_in_single(acc: Accumulator, a: F32, b: F32) -> int | None:
    """Return after how many terms a float32 lane hands its running sums over, if one is chosen."""
    chosen = plan(acc, a, b, running=True)
    assert chosen is None or (chosen.hasty is not None and chosen.hasty.single)
    return None if chosen is None else chosen.block


@pytest.mark.parametrize(
    ("acc", "kind", "scale", "single"),
    [
        (Accumulator("e4m3fn", overflow="saturate"), "e4m3", 1.0, True),
        (Accumulator("e4m3fn", overflow="saturate"), "e4m3", 0.0625, True),
        (Accumulator("e4m3fn", overflow="saturate"), "sparse", 1.0, True),
        (Accumulator("e4m3fn", overflow="saturate"), "large", 2.0**-10, True),
        (Accumulator("e4m3fn", overflow="saturate"), "large", 1.0, STICKY),
        (Accumulator("e4m3fn", product="e4m3fn"), "e4m3", 1.0, False),
        (Accumulator("fp16"), "e4m3", 1.0, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (Accumulator("e4m3fn"), "large", 2.0**-10, True),
                (Accumulator("e4m3fn", "toward-zero"), "e4m3", 1.0, True),
                (Accumulator("e4m3fn", "stochastic"), "e4m3", 1.0, True),
                (Accumulator("fp32"), "e4m3", 1.0, False),
                (Accumulator("e4m3fn", chunk=16, outer="fp32"), "e4m3", 1.0, False),
                (Accumulator("e4m3fn", order="pairwise"), "e4m3", 1.0, False),
            )
        ),
    ],
    ids=str,
)
def test_running_sums_are_those_of_the_general_kernel(
    acc: Accumulator, kind: str, scale: float, single: bool
) -> None:
    a, b = operands(kind)
    a = a * np.float32(scale)
    assert (runs_in_single(acc, a, b) is not None) == single
    assert_running_sums_are_those_of_the_general_kernel(a, b, acc)


def test_running_sums_of_outputs_that_overflow_are_counted_again() -> None:
    a = np.zeros((40, 45), np.float32)
    a[:, 0], a[17, 1:] = 2.0**-9, 30.0
    b = np.ones((45, 40), np.float32)
    acc = Accumulator("e4m3fn", overflow="saturate")
    assert runs_in_single(acc, a, b) == (32 if spec.WIDE else 8)
    found = assert_running_sums_are_those_of_the_general_kernel(a, b, acc)
    assert np.argwhere(found.overflowed.any(axis=1)).tolist() == [[17]]


def test_a_float32_lane_keeps_running_sums_up_to_the_last_place_and_no_further() -> None:
    # Sums in fp16 of terms up to 1 stay below 2^13, and four of them below 2^15.
    acc = Accumulator("fp16")
    for last, block in ((2.0**-9, 4), (2.0**-10, None)):
        a, b = sums_of([last] * 40, [1.0] * 40)
        assert runs_in_single(acc, a, b) == block
        assert_running_sums_are_those_of_the_general_kernel(a, b, acc)


def test_running_sums_of_a_block_too_long_would_not_be_exact() -> None:
    acc = Accumulator("e4m3fn", overflow="saturate")
    terms = [2.0**-9, *[8.0] * 24, *[0.0] * 300]  # sums up to 128, and one of the smallest
    a, b = np.tile(np.array(terms, np.float32), (40, 1)), np.ones((len(terms), 40), np.float32)
    chosen = plan(acc, a, b, running=True)
    assert chosen is not None
    assert chosen.hasty is not None
    expected = general(a, b, acc)[1][..., 1]
    for block, right in ((chosen.block, True), (320, False)):
        running = np.empty((40, 40))
        swept(a, b, acc, chosen.hasty, replace(chosen, block=block), running[..., None])
        assert same(running, expected) == right


@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_a_block_that_may_have_overflowed_is_doubted(overflow: str) -> None:
    # The sum climbs to 448, the largest e4m3fn, and comes back, within a block and across two.
    acc = Accumulator("e4m3fn", "toward-zero", overflow=overflow)
    for lead in range(2 * spec.BLOCKS[0]):
        terms = [0.0] * lead + [240.0, 208.0, 32.0, -200.0] + [0.0] * 5
        a = np.tile(np.array(terms, np.float32), (40, 1))
        b = np.ones((len(terms), 40), np.float32)
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
        chosen = plan(acc, a, b)
        assert chosen is not None
        assert chosen.hasty is None
    # Small terms only: the limit is where a block of them cannot reach beyond the largest value.
    terms = [30.0] * 14 + [28.0] + [30.0] * 4 + [-30.0] * 15
    a, b = np.tile(np.array(terms, np.float32), (40, 1)), np.ones((len(terms), 40), np.float32)
    chosen = plan(acc, a, b)
    assert chosen is not None
    assert chosen.hasty is not None
    # From 448 to 192 in eight terms; sixteen would leave less than a third of the range.
    assert (chosen.block, chosen.limit) == (8, 192)
    assert swept(a, b, acc, chosen.hasty, chosen)[1].all()
    assert same(matmul(a, b, acc), general(a, b, acc)[0])
    few = np.ascontiguousarray(a[:, :6])
    assert not swept(few, b[:6], acc, chosen.hasty, chosen)[1].any()
    assert same(matmul(few, b[:6], acc), general(few, b[:6], acc)[0])


@pytest.mark.parametrize("block", spec.BLOCKS)
def test_what_overflows_between_two_looks_was_above_the_limit(block: int) -> None:
    acc, fmt = Accumulator("fp16"), FloatFormat.parse("fp16")
    there_and_back = [2000.0] * (block // 2) + [-2000.0] * (block // 2) + [0.0]
    for climb, overflows in (([], False), ([2000.0] * 32, True)):  # to 64000, of 65504
        terms = [*climb, *there_and_back]
        a, b = np.tile(np.array(terms, np.float32), (40, 1)), np.ones((len(terms), 40), np.float32)
        chosen = plan(acc, a, b)
        assert chosen is not None
        assert chosen.hasty is not None
        hasty = chosen.hasty._replace(overflow=spec.Watched(0))
        limit = _limit(fmt, fmt.max, 2000.0, block)
        limited = replace(chosen, hasty=hasty, block=block, limit=limit, scale=1.0)
        expected = general(a, b, acc)[0]
        out, doubts = swept(a, b, acc, hasty, limited)
        assert doubts.all() if overflows else not doubts.any()
        assert same(out, expected) is not overflows
        careless = replace(limited, limit=fmt.max)
        assert not swept(a, b, acc, hasty, careless)[1].any()


needs_sticky = pytest.mark.skipif(not STICKY, reason="sums are sticky on x86 alone")


@needs_sticky
@pytest.mark.parametrize(("name", "unit"), [("e4m3fn", 2.0**-12), ("e3m4", 2.0**-8)])
def test_a_sticky_sum_is_doubted_from_the_largest_power_of_two_on(name: str, unit: float) -> None:
    # A sum goes somewhere and comes back; the smallest term makes it subnormal at first.
    acc, fmt = Accumulator(name, overflow="saturate"), FloatFormat.parse(name)
    power = 2.0 ** (math.frexp(fmt.max)[1] - 1)
    last = 2.0 ** (fmt.mantissa_bits - 23)  # with it rounding may just not overflow
    for beyond in (-0.125, -(2.0**-12), -last, 0.0, last, 2.0**-12, 0.125, 0.5, 0.75, 3.0, 99.0):
        terms = [unit, 0.75 * power, (0.25 + beyond) * power, -0.5 * power, unit]
        for sign in (1.0, -1.0):
            a = np.tile(np.array(terms, np.float32) * np.float32(sign), (40, 1))
            b = np.ones((len(terms), 40), np.float32)
            chosen = plan(acc, a, b)
            assert chosen is not None
            assert chosen.hasty is not None
            assert isinstance(chosen.hasty.overflow, spec.Sticky)
            out, doubts = swept(a, b, acc, chosen.hasty, chosen)
            expected = general(a, b, acc)[0]
            assert doubts.all() if beyond >= 2.0**-12 else same(out, expected) or doubts.all()
            assert beyond >= 0 or not doubts.any()
            assert same(matmul(a, b, acc), expected)
            assert same(matmul_at(a, b, [3], [5], acc), expected[3, 5:6])


@needs_sticky
def test_half_the_scale_would_let_sums_pass_and_twice_would_doubt_too_many() -> None:
    acc = Accumulator("e4m3fn", overflow="saturate")
    high, fine = [2.0**-12, 240.0, 208.0, 32.0, -240.0], [2.0**-12, 120.0, 40.0]
    for terms, factor, doubted, right in (
        (high, 1.0, True, None),
        (high, 0.5, False, False),  # 480 is left alone, where 448 is the largest
        (fine, 1.0, False, True),
        (fine, 2.0, True, None),
    ):
        a, b = np.tile(np.array(terms, np.float32), (40, 1)), np.ones((len(terms), 40), np.float32)
        chosen = plan(acc, a, b)
        assert chosen is not None
        out, doubts = swept(a, b, acc, chosen.hasty, replace(chosen, scale=factor * chosen.scale))
        assert doubts.all() if doubted else not doubts.any()
        assert right is None or same(out, general(a, b, acc)[0]) is right


@needs_sticky
def test_what_would_take_a_scale_that_float32_does_not_hold_is_watched() -> None:
    acc = Accumulator("e4m3fnb60", overflow="saturate")
    a = np.full((40, 60), 2.0**-40, np.float32)
    b = np.full((60, 40), 2.0**-30, np.float32)
    chosen = plan(acc, a, b)
    assert chosen is not None
    assert chosen.scale == 1.0
    assert same(matmul(a, b, acc), general(a, b, acc)[0])


WITHOUT_AVX512 = """
import sys, llvmlite.binding as llvm
features = llvm.get_host_cpu_features()
features.update({name: False for name in features if "512" in name})
llvm.get_host_cpu_features = lambda: features
from accelsim.numerics.kernels import spec
import pytest
assert spec.FEW_REGISTERS
tests = ["test_haste.py", "test_lanes.py", "test_tiles.py::test_tiles_equal_the_general_kernel"]
sys.exit(pytest.main(["-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not spec.WIDE, reason="the other tests run without AVX-512 already")
def test_the_same_holds_without_avx512(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CPU_NAME": "haswell", "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", WITHOUT_AVX512],
        cwd=Path(__file__).parent, env=environment, check=True, timeout=1200,
    )  # fmt: skip


@needs_sticky
def test_a_sticky_sum_stays_infinite_whatever_follows() -> None:
    acc = Accumulator("e4m3fn", overflow="saturate")
    rng = np.random.default_rng(29)
    for high in (300.0, -300.0, 3.0e5, -3.0e5):
        a = round_to("e4m3fn", rng.standard_normal((40, 64))).astype(np.float32)
        b = round_to("e4m3fn", rng.standard_normal((64, 40))).astype(np.float32)
        a[:, 5], b[5] = high, 1.0
        a[:, 6], b[6] = -high, 1.0
        a[:, 40:] = 0.0
        chosen = plan(acc, a, b)
        assert chosen is not None
        assert swept(a, b, acc, chosen.hasty, chosen)[1].all()
        assert same(matmul(a, b, acc), general(a, b, acc)[0])


@needs_sticky
def test_columns_too_large_to_be_scaled_are_watched() -> None:
    acc = Accumulator("e4m3fn", overflow="saturate")
    for largest, kind in ((2.0**26, spec.Sticky), (2.0**27, spec.Watched)):
        a, b = np.full((40, 60), 2.0**-27, np.float32), np.full((60, 40), largest, np.float32)
        a[:, 7] = 2.0**-40
        chosen = plan(acc, a, b)
        assert chosen is not None
        assert chosen.hasty is not None
        assert isinstance(chosen.hasty.overflow, kind)
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
