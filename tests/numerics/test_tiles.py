"""The tile kernels equal the general one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import same
from tiles import (
    COMMON,
    F32,
    RARE,
    SHAPE,
    each,
    general,
    operands,
)

from accelsim.numerics import (
    Accumulator,
    matmul,
    matmul_at,
    matmul_sums,
    matmul_watched,
    some,
)
from accelsim.numerics.lanes import plan
from accelsim.numerics.orders import accumulate_exact


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


def test_threads_must_be_a_number() -> None:
    with pytest.raises(ValueError, match=r"^threads is 0, expected an integer of at least 1$"):
        matmul(np.ones((2, 2)), np.ones((2, 2)), Accumulator("fp16"), threads=0)
