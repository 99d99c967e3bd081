"""From the axes of a study to its machines and policies, each validated as if written by hand."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from accelsim.config.document import Document, Location, shown
from accelsim.config.load import hardware_of
from accelsim.config.sweep import (
    MAX_POINTS,
    POLICY,
    Axis,
    MachineKeys,
    Setting,
    applies,
    keys_of,
    policy_with,
)
from accelsim.config.validate import did_you_mean, validate
from accelsim.errors import AccelsimError, InputError, one_line
from accelsim.machine import Hardware
from accelsim.policies import Control, Policy, RecomputingPolicy

MAX_PROBLEMS = 20
"""A bad key can spoil a million machines; this many lines tell as much."""
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Variant(Generic[Thing]):
    """A machine or a policy as one point has it, and what was set to make it so.

    It is made when it is asked for: a million machines are a million lists of settings.
    """

    make: Callable[[], Thing]
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A policy of a study, what is swept of it alone, and the seeds of its controls."""

    policy: Policy
    axes: tuple[Axis, ...] = ()
    controls: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Every machine with every workload under every policy."""

    machines: tuple[Variant[Hardware], ...]
    policies: tuple[Variant[Policy], ...]


def check_keys(
    document: Document,
    grids: list[list[Axis]],
    machines: list[Hardware],
    rules: list[Rule],
) -> None:
    """Report keys that no machine or no policy has. Raises InputError if there are any."""
    policies = [rule.policy for rule in rules]
    own = {axis.key for rule in rules for axis in rule.axes}
    for axes in grids:
        for axis in axes:
            here = axis.location
            if axis.key in own:
                document.report(here, "is swept for one policy as well; keep one of them")
            elif axis.key == "name":
                document.report(here, "is what tells machines apart, and cannot be swept")
            elif axis.parameter is not None and not any(applies(axis, to) for to in policies):
                allowed = {name for to in policies for name in type(to).model_fields}
                names = ", ".join(type(to).name for to in policies)
                hint = did_you_mean(axis.parameter, sorted(allowed))
                document.report(
                    here, f"no policy of this study ({names}) has a {axis.parameter}{hint}"
                )
            elif axis.parameter is None and not any(applies(axis, to) for to in machines):
                allowed = {key for to in machines for key in keys_of(to)} - {"name"}
                hint = did_you_mean(axis.key, sorted(allowed | {POLICY + "…"}))
                document.report(here, f"no machine of this study has this key{hint}")
    if document.problems:
        document.fail()


def check_number(
    document: Document,
    grids: list[list[Axis]],
    machines: list[Hardware],
    workloads: int,
    rules: list[Rule],
) -> None:
    """Refuse too many points, before any of them is made."""
    total = sum(workloads * _machines(axes, machines) * _policies(axes, rules) for axes in grids)
    if total > MAX_POINTS:
        document.report(("sweep",), f"makes {total:,} points, expected at most {MAX_POINTS:,}")
        document.fail()


def _machines(axes: list[Axis], machines: list[Hardware]) -> int:
    return sum(_number(_axes_of(axes, machine)) for machine in machines)


def _policies(axes: list[Axis], rules: list[Rule]) -> int:
    return sum(_number(_axes_of_rule(axes, rule)) * (1 + len(rule.controls)) for rule in rules)


def _number(axes: list[Axis]) -> int:
    return math.prod(len(axis.values) for axis in axes)


def _axes_of_rule(axes: list[Axis], rule: Rule) -> list[Axis]:
    return [*_axes_of(axes, rule.policy), *rule.axes]


def _axes_of(axes: list[Axis], to: Hardware | Policy) -> list[Axis]:
    return [
        axis
        for axis in axes
        if (axis.parameter is not None) == isinstance(to, Policy) and applies(axis, to)
    ]


def make_grid(
    document: Document, axes: list[Axis], machines: list[Hardware], rules: list[Rule]
) -> Grid:
    """Make every machine and policy, each validated as one that was written by hand."""
    made: list[Variant[Hardware]] = []
    for machine in machines:
        made += _machine_variants(document, _axes_of(axes, machine), machine)
    ruled: list[Variant[Policy]] = []
    for rule in rules:
        for one in _policy_variants(document, _axes_of_rule(axes, rule), rule.policy):
            # Next to each other: a process that has just run a policy knows what its controls need.
            ruled += [one, *(_control(one, seed) for seed in rule.controls)]
    return Grid(tuple(made), tuple(ruled))


def _machine_variants(
    document: Document, axes: list[Axis], machine: Hardware
) -> list[Variant[Hardware]]:
    if not axes:
        return [Variant(lambda: machine)]
    keys = MachineKeys(machine)
    problems: dict[str, None] = {}
    for axis in axes:  # alone first: a bad value is told once, and not with all the others
        for value, place in zip(axis.values, axis.places, strict=True):
            changed = keys.document(document, [(axis.key, value)], [place])
            validate(changed, Hardware)
            here = tuple(int(n) if n.isdecimal() else n for n in axis.key.split("."))
            changed.problems = [p for p in changed.problems if p.location[: len(here)] == here]
            _gather(problems, changed)
    made = []
    if not problems:
        for chosen in itertools.product(*(zip(a.values, a.places, strict=True) for a in axes)):
            settings = [(axis.key, value) for axis, (value, _) in zip(axes, chosen, strict=True)]
            make = functools.partial(_machine, keys, document, settings, [p for _, p in chosen])
            try:
                make()
                made.append(Variant(make, tuple(settings)))
            except InputError as error:
                text = ", ".join(f"{key}={shown(value)}" for key, value in settings)
                problems |= dict.fromkeys(f"{line} ({text})" for line in error.problems)
                if len(problems) >= MAX_PROBLEMS:
                    break
    if problems:
        raise InputError(f"{line}, for {machine.name}" for line in list(problems)[:MAX_PROBLEMS])
    return made


def _machine(
    keys: MachineKeys, study: Document, settings: list[Setting], places: list[Location]
) -> Hardware:
    return hardware_of(keys.document(study, settings, places))


def _gather(problems: dict[str, None], document: Document) -> None:
    if document.problems:
        try:
            document.fail()
        except InputError as error:
            problems |= dict.fromkeys(error.problems)


def _policy_variants(document: Document, axes: list[Axis], policy: Policy) -> list[Variant[Policy]]:
    before = len(document.problems)
    for axis in axes:
        for value, place in zip(axis.values, axis.places, strict=True):
            try:
                policy_with(policy, [(axis.key, value)])
            except AccelsimError as error:
                document.report(place, one_line(str(error)))
    if len(document.problems) > before:
        return []
    return [
        Variant(functools.partial(policy_with, policy, settings), settings)
        for settings in itertools.product(
            *([(axis.key, value) for value in axis.values] for axis in axes)
        )
    ]


def _control(of: Variant[Policy], seed: int) -> Variant[Policy]:
    """Return a control of a policy; it is swept by what it is a control of."""
    policy = cast(RecomputingPolicy, of.make())
    made = Control(of=policy, seed=seed)
    return Variant(lambda: made, ((f"{POLICY}control_of", str(policy)), (f"{POLICY}seed", seed)))
