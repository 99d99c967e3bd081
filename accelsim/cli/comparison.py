"""Two runs side by side as text to read."""

from __future__ import annotations

import math
from collections.abc import Iterable

from accelsim.cli.tables import aligned
from accelsim.errors import one_line
from accelsim.study.compare import Breakdown, Comparison, totals
from accelsim.study.read_run import ReadRun


def comparison_table(found: Comparison, rows: int) -> str:
    """Return totals, then for each total the `rows` parts that make most of its change."""
    lines = [f"A: {_title(found.before)}", f"B: {_title(found.after)}", ""]
    table = [("", "A", "B", "B − A", "B / A")]
    now = totals(found.after)
    for name, old in totals(found.before).items():
        table.append((name, _plain(old), _plain(now[name]), *_changes(old, now[name])))
    lines += aligned(table, left=(0,))
    for breakdown in found.breakdowns:
        lines += ["", *_breakdown(breakdown, rows)]
    return "\n".join(one_line(line) for line in lines)


def _title(run: ReadRun) -> str:
    return f"{run.workload} on {run.hardware}, {run.policy}, energy table {run.energy_table}"


def _changes(old: float | None, new: float | None) -> tuple[str, str]:
    if old is None or new is None:
        return "", ""
    return f"{new - old:+.6g}", f"{new / old:.4g}" if old else ""


def _breakdown(found: Breakdown, rows: int) -> Iterable[str]:
    if found.unknown_of:
        yield f"{found.title}: not known of {' and '.join(found.unknown_of)}"
        return
    if not found.parts:
        yield f"{found.title}: no change"
        return
    yield f"{found.title}: {found.change:+.6g} {found.unit}"
    table = [("where", "what", "A", "B", f"{found.unit} of the change", "share")]
    for part in found.parts[:rows]:
        values = (_plain(part.before), _plain(part.after))
        table.append(
            (part.where, part.why, *values, f"{part.change:+.6g}", _share(part.change, found))
        )
    rest = found.parts[rows:]
    if rest:
        change = math.fsum(part.change for part in rest)
        table.append((f"{len(rest)} more", "", "", "", f"{change:+.6g}", _share(change, found)))
    yield from aligned(table, left=(0, 1))


def _share(change: float, found: Breakdown) -> str:
    return f"{change / found.change:+.1%}" if found.change else ""


def _plain(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) and not value.is_integer() else f"{value:.0f}"
