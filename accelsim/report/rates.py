"""The share of outputs that is redone, against the threshold that decides which are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class RateCurve:
    """One rule on one workload: thresholds in order, and the rate at each."""

    name: str
    taus: tuple[float, ...]
    rates: tuple[float, ...]


def rate_curves(rows: Iterable[Row]) -> list[RateCurve]:
    """Return a curve for each workload and each rule that has a τ; no machine changes a rate."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = (str(row["workload"]), str(row["policy"]))
        if key in seen:
            continue
        seen.add(key)
        name, _, rest = key[1].partition(":")
        given = dict(item.split("=", 1) for item in rest.split(",") if "=" in item)
        if "tau" not in given or row.get("recompute_rate") is None:
            continue
        tau = float(given.pop("tau"))
        kept = ",".join(f"{one}={value}" for one, value in given.items())
        rule = f"{name}:{kept}" if kept else name
        found.setdefault((key[0], rule), {})[tau] = float(row["recompute_rate"])
    return [
        RateCurve(
            f"{workload}, {rule}", tuple(sorted(by_tau)), tuple(by_tau[t] for t in sorted(by_tau))
        )
        for (workload, rule), by_tau in found.items()
        if len(by_tau) > 1
    ]
