"""Points on all cores: processes that are each given a batch, and what to do if one dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import parent_process
from multiprocessing.reduction import ForkingPickler

from accelsim.energy import EnergyTable
from accelsim.errors import AccelsimError
from accelsim.study.execute import Executor, Outcomes, Pace, Setup
from accelsim.study.work import Batch, Group, Outcome, Point

MAX_DEATHS = 2
"""A point that was alone in a process when it died, this often, is not tried again."""
MAX_STILLBORN = 3
"""So many processes in a row that end before they begin, and no more are started."""
_THREADS = (
    "ACCELSIM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(jobs: int) -> Executor:
    """Return the executor that keeps `jobs` processes busy, the cores divided among them.

    A process that dies is replaced. What it was doing is done again point by point, and a point
    that was alone in two processes that died has failed.
    """

    def run(setup: Setup, groups: Sequence[Group], point: Callable[[int], Point]) -> Outcomes:
        _check_sendable(setup)
        with contextlib.closing(_Pool(jobs, setup, groups, point)) as pool:
            yield from pool.run()

    return run


def _check_sendable(setup: Setup) -> None:
    """Raise AccelsimError for an estimator that cannot go to another process."""
    for table in setup.tables:
        if isinstance(table, EnergyTable):
            continue
        try:
            ForkingPickler.dumps(table)
        except Exception as error:
            raise AccelsimError(
                f"energy table {table.name} cannot go to other processes ({error}): its class must"
                " be at the top of a module, or use one job (jobs=1)"
            ) from None


def _work(connection: Connection) -> None:
    """Say that it is there, take what all points need, and do batches until there are no more.

    It ends as well when the process that gives them is gone.
    """
    # Where it could not be blocked from the start.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        connection.send(None)
        bench = connection.recv().bench()
        while (batch := connection.recv()) is not None:
            connection.send(bench.do(batch))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Worker:
    """One process, what it is doing, and the points that it takes next."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_work, args=(theirs,), daemon=True, name="accelsim-worker"
        )
        with _environment(dict.fromkeys(_THREADS, str(threads))), _without_interrupts():
            self.process.start()
        theirs.close()
        self.begun = False
        self.batch: Batch | None = None
        self.queue: _Queue | None = None

    def stop(self) -> int:
        """End the process now, and return its exit code."""
        self.connection.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        return self.process.exitcode or 0


class _Queue:
    """Points of a group that nobody has begun: those from `begin` to `end`."""

    def __init__(self, group: Group, begin: int, end: int) -> None:
        self.group = group
        self.begin = begin
        self.end = end
        self.taken = False

    def __len__(self) -> int:
        return self.end - self.begin

    def worth(self) -> tuple[bool, int]:
        """Whether it can be split without doing a simulation twice, and how much is left of it."""
        alike = self.group.alike
        return alike[self.begin] != alike[self.end - 1], len(self)

    def take(self, count: int) -> Sequence[int]:
        """Take so many points, or all that are left."""
        begin, self.begin = self.begin, min(self.begin + count, self.end)
        return self.group.points[begin : self.begin]

    def split(self) -> _Queue:
        """Part with about half of the points, so that none share a simulation with those kept.

        Where all share one, they are parted in the middle.
        """
        alike, middle = self.group.alike, (self.begin + self.end) // 2
        apart = (i for i in range(self.begin + 1, self.end) if alike[i] != alike[i - 1])
        nearest = min(apart, key=lambda i: abs(i - middle), default=middle)
        half = _Queue(self.group, nearest, self.end)
        self.end = half.begin
        return half


class _Pool:
    def __init__(
        self, jobs: int, setup: Setup, groups: Sequence[Group], point: Callable[[int], Point]
    ) -> None:
        self.setup = setup
        self.point = point
        self.queues = [_Queue(group, 0, len(group.points)) for group in groups]
        self.again: deque[Batch] = deque()
        self.missing = sum(len(group.points) for group in groups)
        self.jobs = min(jobs, self.missing)
        self.threads = max(1, cores() // max(1, self.jobs))
        self.workers: list[_Worker] = []
        self.deaths: dict[int, int] = {}
        self.stillborn = 0
        self.born = 0
        self.pace = Pace()

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.stop()
        self.workers = []

    def run(self) -> Iterator[list[Outcome]]:
        """Yield outcomes until none is missing."""
        while self.missing:
            while len(self.workers) < min(self.jobs, self.missing):
                self.workers.append(_Worker(self.threads))
            by_handle = {worker.connection: worker for worker in self.workers}
            for worker in list(self.workers):
                if worker.begun and worker.batch is None:
                    self._feed(worker)
            for handle in wait([worker.connection for worker in self.workers]):
                outcomes = self._hear(by_handle[handle])  # type: ignore[index]
                self.missing -= len(outcomes)
                if outcomes:
                    yield outcomes

    def _feed(self, worker: _Worker) -> None:
        """Give a worker something to do, if there is something that nobody has begun."""
        worker.batch = self._next(worker)
        if worker.batch is not None:
            # If the process is gone, its end of the connection tells so when it is next heard.
            with contextlib.suppress(OSError):
                worker.connection.send(worker.batch)

    def _hear(self, worker: _Worker) -> list[Outcome]:
        """Take what a worker sent: that it is there, outcomes, or its end."""
        try:
            outcomes: list[Outcome] | None = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if not worker.begun:
            # Not when it is started: a process that ends before it reads all of this would leave
            # the one that starts it waiting forever.
            with contextlib.suppress(OSError):
                worker.connection.send(self.setup)
            self.born += 1
            self.stillborn = 0
        worker.begun, worker.batch = True, None
        if outcomes:
            self.pace.saw(outcomes)
        return outcomes or []

    def _bury(self, worker: _Worker) -> list[Outcome]:
        """Have done again what a dead process was doing, unless it is what kills processes."""
        self.workers.remove(worker)
        code, batch = worker.stop(), worker.batch
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        if not worker.begun:
            self.stillborn += 1
            if self.stillborn == MAX_STILLBORN:
                raise AccelsimError(f"processes end when they begin ({how}): {self._why()}")
        if batch is None:
            return []
        if len(batch.points) > 1:
            self.again += [Batch(batch.workload, batch.policy, (p,)) for p in batch.points]
            return []
        index = batch.points[0].index
        self.deaths[index] = self.deaths.get(index, 0) + 1
        if self.deaths[index] == MAX_DEATHS:
            return [Outcome(index, error=f"its process died {MAX_DEATHS} times ({how})")]
        self.again.append(batch)
        return []

    def _why(self) -> str:
        """Say what may be wrong if processes end when they begin."""
        if self.born:  # so the script is not what is wrong
            return "what is finished is kept, and the same command does the rest, with fewer jobs"
        return (
            "a script that runs a study needs `if __name__ == '__main__':` around it, or one job"
            " (-j 1)"
        )

    def _next(self, worker: _Worker) -> Batch | None:
        """Return points that a worker has the inference of, or else of a group to itself, or else
        half of what another has before it.
        """
        if self.again:
            return self.again.popleft()
        if not worker.queue:
            self.queues = [queue for queue in self.queues if queue]
            if not self.queues:
                return None
            untouched = next((queue for queue in self.queues if not queue.taken), None)
            worker.queue = untouched or max(self.queues, key=_Queue.worth).split()
            if untouched is None:
                self.queues.append(worker.queue)
            worker.queue.taken = True
        queue = worker.queue
        points = queue.take(self.pace.size)
        made = tuple(self.point(index) for index in points)
        return Batch(queue.group.workload, queue.group.policy, made)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that are started meanwhile never be interrupted; here it happens afterwards.

    An interrupt goes to all processes of a terminal, and is for the one that gives the work.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python begins a helper of its own with the first process, and lifts the block in doing so.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
