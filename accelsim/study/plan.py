"""The points of a study: which machine, workload and policy each has, and its key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from accelsim.config import StudyFile, Variant, load_energy_table
from accelsim.config.sweep import MAX_POINTS
from accelsim.config.tables import KEY, takes_shipped_name
from accelsim.energy import EnergyTable, IdentifiedEstimator
from accelsim.errors import AccelsimError
from accelsim.machine import Hardware
from accelsim.networks import Workload
from accelsim.policies import Policy
from accelsim.study.keys import code_digest, digest
from accelsim.study.work import UNTIMED, Group, Point

MAX_SLUG = 60


def slug(name: str) -> str:
    """Return a name as that of a folder: lower-case letters, digits, `-` and `_`, at most 69.

    Blanks become `-`. Where anything else is lost, eight digits of the name's SHA-256 follow, so
    that names that differ have folders that differ, whatever the file system takes as equal.
    """
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:MAX_SLUG]
    if plain and plain == name.replace(" ", "-"):
        return plain
    mark = hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else f"study-{mark}"


def folder_of(study: StudyFile) -> Path:
    """Return the folder that a study writes to: beside its file, and never through a link."""
    beside = Path() if study.path is None else study.path.parent
    folder = beside / slug(study.name)
    if folder.is_symlink():
        raise AccelsimError(f"{folder}: is a link, expected a folder; name one with --out")
    return folder


class Member(NamedTuple):
    """A point as three numbers: its machine's, its workload's and its policy's."""

    machine: int
    workload: int
    policy: int


@dataclass
class _Machine:
    """What is kept of a machine: all but the machine, which is made again when it is needed.

    `settings` are those of its variant, and the estimator it was given if that is not its own.
    """

    variant: Variant[Hardware]
    name: str
    key: bytes
    alike: int
    table: int
    settings: tuple[tuple[str, Any], ...]


@dataclass
class Plan:
    """Every point of a study once, in the order of the file: machines, workloads, policies.

    `keys` are the SHA-256 of all that determines a point: the fields of its machine, the costs of
    its energy table, the layers, weights and data of its workload, its policy, and the code.
    """

    study: StudyFile
    members: list[Member] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    tables: list[EnergyTable | IdentifiedEstimator] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    _machines: list[_Machine] = field(default_factory=list)
    _settings: list[tuple[tuple[str, Any], ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def point(self, index: int) -> Point:
        """Return a point with its machine."""
        machine = self._machines[self.members[index].machine]
        return Point(index, machine.variant.make(), machine.table)

    def describe(self, index: int) -> dict[str, Any]:
        """Return what tells a point from the others: names, and what was set."""
        member = self.members[index]
        machine = self._machines[member.machine]
        return {
            "hardware": machine.name,
            "workload": self.study.workloads[member.workload].name,
            "policy": str(self.policies[member.policy]),
            "settings": dict((*machine.settings, *self._settings[member.policy])),
        }

    def groups(self, indices: Sequence[int]) -> list[Group]:
        """Return points by what they share: an inference, and next to each other, a machine."""
        found: dict[tuple[int, int], list[int]] = {}
        for index in indices:
            member = self.members[index]
            found.setdefault((member.workload, member.policy), []).append(index)
        groups = []
        for (workload, policy), points in found.items():
            points.sort(key=self._alike)  # points in order, as the sort is stable
            alike = [self._alike(point) for point in points]
            groups.append(Group(workload, self.policies[policy], points, alike))
        return groups

    def _alike(self, index: int) -> int:
        return self._machines[self.members[index].machine].alike


def make_plan(
    study: StudyFile, estimators: Sequence[EnergyTable | IdentifiedEstimator] = ()
) -> Plan:
    """Return the points of a study, each with its key, and those that are equal once.

    With `estimators`, every point is charged by each of them, and by no table of a machine's.
    Raises AccelsimError if that makes over a million points.
    """
    total = study.points * max(1, len(estimators))
    if total > MAX_POINTS:
        raise AccelsimError(
            f"energy_tables: {len(estimators)} of them make {total:,} points, expected at most"
            f" {MAX_POINTS:,}"
        )
    plan = Plan(study, tables=[*estimators])
    loads = _workload_keys(study.workloads)
    tables: dict[str, int] = {}
    table_keys = [estimator_key(estimator) for estimator in estimators]
    alike: dict[bytes, int] = {}
    seen: set[bytes] = set()
    code = code_digest()
    for grid in study.grids:
        first_machine, first_policy = len(plan._machines), len(plan.policies)
        for variant in grid.machines:
            hardware = variant.make()
            if not estimators and hardware.energy_table not in tables:
                tables[hardware.energy_table] = len(plan.tables)
                loaded = load_energy_table(hardware.energy_table)
                plan.tables.append(loaded)
                table_keys.append(estimator_key(loaded))
            same = digest(hardware.model_copy(update=UNTIMED))
            rank = alike.setdefault(same, len(alike))
            charged = range(len(estimators)) if estimators else (tables[hardware.energy_table],)
            for table in charged:
                key = digest(same, hardware.name, table_keys[table])
                given = ((KEY, plan.tables[table].name),) if estimators else ()
                settings = (*variant.settings, *given)
                plan._machines.append(_Machine(variant, hardware.name, key, rank, table, settings))
        policy_keys = []
        for ruled in grid.policies:
            plan.policies.append(ruled.make())
            plan._settings.append(ruled.settings)
            policy_keys.append(digest(plan.policies[-1]))
        machines = len(plan._machines) - first_machine
        for machine, workload, policy in _product(machines, len(loads), len(grid.policies)):
            made = plan._machines[first_machine + machine]
            parts = code + made.key + loads[workload] + policy_keys[policy]
            key = hashlib.sha256(parts).digest()
            if key not in seen:
                seen.add(key)
                plan.keys.append(key)
                plan.members.append(
                    Member(first_machine + machine, workload, first_policy + policy)
                )
    return plan


def _workload_keys(workloads: Sequence[Workload]) -> list[bytes]:
    """Return a key for each workload; a data set that several share is read once."""
    data: dict[int, bytes] = {}
    found = []
    for load in workloads:
        if id(load.dataset) not in data:
            data[id(load.dataset)] = digest(load.dataset)
        rest = {one.name: getattr(load, one.name) for one in fields(load) if one.name != "dataset"}
        found.append(digest(rest, data[id(load.dataset)]))
    return found


def _product(machines: int, workloads: int, policies: int) -> Iterator[tuple[int, int, int]]:
    for machine in range(machines):
        for workload in range(workloads):
            for policy in range(policies):
                yield machine, workload, policy


def estimator_key(estimator: EnergyTable | IdentifiedEstimator) -> bytes:
    """Return what tells an estimator from others: all that a table says, or its identity."""
    if isinstance(estimator, EnergyTable):
        return digest(estimator)
    return digest(type(estimator), estimator.name, estimator.identity)


def check_estimators(
    estimators: Sequence[EnergyTable | IdentifiedEstimator], swept: Sequence[str]
) -> None:
    """Raise AccelsimError for estimators that a study cannot tell apart, or has tables beside."""
    if estimators and KEY in swept:
        raise AccelsimError(f"energy_tables are given, and the study sweeps {KEY}; keep one")
    names = [estimator.name for estimator in estimators]
    for estimator in estimators:
        if names.count(estimator.name) > 1:
            raise AccelsimError(f"energy_tables: {estimator.name!r} is the name of several")
        problem = takes_shipped_name(estimator) if isinstance(estimator, EnergyTable) else None
        if problem is not None:
            raise AccelsimError(f"energy_tables: name: {problem}")
        identity = getattr(estimator, "identity", None)
        if not isinstance(estimator, EnergyTable) and not (isinstance(identity, str) and identity):
            raise AccelsimError(
                f"energy_tables: {estimator.name}: identity: got {identity!r}, expected text that"
                " says whatever its numbers follow from, by which results are found again"
            )
