"""Results as a table: a row a point, its columns, and the same as CSV and Parquet."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.config import Bounds, did_you_mean
from accelsim.errors import AccelsimError, InputError
from accelsim.files import write_whole
from accelsim.machine import Hardware
from accelsim.networks import Gemm, Workload
from accelsim.numerics import FloatFormat
from accelsim.point import run
from accelsim.study.front import pareto_front
from accelsim.study.store import Result

Row = dict[str, Any]
TOTAL, WITHOUT_LEAKAGE = "total_energy_nj", "energy_per_inference_pj"
"""Energy with what leaks, of all samples, and of one inference without, where that is not known."""
USUAL = {TOTAL: -1, "latency_s": -1, "accuracy": 1}
"""What is wanted of a point if the study does not say: -1 of what is to be small, 1 of the rest."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How what a spreadsheet calculates begins; the last three are skipped before it."""


@functools.cache
def result_columns() -> dict[str, bool]:
    """Return the columns that every result has, and whether they are of numbers.

    They are found by running the smallest point there is.
    """
    hardware = Hardware.model_validate(
        {
            "name": "one",
            "clock_mhz": 1.0,
            "array": {"rows": 1, "cols": 1, "dataflow": "os", "overlap_folds": True},
        }
    )
    workload = Workload("one", FloatFormat.parse("e4m3fn"), shapes=(Gemm("one", 1, 1, 1),))
    row = run(hardware, workload, "uniform-low").as_row()
    return {column: not isinstance(value, str) for column, value in row.items()}


def as_row(result: Result, constraints: Mapping[str, Bounds]) -> Row:
    """Return one flat record: what the point is, what was set for it, and what it gave.

    `status` is `done`, `failed` (then `error` says why) or `missing`; `feasible` whether it is
    within the constraints, and None if it is not known.
    """
    names = {key: result.description[key] for key in ("hardware", "workload", "policy")}
    row: Row = {"point": result.number, "status": "missing", "feasible": None, **names}
    for key, value in result.description["settings"].items():
        row[key] = value
    if result.error is not None:
        row |= {"status": "failed", "error": result.error}
    if result.row is not None:
        row |= result.row | {"status": "done"}
        row["feasible"] = all(
            _within(row.get(column), bounds) for column, bounds in constraints.items()
        )
    return row


def _within(value: object, bounds: Bounds) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low = bounds.min is None or value >= bounds.min
    return low and (bounds.max is None or value <= bounds.max)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Return every column of a table, each before what follows it in a row; and `error` last."""
    columns: list[str] = []
    known: set[str] = set()
    for row in rows:
        if row.keys() <= known:
            continue
        place = len(columns)
        for key in reversed(row):
            if key in known:
                place = columns.index(key)
            else:
                columns.insert(place, key)
                known.add(key)
    return [key for key in columns if key != "error"] + ["error"] * ("error" in known)


def check_columns(named: Mapping[str, Iterable[str]], settings: Iterable[str]) -> None:
    """Raise InputError for a column of `named` (where it is said, which) that no result has."""
    known = {*result_columns(), *settings}
    problems = [
        f"{where}: no result has the column {column!r}{did_you_mean(column, sorted(known))}"
        for where, columns in named.items()
        for column in columns
        if column not in known
    ]
    if problems:
        raise InputError(problems)


def check_wanted(wanted: Mapping[tuple[str, str], str], settings: Mapping[str, bool]) -> None:
    """Raise InputError for constraints and objectives on what is no column of numbers.

    `wanted` holds for each key and column where it is said; `settings` whether they are numbers.
    """
    known = {**settings, **result_columns()}
    problems = []
    for (_, column), where in wanted.items():
        if column not in known:
            hint = did_you_mean(column, sorted(name for name, number in known.items() if number))
            problems.append(f"{where}: no result has the column {column!r}{hint}")
        elif not known[column]:
            problems.append(f"{where}: {column!r} holds no numbers, expected a column that does")
    if problems:
        raise InputError(problems)


def energy_column(rows: Iterable[Row]) -> str:
    """Return the column by which points are compared: with what leaks, if all that are done say."""
    done = [row for row in rows if row.get(WITHOUT_LEAKAGE) is not None]
    return TOTAL if all(row.get(TOTAL) is not None for row in done) else WITHOUT_LEAKAGE


def usual_objectives(rows: Sequence[Row]) -> dict[str, int]:
    """Return what is wanted of points if the study does not say, as far as it is known of any."""
    energy = {energy_column(rows): -1}
    wanted = energy | {column: sign for column, sign in USUAL.items() if column != TOTAL}
    return {c: s for c, s in wanted.items() if any(row.get(c) is not None for row in rows)}


def losses(rows: Sequence[Row], objectives: Mapping[str, int]) -> np.ndarray[Any, Any]:
    """Return what is to be small (rows, objectives); NaN where a row has no number."""
    table = np.full((len(rows), len(objectives)), np.nan)
    for index, row in enumerate(rows):
        for place, (column, sign) in enumerate(objectives.items()):
            value = row.get(column)
            if isinstance(value, int | float) and not isinstance(value, bool):
                table[index, place] = -sign * value
    return table


def front_of(rows: Sequence[Row], objectives: Mapping[str, int]) -> list[Row]:
    """Return the feasible rows that no other feasible row beats, in order.

    A row without a number in one of the objectives takes no part.
    """
    able = [row for row in rows if row["feasible"]]
    table = losses(able, objectives)
    whole = ~np.isnan(table).any(axis=1)
    kept = [row for row, there in zip(able, whole, strict=True) if there]
    best = pareto_front(table[whole])
    return [row for row, is_best in zip(kept, best, strict=True) if is_best]


def best_so_far(
    best: dict[str, float], row: Row, objectives: Mapping[str, int]
) -> dict[str, float]:
    """Return the best of each objective once a feasible row is known, too."""
    found = dict(best)
    for column, sign in objectives.items():
        value = row.get(column)
        if not row["feasible"] or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not math.isnan(value) and (column not in best or sign * value > sign * best[column]):
            found[column] = value
    return found


def duration(seconds: float) -> str:
    """Return a time as one would say it."""
    for unit, size in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}s"
    return f"{max(1, round(seconds))} s"


def counted(number: int, noun: str = "point") -> str:
    """Return a number of things as one says it: 1 point, 2 points."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def to_csv(rows: Sequence[Row]) -> str:
    """Return the table as comma-separated values, units in the names of the columns."""
    return csv_text(rows, columns_of(rows))


def csv_text(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Return records as comma-separated values, their columns in this order.

    Text that a spreadsheet would take for a formula has a quote before it, as `'=1+1`.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _harmless(as_text(value)) for key, value in row.items()})
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def as_text(value: Any) -> Any:
    """Return a section of a machine as JSON, and any other value as it is."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Write the table as Parquet. Raises AccelsimError without pyarrow."""
    try:
        from pyarrow import BufferOutputStream, Table, parquet
    except ImportError:
        raise AccelsimError("Parquet needs pyarrow: pip install pyarrow") from None
    columns = {name: _column([row.get(name) for row in rows]) for name in columns_of(rows)}
    stream = BufferOutputStream()
    parquet.write_table(Table.from_pydict(columns), stream)
    write_whole(path, stream.getvalue().to_pybytes())


def _column(values: list[Any]) -> list[Any]:
    """Return values of one kind: a setting that is a section, or of several kinds, is text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool}):
        return [float(v) if float in kinds and v is not None else v for v in values]
    return [None if value is None else str(as_text(value)) for value in values]
