"""How fast a report is: of ten thousand points, in time and in memory."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from accelsim.energy import CAUSES
from accelsim.result import COMPONENTS
from accelsim.study import Outcome, Study, open_store
from benchmarks.measure import cpu

POINTS = 10_000
BUDGET_S, BUDGET_MB = 20.0, 500.0
SWEPT = ("array.rows", "array.cols", "recompute.lanes", "policy.tau")


def main() -> None:
    """Print what a report of many points takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bench"
        fill(folder)
        # In a process of its own: what was measured before has no part in its memory.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            taken = pool.apply(write, (folder,))
        page = folder / "report.html"
        assert f"The first 300 of {POINTS} points" in page.read_text(encoding="utf-8")
        size = page.stat().st_size
    print(f"a report of {POINTS} points; {cpu()}")
    print(f"{taken.wall_s:.1f} s on the clock, {taken.core_s:.1f} s of a core, importing included")
    print(f"at most {taken.peak_mb:.0f} MB of memory; the page has {size / 1e6:.1f} MB")
    # Other work on the machine makes it wait, but not work more.
    assert taken.core_s < BUDGET_S, f"the budget is {BUDGET_S} s of a free core"
    assert taken.peak_mb < BUDGET_MB, f"the budget is {BUDGET_MB} MB"


class Taken(NamedTuple):
    """What a report took."""

    wall_s: float
    core_s: float
    peak_mb: float


def write(folder: Path) -> Taken:
    """Write the report of what is kept in a folder."""
    from accelsim.report import write_report

    start = time.perf_counter()
    write_report(Study(folder), folder)
    wall_s = time.perf_counter() - start
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Taken(wall_s, time.process_time(), peak_kb / 1024)


def fill(folder: Path) -> None:
    """Keep results of ten thousand points that no machine had."""
    folder.mkdir()
    store = open_store(folder, "bench")
    points: list[tuple[bytes, dict[str, Any]]] = []
    outcomes: list[tuple[bytes, Outcome]] = []
    for number in range(POINTS):
        places = [number // 10**place % 10 for place in range(4)]
        key = hashlib.sha256(str(number).encode()).digest()
        values = (8 + 8 * places[0], 4 + 4 * places[1], 1 + places[2], 2.0 ** places[3])
        settings = dict(zip(SWEPT, values, strict=True))
        row = _row(places)
        described = {name: row[name] for name in ("hardware", "workload", "policy")}
        points.append((key, described | {"settings": settings}))
        outcomes.append((key, Outcome(number, row, {"layers": [], "counts": []})))
    store.set_points(
        {"name": "bench", "objectives": {}, "constraints": {}, "swept": SWEPT, "source": None},
        points,
    )
    store.add(outcomes)
    store.close()


def _row(places: list[int]) -> dict[str, Any]:
    """Return a result with every column, each a smooth function of where the point is."""
    rows, cols, lanes, tau = places
    rate = math.exp(-tau / 3.0)
    parts = [(1.0 + index) * (1.0 + 0.1 * rows + rate * lanes) for index in range(len(COMPONENTS))]
    energy = math.fsum(parts)
    latency = (1.0 + rate / (1 + lanes)) / ((1 + rows) * (1 + cols))
    row: dict[str, Any] = {
        "hardware": "bench", "workload": "digits", "policy": f"selective:tau={2.0**tau:g}",
        "energy_table": "45nm", "samples": 10, "accuracy": 0.9 + 0.05 * rate,
        "kl_divergence_nats": 0.1 * (1.01 - rate), "recompute_rate": rate,
        "false_negative_rate": 0.1, "total_cycles": int(latency * 1e9), "latency_s": latency,
        "energy_pj": energy, "energy_per_inference_pj": energy / 10,
    }  # fmt: skip
    row |= {f"{n}_pj": part for n, part in zip(COMPONENTS, parts, strict=True)}
    row |= {f"{cause}_nj": energy / 1e3 / len(CAUSES) for cause in CAUSES}
    return row | {
        "total_energy_nj": energy / 1e3, "energy_delay_product_pj_s": energy * latency,
        "area_um2": 1e5 * (1 + rows) * (1 + cols) + 1e4 * lanes, "leakage_mw": 1.0,
    }  # fmt: skip


if __name__ == "__main__":
    main()
