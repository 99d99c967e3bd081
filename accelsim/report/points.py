"""Points as tables: a front, all points or as many as a page can show, and those that failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accelsim.report.page import Column, Table
from accelsim.report.survey import REST, Scope, Survey, is_number, label
from accelsim.study.table import Row, as_text, counted

MAX_ROWS = 300


def front_table(survey: Survey, scope: Scope) -> Table:
    """Return the front of the study's objectives, as a table."""
    signs = survey.usual_signs()
    front = survey.front(scope, signs)
    caption = f"{scope}: {counted(len(front))} that no other beats in {', '.join(signs)}; {REST}."
    return table(survey, [survey.rows[row] for row in front], caption)


def all_table(survey: Survey) -> Table:
    """Return every finished point, by the first objective, as far as a page can show them."""
    signs = survey.usual_signs()
    rows = survey.rows
    if signs:
        column, sign = next(iter(signs.items()))
        values = -sign * survey.column(column)
        rows = [survey.rows[index] for index in np.argsort(values, kind="stable")]
        by = f", by {column}"
    else:
        by = ""
    every = "The one point that is" if len(rows) == 1 else f"All {len(rows)} points that are"
    many = (
        f"The first {MAX_ROWS} of {len(rows)} points{by}; {REST}."
        if len(rows) > MAX_ROWS
        else f"{every} done and within the constraints{by}."
    )
    return table(survey, rows, many)


def failed_table(survey: Survey) -> Table | None:
    """Return the points that failed, each with its error."""
    rows = survey.study.failed
    if not rows:
        return None
    caption = f"{counted(len(rows))} that could not be computed" + (
        f", the first {MAX_ROWS} of them; {REST}." if len(rows) > MAX_ROWS else "."
    )
    columns = (Column("point", True), Column("hardware"), Column("workload"), Column("policy"),
               Column("error"))  # fmt: skip
    return Table(
        caption,
        columns,
        tuple(
            tuple(str(row[key]) for key in ("point", "hardware", "workload", "policy", "error"))
            for row in rows[:MAX_ROWS]
        ),
    )


def table(survey: Survey, rows: Sequence[Row], caption: str) -> Table:
    """Return points as a table: what tells them apart, and what they gave."""
    keys = ["point", "hardware", "workload", "energy_table", "policy"]
    keys += [d.key for d in survey.dimensions if d.key not in ("hardware", "policy")]
    kept = [k for k in keys if k in ("point", "policy") or len({as_key(r, k) for r in rows}) > 1]
    numbers = [*survey.gains, *survey.costs]
    extra = ["recompute_rate", "total_cycles", "energy_delay_product_pj_s"]
    numbers += [c for c in extra if c not in numbers and any(row.get(c) for row in rows)]
    shown = [survey.quantity(column) for column in numbers]
    heads = [Column(key, all(is_number(row.get(key)) for row in rows)) for key in kept]
    heads += [Column(one.axis, True) for one in shown]
    body = [
        (
            *(_text(survey, row, key) for key in kept),
            *(one.cell(row.get(one.column)) for one in shown),
        )
        for row in rows[:MAX_ROWS]
    ]
    return Table(caption, tuple(heads), tuple(body))


def as_key(row: Row, key: str) -> str:
    """Return a cell as what two rows may have in common."""
    return str(as_text(row.get(key)))


def _text(survey: Survey, row: Row, key: str) -> str:
    if key == "policy":
        return survey.policy_name(row)
    value = row.get(key)
    return "" if value is None else label(value)
