"""What changed between two runs, and why: differences that add up to the difference."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, one_line
from accelsim.files import NotAFileError, open_file

MAX_BYTES = 2**28
WHOLE = "all of it"
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0)]
TOTALS = (
    "total_cycles",
    "latency_s",
    "energy_pj",
    "accuracy",
    "kl_divergence_nats",
    "recompute_rate",
)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class ReadLayer(_Read):
    """A layer in the JSON of a run; total_cycles are compute_cycles and all stalls."""

    name: str
    compute_cycles: Number
    stall_cycles: dict[str, Number]
    total_cycles: Number
    energy_pj: dict[str, Amount]
    energy_by_cause_pj: dict[str, Amount]


class ReadCount(_Read):
    """A line of the energy sum: `number` times `energy_pj_each` is `energy_pj`."""

    component: str
    action: str
    number: Amount
    energy_pj_each: Amount
    energy_pj: Amount


class ReadRun(_Read):
    """The JSON of a run, as far as runs are compared."""

    hardware: str
    workload: str
    policy: str
    energy_table: str
    total_cycles: Number
    latency_s: Amount
    energy_pj: Amount
    accuracy: Amount | None
    kl_divergence_nats: Amount | None
    recompute_rate: Amount
    layers: list[ReadLayer]
    counts: list[ReadCount]


@dataclass(frozen=True)
class Part:
    """One part of a difference: whose it is, why, what it was, and what it is."""

    where: str
    why: str
    before: float
    after: float
    change: float


@dataclass(frozen=True)
class Breakdown:
    """A difference as parts, the largest first; `change` is their sum, up to rounding."""

    title: str
    unit: str
    change: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what makes the difference between their cycles and their energies."""

    before: ReadRun
    after: ReadRun
    breakdowns: tuple[Breakdown, ...]


def read_run(path: Path) -> ReadRun:
    """Read what `run --json` wrote. Raises InputError if it is anything else."""
    try:
        with open_file(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except NotAFileError:
        raise InputError(f"{path}: is not a regular file, expected the JSON of a run") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: is longer than {MAX_BYTES} bytes, expected the JSON of a run")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not JSON, expected what run --json writes") from None
    try:
        return ReadRun.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f"{place}: " if place else ""
        raise InputError(
            one_line(f"{path}: {where}{first['msg']}; expected what run --json writes")
        ) from None


def compare_runs(before: ReadRun, after: ReadRun) -> Comparison:
    """Return what changed: cycles by layer and cause, energy by count and cost, and by layer."""
    return Comparison(
        before,
        after,
        (
            _breakdown(
                "cycles, by layer and cause",
                "cycles",
                (before.total_cycles, after.total_cycles),
                _cycles(before, after),
            ),
            _breakdown(
                "energy, by count and cost",
                "pJ",
                (before.energy_pj, after.energy_pj),
                _counts(before, after),
            ),
            _breakdown(
                "energy, by layer and component",
                "pJ",
                (before.energy_pj, after.energy_pj),
                _layers(before, after, "energy_pj"),
            ),
            _breakdown(
                "energy, by layer and cause",
                "pJ",
                (before.energy_pj, after.energy_pj),
                _layers(before, after, "energy_by_cause_pj"),
            ),
        ),
    )


def _breakdown(
    title: str, unit: str, totals: tuple[float, float], parts: Iterable[Part]
) -> Breakdown:
    """Sort the parts; what a total has beyond them is a part as well, and never dropped."""
    # Parts of a total are rounded to its last digit, in which equal ones may differ.
    found = [part for part in parts if abs(part.change) > 1e-13 * max(totals)]
    change = totals[1] - totals[0]
    rest = math.fsum([change, *(-part.change for part in found)])
    if abs(rest) > 1e-9 * max(totals):
        found.append(Part("(not in any part)", "", math.nan, math.nan, rest))
    found.sort(key=lambda part: -abs(part.change))
    return Breakdown(title, unit, change, tuple(found))


def _cycles(before: ReadRun, after: ReadRun) -> Iterable[Part]:
    for name, old, new in _paired(before.layers, after.layers):
        first, second = _causes(old), _causes(new)
        for cause in dict.fromkeys([*first, *second]):
            was, now = first.get(cause, 0), second.get(cause, 0)
            yield Part(name, cause, was, now, now - was)


def _causes(layer: ReadLayer | None) -> dict[str, int]:
    if layer is None:
        return {}
    causes = {"compute": layer.compute_cycles}
    causes |= {f"stall {cause}": cycles for cause, cycles in layer.stall_cycles.items()}
    rest = layer.total_cycles - sum(causes.values())
    return causes | ({"other": rest} if rest else {})


def _layers(before: ReadRun, after: ReadRun, parts: str) -> Iterable[Part]:
    for name, old, new in _paired(before.layers, after.layers):
        first = {} if old is None else getattr(old, parts)
        second = {} if new is None else getattr(new, parts)
        for component in dict.fromkeys([*first, *second]):
            was, now = first.get(component, 0.0), second.get(component, 0.0)
            yield Part(name, component, was, now, now - was)


def _paired(
    before: Sequence[ReadLayer], after: Sequence[ReadLayer]
) -> Iterable[tuple[str, ReadLayer | None, ReadLayer | None]]:
    """Yield the layers of both by name, with None for one that only the other has."""
    first = {layer.name: layer for layer in before}
    second = {layer.name: layer for layer in after}
    for name in dict.fromkeys([*first, *second]):
        yield name, first.get(name), second.get(name)


def _counts(before: ReadRun, after: ReadRun) -> Iterable[Part]:
    """Yield for every action how much its number, and how much its cost, makes of the change.

    With n actions at c pJ, n'c' - nc = (n' - n)·(c + c')/2 + (c' - c)·(n + n')/2.
    """
    for where, old, new in _actions(before.counts, after.counts):
        if old is None or new is None:
            was, now = (old.energy_pj if old else 0.0), (new.energy_pj if new else 0.0)
            yield Part(where, "only before" if old else "only after", was, now, now - was)
            continue
        number = new.number - old.number
        cost = new.energy_pj_each - old.energy_pj_each
        yield Part(
            where,
            "number",
            old.number,
            new.number,
            number * (old.energy_pj_each + new.energy_pj_each) / 2,
        )
        yield Part(
            where,
            "pJ each",
            old.energy_pj_each,
            new.energy_pj_each,
            cost * (old.number + new.number) / 2,
        )


def _actions(
    before: Sequence[ReadCount], after: Sequence[ReadCount]
) -> Iterable[tuple[str, ReadCount | None, ReadCount | None]]:
    """Yield the lines of both that are of one action.

    A component that reads a memory of another size, or adds in another format, does the same at
    another cost: lines left over are paired if a component has one of the kind on each side.
    """
    first, second = _whatever_for(before), _whatever_for(after)
    for key in first.keys() & second.keys():
        yield f"{key[0]}: {key[1]}", first[key], second[key]
    lonely: dict[tuple[str, str], tuple[list[ReadCount], list[ReadCount]]] = {}
    for side, (mine, others) in enumerate(((first, second), (second, first))):
        for key, line in mine.items():
            if key not in others:
                kind = line.component, line.action.partition(" ")[0]
                lonely.setdefault(kind, ([], []))[side].append(line)
    for (component, _), (old, new) in lonely.items():
        if len(old) == len(new) == 1:
            yield f"{component}: {old[0].action} → {new[0].action}", old[0], new[0]
            continue
        for line in old:
            yield f"{component}: {line.action}", line, None
        for line in new:
            yield f"{component}: {line.action}", None, line


def _whatever_for(lines: Iterable[ReadCount]) -> dict[tuple[str, str], ReadCount]:
    """Return one line for each action, whatever it was done for."""
    found: dict[tuple[str, str], ReadCount] = {}
    for line in lines:
        key = line.component, line.action
        if (other := found.get(key)) is not None:
            line = line.model_copy(
                update={
                    "number": line.number + other.number,
                    "energy_pj": line.energy_pj + other.energy_pj,
                }
            )
        found[key] = line
    return found
