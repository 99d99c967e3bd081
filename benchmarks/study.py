"""How fast a study is: a thousand machines for one network, on one core and on two."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from accelsim.study import Study, study
from accelsim.study.plan import Plan
from accelsim.study.table import Row
from benchmarks.measure import cpu, slowdown, worth_of_two_cores

POINTS = 1_000
BUDGET_S = 60.0
LEAST_SPEEDUP = 1.6
PARTS = 5
STUDY: dict[str, Any] = {
    "name": "bench",
    "hardware": "mid-32x32",
    "workload": "digits-relu",
    "policy": "selective:tau=8",
    "sweep": {
        "array.rows": [16, 24, 32, 48, 64],
        "array.cols": [16, 24, 32, 48, 64],
        "recompute.lanes": [8, 16, 32, 64],
        "dram.bandwidth_gbytes_per_s": {"log": [4, 64], "n": 10},
    },
}


class Taken(NamedTuple):
    """What a study took: on the clock, and on all cores together, which were `slow` times as slow
    as that of the budget.
    """

    wall_s: float
    cpu_s: float
    slow: float


class Clock:
    """Notes when each point is kept, and what it took."""

    def __init__(self) -> None:
        self.kept: list[float] = []
        self.point_s: list[float] = []

    def planned(
        self, plan: Plan, todo: int, failed: int, jobs: int, folder: Path, kept: Iterable[Row]
    ) -> None:
        """Hold the study to its size."""
        assert todo == POINTS

    def finished(self, row: dict[str, Any], seconds: float) -> None:
        """Note a point."""
        assert row["status"] == "done"
        self.kept.append(time.perf_counter())
        self.point_s.append(seconds)

    def ended(self, kept: int) -> None:
        """Do nothing."""


def main() -> None:
    """Print what a thousand points take, how that grows, and what a second core is worth."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "warm", 2)  # kernels are compiled and on disk
        before = worth_of_two_cores()
        two, both, _ = run(Path(folder) / "two", 2)
        one, alone, clock = run(Path(folder) / "one", 1)
        worth = (before + worth_of_two_cores()) / 2
        assert [*map(str, alone.rows)] == [*map(str, both.rows)]
        start = time.process_time()
        study(STUDY, jobs=2, out=Path(folder) / "two")
        again = time.process_time() - start
        size = (Path(folder) / "two" / "results.sqlite").stat().st_size
    print(f"{POINTS} machines, digits-relu, selective:tau=8; {cpu()}")
    for jobs, taken in ((1, one), (2, two)):
        print(
            f"-j {jobs}: {taken.wall_s:.1f} s on the clock, {taken.cpu_s:.1f} s of a core that is"
            f" {taken.slow:.1f} times as slow as that of the budget"
        )
    # Other work on the machine takes from the second core: bare SimPy says how much is left.
    gain, least = one.wall_s / two.wall_s, LEAST_SPEEDUP * worth / 2
    print(
        f"two cores: {gain:.2f} times as fast on the clock, where two processes of bare SimPy do"
        f" {worth:.2f} times what one does; to reach: {least:.2f}, which is {LEAST_SPEEDUP} of 2"
    )
    print(f"all of it again, which is done: {again:.2f} s; the store has {size / POINTS:.0f} B")
    _growth(clock)
    there = two.wall_s / two.slow
    print(
        f"on two cores as fast as that of the budget, which is {BUDGET_S:g} s: {there:.1f} s; on"
        f" one: {one.wall_s / one.slow:.1f} s"
    )
    assert there < BUDGET_S, f"the budget is {BUDGET_S} s"
    assert gain > least, f"to reach: {least:.2f}"


def run(folder: Path, jobs: int) -> tuple[Taken, Study, Clock]:
    """Run the study into an empty folder."""
    clock, slow = Clock(), slowdown()
    before, start = _cpu_s(), time.perf_counter()
    found = study(STUDY, jobs=jobs, out=folder, watch=clock)
    wall_s, cpu_s = time.perf_counter() - start, _cpu_s() - before
    return Taken(wall_s, cpu_s, (slow + slowdown()) / 2), found, clock


def _growth(clock: Clock) -> None:
    """Print what all but computing costs a point, early and late in the study."""
    size = POINTS // PARTS
    gaps = [b - a for a, b in zip(clock.kept, clock.kept[1:], strict=False)]
    overhead = []
    for part in range(PARTS):
        chosen = slice(part * size, (part + 1) * size)
        rest = sum(gaps[chosen]) - sum(clock.point_s[1:][chosen])
        overhead.append(rest / len(gaps[chosen]) * 1e3)
    text = ", ".join(f"{value:.2f}" for value in overhead)
    print(f"beside computing it, a point costs {text} ms, fifth by fifth of the study")
    assert overhead[-1] < 2 * statistics.median(overhead) + 1.0


def _cpu_s() -> float:
    """Return the time on cores of this process and of those that it has waited for."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()
