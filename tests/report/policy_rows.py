"""Rows of a study of policies whose results are what a test says they are."""

from __future__ import annotations

from typing import Any

from accelsim.report.policy_curves import Comparison, curves

BLOCKS = ("rows", "columns", "blocks_1x16", "blocks_16x1", "blocks_8x8")


def row(
    workload: str, policy: str, rate: float, kl: float, energy_nj: float, accuracy: float = 0.9
) -> dict[str, Any]:
    flagged = {f"flagged_{block}": rate for block in BLOCKS}
    by_lot = {f"flagged_{block}_by_lot": rate / 2 for block in BLOCKS}
    return {
        "point": 0, "status": "done", "workload": workload, "policy": policy, "hardware": "m",
        "energy_table": "t", "recompute_rate": rate, "kl_divergence_nats": kl,
        "total_energy_nj": energy_nj, "latency_s": energy_nj / 10, "accuracy": accuracy,
        "flip_rate": rate / 10,
        "false_negative_rate": 0.25 if policy.startswith("selective") else None,
        **flagged, **by_lot,
    }  # fmt: skip


def rows_of(workload: str, scale: float = 1.0) -> list[dict[str, Any]]:
    """κ has twice the KL of chance at a rate of 0, eight times at 0.2; its energy grows."""
    found = [row(workload, "uniform-high", 0.0, 1e-4, 100.0)]
    for rate, kl, chance in ((0.0, 0.2, 0.1), (0.2, 0.08, 0.01)):
        energy = 80.0 + 100.0 * rate
        good = 0.9 if rate else 0.8
        text = f"selective:rate={rate:g},numerator=constant"
        found.append(row(workload, text, rate, scale * kl, energy, good))
        found.append(row(workload, f"random:rate={rate:g}", rate, chance, energy, 0.8))
    found.append(row(workload, "chunked:chunk=32", 0.0, 0.02, 75.0))
    return found


def comparison(rows: list[dict[str, Any]]) -> Comparison:
    return Comparison(curves(rows), "m", "t")


KAPPA = "selective:numerator=constant"
