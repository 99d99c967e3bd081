"""Lanes are right up to the limit of the rule that chooses them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from cases import same
from tiles import (
    COMMON,
    DIRECTED,
    forced,
    general,
    lane,
    operands,
    sums_of,
    swept,
)

from accelsim.numerics import (
    Accumulator,
    lanes,
    matmul,
    matmul_at,
    round_to,
)
from accelsim.numerics.formats import FloatFormat, parse_format
from accelsim.numerics.kernels import spec
from accelsim.numerics.lanes import plan
from accelsim.numerics.spans import glance, lowest_product, outline, span


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


TINY = 2.0**-14
ZEROS = list(itertools.product((0.0, -0.0, TINY, -TINY, 1.0, -1.0), repeat=2))


@pytest.mark.parametrize("rounding", ["nearest-even", *DIRECTED])
def test_zeros_have_their_sign(rounding: str) -> None:
    acc = Accumulator("e4m3fn", rounding, overflow="saturate")
    b, every = np.ones((3, 40), np.float32), np.arange(40)
    hasty = 0
    for before, last in ZEROS:
        # All of a tile are alike: if one is computed again, so are the others.
        a = np.tile(np.array([0.0, before, last], np.float32), (40, 1))
        expected = general(a, b, acc)[0]
        assert same(matmul(a, b, acc), expected), (before, last)
        assert same(matmul_at(a, b, every, every, acc), np.diag(expected)), (before, last)
        chosen = plan(acc, a, b)
        assert chosen is not None
        if chosen.hasty is not None:
            found, doubts = swept(a, b, acc, chosen.hasty, chosen)
            hasty += not doubts.any()
            assert doubts.all() or same(found, expected), (before, last)
    assert hasty > 20


@pytest.mark.parametrize("rounding", ["nearest-even", "upward"])
def test_one_zero_without_a_sign_is_enough_to_compute_its_tile_again(rounding: str) -> None:
    acc = Accumulator("e4m3fn", rounding, overflow="saturate")
    b = np.ones((3, 75), np.float32)
    a = np.tile(np.array([0.0, -TINY, 1.0], np.float32), (19, 1))
    for column in range(75):
        of_column = b.copy()
        of_column[2, column] = -0.0  # after what underflowed from below
        assert np.signbit(matmul(a, of_column, acc)[:, column]).all(), column
    for row in range(19):
        of_row = a.copy()
        of_row[row, 2] = -0.0
        assert np.signbit(matmul(of_row, b, acc)[row]).all(), row


# A sum, and the operands that leave 2^-153, 2^-155, 2^-160 or less of it, of one sign or the other.
BARELY_CANCELLED = (
    (2.0**-133, -(2.0**20 + 1.0) * 2.0**-80, 2.0**-73),
    (2.0**-133, -(2.0**22 + 1.0) * 2.0**-80, 2.0**-75),
    (2.0**-146, -(2.0**14 + 1.0) * 2.0**-80, 2.0**-80),
    (2.0**-149, -(2.0**11 + 1.0) * 2.0**-80, 2.0**-80),
    (2.0**-149, -(2.0**12 - 1.0) * 2.0**-81, 2.0**-80),
)


@pytest.mark.parametrize("name", ["bf16", "e8m20", "fp32"])
@pytest.mark.parametrize("rounding", ["nearest-even", *DIRECTED, "stochastic"])
def test_a_last_sum_too_small_for_its_lane_has_its_sign(name: str, rounding: str) -> None:
    acc = Accumulator(name, rounding, overflow="saturate", random_bits=3)
    b = np.zeros((2, 40), np.float32)
    for total, x, y in BARELY_CANCELLED:
        b[0], b[1] = total * 2.0**73, y
        for sign in (1.0, -1.0):
            a = np.tile(np.array([sign * 2.0**-73, sign * x], np.float32), (40, 1))
            assert same(matmul(a, b, acc), general(a, b, acc)[0]), (total, x, sign)


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


def test_an_outline_leads_to_the_plan_of_the_spans_where_it_is_sure() -> None:
    rng = np.random.default_rng(31)
    accumulators = [acc for acc, _ in COMMON]
    sure = 0
    for _ in range(400):
        acc = accumulators[rng.integers(len(accumulators))]
        a, b = (
            np.ldexp(rng.integers(-9, 10, shape), rng.integers(-9, 4, shape)).astype(np.float32)
            for shape in ((9, 4), (4, 7))
        )
        flags = [bool(flag) for flag in rng.integers(0, 2, 3)]
        rough, sharp = [outline(seen) for seen in glance(a, b)], (span(a), span(b))
        for quick, found in zip(rough, sharp, strict=True):
            assert quick is not None
            assert found is not None
            assert quick.lowest <= found.lowest <= quick.at_best.lowest
            assert found == quick._replace(lowest=found.lowest)
        chosen, is_sure = lanes._at_first_glance(acc, *glance(a, b), *flags)
        assert not is_sure or chosen == lanes._chosen(acc, *sharp, *flags)
        sure += is_sure
    assert 0 < sure < 400


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
