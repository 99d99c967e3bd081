"""Stores made by hand: points whose results are what a test says they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelsim.energy import CAUSES
from accelsim.result import COMPONENTS
from accelsim.study import Outcome, Study, open_store

EXCERPT = {
    "layer": "first",
    "total_cycles": 400,
    "start_cycles": 0,
    "end_cycles": 100,
    "busy_cycles": {"array": [[10, 60]], "dram": [[0, 10], [40, 100]]},
    "stall_cycles": {"dram": [[0, 10]], "recompute": [[60, 100]]},
}


def result(**given: Any) -> dict[str, Any]:
    """A row as a run has it, with what is given in the place of small numbers."""
    row: dict[str, Any] = {
        "hardware": "m", "workload": "w", "policy": "uniform-low", "energy_table": "45nm",
        "samples": 1, "accuracy": None, "kl_divergence_nats": None, "recompute_rate": 0.0,
        "false_negative_rate": None, "total_cycles": 100, "latency_s": 1e-6,
        "energy_pj": 10.0, "energy_per_inference_pj": 10.0,
    }  # fmt: skip
    row |= {f"{name}_pj": 0.0 for name in COMPONENTS} | {f"{name}_nj": 0.0 for name in CAUSES}
    row |= {"energy_delay_product_pj_s": 1e-5, "area_um2": 1e6, "leakage_mw": 0.0} | given
    total_pj = row["energy_per_inference_pj"] * row["samples"] + 1e3 * (row["leakage_nj"] or 0.0)
    return {"total_energy_nj": total_pj / 1e3} | row


def point(
    settings: dict[str, Any] | None = None, error: str | None = None, **given: Any
) -> tuple[dict[str, Any], dict[str, Any] | None, str | None]:
    """A point: what it is, and its row or its error."""
    row = result(**given)
    description = {key: row[key] for key in ("hardware", "workload", "policy")}
    description["settings"] = settings or {}
    return description, None if error else row, error


def keep(folder: Path, points: Sequence[Any], excerpt: bool = False, **meta: Any) -> Study:
    """Write a store with these points, and return the study that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "name": "by hand", "objectives": {}, "constraints": {}, "swept": [], "source": "hand.yaml",
        "inputs_sha256": {}, "versions": {},
    }  # fmt: skip
    about |= meta
    store = open_store(folder, about["name"])
    keys = [hashlib.sha256(str(number).encode()).digest() for number in range(len(points))]
    described = [one[0] for one in points]
    store.set_points(about, zip(keys, described, strict=True))
    outcomes = []
    for number, (_, row, error) in enumerate(points):
        if row is not None or error is not None:
            detail = {"excerpt": EXCERPT} if excerpt and row else None
            outcomes.append((keys[number], Outcome(number, row, detail, error)))
    store.add(outcomes)
    store.close()
    return Study(folder)


def grid() -> list[Any]:
    """Energy 2·rows + lanes, latency 64 / rows, over rows 1, 2, 4, 8 and lanes 1, 2, 3."""
    return [
        point(
            {"array.rows": rows, "recompute.lanes": lanes},
            energy_per_inference_pj=2.0 * rows + lanes,
            energy_pj=2.0 * rows + lanes,
            array_pj=2.0 * rows,
            dram_pj=float(lanes),
            memory_nj=lanes / 1e3,
            useful_low_work_nj=2.0 * rows / 1e3,
            latency_s=64e-6 / rows,
        )
        for rows in (1, 2, 4, 8)
        for lanes in (1, 2, 3)
    ]


SWEPT = ["array.rows", "recompute.lanes"]
