"""The report: complete, self-contained, checkable by hand, and the same each time."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from accelsim.config import load_energy_table, load_hardware, load_workload, shipped
from accelsim.infer import prepare
from accelsim.networks import Dataset, Workload
from accelsim.policies import Policy, Random, parse_policy
from accelsim.report import Demo, write_report
from accelsim.report.findings import Case
from accelsim.report.robustness import robustness, side_by_side, survival
from accelsim.study import infer_all, measure_all, pareto_front

POLICIES = (
    "uniform-low",
    "uniform-high",
    "chunked:chunk=16",
    "selective:tau=0,numerator=constant",
    "selective:tau=8,numerator=constant",
    "selective:tau=8,numerator=exact",
)
SEEDS = (0, 1)


def few_images(name: str) -> Workload:
    """A shipped workload with its first 40 test images only."""
    workload = load_workload(shipped("workloads", name))
    full = workload.dataset
    assert full is not None
    few = Dataset(
        full.train_inputs, full.train_labels, full.test_inputs[:40], full.test_labels[:40]
    )
    return replace(workload, dataset=few)


@pytest.fixture(scope="module")
def demo() -> Demo:
    machines = [load_hardware(shipped("hwconfigs", m)) for m in ("edge-16x16", "mid-32x32")]
    runs = []
    for name in ("digits-relu", "digits-tanh"):
        workload = few_images(name)
        policies: list[Policy] = [parse_policy(text) for text in POLICIES]
        inferences = infer_all(prepare(workload), policies)
        rates = sorted({i.trace.layer_rates for i in inferences if i.trace.recompute_rate})
        policies += [Random(layer_rates=rate, seed=seed) for rate in rates for seed in SEEDS]
        inferences = infer_all(prepare(workload), policies)
        runs += measure_all(machines, name, policies, inferences)
    tables = tuple(load_energy_table(name) for name in ("40nm", "45nm", "7nm"))
    inputs = (shipped("hwconfigs", "edge-16x16"), shipped("workloads", "digits-relu"))
    return Demo(tuple(runs), tables, inputs, SEEDS)


@pytest.fixture(scope="module")
def folder(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    write_report(demo, path)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_report_is_complete(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "report.html",
        "report.md",
        "results.csv",
        "layers.csv",
        "counts.csv",
        "manifest.json",
        "figures/recompute-rate.png",
        "figures/energy-front-digits-relu.png",
        "figures/energy-front-digits-tanh.png",
        "figures/energy-components-digits-relu.png",
        "figures/energy-components-digits-tanh.png",
        "figures/sensitivity-digits-relu.png",
        "figures/sensitivity-digits-tanh.png",
        "figures/timeline.png",
    }


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for key, value in attrs if key in {"src", "href"}]
        assert tag != "script"


def test_the_page_opens_offline(folder: Path) -> None:
    parser = Links()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert len(parser.found) == 8
    assert all(link.startswith("data:image/png;base64,") for link in parser.found)


def test_markdown_refers_to_files_that_exist(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(pictures) == 8
    assert all((folder / picture).is_file() for picture in pictures)


def test_energy_can_be_added_up_by_hand_from_the_tables(folder: Path) -> None:
    total: dict[tuple[str, str, str], float] = defaultdict(float)
    for row in rows(folder / "counts.csv"):
        assert row["source"]
        assert row["kind"] in {"measured", "scaled", "estimated"}
        product = int(row["number"]) * float(row["energy_pj_each"])
        assert product == pytest.approx(float(row["energy_pj"]), rel=1e-12)
        total[row["hardware"], row["workload"], row["policy"]] += product
    checked = 0
    for row in rows(folder / "results.csv"):
        key = (row["hardware"], row["workload"], row["policy"])
        if key in total and row["energy_table"] == "45nm":  # the table of both machines
            assert total[key] == pytest.approx(float(row["energy_pj"]), rel=1e-12)
            parts = [
                float(value)
                for name, value in row.items()
                if name.endswith("_pj") and name not in {"energy_pj", "energy_per_inference_pj"}
            ]
            assert math.fsum(parts) == pytest.approx(total[key], rel=1e-12)
            checked += 1
    assert checked == len(total) == 2 * 2 * len(POLICIES)


def test_cycles_can_be_added_up_by_hand_from_the_tables(folder: Path) -> None:
    total: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows(folder / "layers.csv"):
        busy = int(row["waves"]) * int(row["wave_cycles"])
        assert int(row["compute_cycles"]) == busy + int(row["drain_cycles"])
        causes = ("dram", "scratchpad", "recompute")
        stalls = sum(int(row[f"stall_{cause}_cycles"]) for cause in causes)
        assert int(row["total_cycles"]) == int(row["compute_cycles"]) + stalls
        total[row["hardware"], row["workload"], row["policy"]] += int(row["total_cycles"])
    for row in rows(folder / "results.csv"):
        key = (row["hardware"], row["workload"], row["policy"])
        if key in total:
            assert total[key] == int(row["total_cycles"])


def test_the_manifest_names_versions_seeds_and_inputs(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {"accelsim", "numpy", "numba", "simpy"} <= set(manifest["versions"])
    assert manifest["seeds"]["random control"] == [0, 1]
    assert set(manifest["inputs_sha256"]) == {
        "hwconfigs/edge-16x16.yaml",
        "workloads/digits-relu.yaml",
    }


def test_written_twice_it_is_the_same_bytes(demo: Demo, folder: Path, tmp_path: Path) -> None:
    write_report(demo, tmp_path)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_findings_are_computed_from_the_runs(demo: Demo) -> None:
    case = demo.case("mid-32x32", "digits-relu")
    best, high = case.best_selective, case.high
    assert best.accuracy is not None
    assert high.accuracy is not None
    assert best.accuracy >= high.accuracy - 0.005
    for run in case.runs:
        if run.policy.name == "selective" and run.energy_pj < best.energy_pj:
            assert run.accuracy is not None
            assert run.accuracy < high.accuracy - 0.005
    text = " ".join(case.sentences())
    change = best.energy_pj / high.energy_pj - 1.0
    assert f"{abs(change):.1%} {'less' if change < 0 else 'more'} energy than uniform-high" in text
    assert f"{best.energy_per_inference_pj / 1e3:.2f} nJ" in text
    against = best.energy_pj / case.best_alternative.energy_pj - 1.0
    assert ("here it pays" in text) == (against < 0)
    assert ("here it does not pay" in text) == (against >= 0)


def test_controls_are_drawn_at_the_rates_of_the_selective_runs(demo: Demo) -> None:
    case = demo.case("mid-32x32", "digits-tanh")
    for run in case.runs:
        if run.policy.name == "selective":
            controls = case.controls(run)
            assert len(controls) == len(SEEDS)
            for control in controls:
                assert control.inference.trace.layer_rates == run.inference.trace.layer_rates


def test_a_table_changes_the_energy_and_nothing_else(demo: Demo) -> None:
    run = demo.runs[0]
    other = run.with_table(load_energy_table("7nm"))
    assert other.energy_pj < run.energy_pj
    assert other.total_cycles == run.total_cycles
    assert other.counts == run.counts
    assert other.accuracy == run.accuracy


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_is_what_nothing_beats(seed: int) -> None:
    losses = np.random.default_rng(seed).integers(0, 6, size=(40, 2))

    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a <= b).all() and (a < b).any())

    expected = [not any(beats(other, point) for other in losses) for point in losses]
    assert pareto_front(losses).tolist() == expected


def test_equal_points_are_on_the_front_together() -> None:
    assert pareto_front([[1, 2], [1, 2], [2, 2], [0, 3]]).tolist() == [True, True, False, True]


def test_the_verdict_is_shown_under_every_table_and_said_to_survive_or_not(
    demo: Demo, folder: Path
) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| | 40nm | 45nm | 7nm |" in text
    same = all(
        len({(one.pays, one.pays_against_high) for one in under}) == 1 for under in cases(demo)
    )
    assert ("The conclusion survives every table" in text) == same
    assert ("The conclusion does not survive every table" in text) == (not same)
    for name, cells in side_by_side(demo):
        assert f"| {name} | {' | '.join(cells)} |" in text
    first = demo.cases[0].under(demo.tables[0])
    change = first.best_selective.energy_pj / first.high.energy_pj - 1.0
    assert side_by_side(demo)[0][1][0].startswith(f"{change:+.1%}, ")


def cases(demo: Demo) -> list[list[Case]]:
    return [[case.under(table) for table in demo.tables] for case in demo.cases]


def test_a_table_that_turns_the_verdict_is_named(demo: Demo) -> None:
    # Where high precision costs next to everything, redoing only some of it pays.
    own = demo.tables[1]
    dear = [
        entry.model_copy(update={"energy_pj": 1e6}) if entry.format == "fp32" else entry
        for entry in own.arithmetic
    ]
    costly = own.model_copy(update={"name": "dear", "arithmetic": dear})
    turned = replace(demo, tables=(own, costly))
    different = [
        case
        for case in turned.cases
        if (case.under(own).pays_against_high, case.under(own).pays)
        != (case.under(costly).pays_against_high, case.under(costly).pays)
    ]
    assert different
    assert "does not survive" in survival(turned)
    for case in different:
        assert f"{case.workload} on {case.hardware}" in survival(turned)


def test_the_interval_holds_every_single_swing_and_the_saving(demo: Demo) -> None:
    for case in demo.cases:
        found = robustness(demo, case)
        low, high = found.interval
        assert low <= found.saving <= high
        total, other = case.best_selective.total_energy_pj, case.high.total_energy_pj
        assert total is not None
        assert other is not None
        assert found.saving == pytest.approx(1.0 - total / other, rel=1e-9)
        for swing in found.swings:
            assert low - 1e-12 <= min(swing.at_low, swing.at_high)
            assert max(swing.at_low, swing.at_high) <= high + 1e-12
        assert f"takes {-found.saving:+.1%} against uniform-high" in found.sentence()
        assert f"{-high:+.1%} to {-low:+.1%} where every constant" in found.sentence()
        assert found.swings[0].spread.constant in found.sentence()


def test_every_number_of_the_counts_has_its_source(folder: Path) -> None:
    for row in rows(folder / "counts.csv"):
        assert row["source"]
        assert row["kind"] in {"measured", "scaled", "estimated"}
        assert float(row["node_nm"]) > 0
