"""The Pareto front, against its definition."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.study import pareto_front


def by_definition(losses: NDArray[np.float64]) -> list[bool]:
    """No other row is nowhere larger and somewhere smaller."""
    return [
        not any((other <= row).all() and (other < row).any() for other in losses) for row in losses
    ]


values = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, math.inf, -math.inf, math.nan])


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(values, min_size=n, max_size=n))))
def test_the_front_is_what_no_row_beats(rows: list[list[float]]) -> None:
    losses = np.array(rows, np.float64).reshape(len(rows), -1 if rows else 1)
    assert pareto_front(losses).tolist() == by_definition(losses)


def test_every_small_table_has_the_front_of_its_definition() -> None:
    for rows in itertools.product(itertools.product((0, 1, 2), repeat=2), repeat=3):
        losses = np.array(rows, np.float64)
        assert pareto_front(losses).tolist() == by_definition(losses)


def test_memory_grows_with_the_front_and_not_with_the_square_of_the_rows() -> None:
    losses = np.random.default_rng(0).random((10_000, 3))
    tracemalloc.start()
    front = pareto_front(losses)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 10 < front.sum() < 1000
    assert peak < 20e6


def test_a_table_has_two_dimensions() -> None:
    with pytest.raises(ValueError, match="expected \\(points, objectives\\)"):
        pareto_front([1.0, 2.0])
