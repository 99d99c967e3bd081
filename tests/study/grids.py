"""A study that takes a moment: shapes on a tiny machine, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import accelsim
from accelsim.study import Study, read_store

MACHINE = """\
name: tiny
clock_mhz: 100
array: {rows: 4, cols: 4, dataflow: os, overlap_folds: true}
recompute: {unit: lanes, lanes: 3, queue_capacity: 5}
"""
OTHER = MACHINE.replace("tiny", "plain").split("recompute")[0]
WORKLOAD = """\
name: shapes
layers:
  - {name: first, kind: gemm, m: 12, k: 5, n: 16}
  - {name: second, kind: gemm, m: 12, k: 16, n: 3}
"""
STUDY = """\
name: grid
hardware: [tiny.yaml, plain.yaml]
workload: shapes.yaml
policy: [uniform-low, "random:rate=0.1"]
sweep:
  array.rows: [2, 4]
  recompute.lanes: [1, 2]
  policy.rate: [0.1, 0.2]
seeds: [0, 1]
"""
POINTS = 30
"""Two rows; lanes of the machine that has any; one uniform policy and four random ones."""


def folder(path: Path, study: str = STUDY) -> Path:
    """Write a study and what it needs, and return the file."""
    (path / "tiny.yaml").write_text(MACHINE)
    (path / "plain.yaml").write_text(OTHER)
    (path / "shapes.yaml").write_text(WORKLOAD)
    (path / "grid.yaml").write_text(study)
    return path / "grid.yaml"


def run(file: Path, **given: Any) -> Study:
    return accelsim.study(file, jobs=1, **given)


def contents(path: Path) -> list[tuple[Any, ...]]:
    """All that a store holds of the points of a study, but for times."""
    store = read_store(path)
    try:
        return [
            (found.number, found.description, found.row, found.error, store.detail(found.number))
            for found in store.results()
        ]
    finally:
        store.close()
