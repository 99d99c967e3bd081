"""What a study sweeps: keys of a machine or parameters of a policy, each with its values."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from accelsim.config.document import Document, Location, number_as_text, shown
from accelsim.config.tables import KEY, table_file
from accelsim.machine import Hardware
from accelsim.policies import Policy, parse_policy

MAX_POINTS = 1_000_000
MAX_VALUES = 100_000
POLICY = "policy."
_SCALES = ("linear", "log")
_KEYS = "a list of values, or a mapping with linear or log: [from, to], n, and round if wanted"
Setting = tuple[str, Any]
"""A key that is swept, and one of its values."""


@dataclass(frozen=True)
class Axis:
    """One key and the values it takes; `location` and `places` are where in the file each is."""

    key: str
    location: Location
    values: tuple[Any, ...]
    places: tuple[Location, ...]

    @property
    def parameter(self) -> str | None:
        """The parameter of a policy that this is, or None for a key of a machine."""
        return self.key.removeprefix(POLICY) if self.key.startswith(POLICY) else None


def read_axis(document: Document, location: Location, key: str | None = None) -> Axis | None:
    """Return what is swept at `location`, or None after reporting what is wrong with it.

    `key` is what is swept, where the file names only the end of it.
    """
    key, given = key or str(location[-1]), document.at(location)
    if isinstance(given, list) and given:
        return _listed(document, location, key, given)
    if isinstance(given, dict) and given:
        values = _ranged(document, location, given)
        if values is None:
            return None
        return Axis(key, location, values, (location,) * len(values))
    document.report(location, f"got {document.given(location)}, expected {_KEYS}")
    return None


def _listed(document: Document, location: Location, key: str, given: list[Any]) -> Axis | None:
    seen: list[Any] = []
    before = len(document.problems)
    for index, value in enumerate(given):
        here = (*location, index)
        if value is None:
            document.report(here, "got nothing, expected a value")
        elif key.startswith(POLICY) and not is_parameter(value):
            document.report(here, f"got {document.given(here)}, expected a number or a word")
        elif any(type(value) is type(other) and value == other for other in seen):
            document.report(here, f"{shown(value)} is given twice")
        seen.append(value)
    if len(document.problems) > before:
        return None
    places = tuple((*location, index) for index in range(len(given)))
    return Axis(key, location, tuple(given), places)


def is_parameter(value: object) -> bool:
    """Return whether a value can be a parameter of a policy: a number, or text that is none.

    `1e-3` is text in YAML, and is refused wherever a number may be meant.
    """
    if isinstance(value, str):
        return bool(value) and not {*value} & {*",="} and not number_as_text(value)
    return isinstance(value, bool | int | float)


def _ranged(
    document: Document, location: Location, given: dict[str, Any]
) -> tuple[Any, ...] | None:
    """Return the values of `{linear: [a, b], n: 5}` or `{log: [a, b], n: 5}`."""
    scale = [name for name in _SCALES if name in given]
    if len(scale) != 1 or not {*given} <= {*scale, "n", "round"}:
        keys = ", ".join(shown(key) for key in given)
        document.report(location, f"got a mapping with {keys}, expected {_KEYS}")
        return None
    before = len(document.problems)
    ends, number, whole = given[scale[0]], given.get("n"), given.get("round", False)
    if not isinstance(ends, list) or len(ends) != 2:
        got = document.given((*location, scale[0]))
        document.report((*location, scale[0]), f"got {got}, expected [from, to]")
    else:
        for index, end in enumerate(ends):
            here = (*location, scale[0], index)
            least = "a finite number above 0" if scale[0] == "log" else "a finite number"
            if not _is_number(end) or (scale[0] == "log" and end <= 0):
                document.report(here, f"got {document.given(here)}, expected {least}")
    if "n" not in given:
        document.report((*location, "n"), "key is missing, expected how many values")
    elif type(number) is not int or not 2 <= number <= MAX_VALUES:
        got = document.given((*location, "n"))
        document.report((*location, "n"), f"got {got}, expected an integer from 2 to {MAX_VALUES}")
    if not isinstance(whole, bool):
        got = document.given((*location, "round"))
        document.report((*location, "round"), f"got {got}, expected true or false")
    if len(document.problems) > before:
        return None
    low, high = given[scale[0]]
    steps = given["n"] - 1
    values = [_between(scale[0], low, high, index, steps) for index in range(steps + 1)]
    return tuple(dict.fromkeys(round(value) if whole else value for value in values))


def _between(scale: str, low: float, high: float, index: int, steps: int) -> float:
    """Return the value `index` of `steps` after `low`, the last of which meets `high` exactly.

    A value that is whole but for rounding is whole: doubling from 1 to 1024 gives 2, 4, 8.
    """
    if index in (0, steps):
        return low if index == 0 else high
    share = index / steps
    if scale == "log":
        value = math.exp(math.log(low) + (math.log(high) - math.log(low)) * share)
    else:
        value = low + (high - low) * share
    nearest = round(value)
    return nearest if math.isclose(value, nearest, rel_tol=1e-12) else value


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def keys_of(part: object, above: str = "") -> Iterator[str]:
    """Yield every dotted key of a machine that can be swept, sections included."""
    if isinstance(part, BaseModel):
        entries = [(name, getattr(part, name)) for name in type(part).model_fields]
    elif isinstance(part, list | tuple):
        entries = [(str(index), value) for index, value in enumerate(part)]
    else:
        return
    for name, value in entries:
        yield f"{above}{name}"
        yield from keys_of(value, f"{above}{name}.")


def applies(axis: Axis, to: Hardware | Policy) -> bool:
    """Return whether a machine has the key, or a policy the parameter, that is swept."""
    if isinstance(to, Policy):
        return axis.parameter in type(to).model_fields
    part: object = to
    *above, last = axis.key.split(".")
    for name in above:
        part = _inside(part, name)
    if isinstance(part, BaseModel):
        return last in type(part).model_fields
    return isinstance(part, dict) or _inside(part, last) is not None


def _inside(part: object, name: str) -> object:
    if isinstance(part, BaseModel):
        return getattr(part, name) if name in type(part).model_fields else None
    if isinstance(part, dict):
        return part.get(name)
    if isinstance(part, list | tuple) and name.isdecimal() and int(name) < len(part):
        return part[int(name)]
    return None


class MachineKeys:
    """The keys of a machine as plain values, to set some of them and read it as a file again."""

    def __init__(self, hardware: Hardware) -> None:
        self._all = hardware.model_dump(exclude_none=True)
        self._given = hardware.model_dump(exclude_unset=True)

    def document(
        self, study: Document, settings: Sequence[Setting], places: Sequence[Location]
    ) -> Document:
        """Return the machine with `settings` as a document, whose lines are those of the study."""
        value = copy.deepcopy(self._given)
        if (table := table_file(value.get(KEY, ""))) is not None:
            # A path in a document is relative to it, and this one has been resolved already.
            value[KEY] = os.path.relpath(table, study.path.parent)
        lines: dict[Location, int] = {(): study.lines.get(("sweep",), 1)}
        texts: dict[Location, str] = {}
        for (key, setting), place in zip(settings, places, strict=True):
            path = _make_way(key, value, self._all)
            part: Any = value
            for name in path[:-1]:
                part = part[name]
            part[path[-1]] = copy.deepcopy(setting) if isinstance(setting, dict | list) else setting
            lines[path] = study.lines.get(place, 1)
            if place in study.texts:
                texts[path] = study.texts[place]
            for inner in _within(setting):
                lines[path + inner] = study.lines.get(place + inner, lines[path])
                if place + inner in study.texts:
                    texts[path + inner] = study.texts[place + inner]
        return Document(study.path, value, lines, texts)


def _make_way(key: str, value: dict[str, Any], everything: dict[str, Any]) -> Location:
    """Return where a dotted key is, after filling in the sections above it that are left out."""
    path: list[str | int] = []
    part: Any = value
    whole: Any = everything
    *above, last = key.split(".")
    for name in above:
        index = int(name) if isinstance(part, list) else name
        whole = whole[index]
        if isinstance(part, dict):
            part.setdefault(index, copy.deepcopy(whole))
        if isinstance(part[index], tuple):
            part[index] = list(part[index])
        path.append(index)
        part = part[index]
    return (*path, int(last) if isinstance(part, list) else last)


def _within(value: object) -> Iterator[Location]:
    """Yield the places inside a value."""
    entries: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, inner in entries:
        yield (key,)
        for place in _within(inner):
            yield (key, *place)


def policy_with(policy: Policy, settings: Sequence[Setting]) -> Policy:
    """Return a policy with parameters set. Raises AccelsimError, as for one written as text."""
    name, _, rest = str(policy).partition(":")
    parameters: dict[str, Any] = dict(item.split("=", 1) for item in rest.split(",") if item)
    parameters |= {key.removeprefix(POLICY): value for key, value in settings}
    return parse_policy(policy_text(name, parameters))


def policy_text(name: str, parameters: dict[str, Any]) -> str:
    """Return a policy as the command line would have it."""
    given = ",".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}:{given}" if given else name
