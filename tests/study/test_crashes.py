"""However a study ends, the same command finishes the rest: nothing is lost, nothing is twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids import POINTS, contents, folder, run

import accelsim
from accelsim.config import load_study
from accelsim.errors import AccelsimError
from accelsim.study import Batch, Bench, Outcome, Setup, in_processes, processes, read_store
from accelsim.study.engine import study
from accelsim.study.store import FILE

LONG = """\
name: grid
hardware: [tiny.yaml, plain.yaml]
workload: shapes.yaml
policy: random
sweep:
  array.rows: [1, 2, 3, 4, 5, 6]
  policy.rate: {linear: [0.02, 0.4], n: 5}
"""
"""60 points, about half a second."""


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """Processes that have imported all there is to import, and so begin at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["accelsim.study", "grids"])
    return context


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What a run gives that nothing interrupts."""
    path = tmp_path_factory.mktemp("whole")
    run(folder(path, LONG))
    return contents(path / "grid")


def kept(path: Path) -> dict[bytes, tuple[Any, ...]]:
    """Return every result in a store by its key, after checking that none is there twice."""
    if not (path / FILE).exists():
        return {}
    read_store(path).close()
    connection = sqlite3.connect(path / FILE)
    rows = connection.execute("SELECT key, row, detail, error, seconds FROM results").fetchall()
    connection.close()
    found = {key: tuple(rest) for key, *rest in rows}
    assert len(found) == len(rows)
    return found


def kill_at(server: ForkServerContext, file: Path, seconds: float, jobs: int = 1) -> None:
    process = server.Process(target=study, args=(file,), kwargs={"jobs": jobs})
    process.start()
    time.sleep(seconds)
    assert process.pid is not None
    process.kill()
    process.join()


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 200))]
)
def test_what_was_kept_before_a_kill_is_kept_and_the_rest_is_done(
    tmp_path: Path, server: ForkServerContext, whole: list[tuple[Any, ...]], seed: int
) -> None:
    file = folder(tmp_path, LONG)
    generator = np.random.default_rng(seed)
    before: dict[bytes, tuple[Any, ...]] = {}
    for moment in generator.uniform(0.0, 0.5, 2):
        kill_at(server, file, moment)
        now = kept(tmp_path / "grid")
        assert now.items() >= before.items()
        before = now
    run(file)
    after = kept(tmp_path / "grid")
    assert after.items() >= before.items()
    assert len(after) == len(whole)
    assert contents(tmp_path / "grid") == whole


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))]
)
def test_a_kill_among_many_processes_leaves_no_process_and_loses_nothing(
    tmp_path: Path, server: ForkServerContext, whole: list[tuple[Any, ...]], seed: int
) -> None:
    file = folder(tmp_path, LONG)
    kill_at(server, file, np.random.default_rng(seed).uniform(1.0, 4.0), jobs=2)
    before = kept(tmp_path / "grid")
    run(file)  # which could not have the lock if a process of the one before were still there
    assert kept(tmp_path / "grid").items() >= before.items()
    assert contents(tmp_path / "grid") == whole


def test_workers_that_are_killed_are_replaced_and_their_points_are_done_again(
    tmp_path: Path, whole: list[tuple[Any, ...]]
) -> None:
    class Killer:
        """Kills a worker at every twentieth point."""

        seen = 0

        def planned(self, *_: Any) -> None: ...

        def ended(self, *_: Any) -> None: ...

        def finished(self, *_: Any) -> None:
            self.seen += 1
            workers = multiprocessing.active_children()
            if self.seen % 20 == 0 and self.seen < 60 and workers:
                os.kill(workers[self.seen // 20 % len(workers)].pid or 0, signal.SIGKILL)

    killer = Killer()
    accelsim.study(folder(tmp_path, LONG), jobs=2, watch=killer)
    assert killer.seen == len(whole)
    assert contents(tmp_path / "grid") == whole
    assert multiprocessing.active_children() == []


class _Deadly(Bench):
    """A bench on which one point ends the process."""

    def do(self, batch: Batch) -> list[Outcome]:
        if any(point.index == 7 for point in batch.points):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(batch)


class _DeadlySetup(Setup):
    def bench(self) -> Bench:
        return _Deadly(self.workloads, self.tables)


def test_a_point_that_ends_its_process_has_failed_and_the_others_are_done(
    tmp_path: Path,
) -> None:
    def executor(setup: Any, groups: Any, point: Any) -> Iterator[list[Outcome]]:
        return in_processes(2)(_DeadlySetup(setup.workloads, setup.tables), groups, point)

    file = folder(tmp_path)
    found = accelsim.study(file, executor=executor)  # type: ignore[arg-type]
    assert [row["point"] for row in found.failed] == [7]
    assert found.failed[0]["error"] == "its process died 2 times (signal 9)"
    assert run(file).failed != []
    assert run(file, retry=True).failed == []


def test_processes_that_cannot_begin_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_work", os._exit)
    with pytest.raises(AccelsimError, match="processes end when they begin"):
        accelsim.study(folder(tmp_path), jobs=2)


class _Births:
    """Stands for `_work`: of the processes that are started, some end at once."""

    def __init__(self, folder: Path, dead: set[int]) -> None:
        self.folder, self.dead = folder, dead

    def __call__(self, connection: Any) -> None:
        number = 0
        while True:
            try:
                (self.folder / f"start-{number}").touch(exist_ok=False)
                break
            except FileExistsError:
                number += 1
        if number in self.dead:
            os._exit(9)
        processes._work(connection)


class _Sociable(Bench):
    """Ends its process at points that are not alone."""

    def do(self, batch: Batch) -> list[Outcome]:
        if len(batch.points) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(batch)


class _FragileSetup(Setup):
    def bench(self) -> Bench:
        return _Sociable(self.workloads, self.tables)


def _fragile(setup: Any, groups: Any, point: Any) -> Iterator[list[Outcome]]:
    return in_processes(1)(_FragileSetup(setup.workloads, setup.tables), groups, point)


def test_processes_that_end_when_they_begin_are_counted_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_work", _Births(tmp_path, {0, 1, 3, 4}))
    found = accelsim.study(folder(tmp_path), executor=_fragile)  # type: ignore[arg-type]
    assert [row["status"] for row in found.rows] == ["done"] * POINTS
    assert (tmp_path / "start-5").exists()  # four of the six ended when they began


def test_processes_that_begin_no_more_are_told_without_blaming_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_work", _Births(tmp_path, {1, 2, 3}))
    with pytest.raises(AccelsimError) as caught:
        accelsim.study(folder(tmp_path), executor=_fragile)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "processes end when they begin (exit status 9): what is finished is kept, and the same"
        " command does the rest, with fewer jobs"
    )


def test_a_script_that_processes_cannot_import_is_told_so_and_does_not_wait(
    tmp_path: Path,
) -> None:
    text = LONG.replace("shapes.yaml", "digits-relu")  # more than a pipe holds
    script = f"import accelsim\naccelsim.study({str(folder(tmp_path, text))!r}, jobs=2)\n"
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "AccelsimError: processes end when they begin (exit status 1): a script that" in last
    assert kept(tmp_path / "grid") == {}


def command(file: Path, *more: str, **given: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "accelsim.cli", "study", str(file), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given,
    )  # fmt: skip


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_it_at_once_and_says_what_is_kept(
    tmp_path: Path, whole: list[tuple[Any, ...]], jobs: str
) -> None:
    file = folder(tmp_path, LONG.replace("n: 5", "n: 400"))
    process = command(file, "-j", jobs, process_group=0)
    while not kept(tmp_path / "grid"):
        assert process.poll() is None
        time.sleep(0.01)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=300)
    assert time.monotonic() - start < 15  # with all cores at other work
    assert (process.returncode, out) == (130, "")
    last = err.splitlines()[-1]
    number = len(kept(tmp_path / "grid"))
    assert 0 < number < 4800
    assert last == (
        f"interrupted; {number} of 4800 points are kept in {tmp_path / 'grid'}, and the same"
        " command does the rest"
    )


def test_no_process_is_interrupted_however_early() -> None:
    script = (
        "import os, signal\n"
        "from accelsim.study.processes import _Worker\n"
        "if __name__ == '__main__':\n"
        "    workers = [_Worker(1), _Worker(1)]\n"
        "    for worker in workers:\n"
        "        os.kill(worker.process.pid, signal.SIGINT)\n"
        "    print([worker.connection.recv() for worker in workers])\n"
        "    for worker in workers:\n"
        "        worker.stop()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[None, None]\n", "")


@pytest.mark.parametrize("after_s", [0.2, 0.8])
def test_an_interrupt_while_processes_begin_is_told_in_a_line(
    tmp_path: Path, after_s: float
) -> None:
    process = command(folder(tmp_path, LONG), "-j", "2", process_group=0)
    assert process.stderr is not None
    planned = process.stderr.readline()
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert planned.startswith("grid: ")
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted; ")


def test_two_processes_on_one_study_do_no_harm(tmp_path: Path) -> None:
    file = folder(tmp_path, LONG.replace("n: 5", "n: 400"))  # longer than it takes to begin
    first = command(file, "-j", "1")
    while not kept(tmp_path / "grid"):
        assert first.poll() is None
        time.sleep(0.01)
    second = command(file, "-j", "1")
    out, err = second.communicate(timeout=300)
    assert (second.returncode, out) == (2, "")
    said = f"process {first.pid} is working on this study; wait for it, or end it"
    assert err == f"{tmp_path / 'grid'}: {said}\n"
    before = kept(tmp_path / "grid")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=300)
    assert first.returncode == 130
    assert kept(tmp_path / "grid").items() >= before.items()


def test_results_can_be_read_while_others_are_computed(tmp_path: Path) -> None:
    seen = []

    class Reader:
        """Reads the results at every tenth point."""

        def planned(self, *_: Any) -> None: ...

        def ended(self, *_: Any) -> None: ...

        def finished(self, row: dict[str, Any], *_: Any) -> None:
            if row["point"] % 10 == 0:
                rows = accelsim.Study(tmp_path / "grid").rows
                assert rows[row["point"]] == row
                seen.append(sum(found["status"] == "done" for found in rows))

    accelsim.study(folder(tmp_path), jobs=1, watch=Reader())
    assert sorted(seen) == seen
    assert len(seen) == POINTS // 10


@pytest.mark.parametrize("kilobytes", [1, 40])
def test_a_file_that_cannot_grow_loses_nothing_that_was_kept(
    tmp_path: Path, whole: list[tuple[Any, ...]], kilobytes: int
) -> None:
    file = folder(tmp_path, LONG)
    size = kilobytes * 1024
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", f"{limited}; from accelsim.cli import main; main()"),
            *("study", str(file), "-j", "1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, "")
    assert "cannot be " in err.splitlines()[-1]
    assert "Traceback" not in err
    before = kept(tmp_path / "grid")
    assert len(before) < len(whole)
    run(file)
    assert kept(tmp_path / "grid").items() >= before.items()
    assert contents(tmp_path / "grid") == whole


def test_the_study_of_these_tests_is_long_enough_to_be_killed(tmp_path: Path) -> None:
    assert load_study(folder(tmp_path, LONG)).points == 60
