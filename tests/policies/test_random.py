"""Outputs drawn by lot: how many, which, and in which clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.numerics.shuffle import shuffled
from accelsim.policies import LayerView, Random, parse_policy
from accelsim.policies.cluster import Cluster
from accelsim.trace import Mask

SIDES = st.one_of(st.none(), st.integers(1, 9))


def draw(text: str, m: int, n: int) -> Mask:
    policy = parse_policy(text)
    assert isinstance(policy, Random)
    return policy.select(LayerView(0, m, 3, n))


def by_definition(m: int, n: int, rate: float, seed: int, cluster: Cluster) -> Mask:
    """Take rectangles in the order of a permutation, output by output."""
    rows, columns = cluster.rows or m, cluster.columns or n
    corners = [(i, j) for i in range(0, m, rows) for j in range(0, n, columns)]
    generator = np.random.Generator(np.random.PCG64([seed, 0]))
    mask, left = np.zeros((m, n), np.bool_), round(rate * m * n)
    for place in generator.permutation(len(corners)):
        top, start = corners[place]
        for i in range(top, min(top + rows, m)):
            for j in range(start, min(start + columns, n)):
                mask[i, j] = left > 0
                left -= 1
    return mask


@given(
    m=st.integers(1, 20),
    n=st.integers(1, 20),
    rate=st.floats(0, 1),
    seed=st.integers(0, 9),
    cluster=st.builds(Cluster, SIDES, SIDES),
)
def test_clusters_are_taken_in_a_random_order_until_the_rate_is_met(
    m: int, n: int, rate: float, seed: int, cluster: Cluster
) -> None:
    mask = Random(rate=rate, seed=seed, cluster=cluster).select(LayerView(0, m, 3, n))
    assert np.count_nonzero(mask) == round(rate * m * n)
    np.testing.assert_array_equal(mask, by_definition(m, n, rate, seed, cluster))


def test_clusters_of_one_are_the_same_outputs_as_no_clusters() -> None:
    np.testing.assert_array_equal(
        draw("random:rate=0.3,seed=5", 40, 50), draw("random:rate=0.3,seed=5,cluster=1x1", 40, 50)
    )
    chosen = np.random.Generator(np.random.PCG64([5, 0])).permutation(2000)[:600]
    assert set(np.flatnonzero(draw("random:rate=0.3,seed=5", 40, 50))) == set(chosen)


def test_stars_are_whole_rows_and_columns() -> None:
    rows, columns = draw("random:rate=0.2,cluster=1x*", 10, 30), draw("random:cluster=*x1", 10, 30)
    assert (rows.all(axis=1) == rows.any(axis=1)).all()
    assert rows.any(axis=1).sum() == 2
    assert (columns.all(axis=0) == columns.any(axis=0)).all()
    assert columns.any(axis=0).sum() == 3


def test_the_last_cluster_may_be_flagged_in_part() -> None:
    mask = draw("random:rate=0.16,cluster=8x1", 16, 25)
    blocks = mask.reshape(2, 8, 25).sum(axis=1)
    assert sorted(set(blocks.ravel().tolist())) == [0, 8]
    blocks = draw("random:rate=0.17,cluster=8x1", 16, 25).reshape(2, 8, 25).sum(axis=1)
    assert sorted(set(blocks.ravel().tolist())) == [0, 4, 8]


@pytest.mark.parametrize(
    ("text", "sides"), [("8x1", (8, 1)), ("*x2", (None, 2)), ("1x*", (1, None))]
)
def test_a_cluster_prints_itself(text: str, sides: tuple[int | None, int | None]) -> None:
    assert Cluster.parse(text) == Cluster(*sides)
    assert str(Cluster(*sides)) == text


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 31, 1000, 65_537, 150_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_is_that_of_numpy(number: int, seed: int) -> None:
    order = np.arange(number, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed)).shuffle(order)
    found = shuffled(number, np.random.Generator(np.random.PCG64(seed)))
    assert np.array_equal(found, order)
    assert found.dtype == order.dtype
