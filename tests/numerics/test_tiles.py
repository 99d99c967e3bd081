"""The tile kernels equal the general one, and their lanes are right up to the limit of the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import same
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, matmul, matmul_at, matmul_sums, products, round_to
from accelsim.numerics.kernels import product, tile
from accelsim.numerics.lanes import Plan, plan, span
from accelsim.numerics.orders import accumulate_exact

F32 = NDArray[np.float32]
SHAPE = (19, 70, 37)  # no tile divides any of these


def operands(kind: str) -> tuple[F32, F32]:
    rng = np.random.default_rng(11)
    (m, k, n) = SHAPE
    a: NDArray[Any] = rng.standard_normal((m, k))
    b: NDArray[Any] = rng.standard_normal((k, n))
    if kind == "e4m3":
        a, b = round_to("e4m3fn", a), round_to("e4m3fn", b)
    elif kind == "sparse":  # rows of zeros, zeros of both signs, tiny numbers
        a = round_to("e4m3fn", np.where(rng.random(a.shape) < 0.7, 0.0, a) / 64)
        b = np.where(rng.random(b.shape) < 0.5, -0.0, round_to("e4m3fn", b / 64))
        a[3] = 0.0
    elif kind == "large":  # sums that overflow e4m3 and fp16
        a, b = round_to("e4m3fn", a * 100), round_to("e4m3fn", b * 60)
    elif kind == "wide":  # exponents far apart, which no float64 sum holds
        a = round_to("bf16", np.ldexp(a, rng.integers(-40, 20, a.shape)))
        b = round_to("bf16", np.ldexp(b, rng.integers(-40, 20, b.shape)))
    elif kind == "fp16":
        a, b = round_to("fp16", a / 100), round_to("fp16", b / 100)
    else:
        a, b = rng.integers(-128, 128, a.shape), rng.integers(-128, 128, b.shape)
    return np.asarray(a, np.float32), np.asarray(b, np.float32)


def general(a: F32, b: F32, acc: Accumulator) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Compute every output one at a time."""
    row, column = (x.ravel() for x in np.indices((a.shape[0], b.shape[1])))
    out, stats = np.empty(row.size), np.empty((row.size, 4))
    turned = np.ascontiguousarray(b.T)
    products._general(a, turned, row, column, 0, acc, None, out, stats, 1)
    shape = (a.shape[0], b.shape[1])
    return out.reshape(shape), stats.reshape(*shape, 4)


COMMON = [
    (Accumulator("e4m3fn", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("e4m3fn"), ("e4m3", "large")),
    (Accumulator("e5m2"), ("large", "sparse")),
    (Accumulator("fp16"), ("e4m3", "large", "fp16")),
    (Accumulator("bf16"), ("e4m3", "wide")),
    (Accumulator("fp32"), ("wide",)),
    (Accumulator("e4m3fn", "toward-zero"), ("sparse",)),
    (Accumulator("e5m2", "stochastic", seed=3), ("e4m3",)),
    (Accumulator("bf16", "upward"), ("wide",)),
    (Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="fp16"), ("large",)),
    (Accumulator.preset("h100-fp16"), ("fp16",)),
    (Accumulator("int16", overflow="saturate"), ("int8",)),
]
RARE = [
    (Accumulator("e4m3fn", "nearest-away"), ("e4m3", "sparse", "large")),
    (Accumulator("e4m3fn", "upward"), ("e4m3", "sparse", "large")),
    (Accumulator("e5m2", "downward", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", "downward"), ("wide", "sparse")),
    (Accumulator("bf16", "stochastic", seed=2**64 - 1), ("wide", "sparse")),
    (Accumulator("fp32", "nearest-away"), ("wide",)),
    (Accumulator("e4m3fn", product="e5m2", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", product="bf16"), ("e4m3", "wide")),
    (Accumulator("fp16", "stochastic", product="bf16", chunk=9, outer="fp32"), ("fp16", "e4m3")),
    (Accumulator("e4m3fn", chunk=8, outer="e4m3fn"), ("large", "sparse")),
    (Accumulator("e6m5ftz", chunk=70, outer="fp16"), ("e4m3", "sparse", "wide")),
    (Accumulator("e4m7b10ftz", "downward"), ("e4m3", "sparse", "large")),
    (Accumulator.preset("h100-e4m3"), ("e4m3", "sparse")),
    (Accumulator.preset("v100-fp16"), ("fp16", "e4m3")),
    (Accumulator("e5m2", "nearest-even", group=7, align_bits=5), ("e4m3", "wide", "large")),
    (Accumulator("fixed16.4", "toward-zero", overflow="saturate"), ("e4m3", "large", "int8")),
    (Accumulator("int8", overflow="saturate", chunk=16, outer="int32"), ("int8", "large")),
]


def each(table: list[tuple[Accumulator, tuple[str, ...]]]) -> list[Any]:
    return [pytest.param(a, k, id=f"{a!r}-{k}"[12:]) for a, kinds in table for k in kinds]


def assert_tiles_equal_the_general_kernel(acc: Accumulator, kind: str) -> None:
    a, b = operands(kind)
    assert plan(acc, a, b) is not None
    expected = general(a, b, acc)[0]
    assert same(matmul(a, b, acc, threads=1), expected)
    assert same(matmul(a, b, acc, threads=3), expected)
    exact = [[accumulate_exact(a[i].tolist(), b[:, j].tolist(), acc, 0.0, i, j) for j in (0, 36)]
             for i in (0, 18)]  # fmt: skip
    assert same(expected[np.ix_((0, 18), (0, 36))], np.array(exact))


@pytest.mark.parametrize(("acc", "kind"), each(COMMON))
def test_tiles_equal_the_general_kernel(acc: Accumulator, kind: str) -> None:
    assert_tiles_equal_the_general_kernel(acc, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("acc", "kind"), each(RARE))
def test_rarer_tiles_equal_the_general_kernel(acc: Accumulator, kind: str) -> None:
    assert_tiles_equal_the_general_kernel(acc, kind)


def assert_pairs_and_sums_are_those_of_the_product(acc: Accumulator, kind: str) -> None:
    a, b = operands(kind)
    expected, stats = general(a, b, acc)
    rows, columns = (np.arange(300) * 7) % 19, (np.arange(300) * 11) % 37
    assert same(matmul_at(a, b, rows, columns, acc), expected[rows, columns])
    sums = matmul_sums(a, b, acc)
    assert same(sums.values, expected)
    assert same(sums.absolute, stats[..., 0])
    assert same(sums.running, stats[..., 1])
    assert same(sums.overflows, stats[..., 2])
    assert same(sums.underflows, stats[..., 3])


def test_pairs_and_sums_are_those_of_the_product() -> None:
    assert_pairs_and_sums_are_those_of_the_product(COMMON[0][0], "large")
    assert_pairs_and_sums_are_those_of_the_product(COMMON[0][0], "sparse")


@pytest.mark.slow
@pytest.mark.parametrize(("acc", "kind"), each(COMMON + RARE))
def test_pairs_and_sums_of_every_accumulator(acc: Accumulator, kind: str) -> None:
    assert_pairs_and_sums_are_those_of_the_product(acc, kind)


def lane(acc: Accumulator, a: F32, b: F32) -> str:
    chosen = plan(acc, a, b)
    assert chosen is not None
    return type(chosen.careful.lane).__name__


def sums_of(totals: list[float], terms: list[float]) -> tuple[F32, F32]:
    """Return operands whose outputs are total + term, in forty columns."""
    left = np.stack([np.array(totals), np.array(terms)], axis=1).astype(np.float32)
    return left, np.ones((2, 40), np.float32)


def forced(a: F32, b: F32, acc: Accumulator, kind: type) -> NDArray[Any]:
    """Compute in a lane that the rule has not chosen."""
    chosen = plan(acc, a, b)
    assert chosen is not None
    hasty, careful = (x._replace(lane=kind(0)) for x in (chosen.hasty, chosen.careful))
    wrong = Plan(hasty, careful, chosen.fold)
    job = products._job(acc, wrong, a.shape[1], False)
    out = np.empty((len(a), b.shape[1]), np.float64)
    left = a if wrong.single else a.astype(np.float64)
    parts = ((0, len(a)), (0, b.shape[1]))
    scratch, notes = products._scratch(wrong), np.empty((0, 0, 4))
    product.multiply(left, b, *parts, 0, hasty, careful, chosen.fold, job, scratch, out, notes)
    return out


def test_a_float32_lane_is_chosen_up_to_the_last_place_and_no_further() -> None:
    # 9 is halfway between 8 and 10 in e5m2; what decides is 24 places below its first bit.
    acc = Accumulator("e5m2")
    inside = sums_of([2.0**-16, -(2.0**-16)] * 20, [9.0 * 2.0**4] * 40)
    assert lane(acc, *inside) == "Single"
    outside = sums_of([2.0**-16, -(2.0**-16)] * 20, [9.0 * 2.0**5] * 40)
    assert lane(acc, *outside) == "Double"
    for a, b in (inside, outside):
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
    assert not same(forced(*outside, acc, tile.Single), general(*outside, acc)[0])


def test_a_float64_lane_is_chosen_up_to_the_last_place_and_no_further() -> None:
    acc = Accumulator("bf16")
    tie = 1 + 2.0**-8
    inside = sums_of([2.0**-52, -(2.0**-52)] * 20, [tie] * 40)
    assert lane(acc, *inside) == "Double"
    outside = sums_of([2.0**-53, -(2.0**-53)] * 20, [tie] * 40)
    assert lane(acc, *outside) == "Odd"
    for a, b in (inside, outside):
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
    assert not same(forced(*outside, acc, tile.Double), general(*outside, acc)[0])


def test_products_of_one_bit_too_many_leave_the_float32_lane() -> None:
    # P + m = 23 > 22 in bf16: 1 + 2^-7 less 65535·2^-24 is half a unit of float32's last place
    # above the midpoint 1 + 2^-8, and float32 rounds it to the midpoint.
    acc = Accumulator("bf16")
    left = np.ones((40, 3), np.float32)
    right = np.repeat(np.array([[1.0], [2.0**-7], [-65535 * 2.0**-24]], np.float32), 40, axis=1)
    assert lane(acc, left, right) == "Double"
    assert (matmul(left, right, acc) == 1 + 2.0**-7).all()
    assert (forced(left, right, acc, tile.Single) == 1.0).all()
    right[2] = -32767 * 2.0**-23
    assert lane(acc, left, right) == "Single"
    assert same(matmul(left, right, acc), general(left, right, acc)[0])


def test_directed_rounding_needs_the_exact_sum() -> None:
    acc = Accumulator("bf16", "upward")
    a, b = sums_of([1.0] * 40, [2.0**-60] * 40)
    assert lane(acc, a, b) == "Odd"
    assert (matmul(a, b, acc) == 1 + 2.0**-7).all()
    assert (forced(a, b, acc, tile.Double) == 1.0).all()


def test_a_span_holds_every_value() -> None:
    rng = np.random.default_rng(13)
    for _ in range(200):
        x = np.ldexp(rng.integers(-99, 100, 5), rng.integers(-120, 60, 5)).astype(np.float32)
        found = span(x)
        assert found is not None
        scaled = np.ldexp(x.astype(np.float64), -found.lowest)
        assert (scaled == np.rint(scaled)).all()
        assert abs(x).max() == found.largest < 2.0**found.highest
        for value in x[x != 0]:
            numerator, _ = float(value).as_integer_ratio()
            odd = abs(numerator) // (numerator & -numerator)
            assert odd.bit_length() <= found.significant_bits
    assert span(np.array([1.0, np.inf], np.float32)) is None
    assert span(np.array([np.nan], np.float32)) is None


def test_threads_must_be_a_number() -> None:
    with pytest.raises(ValueError, match=r"^threads is 0, expected an integer of at least 1$"):
        matmul(np.ones((2, 2)), np.ones((2, 2)), Accumulator("fp16"), threads=0)
