"""Run a study: plan it, compute what is missing, and keep every result as it comes."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from accelsim.config import Bounds, StudyFile, load_energy_table, load_study
from accelsim.config.shipped import KINDS, shipped_folder
from accelsim.config.tables import KEY
from accelsim.energy import EnergyTable, IdentifiedEstimator
from accelsim.errors import AccelsimError
from accelsim.files import check_own, make_folder, write_own
from accelsim.machine import Hardware
from accelsim.study.execute import Executor, Setup, in_this_process
from accelsim.study.keys import versions
from accelsim.study.plan import Plan, check_estimators, estimator_key, folder_of, make_plan
from accelsim.study.processes import cores, in_processes
from accelsim.study.results import Study
from accelsim.study.store import FILE, Result, Store, open_store, read_store
from accelsim.study.table import Row, as_row, check_wanted, counted, duration, to_csv

CSV = "results.csv"
TABLES = "energy_tables"
"""Where the whole of every table is kept: a user's file may change, or go."""


class Watch(Protocol):
    """Is told how a study goes, and may show it."""

    def planned(
        self, plan: Plan, todo: int, failed: int, jobs: int, folder: Path, kept: Iterable[Row]
    ) -> None:
        """`todo` points are to be computed; `failed` ones are not tried again.

        `kept` are the points that are done; they are read when, and only if, one asks for them.
        """

    def finished(self, row: Row, seconds: float) -> None:
        """A point was kept that took `seconds` of one core."""

    def ended(self, kept: int) -> None:
        """Nothing more comes; `kept` of all points are, whether or not they were done now."""


class Unwatched:
    """Shows nothing."""

    def planned(
        self, plan: Plan, todo: int, failed: int, jobs: int, folder: Path, kept: Iterable[Row]
    ) -> None:
        """Show nothing."""

    def finished(self, row: Row, seconds: float) -> None:
        """Show nothing."""

    def ended(self, kept: int) -> None:
        """Show nothing."""


def study(
    source: str | Path | Mapping[str, Any],
    *,
    jobs: int | None = None,
    out: str | Path | None = None,
    retry: bool = False,
    watch: Watch | None = None,
    executor: Executor | None = None,
    energy_tables: Sequence[EnergyTable | IdentifiedEstimator] = (),
) -> Study:
    """Run what is missing of a study (a file, or a mapping with its keys), and return its results.

    Results are kept in `out`, by default a folder beside the file, called after the study's name.
    `jobs` processes work at once, by default one a core; with `retry`, points that failed are
    tried again. `executor` computes points elsewhere. With `energy_tables`, every point is charged
    by each of these objects in place of what machines name. Raises InputError or AccelsimError.
    """
    if jobs is not None and (type(jobs) is not int or jobs < 1):
        raise AccelsimError(f"jobs: got {jobs!r}, expected an integer of at least 1")
    described = load_study(source)
    folder = folder_of(described) if out is None else Path(out)
    swept = _swept(described)
    check_estimators(energy_tables, [*swept])
    swept |= {KEY: False} if energy_tables else {}
    check_wanted(described.wanted, swept)
    plan = make_plan(described, energy_tables)
    make_folder(folder)
    check_own(folder / CSV)
    store = open_store(folder, described.name)
    watch = watch or Unwatched()
    try:
        store.set_points(_meta(plan, [*swept]), ((k, plan.describe(i)) for i, k in _keys(plan)))
        states = store.states()
        failed = sum(states.get(key, False) for key in plan.keys)
        todo = [i for i, key in _keys(plan) if key not in states or (retry and states[key])]
        jobs = min(jobs or cores(), max(1, len(todo)))
        kept = (as_row(r, described.constraints) for r in store.results() if r.row is not None)
        watch.planned(plan, len(todo), 0 if retry else failed, jobs, folder, kept)
        if executor is None:
            executor = in_this_process if jobs == 1 else in_processes(jobs)
        try:
            _compute(plan, todo, store, executor, watch)
        finally:
            states = store.states()
            watch.ended(sum(key in states for key in plan.keys))
        rows = [as_row(result, described.constraints) for result in store.results()]
        write_own(folder / CSV, to_csv(rows))
    finally:
        store.close()
    return Study(folder)


def check_study(described: StudyFile) -> None:
    """Raise InputError unless what a study file asks of results is what results have."""
    check_wanted(described.wanted, _swept(described))


def count_points(source: str | Path, out: str | Path | None = None) -> str:
    """Say how many points a study has, how many of them are done, and about how long the rest
    takes, by those that are kept. Writes nothing.
    """
    described = load_study(source)
    check_wanted(described.wanted, _swept(described))
    plan = make_plan(described)
    folder = folder_of(described) if out is None else Path(out)
    done = failed = 0
    taken: list[float] = []
    if (folder / FILE).exists():
        store = read_store(folder)
        try:
            states = store.states()
            taken = [one.seconds for one in store.results() if one.row and one.seconds]
        finally:
            store.close()
        known = [states[key] for key in plan.keys if key in states]
        failed, done = sum(known), len(known) - sum(known)
    todo = len(plan) - done - failed
    return (
        f"{described.name}: {counted(len(plan))}, {done} done, {failed} failed,"
        f" {todo} to do, in {folder}{_time_left(todo, taken)}"
    )


def _time_left(todo: int, taken: Sequence[float]) -> str:
    """Say about how long points take, by what others took."""
    if not todo:
        return ""
    if not taken:
        return "; how long that takes is said once some are done"
    left = duration(todo * math.fsum(taken) / len(taken))
    return f"; about {left} of one process, and inferences, by {counted(len(taken))} that are kept"


def results_folder(where: Path) -> Path:
    """Return the folder with the results of a study: `where`, or the one beside its file."""
    return where if where.is_dir() or not where.is_file() else folder_of(load_study(where))


def _keys(plan: Plan) -> enumerate[bytes]:
    return enumerate(plan.keys)


def _compute(plan: Plan, todo: list[int], store: Store, executor: Executor, watch: Watch) -> None:
    """Compute points, and keep each batch before it is told of."""
    setup = Setup(plan.study.workloads, tuple(plan.tables))
    with contextlib.closing(executor(setup, plan.groups(todo), plan.point)) as batches:
        for outcomes in batches:
            store.add([(plan.keys[outcome.index], outcome) for outcome in outcomes])
            for outcome in outcomes:
                known = Result(
                    outcome.index,
                    plan.describe(outcome.index),
                    outcome.row,
                    outcome.error,
                    outcome.seconds,
                )
                watch.finished(as_row(known, plan.study.constraints), outcome.seconds)


def table_digest(table: EnergyTable | IdentifiedEstimator) -> str:
    """Return the SHA-256 of all that an energy table says, or of what tells an estimator."""
    if isinstance(table, EnergyTable):
        return hashlib.sha256(table.model_dump_json().encode("utf-8")).hexdigest()
    return estimator_key(table).hex()


def _swept(described: StudyFile) -> dict[str, bool]:
    """Return every key that is set for some point, in order, and whether it is ever a number."""
    keys: dict[str, bool] = {}
    for grid in described.grids:
        settings = [one.settings for one in grid.machines] + [one.settings for one in grid.policies]
        for key, value in itertools.chain.from_iterable(settings):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            keys[key] = keys.get(key, False) or number
    return keys


def _with_table_name(entry: tuple[str, Hardware]) -> tuple[str, Hardware]:
    """Return a machine that names its energy table as results do: a file may be anywhere."""
    name, machine = entry
    table = load_energy_table(machine.energy_table).name
    return name, machine.model_copy(update={"energy_table": table})


def _file_name(described: StudyFile, path: Path) -> str:
    """Return a file's path from the study's folder, wherever one stands; or what ships it."""
    for kind in KINDS:
        if path.parent == shipped_folder(kind):
            return f"accelsim:{kind}/{path.name}"
    beside = Path() if described.path is None else described.path.parent
    return Path(os.path.relpath(path, beside)).as_posix()


def _meta(plan: Plan, swept: list[str]) -> dict[str, Any]:
    """Return what a reader of the results needs to know of the study."""
    described = plan.study
    bounds: dict[str, Bounds] = described.constraints
    return {
        "name": described.name,
        "objectives": described.objectives,
        "constraints": {column: asdict(given) for column, given in bounds.items()},
        "swept": swept,
        "source": None if described.path is None else described.path.name,
        "inputs_sha256": {
            _file_name(described, path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in described.files
        },
        "machines": {
            name: {"description": str(machine), "energy_table": machine.energy_table}
            for name, machine in map(_with_table_name, described.machines.items())
        },
        "energy_tables_sha256": {table.name: table_digest(table) for table in plan.tables},
        TABLES: {
            table.name: table.model_dump(mode="json", exclude_none=True)
            for table in plan.tables
            if isinstance(table, EnergyTable)
        },
        "versions": versions(),
    }
