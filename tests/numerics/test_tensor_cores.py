"""The presets give what real GPUs gave, bit for bit."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import same, whole
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, dot, matmul
from accelsim.numerics.accumulator import PRESETS
from accelsim.numerics.orders import accumulate_exact

EXCERPT = Path(__file__).parent / "data" / "tensor-cores.npz"
DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared" / "data"))
ALL = DATA / "tensor-cores" / "vectors.npz"
KEYS = ["a100_bf16", "a100_fp16", "h100_e4m3", "h100_e5m2", "h100_fp16", "h100_tf32", "v100_fp16"]


def assert_equal_to_the_device(path: Path, key: str) -> None:
    with np.load(path) as vectors:
        a, b, c, d = (vectors[f"{key}_{name}"] for name in "abcd")
    if key in ("h100_e4m3", "h100_e5m2"):
        c = np.zeros_like(c)  # the device was given no addend
    acc = Accumulator.preset(key.replace("_", "-"))
    assert len(d) >= 300
    assert same(dot(a, b, acc, c), d)
    for t in range(0, len(d), len(d) // 50):
        exact = accumulate_exact(a[t].tolist(), b[t].tolist(), acc, float(c[t]))
        assert same(np.array(exact), d[t])
        if c[t] == 0:
            assert same(matmul(a[t : t + 1], b[t : t + 1].T, acc), d[t : t + 1, None])


@pytest.mark.parametrize("key", KEYS)
def test_an_excerpt_of_the_vectors(key: str) -> None:
    assert_equal_to_the_device(EXCERPT, key)


@pytest.mark.skipif(not ALL.exists(), reason="the full vectors are not at hand")
@pytest.mark.parametrize("key", KEYS)
def test_every_vector(key: str) -> None:
    assert_equal_to_the_device(ALL, key)


def test_the_vectors_tell_the_settings_apart() -> None:
    with np.load(EXCERPT) as vectors:
        a, b, c, d = (vectors[f"h100_fp16_{name}"] for name in "abcd")
    right: dict[str, Any] = {
        "format": "fp32",
        "rounding": "toward-zero",
        "group": 16,
        "align_bits": 25,
    }
    wrong: list[dict[str, Any]] = [{"align_bits": 24}, {"group": 8}, {"rounding": "nearest-even"}]
    for change in wrong:
        acc = Accumulator(**{**right, **change}, operands="fp16")
        assert not same(dot(a, b, acc, c), d), change


MEASURED = [  # names, terms of a group, fraction bits that alignment keeps, and that the sum keeps
    ("v100-fp16", 4, 23, 23),
    ("a100-fp16 a100-bf16", 8, 24, 23),
    ("h100-fp16 h100-bf16 h200-fp16 h200-bf16 b200-fp16", 16, 25, 23),
    ("h100-tf32 h200-tf32", 4, 25, 23),
    ("h100-e4m3 h100-e5m2 h200-e4m3 h200-e5m2", 32, 13, 13),
    ("ada-e4m3 l40s-e4m3", 16, 13, 13),
]
SETTINGS = [(name, *row[1:]) for row in MEASURED for name in row[0].split()]


def both_ways(terms: list[float], acc: Accumulator, c: float = 0.0) -> float:
    """Accumulate products that are powers of two, by the definition and by the kernels."""
    a = [math.copysign(2.0 ** (math.frexp(abs(x))[1] // 2), x) if x else 0.0 for x in terms]
    b = [x / y if x else 0.0 for x, y in zip(terms, a, strict=True)]
    exact = accumulate_exact(a, b, acc, c)
    assert same(dot([a], [b], acc, [c]), np.array([exact]))
    if c == 0:  # often enough for tiles
        many = matmul(np.tile(a, (64, 1)), np.tile(np.array(b)[:, None], (1, 16)), acc)
        assert same(many, np.full((64, 16), exact))
    return exact


def test_every_preset_is_in_the_table() -> None:
    assert sorted(name for name, *_ in SETTINGS) == sorted(PRESETS)


@pytest.mark.parametrize(("name", "terms", "align_bits", "_"), SETTINGS)
def test_a_group_has_so_many_terms_and_cuts_below_so_many_bits(
    name: str, terms: int, align_bits: int, _: int
) -> None:
    acc = Accumulator.preset(name)
    kept, cut = 2.0**-align_bits, 2.0 ** -(align_bits + 1)
    rest = [0.0] * (terms - 3)
    assert both_ways([1.0, -1.0, *rest, kept], acc) == kept
    assert both_ways([1.0, -1.0, *rest, cut], acc) == 0.0
    assert both_ways([1.0, -1.0, *rest, 0.0, cut], acc) == cut  # the first of the next group
    assert both_ways([-1.0, *rest, 0.0, kept], acc, c=1.0) == kept  # the addend is aligned too
    assert both_ways([-1.0, *rest, 0.0, cut], acc, c=1.0) == 0.0


@pytest.mark.parametrize(("name", "_", "align_bits", "sum_bits"), SETTINGS)
def test_the_sum_of_a_group_is_cut_toward_zero(
    name: str, _: int, align_bits: int, sum_bits: int
) -> None:
    acc = Accumulator.preset(name)
    last = 2.0**-sum_bits
    assert both_ways([1.0, last], acc) == 1 + last
    for sign in (1.0, -1.0):
        # Three quarters of the last place, as far as alignment lets them come.
        got = both_ways([sign, sign * last, sign * last / 2, sign * last / 4], acc)
        assert got == sign * (1 + last)
        # A carry moves the sum a binade up, and what had been aligned below its last place.
        got = both_ways([sign, sign, sign * 2 * last, sign * last], acc)
        assert got == sign * (2 + 2 * last)
        assert both_ways([sign * 2, sign * last, sign * last], acc) == sign * (
            2 + (2 * last if align_bits > sum_bits else 0)
        )


def test_ada_takes_32_terms_as_two_groups_of_16_and_hopper_as_one() -> None:
    small = [2.0**-14] * 16
    ada, hopper = Accumulator.preset("ada-e4m3"), Accumulator.preset("h100-e4m3")
    assert both_ways([*small, 1.0, *[0.0] * 15], ada) == 1 + 2.0**-10
    assert both_ways([*small, 1.0, *[0.0] * 15], hopper) == 1.0
    assert both_ways([1.0, *[0.0] * 15, *small], ada) == 1.0  # now the sum is the largest


def test_longer_sums_are_groups_in_sequence() -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.integers(-8, 9, (3, 40)).astype(np.float32) / 8 for _ in range(2))
    acc = Accumulator.preset("ada-e4m3")
    total: NDArray[Any] = np.zeros(3, np.float32)
    for start in (0, 16, 32):
        total = dot(a[:, start : start + 16], b[:, start : start + 16], acc, total)
    assert same(dot(a, b, acc), total)


def test_a_subnormal_operand_is_aligned_by_the_smallest_exponent() -> None:
    # 2^-24 has the exponent -14 in fp16: the unit is 2^-28-4, which cuts 2^-48 away.
    settings: dict[str, Any] = {
        "format": "fp32",
        "rounding": "toward-zero",
        "group": 2,
        "align_bits": 4,
    }
    a, b = np.array([[2.0**-24, 0.0]]), np.array([[2.0**-24, 0.0]])
    assert dot(a, b, Accumulator(**settings, operands="fp16"))[0] == 0.0
    assert dot(a, b, Accumulator(**settings))[0] == 2.0**-48


def test_non_finite_operands_follow_ieee_754() -> None:
    acc = Accumulator.preset("h100-fp16")
    inf = np.inf
    a = np.array([[inf, 1], [inf, -inf], [inf, 0], [np.nan, 1], [1, 1]])
    b = np.array([[1.0, 1], [1, 1], [0, 1], [1, 1], [1, 1]])
    got = dot(a, b, acc, np.array([0, 0, 0, 0, -inf]))
    assert same(got, np.array([inf, np.nan, np.nan, np.nan, -inf]))
    exact = [accumulate_exact(x, y, acc) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert same(got[:4], np.array(exact[:4]))


def test_a_preset_of_another_name_is_refused() -> None:
    message = f"preset is 'h100-fp8', allowed are {', '.join(PRESETS)}"
    with pytest.raises(ValueError, match=whole(message)):
        Accumulator.preset("h100-fp8")
