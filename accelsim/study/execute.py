"""How points are computed: the interface of an executor, and the simplest one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from accelsim.energy import Estimator
from accelsim.networks import Workload
from accelsim.study.work import Batch, Bench, Group, Outcome, Point

SECONDS_A_BATCH = 0.2
"""What is lost at most when a process is killed, but for points that take longer than this."""
MAX_BATCH = 64


@dataclass(frozen=True)
class Setup:
    """What every process needs once, before it is given points."""

    workloads: tuple[Workload, ...]
    tables: tuple[Estimator, ...]

    def bench(self) -> Bench:
        """Return a place to compute points."""
        return Bench(self.workloads, self.tables)


Outcomes = Generator[list[Outcome], None, None]


class Executor(Protocol):
    """Maps points to results as they complete, in any order."""

    def __call__(
        self, setup: Setup, groups: Sequence[Group], point: Callable[[int], Point]
    ) -> Outcomes:
        """Yield an outcome for every point of `groups` once; `point` makes one of its number.

        Closing the iterator stops what is still under way.
        """


class Pace:
    """How many points make a batch: as many as take a fifth of a second by those before."""

    def __init__(self) -> None:
        self.size = 1

    def saw(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from a batch."""
        slowest = max(outcome.seconds for outcome in outcomes)
        fits = int(SECONDS_A_BATCH / slowest) if slowest > 0 else MAX_BATCH
        self.size = max(1, min(2 * self.size, fits, MAX_BATCH))


def in_this_process(
    setup: Setup, groups: Sequence[Group], point: Callable[[int], Point]
) -> Outcomes:
    """Compute every point here, one after the other: the executor that needs nothing."""
    bench, pace = setup.bench(), Pace()
    for group in groups:
        at = 0
        while at < len(group.points):
            chosen = group.points[at : at + pace.size]
            at += len(chosen)
            points = tuple(point(index) for index in chosen)
            outcomes = bench.do(Batch(group.workload, group.policy, points))
            pace.saw(outcomes)
            yield outcomes
