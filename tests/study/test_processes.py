"""How points are shared out among processes; no process is started here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accelsim.policies import parse_policy
from accelsim.study.execute import Setup
from accelsim.study.processes import _Pool, _Queue
from accelsim.study.work import Group, Point

LOW = parse_policy("uniform-low")
ALIKE = st.lists(st.integers(0, 5), min_size=1, max_size=40).map(sorted)
"""The points of a group, as the machines that they are on."""


@given(ALIKE, st.data())
def test_points_of_machines_that_are_alike_are_not_parted_while_there_are_others(
    alike: list[int], data: st.DataObject
) -> None:
    queue = _Queue(Group(0, LOW, range(len(alike)), alike), 0, len(alike))
    queue.take(data.draw(st.integers(0, len(alike) - 1)))
    before = [*range(queue.begin, queue.end)]
    half = queue.split()
    kept, parted = [*queue.take(100)], [*half.take(100)]
    assert parted
    assert kept + parted == before
    if len({alike[point] for point in before}) > 1:
        assert kept
        assert not {alike[point] for point in kept} & {alike[point] for point in parted}
    else:
        assert len(kept) == len(before) // 2


def test_what_is_parted_first_are_points_of_several_machines() -> None:
    groups = [Group(0, LOW, range(8), [0] * 8), Group(1, LOW, range(8, 14), [1, 2, 3, 4, 5, 6])]
    machine: Any = None
    pool = _Pool(3, Setup((), ()), groups, lambda index: Point(index, machine, 0))
    workers: list[Any] = [SimpleNamespace(queue=None) for _ in range(3)]
    first, second, third = (pool._next(worker) for worker in workers)
    assert first is not None
    assert second is not None
    assert third is not None
    assert [batch.workload for batch in (first, second, third)] == [0, 1, 1]
    assert [point.index for point in third.points] == [11]


@given(st.lists(ALIKE, max_size=4), st.integers(1, 4), st.integers(1, 6), st.randoms())
def test_every_point_is_given_to_one_process(
    groups: list[list[int]], jobs: int, size: int, random: Any
) -> None:
    made, total = [], 0
    for workload, alike in enumerate(groups):
        made.append(Group(workload, LOW, range(total, total + len(alike)), alike))
        total += len(alike)
    machine: Any = None
    pool = _Pool(jobs, Setup((), ()), made, lambda index: Point(index, machine, 0))
    pool.pace.size = size
    workers: list[Any] = [SimpleNamespace(queue=None) for _ in range(jobs)]
    points: list[int] = []
    while workers:
        worker = random.choice(workers)
        batch = pool._next(worker)
        if batch is None:
            workers.remove(worker)
        else:
            assert 1 <= len(batch.points) <= size
            assert {*(point.index for point in batch.points)} <= {*made[batch.workload].points}
            points += [point.index for point in batch.points]
    assert sorted(points) == list(range(total))
