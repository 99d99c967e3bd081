"""Studies: grids of points that are computed once, kept, and asked for as a table.

The package can be called: `accelsim.study("grid.yaml")` is `accelsim.study.engine.study`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from accelsim.study.engine import Unwatched, Watch, results_folder, study, table_digest
from accelsim.study.execute import Executor, Setup, in_this_process
from accelsim.study.front import pareto_front
from accelsim.study.plan import Plan, slug
from accelsim.study.processes import in_processes
from accelsim.study.results import Study
from accelsim.study.sources import tables_of, with_shipped
from accelsim.study.store import Store, open_store, read_store
from accelsim.study.work import Batch, Bench, Group, Outcome, Point

__all__ = [
    "Batch",
    "Bench",
    "Executor",
    "Group",
    "Outcome",
    "Plan",
    "Point",
    "Setup",
    "Store",
    "Study",
    "Unwatched",
    "Watch",
    "in_processes",
    "in_this_process",
    "open_store",
    "pareto_front",
    "read_store",
    "results_folder",
    "slug",
    "study",
    "table_digest",
    "tables_of",
    "with_shipped",
]


class _Callable(ModuleType):
    """A package and the function of its name: both are reached as `accelsim.study`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Study:
        return study(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
