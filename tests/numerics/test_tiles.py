"""The tile kernels equal the general one, and their lanes are right up to the limit of the rule."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import same
from numpy.typing import NDArray

from accelsim.numerics import (
    Accumulator,
    matmul,
    matmul_at,
    matmul_running,
    matmul_sums,
    matmul_watched,
    products,
    round_to,
    some,
)
from accelsim.numerics.formats import FloatFormat, parse_format
from accelsim.numerics.kernels import product, spec
from accelsim.numerics.lanes import Plan, _limit, plan
from accelsim.numerics.orders import accumulate_exact
from accelsim.numerics.scratch import scratch_for
from accelsim.numerics.spans import lowest_product, span

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
    (Accumulator("e5m2"), ("large",)),
    (Accumulator("fp16"), ("e4m3", "fp16")),
    (Accumulator("bf16"), ("wide",)),
    (Accumulator("fp32"), ("wide",)),
    (Accumulator("e4m3fn", "toward-zero"), ("sparse",)),
    (Accumulator("e5m2", "stochastic", seed=3), ("e4m3",)),
    (Accumulator("bf16", "upward"), ("wide",)),
    (Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="fp16"), ("large",)),
    (Accumulator.preset("h100-fp16"), ("fp16",)),
    (Accumulator("int16", overflow="saturate"), ("int8",)),
]
RARE = [
    (Accumulator("e5m2"), ("sparse",)),
    (Accumulator("fp16"), ("large",)),
    (Accumulator("bf16"), ("e4m3",)),
    (Accumulator("fp16", "stochastic", product="bf16", chunk=9, outer="fp32"), ("fp16",)),
    (Accumulator("e4m3fn", "nearest-away"), ("e4m3", "sparse", "large")),
    (Accumulator("e4m3fn", "upward"), ("e4m3", "sparse", "large")),
    (Accumulator("e5m2", "downward", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", "downward"), ("wide", "sparse")),
    (Accumulator("bf16", "stochastic", seed=2**64 - 1), ("wide", "sparse")),
    (Accumulator("fp32", "nearest-away"), ("wide",)),
    (Accumulator("e4m3fn", product="e5m2", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", product="bf16"), ("e4m3", "wide")),
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
    for gain in (0.0, np.inf):  # one at a time, and picked from tiles
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(some, "_TILE_GAIN", gain)
            patch.setattr(some, "_NATIVE_GAIN", gain)
            assert same(matmul_at(a, b, rows, columns, acc), expected[rows, columns])
    sums = matmul_sums(a, b, acc)
    assert same(sums.values, expected)
    assert same(sums.absolute, stats[..., 0])
    assert same(sums.running, stats[..., 1])
    assert same(sums.overflows, stats[..., 2])
    assert same(sums.underflows, stats[..., 3])


def assert_overflows_are_those_that_are_counted(a: F32, b: F32, acc: Accumulator) -> Any:
    expected, stats = general(a, b, acc)
    for threads in (1, 3):
        found = matmul_watched(a, b, acc, threads=threads)
        assert same(found.values, expected)
        assert same(found.overflowed, stats[..., 2] > 0)
    return found.overflowed


@pytest.mark.parametrize("kind", ["e4m3", "sparse", "large"])
def test_watched_products_tell_what_overflowed(kind: str) -> None:
    acc = Accumulator("e4m3fn", overflow="saturate")
    found = assert_overflows_are_those_that_are_counted(*operands(kind), acc)
    assert found.any() == (kind == "large")


@pytest.mark.parametrize(
    "acc",
    [
        Accumulator("e4m3fn"),
        Accumulator("fp16"),
        Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="e4m3fn"),
        *(
            pytest.param(acc, marks=pytest.mark.slow)
            for acc in (
                Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="fp32"),
                Accumulator("e4m3fn", chunk=16, outer="e5m6"),
                Accumulator("e4m3fn", "downward", overflow="saturate", chunk=16, outer="e4m3fn"),
                Accumulator("e4m3fn", overflow="saturate", order="pairwise"),
            )
        ),
    ],
    ids=str,
)
def test_watched_products_tell_what_overflowed_in_any_accumulator(acc: Accumulator) -> None:
    assert assert_overflows_are_those_that_are_counted(*operands("large"), acc).any()


@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_an_overflow_of_binary32_is_told(overflow: str) -> None:
    a, b = operands("e4m3")
    a[:, 3:6], a[7, 3:6], b[3:6, 11] = 0, (1, 1, -1), 2.0**127
    acc = Accumulator("fp32", overflow=overflow)
    found = assert_overflows_are_those_that_are_counted(a, b, acc)
    assert np.argwhere(found).tolist() == [[7, 11]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_overflow_is_told_wherever_it_happens_and_whatever_follows(sign: float) -> None:
    # In e4m3fn the steps of 64 reach 448 with the seventh, and overflow with the eighth; eight
    # steps back lead far from the end of the range. Row i does so from term i on in one column,
    # with seven or eight steps; all other columns have steps of 8.
    depth, columns = 45, 37
    a, b = np.zeros((2 * (depth - 8), depth)), np.ones((depth, columns))
    expected = np.zeros((len(a), columns), np.bool_)
    b[:, 5], b[:, 36] = 8.0, -8.0
    for i in range(len(a)):
        start, steps = i // 2, 7 + i % 2
        a[i, start : start + steps] = sign * 8.0
        a[i, start + steps : start + 2 * steps] = -sign * 8.0
        expected[i, [5, 36]] = steps == 8
    acc = Accumulator("e4m3fn", overflow="saturate")
    left, right = a.astype(np.float32), b.astype(np.float32)
    chosen = plan(acc, left, right)
    assert chosen is not None
    assert chosen.hasty is not None
    found = assert_overflows_are_those_that_are_counted(left, right, acc)
    assert same(found, expected)


@pytest.mark.parametrize("rows", [[3], list(range(19)), [0, 5, 18]])
@pytest.mark.parametrize("columns", [[36], list(range(37)), [1, 2, 20]])
@pytest.mark.parametrize("format_name", ["e4m3fn", "fp32"])
def test_outputs_that_fill_a_rectangle_are_those_of_the_product(
    rows: list[int], columns: list[int], format_name: str
) -> None:
    a, b = operands("e4m3")
    acc = Accumulator(format_name, overflow="saturate")
    chosen = np.random.default_rng(1).permutation(len(rows) * len(columns))[::2]
    row, column = np.array(rows)[chosen % len(rows)], np.array(columns)[chosen // len(rows)]
    assert same(matmul_at(a, b, row, column, acc), general(a, b, acc)[0][row, column])


def test_outputs_of_many_rows_are_picked_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(some, "_TOGETHER", 2 * SHAPE[2])
    a, b = operands("e4m3")
    acc = Accumulator("e4m3fn", overflow="saturate")
    row, column = np.nonzero(np.random.default_rng(2).random((SHAPE[0], SHAPE[2])) < 0.3)
    order = np.random.default_rng(3).permutation(row.size)
    row, column = row[order], column[order]
    assert same(matmul_at(a, b, row, column, acc), general(a, b, acc)[0][row, column])


def test_pairs_and_sums_are_those_of_the_product() -> None:
    assert_pairs_and_sums_are_those_of_the_product(COMMON[0][0], "large")
    assert_pairs_and_sums_are_those_of_the_product(COMMON[0][0], "sparse")


def test_the_lowest_integer_and_what_follows_an_infinity_are_no_overflows() -> None:
    assert_pairs_and_sums_are_those_of_the_product(Accumulator("fp16"), "large")
    assert_pairs_and_sums_are_those_of_the_product(
        Accumulator("int16", overflow="saturate"), "int8"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("acc", "kind"), each(COMMON + RARE))
def test_pairs_and_sums_of_every_accumulator(acc: Accumulator, kind: str) -> None:
    assert_pairs_and_sums_are_those_of_the_product(acc, kind)


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
        (Accumulator("e4m3fn", overflow="saturate"), "large", 1.0, False),
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
    assert runs_in_single(acc, a, b) == 8
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
        forced_block = replace(chosen, block=block)
        swept(a, b, acc, chosen.hasty, forced_block, running[..., None])
        assert same(running, expected) == right


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
    return swept(a, b, acc, chosen.careful._replace(lane=kind(0)), None)[0]


def swept(
    a: F32,
    b: F32,
    acc: Accumulator,
    compiled: Any,
    chosen: Plan | None,
    stats: NDArray[np.float64] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Compute by one spec alone; return the outputs, and which tiles are doubtful."""
    limit, block = (np.inf, 0) if chosen is None else (chosen.limit, chosen.block)
    zeros = True if chosen is not None and chosen.zeros else None
    (rows, depth), columns = a.shape, b.shape[1]
    job = products._job(acc, compiled, depth, limit, block)
    out = np.empty((rows, columns), np.float64)
    doubts = np.zeros((-(-rows // spec.ROWS), -(-columns // compiled.width)), np.uint8)
    seed = products._seed(acc)
    flat = a.reshape(-1) if compiled.single else None
    scratch = scratch_for(compiled, acc.chunk is None, seed, depth, rows, columns)
    product.multiply(
        a, flat, b, (0, rows), (0, columns), 0, compiled, None, job, seed, zeros, scratch, out,
        stats, doubts, np.ones(doubts.shape, np.bool_),
    )  # fmt: skip
    return out, doubts > 0


@pytest.mark.parametrize("kind", [spec.Single, spec.Double])
@pytest.mark.parametrize("name", ["e2m1fn", "e4m3fn", "e5m2", "e3m4", "fp16", "bf16", "tf32"])
def test_lanes_round_every_value_midpoint_and_neighbour(name: str, kind: type) -> None:
    fmt = parse_format(name)
    assert isinstance(fmt, FloatFormat)
    exponents = np.arange(fmt.min_exponent - 1, min(fmt.min_exponent + 5, 100))
    # Half quanta of a few binades, of the last and of the subnormals, and float32's neighbours.
    halves = np.arange(0, 2 ** (fmt.mantissa_bits + 2))
    largest = min(fmt.max, 2.0 ** (103 + fmt.mantissa_bits))  # M of what is larger is infinite
    last = math.frexp(largest)[1] - 1
    scales = 2.0 ** (np.append(exponents, [0, last]) - fmt.mantissa_bits - 1)
    middle = np.unique(np.multiply.outer(halves, scales)).astype(np.float32)
    middle = middle[(middle > 0) & (middle < largest)]  # a sum begins with 0: no -0 comes of one
    up, down = (np.nextafter(middle, np.float32(end)) for end in (np.inf, -np.inf))
    x = np.concatenate([middle, up, down])
    x = np.concatenate([x, -x])[:, None]
    one, acc = np.ones((1, 1), np.float32), Accumulator(name, overflow="saturate")
    assert same(forced(x, one, acc, kind), round_to(fmt, x, overflow="saturate"))
    # Where all are multiples of the finest spacing, nothing is raised to the least power of two.
    chosen = plan(acc, middle[:, None], one)
    assert chosen is not None
    whole = x[np.abs(x[:, 0]) >= fmt.min_normal]
    compiled = chosen.careful._replace(lane=kind(0), small=spec.Multiples(0))
    expected = round_to(fmt, whole, overflow="saturate")
    assert same(swept(whole, one, acc, compiled, None)[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("m", range(11))
def test_a_float32_lane_rounds_every_float32_of_a_binade(m: int) -> None:
    # One of the normal numbers, and those around and below the least of them.
    fmt = parse_format(f"e5m{m}")
    assert isinstance(fmt, FloatFormat)
    acc, one = Accumulator(fmt, overflow="saturate"), np.ones((1, 1), np.float32)
    fractions = np.arange(2**23, dtype=np.int32)
    for exponent in (0, *(fmt.min_exponent - down for down in (0, 1, 2, m + 1))):
        x = (fractions + ((exponent + 127) << 23)).view(np.float32)[:, None]
        for given in (x, -x):
            expected = round_to(fmt, given, overflow="saturate")
            assert same(forced(given, one, acc, spec.Single), expected)


@pytest.mark.skipif(not spec.WIDE, reason="rounds otherwise without AVX-512")
def test_with_wide_vectors_a_float32_lane_ends_at_ten_bits_of_mantissa() -> None:
    acc, one = Accumulator("e5m11", overflow="saturate"), np.ones((1, 1), np.float32)
    x = np.linspace(1, 1 + 2.0**-11, 4097, dtype=np.float32)[:, None]
    expected = round_to("e5m11", x, overflow="saturate")
    assert lane(acc, x, one) == "Double"
    assert same(forced(x, one, acc, spec.Double), expected)
    assert not same(forced(x, one, acc, spec.Single), expected)


def test_a_float32_lane_is_chosen_up_to_the_last_place_and_no_further() -> None:
    # 9 is halfway between 8 and 10 in e5m2; what decides is 24 places below its first bit.
    acc = Accumulator("e5m2")
    inside = sums_of([2.0**-16, -(2.0**-16)] * 20, [9.0 * 2.0**4] * 40)
    assert lane(acc, *inside) == "Single"
    outside = sums_of([2.0**-16, -(2.0**-16)] * 20, [9.0 * 2.0**5] * 40)
    assert lane(acc, *outside) == "Double"
    for a, b in (inside, outside):
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
    assert not same(forced(*outside, acc, spec.Single), general(*outside, acc)[0])


def test_a_float64_lane_is_chosen_up_to_the_last_place_and_no_further() -> None:
    acc = Accumulator("bf16")
    tie = 1 + 2.0**-8
    inside = sums_of([2.0**-52, -(2.0**-52)] * 20, [tie] * 40)
    assert lane(acc, *inside) == "Double"
    outside = sums_of([2.0**-53, -(2.0**-53)] * 20, [tie] * 40)
    assert lane(acc, *outside) == "Odd"
    for a, b in (inside, outside):
        assert same(matmul(a, b, acc), general(a, b, acc)[0])
    assert not same(forced(*outside, acc, spec.Double), general(*outside, acc)[0])


def test_products_of_one_bit_too_many_leave_the_float32_lane() -> None:
    # P + m = 23 > 22 in bf16: 1 + 2^-7 less 65535·2^-24 is half a unit of float32's last place
    # above the midpoint 1 + 2^-8, and float32 rounds it to the midpoint.
    acc = Accumulator("bf16")
    left = np.ones((40, 3), np.float32)
    right = np.repeat(np.array([[1.0], [2.0**-7], [-65535 * 2.0**-24]], np.float32), 40, axis=1)
    assert lane(acc, left, right) == "Double"
    assert (matmul(left, right, acc) == 1 + 2.0**-7).all()
    assert (forced(left, right, acc, spec.Single) == 1.0).all()
    right[2] = -32767 * 2.0**-23
    assert lane(acc, left, right) == "Single"
    assert same(matmul(left, right, acc), general(left, right, acc)[0])


def test_directed_rounding_needs_the_exact_sum() -> None:
    acc = Accumulator("bf16", "upward")
    a, b = sums_of([1.0] * 40, [2.0**-60] * 40)
    assert lane(acc, a, b) == "Odd"
    assert (matmul(a, b, acc) == 1 + 2.0**-7).all()
    assert (forced(a, b, acc, spec.Double) == 1.0).all()


DIRECTED = ("toward-zero", "upward", "downward")


@pytest.mark.parametrize("rounding", DIRECTED)
def test_the_processor_rounds_in_the_direction(rounding: str) -> None:
    # Terms so far apart that no float64 holds their sum, on both sides of every value.
    a, b = sums_of([1.0, -1.0, 1.0, -1.0] * 10, [2.0**-60, 2.0**-60, -(2.0**-60), -(2.0**-60)] * 10)
    acc = Accumulator("bf16", rounding)
    chosen = plan(acc, a, b)
    assert chosen is not None
    assert chosen.hasty is not None
    assert type(chosen.hasty.lane) is spec.SingleDirected
    out, doubts = swept(a, b, acc, chosen.hasty, chosen)
    assert not doubts.any()
    assert same(out, general(a, b, acc)[0])
    # Nothing is left of the direction afterwards.
    assert 1.0 + 2.0**-60 == 1.0
    assert -1.0 + 2.0**-60 == -1.0
    assert 1.0 - 2.0**-60 == 1.0


def test_stochastic_rounding_leaves_the_float32_lane_with_one_bit_too_many() -> None:
    for bits, lane_of in ((21, spec.SingleDirected), (22, spec.DoubleDirected)):
        acc = Accumulator("e5m2", "stochastic", random_bits=bits, seed=5)
        a, b = operands("e4m3")
        chosen = plan(acc, a, b)
        assert chosen is not None
        assert chosen.hasty is not None
        assert type(chosen.hasty.lane) is lane_of
        assert same(matmul(a, b, acc), general(a, b, acc)[0])


@pytest.mark.parametrize("name", ["e5m20", "e5m21", "e8m22"])
def test_wide_significands_leave_no_room_for_a_random_bit(name: str) -> None:
    acc = Accumulator(name, "stochastic", random_bits=1, seed=3)
    a, b = operands("e4m3")
    a, b = a * np.float32(1 + 2.0**-19), b * np.float32(1 - 2.0**-20)
    assert same(matmul(a, b, acc), general(a, b, acc)[0])


def test_28_random_bits_do_not_move_an_exact_sum() -> None:
    # The draw of output (69, 137) at step 392 is 2^28 - 3, which 24 bits round up.
    a, b = np.zeros((70, 393), np.float32), np.zeros((393, 138), np.float32)
    for acc, value in (
        (Accumulator("e5m2ftz", "stochastic", random_bits=28), 1.0),
        (Accumulator("e5m2", "stochastic", product="e5m2", random_bits=28), 1.0),
        (Accumulator("e5m2", "stochastic", overflow="saturate", random_bits=28), 128.0),
    ):
        a[:, 392], b[392] = value, value
        assert matmul(a, b, acc)[69, 137] == value * value


def test_binary32_is_its_own_lane() -> None:
    acc = Accumulator("fp32")
    a, b = operands("wide")
    chosen = plan(acc, a, b)
    assert chosen is not None
    assert type(chosen.careful.rounding) is spec.Native
    a, b = a * np.float32(2.0**90), b * np.float32(2.0**17)  # sums overflow, some to NaN
    found = matmul(a, b, acc)
    assert np.isinf(found).any()
    assert same(found, general(a, b, acc)[0])


@pytest.mark.parametrize("overflow", ["inf", "saturate"])
def test_a_block_that_may_have_overflowed_is_doubted(overflow: str) -> None:
    # The sum climbs to 448, the largest e4m3fn, and comes back, within a block and across two.
    acc = Accumulator("e4m3fn", overflow=overflow)
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
        limited = replace(chosen, block=block, limit=_limit(fmt, fmt.max, 2000.0, block))
        expected = general(a, b, acc)[0]
        out, doubts = swept(a, b, acc, chosen.hasty, limited)
        assert doubts.all() if overflows else not doubts.any()
        assert same(out, expected) is not overflows
        careless = replace(limited, limit=fmt.max)
        assert not swept(a, b, acc, chosen.hasty, careless)[1].any()


@pytest.mark.parametrize("rounding", ["nearest-even", *DIRECTED])
def test_zeros_have_their_sign(rounding: str) -> None:
    acc = Accumulator("e4m3fn", rounding, overflow="saturate")
    tiny = 2.0**-14
    last = [tiny, -tiny, tiny, -tiny, 0.0, -0.0, 1.0, -1.0]
    before = [0.0, 0.0, -tiny, tiny, -tiny, tiny, -1.0, 1.0]
    a = np.stack([np.zeros(8), np.array(before), np.array(last)], axis=1).astype(np.float32)
    a = np.tile(a, (5, 1))
    b = np.ones((3, 40), np.float32)
    assert same(matmul(a, b, acc), general(a, b, acc)[0])
    assert same(matmul(-a, b, acc), general(-a, b, acc)[0])
    assert same(
        matmul_at(a, b, np.arange(40), np.arange(40), acc),
        np.diag(general(a, b, acc)[0]),
    )


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


def test_products_are_multiples_of_their_lowest_bit() -> None:
    rng = np.random.default_rng(19)
    for _ in range(100):
        a, b = (
            np.ldexp(rng.integers(-9, 10, shape), rng.integers(-60, 60, shape)).astype(np.float32)
            for shape in ((3, 4), (4, 2))
        )
        left, right = span(a), span(b)
        assert left is not None
        assert right is not None
        lowest = lowest_product(a, b, left, right)
        products_of_k = np.ldexp(a.T.astype(np.float64)[:, :, None] * b[:, None, :], -lowest)
        assert (products_of_k == np.rint(products_of_k)).all()
        assert lowest_product(a * 0, b, left, right) > 200  # there is no product but zero


def test_small_operands_that_do_not_meet_need_no_odd_lane() -> None:
    acc = Accumulator("bf16")
    rng = np.random.default_rng(23)
    a, b = (round_to("bf16", rng.standard_normal(s).astype(np.float32)) for s in ((40, 9), (9, 40)))
    small = (1 + 2.0**-7) * 2.0**-20
    a[3, 5], b[6, 7] = small, small
    assert lane(acc, a, b) == "Double"
    assert same(matmul(a, b, acc), general(a, b, acc)[0])
    b[5, 7] = small  # meets a[3, 5]
    assert lane(acc, a, b) == "Odd"
    assert same(matmul(a, b, acc), general(a, b, acc)[0])


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e2m1fn", "e4m7b10ftz", "bf16", "int8"])
def test_a_span_within_a_format_holds_only_its_values(name: str) -> None:
    fmt = parse_format(name)
    rng = np.random.default_rng(17)
    surely = 0
    for _ in range(300):
        x = np.ldexp(rng.integers(-20, 21, 3), rng.integers(-20, 9)).astype(np.float32)
        found = span(x)
        assert found is not None
        held = bool((round_to(fmt, x, overflow="saturate") == x).all())
        surely += found.within(fmt)
        assert held or not found.within(fmt)
    assert surely > 0
    values = np.asarray(round_to(fmt, rng.standard_normal(999), overflow="saturate"), np.float32)
    all_of_them = span(values)
    assert all_of_them is not None
    assert all_of_them.within(fmt)


def test_threads_must_be_a_number() -> None:
    with pytest.raises(ValueError, match=r"^threads is 0, expected an integer of at least 1$"):
        matmul(np.ones((2, 2)), np.ones((2, 2)), Accumulator("fp16"), threads=0)
