"""A study on a terminal: what there is to do, about how long it takes, and the best so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from accelsim.errors import one_line
from accelsim.study import Plan
from accelsim.study.table import Row, best_so_far, counted, duration, usual_objectives

SECONDS_OF_TRYING = 2.0
"""How long points are timed before it is said how long all will take."""


class Terminal:
    """Says what a study does: lines on stderr, and a bar if that is a terminal."""

    def __init__(self) -> None:
        self.kept = self.total = self._in_all = 0
        self.folder = Path()
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None
        self._best: dict[str, float] = {}
        self._objectives: dict[str, int] = {}
        self._first = 0.0
        self._told = False
        self._todo = 0

    def planned(
        self, plan: Plan, todo: int, failed: int, jobs: int, folder: Path, kept: Iterable[Row]
    ) -> None:
        """Say how many points there are."""
        self.folder, self.total, self._todo = folder, len(plan), todo
        self._in_all = self.total - todo
        self._objectives = plan.study.objectives
        parts = [f"{counted(self.total)}, {self.total - todo - failed} done"]
        if failed:
            parts.append(f"{failed} failed (--retry tries again)")
        if todo:
            parts.append(f"{todo} to do in {jobs} process{'' if jobs == 1 else 'es'}")
        _say(f"{plan.study.name}: {', '.join(parts)}")
        if todo and self._shown:
            for row in kept:
                self._compare(row)
            self._bar = tqdm(
                total=self.total,
                initial=self._in_all,
                unit="point",
                leave=False,
                smoothing=0.1,
            )
            self._show_best(at_once=True)

    def finished(self, row: Row, seconds: float) -> None:
        """Count a point, and show the best so far."""
        self.kept += 1
        self._compare(row)
        now = time.perf_counter()
        if self.kept == 1:
            self._first = now  # what was before it, starting and compiling, is not done again
        taken, more = now - self._first, self.kept - 1
        if not self._told and taken > SECONDS_OF_TRYING and self.kept < self._todo:
            self._told = True
            left = taken / more * (self._todo - self.kept)
            self._write(f"about {duration(left)} to go, by {counted(more)} in {taken:.1f} s")
        if self._bar is not None:
            self._show_best()
            self._bar.update()

    def _compare(self, row: Row) -> None:
        wanted = self._objectives or usual_objectives([row])
        self._best = best_so_far(self._best, row, wanted)

    def _show_best(self, at_once: bool = False) -> None:
        best = ", ".join(f"{column} {value:.4g}" for column, value in self._best.items())
        self._bar.set_postfix_str(one_line(best), refresh=at_once)

    def ended(self, kept: int) -> None:
        """Take the bar away."""
        self._in_all = kept
        if self._bar is not None:
            self._bar.close()

    @property
    def interrupted(self) -> str:
        """What to say when it is interrupted."""
        if not self.total:
            return "interrupted; nothing was begun"
        return (
            f"interrupted; {self._in_all} of {counted(self.total)} are kept in {self.folder}, and"
            " the same command does the rest"
        )

    def _write(self, line: str) -> None:
        if self._bar is None:
            _say(line)
        else:
            self._bar.write(one_line(line), file=sys.stderr)


def _say(line: str) -> None:
    click.echo(one_line(line), err=True)
