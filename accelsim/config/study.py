"""A study file: machines × workloads × policies, what is swept, and what is wanted of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from accelsim.config.document import Document, Location, read_document, shown
from accelsim.config.grid import Grid, Rule, check_keys, check_number, make_grid
from accelsim.config.inputs import input_files
from accelsim.config.load import load_hardware, load_workload
from accelsim.config.shipped import shipped_names
from accelsim.config.sweep import (
    POLICY,
    Axis,
    is_parameter,
    policy_text,
    read_axis,
)
from accelsim.config.tables import KEY, check_table_names, table_file
from accelsim.config.validate import did_you_mean, validate
from accelsim.errors import AccelsimError, InputError
from accelsim.machine import Hardware
from accelsim.networks import Workload
from accelsim.policies import POLICIES, RecomputingPolicy, parse_policy
from accelsim.schema import Strict

_LISTS = ("hardware", "workload", "policy", "sweep")
"""One of these needs no list."""
_NOT_PARAMETERS = ("name", "sweep", "controls")
"""What a policy as a mapping has beside its parameters."""
_NAMED = 3
"""Files that are listed where one thing is wrong with more of them."""
_RELATIVE = "expected a path relative to the study's"


class StudySpec(Strict):
    """The keys of a study file."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    hardware: Annotated[list[Any], Field(min_length=1)]
    workload: Annotated[list[Any], Field(min_length=1)]
    policy: Annotated[list[Any], Field(min_length=1)]
    sweep: list[Any] = Field(default_factory=list)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    constraints: dict[str, Any] = Field(default_factory=dict)
    objectives: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """What a column must be at least and at most, for a point to be feasible."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class StudyFile:
    """What a study file says, every machine and policy in it validated.

    `path` is None for a study that came as a mapping. `objectives` are -1 for a column that is to
    be small, and 1 for one that is to be large. `files` are those that it was made of.
    `wanted` says for each key and column of constraints and objectives where it is said.
    """

    name: str
    path: Path | None
    workloads: tuple[Workload, ...]
    grids: tuple[Grid, ...]
    constraints: dict[str, Bounds]
    objectives: dict[str, int]
    files: tuple[Path, ...]
    machines: dict[str, Hardware]
    wanted: dict[tuple[str, str], str]

    @property
    def points(self) -> int:
        """Points of all grids, those that are in several of them counted in each."""
        return sum(
            len(grid.machines) * len(self.workloads) * len(grid.policies) for grid in self.grids
        )


def load_study(source: str | Path | Mapping[str, Any]) -> StudyFile:
    """Read a study file, or a mapping with its keys, whose paths are relative to this folder.

    Raises InputError with a line for every problem; one is that it has over a million points.
    """
    if isinstance(source, Mapping):
        document = Document(Path("study"), _plain(source))
        return _study(document, Path(), None)
    path = Path(source)
    return _study(read_document(path), path.parent, path)


def _plain(value: Any) -> Any:
    """Return what a script gives as what a file would have said."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # arrays and numbers of NumPy
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _study(document: Document, folder: Path, path: Path | None) -> StudyFile:
    spec = validate(_with_lists(document), StudySpec)
    if spec is None or document.problems:
        document.fail()
    machines = _files(document, "hardware", "hwconfigs", folder, load_hardware)
    workloads = _files(document, "workload", "workloads", folder, load_workload)
    policies = _policies(document)
    axes = _sweeps(document, spec)
    _check_tables(document, axes)
    constraints, objectives = _constraints(document, spec), _objectives(document, spec)
    if document.problems:
        document.fail()
    check_keys(document, axes, machines, policies)
    check_number(document, axes, machines, len(workloads), policies)
    grids = tuple(make_grid(document, grid, machines, policies) for grid in axes)
    check_table_names(document, _named_tables(folder, machines, axes))
    if document.problems:
        document.fail()
    files = [] if path is None else [path]
    for hardware, workload in itertools.product(spec.hardware, spec.workload):
        read = input_files(
            _beside(folder, hardware, "hwconfigs"), _beside(folder, workload, "workloads")
        )
        files += [file for file in read if file not in files]
    tables = (value for grid in axes for axis in grid if axis.key == KEY for value in axis.values)
    files += [folder / file for table in tables if (file := table_file(str(table))) is not None]
    return StudyFile(
        spec.name, path, tuple(workloads), grids, constraints, objectives, tuple(files),
        {machine.name: machine for machine in machines},
        {
            (key, column): document.place((key, column))
            for key, columns in (("objectives", objectives), ("constraints", constraints))
            for column in columns
        },
    )  # fmt: skip


def _named_tables(
    folder: Path, machines: Sequence[Hardware], grids: Sequence[Sequence[Axis]]
) -> Iterator[tuple[Location, str]]:
    """Yield every energy table of a study, as it is loaded, and where it is named."""
    for machine in machines:
        yield ("hardware",), machine.energy_table
    for axis in (axis for grid in grids for axis in grid if axis.key == KEY):
        for place, value in zip(axis.places, axis.values, strict=True):
            file = table_file(value)
            yield place, value if file is None else str(folder / file)


def _with_lists(document: Document) -> Document:
    """Return a study with a list of one where something stands alone; problems go to both."""
    value = document.value
    if isinstance(value, dict):
        alone = [key for key in _LISTS if key in value and not isinstance(value[key], list)]
        value = value | {key: [value[key]] for key in alone}
    return Document(document.path, value, document.lines, document.texts, document.problems)


def _items(document: Document, key: str) -> Iterator[tuple[Location, Any]]:
    """Yield what is in a list, or what stands alone in its place, and where."""
    given = document.value.get(key, [])
    if not isinstance(given, list):
        yield (key,), given
        return
    for index, value in enumerate(given):
        yield (key, index), value


def _beside(folder: Path, name: str, kind: str) -> Path:
    """Return the file that a study means by a name: beside it, or shipped."""
    return (
        Path(name)
        if name in shipped_names(kind) and not (folder / name).is_file()
        else folder / name
    )


def _files(document: Document, key: str, kind: str, folder: Path, load: Any) -> list[Any]:
    """Load the machines or the workloads, each once; what is wrong with several is said once."""
    found: list[Any] = []
    seen: list[str] = []
    wrong: dict[str, list[tuple[Location, str, str]]] = {}
    for here, name in _items(document, key):
        if not isinstance(name, str) or not name:
            got = document.given(here)
            document.report(here, f"got {got}, expected a file beside the study, or a shipped name")
        elif Path(name).is_absolute():
            document.report(here, f"got {shown(name)}, {_RELATIVE}")
        elif name in seen:
            document.report(here, f"{shown(name)} is given twice")
        else:
            seen.append(name)
            try:
                found.append(load(_beside(folder, name, kind)))
            except InputError as error:
                for problem in error.problems:
                    what = problem.partition(": ")[2]  # after the file that it is in
                    wrong.setdefault(what, []).append((here, name, problem))
            else:
                if any(found[-1].name == other.name for other in found[:-1]):
                    what = f"its name, {shown(found[-1].name)}, is that of another one"
                    document.report(here, what)
    for (here, _, problem), *others in wrong.values():
        document.report(here, problem + _also([name for _, name, _ in others]))
    return found


def _also(names: Sequence[str]) -> str:
    """Say which others something holds for."""
    if not names:
        return ""
    few, more = names[:_NAMED], len(names) - _NAMED
    listed = ", ".join(few) + (f" and {more} more" if more > 0 else "")
    return f"; the same of {listed}"


def _policies(document: Document) -> list[Rule]:
    found: list[Rule] = []
    for here, given in _items(document, "policy"):
        before = len(document.problems)
        axes: tuple[Axis, ...] = ()
        if isinstance(given, dict):
            axes = _own_axes(document, here, given)
            first = {axis.parameter: axis.values[0] for axis in axes}
            text = _policy_mapping(document, here, given, first)
        elif isinstance(given, str):
            text = given
        else:
            document.report(
                here, f"got {document.given(here)}, expected text such as selective:tau=8"
            )
        if len(document.problems) > before:
            continue
        try:
            policy = parse_policy(text)
        except AccelsimError as error:
            for problem in error.problems if isinstance(error, InputError) else [str(error)]:
                document.report(here, problem)
            continue
        controls = _controls(document, here, given, isinstance(policy, RecomputingPolicy))
        if any(rule.policy == policy for rule in found):
            document.report(here, f"{policy} is given twice")
        found.append(Rule(policy, axes, controls))
    return found


def _own_axes(document: Document, here: Location, given: dict[str, Any]) -> tuple[Axis, ...]:
    """Return what is swept of one policy alone."""
    swept = given.get("sweep", {})
    if not isinstance(swept, dict):
        got = document.given((*here, "sweep"))
        document.report(
            (*here, "sweep"), f"got {got}, expected a mapping from parameters to values"
        )
        return ()
    for key in swept:
        if key in given:
            document.report((*here, "sweep", key), "is a parameter as well; keep one of them")
    axes = [read_axis(document, (*here, "sweep", key), f"{POLICY}{key}") for key in swept]
    return tuple(axis for axis in axes if axis is not None)


def _controls(document: Document, here: Location, given: Any, redoes: bool) -> tuple[int, ...]:
    """Return the seeds of the controls of a policy."""
    if not isinstance(given, dict) or "controls" not in given:
        return ()
    seeds = given["controls"]
    numbers = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not numbers or not seeds or len({*seeds}) < len(seeds):
        got = document.given((*here, "controls"))
        document.report((*here, "controls"), f"got {got}, expected a list of seeds, none twice")
        return ()
    if not redoes:
        document.report((*here, "controls"), f"{given['name']} redoes nothing, and needs none")
    return tuple(seeds)


def _policy_mapping(
    document: Document, here: Location, given: dict[str, Any], first: dict[str | None, Any]
) -> str:
    """Return a policy as text, with the first value of what is swept of it."""
    parameters = {key: value for key, value in given.items() if key not in _NOT_PARAMETERS}
    name = given.get("name")
    if not isinstance(name, str) or name not in POLICIES:
        got = "key is missing" if name is None else f"got {document.given((*here, 'name'))}"
        known = did_you_mean(str(name), POLICIES)
        document.report((*here, "name"), f"{got}, expected the name of a policy{known}")
        return ""
    for key, value in parameters.items():
        if key not in POLICIES[name].model_fields:
            hint = did_you_mean(key, POLICIES[name].model_fields)
            document.report((*here, key), f"unknown parameter of {name}{hint}")
        elif isinstance(value, list) and value and all(is_parameter(item) for item in value):
            parameters[key] = "/".join(str(item) for item in value)
        elif not is_parameter(value):
            got = document.given((*here, key))
            document.report((*here, key), f"got {got}, expected a number or a word")
    swept = {str(key): value for key, value in first.items()}
    for key in swept:
        if key not in POLICIES[name].model_fields:
            hint = did_you_mean(key, POLICIES[name].model_fields)
            document.report((*here, "sweep", key), f"unknown parameter of {name}{hint}")
    return policy_text(name, parameters | swept)


def _sweeps(document: Document, spec: StudySpec) -> list[list[Axis]]:
    """Return the axes of every grid; without a sweep there is one grid without axes."""
    grids: list[list[Axis]] = []
    for here, sweep in _items(document, "sweep"):
        if not isinstance(sweep, dict):
            got = document.given(here)
            document.report(here, f"got {got}, expected a mapping from keys to values")
            continue
        axes = [read_axis(document, (*here, key)) for key in sweep]
        for key in sweep:
            inner = [other for other in sweep if other.startswith(f"{key}.")]
            if inner:
                document.report((*here, inner[0]), f"is a part of {key}, which is swept as well")
        grids.append([axis for axis in axes if axis is not None])
        if spec.seeds and f"{POLICY}seed" in sweep:
            document.report((*here, f"{POLICY}seed"), "is swept by seeds as well; keep one of them")
    if len(set(spec.seeds)) < len(spec.seeds):
        document.report(("seeds",), "has a seed twice")
    grids = grids or [[]]
    if spec.seeds:
        places = tuple(("seeds", index) for index in range(len(spec.seeds)))
        seeds = Axis(f"{POLICY}seed", ("seeds",), tuple(spec.seeds), places)
        grids = [[*axes, seeds] for axes in grids]
    return grids


def _check_tables(document: Document, grids: Sequence[Sequence[Axis]]) -> None:
    """Report energy tables that are named by where they are on this machine."""
    for axis in (axis for grid in grids for axis in grid if axis.key == KEY):
        for place, value in zip(axis.places, axis.values, strict=True):
            if isinstance(value, str) and Path(value).is_absolute():
                document.report(place, f"got {shown(value)}, {_RELATIVE}")


def _constraints(document: Document, spec: StudySpec) -> dict[str, Bounds]:
    found: dict[str, Bounds] = {}
    for column, given in spec.constraints.items():
        here = ("constraints", column)
        if not isinstance(given, dict) or not given or not {*given} <= {"min", "max"}:
            got = document.given(here)
            document.report(here, f"got {got}, expected a mapping with min, max or both")
            continue
        wrong = [k for k, v in given.items() if type(v) not in (int, float) or not math.isfinite(v)]
        for key in wrong:
            got = document.given((*here, key))
            document.report((*here, key), f"got {got}, expected a finite number")
        if not wrong and given.get("min", -math.inf) > given.get("max", math.inf):
            got = f"min {document.given((*here, 'min'))} and max {document.given((*here, 'max'))}"
            document.report(here, f"got {got}, expected min to be at most max")
        found[column] = Bounds(**given)
    return found


def _objectives(document: Document, spec: StudySpec) -> dict[str, int]:
    for column, given in spec.objectives.items():
        if given not in ("min", "max"):
            got = document.given(("objectives", column))
            document.report(("objectives", column), f"got {got}, expected min or max")
    return {column: 1 if given == "max" else -1 for column, given in spec.objectives.items()}
