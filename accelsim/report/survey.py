"""What a study holds, as a report needs it: scopes, dimensions, quantities, and names of points.

A scope is a workload under an energy table. Points of one scope can be compared: a network that is
smaller, or a table whose adders are cheaper, is no better machine.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import one_line
from accelsim.report.break_even import unit_name
from accelsim.report.quantity import Quantity, quantity
from accelsim.study import Study, pareto_front
from accelsim.study.table import WITHOUT_LEAKAGE, Row, energy_column, usual_objectives

ENERGY, LATENCY, AREA = WITHOUT_LEAKAGE, "latency_s", "area_um2"
GAINS = {"accuracy": 1, "kl_divergence_nats": -1}
SEED, CONTROL, TABLE = "policy.seed", "policy.control_of", "energy_table"
MAX_SCOPES = 6
"""Scopes that sentences are written on; what is true of the rest is in the tables."""
REST = "all points are in results.csv"
_MAX_LABEL = 48
_LONG = re.compile(r"\d+\.\d{7,}(e[-+]?\d+)?")
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Dimension:
    """Something that differs between points: its values in order, and which of them a row has."""

    key: str
    values: tuple[Any, ...]
    codes: NDArray[np.int64]

    @property
    def labels(self) -> list[str]:
        """The values as text."""
        return [label(value) for value in self.values]

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers, and so in their order."""
        return all(is_number(value) for value in self.values)


@dataclass(frozen=True)
class Scope:
    """A workload under an energy table, and the numbers of its rows among those of a survey."""

    workload: str
    table: str
    rows: NDArray[np.int64]

    def __str__(self) -> str:
        return f"{label(self.workload)}, {label(self.table)} table"


class Survey:
    """The finished points of a study within its constraints, in the order of the study.

    With or without `controls`: they show what chance does, and are no way to run a network.
    """

    def __init__(self, study: Study, *, controls: bool = True) -> None:
        self.study = study
        done = [row for row in study.rows if row["status"] == "done"]
        self.done = [row for row in done if controls or row.get(CONTROL) is None]
        self.left_out = len(done) - len(self.done)
        self.rows = [row for row in self.done if row["feasible"]]

    @cached_property
    def scopes(self) -> list[Scope]:
        """Every workload under every energy table, in order."""
        found: dict[tuple[str, str], list[int]] = {}
        for index, row in enumerate(self.rows):
            found.setdefault((row["workload"], row[TABLE]), []).append(index)
        return [Scope(*key, np.array(rows)) for key, rows in found.items()]

    @cached_property
    def objectives(self) -> dict[str, int]:
        """What is wanted: -1 for a column that is to be small, 1 for the rest."""
        return {c: sign for c, sign in self.study.objectives.items() if self._known(c)}

    @cached_property
    def costs(self) -> list[str]:
        """Columns that are to be small: the study's, and energy, latency and area if known."""
        own = [c for c, sign in self.objectives.items() if sign < 0 and c not in GAINS]
        usual = [] if any("energy" in column for column in own) else [energy_column(self.rows)]
        known = [c for c in (*usual, LATENCY, AREA) if c not in own and self._known(c)]
        return own + known

    @cached_property
    def gains(self) -> dict[str, int]:
        """What is paid for: accuracy, KL divergence, and what else the study wants large."""
        own = {c: sign for c, sign in self.objectives.items() if sign > 0}
        return {c: sign for c, sign in (own | GAINS).items() if self._known(c)}

    def _known(self, column: str) -> bool:
        return any(is_number(row.get(column)) for row in self.rows)

    def column(self, name: str) -> Numbers:
        """Return a column, NaN where a row has no number; it is not to be changed."""
        if name not in self._columns:
            values: list[Any] = [row.get(name) for row in self.rows]
            found = np.array([float(v) if is_number(v) else math.nan for v in values])
            found.flags.writeable = False
            self._columns[name] = found
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, Numbers]:
        return {}

    @cached_property
    def _quantities(self) -> dict[str, Quantity]:
        return {}

    def quantity(self, column: str) -> Quantity:
        """Return what a column is called, and its unit."""
        if column not in self._quantities:
            values = self.column(column)
            self._quantities[column] = quantity(column, values[~np.isnan(values)].tolist())
        return self._quantities[column]

    @cached_property
    def dimensions(self) -> list[Dimension]:
        """What differs between the points of one scope; a seed is chance, and no dimension."""
        keys = [k for k in self.study.meta.get("swept", ()) if k not in (SEED, TABLE, CONTROL)]
        columns = {"hardware": [row["hardware"] for row in self.rows]}
        columns["policy"] = [self.rule(row) for row in self.rows]
        columns |= {key: [row.get(key) for row in self.rows] for key in keys}
        found = [dimension(key, values) for key, values in columns.items()]
        return [one for one in found if len(one.values) > 1]

    def rule(self, row: Row) -> str:
        """Return a policy without what is swept of it, and a control without its rates."""
        if row.get(CONTROL) is not None:
            return "random, as a control"
        name, _, rest = str(row["policy"]).partition(":")
        swept = {key.removeprefix("policy.") for key in self.study.meta.get("swept", ())}
        kept = [item for item in rest.split(",") if item and item.split("=")[0] not in swept]
        return f"{name}:{','.join(kept)}" if kept else name

    @cached_property
    def groups(self) -> Dimension | None:
        """What points are told apart by in figures: policies, else machines, else what is swept."""
        by_rule = [str(row["policy"]).partition(":")[0] for row in self.rows]
        by_rule = [
            "control" if row.get(CONTROL) is not None else name
            for row, name in zip(self.rows, by_rule, strict=True)
        ]
        named = dimension("policy", by_rule)
        if len(named.values) > 1:
            return named
        return next((one for one in self.dimensions if len(one.values) <= 8), None)

    def front(self, scope: Scope, objectives: Mapping[str, int]) -> list[int]:
        """Return the rows of a scope that no other beats, by the first objective."""
        columns = [-sign * self.column(c)[scope.rows] for c, sign in objectives.items()]
        losses = np.stack(columns, axis=1)
        able = np.flatnonzero(~np.isnan(losses).any(axis=1))
        best = able[pareto_front(losses[able])]
        ordered = best[np.argsort(losses[best, 0], kind="stable")]
        return [int(index) for index in scope.rows[ordered]]

    def best(self, scope: Scope, column: str, sign: int) -> int | None:
        """Return the first row of a scope that is best in a column; None without a number."""
        values = -sign * self.column(column)[scope.rows]
        if np.isnan(values).all():
            return None
        return int(scope.rows[int(np.nanargmin(values))])

    def effect(self, scope: Scope, key: Dimension, column: str) -> float:
        """Return the ratio that a dimension makes to a column, all else being equal.

        Rows that differ in this dimension alone (and not in a seed) are compared, the greatest
        with the least, and the median of these ratios is returned; 1 where there are no such rows.
        """
        values, place = self.column(column)[scope.rows], self._alike(scope, key)
        usable = np.isfinite(values) & (values > 0.0)
        low = np.full(place.max(initial=-1) + 1, np.inf)
        high, number = np.zeros(len(low)), np.zeros(len(low), np.int64)
        np.minimum.at(low, place[usable], values[usable])
        np.maximum.at(high, place[usable], values[usable])
        np.add.at(number, place[usable], 1)
        several = number > 1
        return float(np.median(high[several] / low[several])) if several.any() else 1.0

    def _alike(self, scope: Scope, key: Dimension) -> NDArray[np.int64]:
        """Return a number for each row of a scope, equal for those that differ in `key` alone."""
        mark = scope.workload, scope.table, key.key
        if mark not in self._alikes:
            codes = [d.codes[scope.rows] for d in self.dimensions if d.key != key.key]
            codes.append(self._seeds.codes[scope.rows])
            found = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1]
            self._alikes[mark] = found.reshape(-1)
        return self._alikes[mark]

    @cached_property
    def _alikes(self) -> dict[tuple[str, str, str], NDArray[np.int64]]:
        return {}

    @cached_property
    def _seeds(self) -> Dimension:
        return dimension(SEED, [row.get(SEED) for row in self.rows])

    def name(self, row: Row) -> str:
        """Return a point in words: its number, machine, policy and what is swept of a machine."""
        swept = [d.key for d in self.dimensions if not d.key.startswith("policy")]
        parts = [str(row["hardware"]), self.policy_name(row)]
        parts += [f"{key} {label(row[key])}" for key in swept if key != "hardware" and key in row]
        return f"point {row['point']} ({', '.join(parts)})"

    def policy_name(self, row: Row) -> str:
        """Return the policy of a row; of a control, what it is one of."""
        if row.get(CONTROL) is not None:
            return f"control of {row[CONTROL]}, seed {row.get(SEED, 0)}"
        # A step of a logarithmic sweep has all the digits of a float64; a row has them still.
        return _LONG.sub(lambda number: f"{float(number[0]):.6g}", str(row["policy"]))

    def usual_signs(self) -> dict[str, int]:
        """Return every column that a sentence is written on."""
        return self.objectives or usual_objectives(self.rows)


def dimension(key: str, values: Sequence[Any]) -> Dimension:
    """Return a dimension of one value a row; numbers are ordered, all else is as it comes."""
    texts: dict[str, Any] = {}
    marks = [_mark(value) for value in values]
    for mark, value in zip(marks, values, strict=True):
        texts.setdefault(mark, value)
    ordered = list(texts.items())
    if all(is_number(value) for _, value in ordered):
        ordered.sort(key=lambda item: float(item[1]))
    numbers = {mark: index for index, (mark, _) in enumerate(ordered)}
    codes = np.array([numbers[mark] for mark in marks], np.int64)
    return Dimension(key, tuple(value for _, value in ordered), codes)


def _mark(value: Any) -> str:
    return repr(float(value)) if is_number(value) else repr(value)


def is_number(value: object) -> bool:
    """Return whether a value is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def label(value: Any) -> str:
    """Return a value as a short line of text, whatever is in it."""
    match value:
        case None:
            return "none"
        case float():
            text = f"{value:.6g}"
        case {"unit": str()}:
            text = unit_name(value)
        case dict():
            text = ", ".join(f"{key}: {item}" for key, item in value.items()) or "as it is"
        case _:
            text = str(value)
    text = one_line(text)
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"


def pairs(survey: Survey) -> list[tuple[str, int, str]]:
    """Return what is drawn as a front: (a gain or a cost, its sign, a cost).

    Where nothing is gained, as without weights, costs are drawn against each other.
    """
    costs = [c for c in survey.costs if len({row.get(c) for row in survey.rows}) > 1]
    gains = {c: s for c, s in survey.gains.items() if len({row.get(c) for row in survey.rows}) > 1}
    if gains:
        return [(gain, sign, cost) for gain, sign in gains.items() for cost in costs]
    return [(b, -1, a) for a, b in itertools.combinations(costs, 2)]


def some_of(survey: Survey, drawn: int) -> tuple[str, ...]:
    """Say of how many scopes there are figures, if not of all."""
    if drawn == len(survey.scopes):
        return ()
    return (
        f"Figures are of the first {drawn} of {len(survey.scopes)} pairs of workload and energy"
        f" table; {REST}.",
    )
