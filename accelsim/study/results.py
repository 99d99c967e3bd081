"""A study's results as an object: for notebooks, scripts and reports."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from accelsim.config import Bounds
from accelsim.errors import AccelsimError
from accelsim.files import write_whole
from accelsim.study.store import read_store
from accelsim.study.table import (
    USUAL,
    Row,
    as_row,
    as_text,
    check_columns,
    columns_of,
    counted,
    front_of,
    losses,
    to_csv,
    usual_objectives,
    write_parquet,
)

MAX_SHOWN = 20


class Study:
    """The results in a folder: `rows` holds a record for every point, in the order of the study.

    It is read once, when it is made; nothing is run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        store = read_store(self.folder)
        try:
            self.meta = store.meta
            bounds = {key: Bounds(**given) for key, given in self._of("constraints").items()}
            self.rows: list[Row] = [as_row(result, bounds) for result in store.results()]
        finally:
            store.close()

    def _of(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.meta.get(key, {})
        return found

    @property
    def name(self) -> str:
        """The name in the study file."""
        return str(self.meta.get("name", self.folder.name))

    @cached_property
    def objectives(self) -> dict[str, int]:
        """Columns that are to be small (-1) or large (1): the study's, or else the usual ones."""
        return self._of("objectives") or usual_objectives(self.rows)

    @property
    def columns(self) -> list[str]:
        """Every column that a row has; the unit is in the name."""
        return columns_of(self.rows)

    @property
    def failed(self) -> list[Row]:
        """The points that could not be computed, each with its `error`."""
        return [row for row in self.rows if row["status"] == "failed"]

    def __len__(self) -> int:
        return len(self.rows)

    def pareto(self, objectives: Mapping[str, str] | Sequence[str] | None = None) -> list[Row]:
        """Return the feasible rows that no other feasible row beats.

        `objectives` are columns with `min` or `max`, or columns alone, which are then to be small
        or, if the study says so, large; without any they are the study's.
        """
        return front_of(self.rows, self._signs(objectives))

    def best(self, column: str) -> Row:
        """Return the feasible row that is best in a column. Raises AccelsimError without one."""
        signs = self._signs([column])
        able = [row for row in self.rows if row["feasible"]]
        table = losses(able, signs)[:, 0]
        there = [index for index, value in enumerate(table) if value == value]
        if not there:
            raise AccelsimError(f"no feasible point of study {self.name} has a {column}")
        return able[min(there, key=lambda index: table[index])]

    def _signs(self, objectives: Mapping[str, str] | Sequence[str] | None) -> dict[str, int]:
        if objectives is None:
            return self.objectives
        if isinstance(objectives, str):
            objectives = [objectives]
        if isinstance(objectives, Mapping):
            for column, way in objectives.items():
                if way not in ("min", "max"):
                    raise AccelsimError(f"objective {column}: got {way!r}, expected min or max")
            signs = {column: 1 if way == "max" else -1 for column, way in objectives.items()}
        else:
            usual = USUAL | self.objectives
            signs = {column: usual.get(column, -1) for column in objectives}
        if not signs:
            raise AccelsimError("got no objectives, expected at least one column")
        settings = {column for row in self.rows for column in row}
        check_columns({"objectives": signs}, settings)
        return signs

    def detail(self, point: int) -> dict[str, Any] | None:
        """Return layers and counts of a point, as `run --json` has them; None if it has none."""
        return self.details([point])[point]

    def details(self, points: Iterable[int]) -> dict[int, dict[str, Any] | None]:
        """Return the details of several points, the store being opened once."""
        store = read_store(self.folder)
        try:
            return {point: store.detail(point) for point in points}
        finally:
            store.close()

    def to_frame(self) -> Any:
        """Return the rows as a pandas data frame. Raises AccelsimError without pandas."""
        try:
            import pandas
        except ImportError:
            raise AccelsimError("a data frame needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.rows, columns=self.columns)

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as comma-separated values, units in the header."""
        write_whole(Path(path), to_csv(self.rows))

    def to_parquet(self, path: str | Path) -> None:
        """Write the rows as Parquet. Raises AccelsimError without pyarrow."""
        write_parquet(Path(path), self.rows)

    def plot_pareto(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        workload: str | None = None,
        energy_table: str | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw all feasible points and the Pareto front of two columns; return matplotlib's axes.

        Without columns: accuracy, if there is any, against energy. Points of one workload under
        one energy table are drawn, the first unless named.
        """
        return _artist().plot_pareto(self, x, y, workload, energy_table, ax)

    def plot_heatmap(
        self,
        x: str,
        y: str,
        value: str | None = None,
        *,
        workload: str | None = None,
        energy_table: str | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw the best `value`, by default the first objective, over two of what is swept."""
        return _artist().plot_heatmap(self, x, y, value, workload, energy_table, ax)

    def plot_energy(
        self,
        by: str = "component",
        points: Sequence[int] | None = None,
        *,
        workload: str | None = None,
        energy_table: str | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw energy by `component` or `cause`: of `points`, or the cheapest of each policy."""
        return _artist().plot_energy(self, by, points, workload, energy_table, ax)

    def plot_parallel(
        self, *, workload: str | None = None, energy_table: str | None = None, ax: Any = None
    ) -> Any:
        """Draw points as lines over what is swept and what they gave; return the axes."""
        return _artist().plot_parallel(self, workload, energy_table, ax)

    def plot_rates(self, *, ax: Any = None) -> Any:
        """Draw the recompute rate against τ; return the axes."""
        return _artist().plot_rates(self, ax)

    def plot_timeline(self, point: int, *, ax: Any = None) -> Any:
        """Draw who is busy when at the beginning of the longest layer of a point."""
        return _artist().plot_timeline(self, point, ax)

    def _counts(self) -> str:
        parts = [counted(len(self.rows))]
        for status in ("failed", "missing"):
            found = sum(row["status"] == status for row in self.rows)
            parts += [f"{found} {status}"] if found else []
        if self._of("constraints"):
            parts.append(f"{sum(bool(row['feasible']) for row in self.rows)} feasible")
        return ", ".join(parts)

    def __repr__(self) -> str:
        lines = [f"study {self.name!r}: {self._counts()}, in {self.folder}"]
        for column in self.objectives:
            try:
                row = self.best(column)
            except AccelsimError:
                continue
            lines.append(
                f"  best {column}: {row[column]:.6g}, point {row['point']}"
                f" ({row['hardware']}, {row['workload']}, {row['policy']}{self._set(row)})"
            )
        return "\n".join(lines)

    def _set(self, row: Row) -> str:
        given = {key: row[key] for key in self.meta.get("swept", ()) if key in row}
        return "".join(f", {key}={as_text(value)}" for key, value in given.items())

    def _repr_html_(self) -> str:
        """Show the Pareto front as a table; everything in it is escaped."""
        shown = self.pareto() if self.objectives else self.rows
        keys = ["point", "hardware", "workload", "policy", *self.meta.get("swept", ())]
        columns = list(dict.fromkeys([*keys, *self.objectives]))
        head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row.get(column))}</td>" for column in columns) + "</tr>"
            for row in shown[:MAX_SHOWN]
        )
        caption = f"study {self.name}: {self._counts()}; {len(shown)} on the Pareto front"
        if len(shown) > MAX_SHOWN:
            caption += f", the first {MAX_SHOWN} of them shown"
        return (
            f"<table><caption>{html.escape(caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _artist() -> Any:
    """Return what draws, by its name: figures are above studies, and take a second to load."""
    return import_module("accelsim.report.notebook")


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(as_text(value))
    return html.escape(text)
