"""The demo's report: what κ buys, computed from what a study keeps, and checkable by hand."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.config import load_study, shipped
from accelsim.demo import FILE, run_demo
from accelsim.errors import AccelsimError
from accelsim.machine import parse_action
from accelsim.policies import Selective
from accelsim.report import write_report
from accelsim.report.case import Case
from accelsim.report.findings import Demo, demo_of
from accelsim.report.page import markdown
from accelsim.report.robustness import (
    VERDICTS,
    between,
    robustness,
    side_by_side,
    strongest,
    survival,
)
from accelsim.report.runs import leakage_by_part_pj
from accelsim.study import Study, in_this_process, pareto_front, tables_of

SHIPPED = Path(accelsim.__file__).parent / "energy" / "tables"
TABLES = ("45nm", "7nm", "40nm")
MACHINES = ("edge-16x16", "mid-32x32")
SEEDS = [0, 1]
STUDY: dict[str, Any] = {
    "name": "small demo",
    "hardware": list(MACHINES),
    "workload": ["digits-relu", "digits-tanh"],
    "policy": [
        "uniform-low",
        "uniform-high",
        "chunked:chunk=16",
        {
            "name": "selective",
            "sweep": {"numerator": ["constant", "exact"], "tau": [0, 8]},
            "controls": SEEDS,
        },
    ],
    "sweep": {"energy_table": list(TABLES)},
}
SHOWN = 7
"""Policies that are tabled: all but the controls."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return accelsim.study(STUDY, jobs=1, out=tmp_path_factory.mktemp("kept") / "demo")


@pytest.fixture(scope="module")
def demo(study: Study) -> Demo:
    found = demo_of(study, tables_of(study))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(study: Study) -> Path:
    write_report(study, study.folder, tables_of(study), command="accelsim demo")
    return study.folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_report_has_what_a_study_of_kappa_needs(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"report.html", "report.md", "results.csv", "layers.csv", "counts.csv"} <= names
    assert {f"figures/kappa-{kind}-{n}.svg" for kind in ("accuracy", "kl") for n in (1, 2)} <= names
    assert {f"figures/sensitivity-{number}.svg" for number in (1, 2, 3, 4)} <= names
    assert {"figures/rate-tau.svg", "figures/timeline-1.svg"} <= names
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((figures/[^)]+)\)", text)) == {
        name for name in names if name.startswith("figures/")
    }
    assert "Made by `accelsim demo` from `results.csv`." in text


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
            assert row["policy.control_of"] == ""
            assert total[key] == pytest.approx(float(row["energy_pj"]), rel=1e-12)
            parts = [
                float(value)
                for name, value in row.items()
                if name.endswith("_pj") and name not in {"energy_pj", "energy_per_inference_pj"}
            ]
            assert math.fsum(parts) == pytest.approx(total[key], rel=1e-12)
            checked += 1
    assert checked == len(total) == 2 * 2 * SHOWN


def test_cycles_can_be_added_up_by_hand_from_the_tables(folder: Path) -> None:
    total: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows(folder / "layers.csv"):
        busy = [int(row[f"{part}_cycles"]) for part in ("mac", "fill_drain", "vector")]
        assert int(row["compute_cycles"]) == sum(busy)
        stalls = sum(int(n) for name, n in row.items() if name.startswith("stall_cycles."))
        assert int(row["total_cycles"]) == int(row["compute_cycles"]) + stalls
        total[row["hardware"], row["workload"], row["policy"]] += int(row["total_cycles"])
    assert len(total) == 2 * 2 * SHOWN
    for row in rows(folder / "results.csv"):
        key = (row["hardware"], row["workload"], row["policy"])
        if key in total:
            assert total[key] == int(row["total_cycles"])


def test_a_kept_run_is_the_run(demo: Demo) -> None:
    kept = demo.case("mid-32x32", "digits-tanh").best_selective
    run = accelsim.run(
        shipped("hwconfigs", "mid-32x32"), shipped("workloads", "digits-tanh"), str(kept.policy)
    )
    assert kept.policy == run.policy
    assert kept.energy_lines == run.energy_lines
    assert (kept.energy_pj, kept.total_cycles, kept.latency_s) == (
        run.energy_pj, run.total_cycles, run.latency_s,
    )  # fmt: skip
    assert (kept.accuracy, kept.kl_divergence) == (run.accuracy, run.kl_divergence)
    assert kept.total_energy_pj == pytest.approx(run.total_energy_pj, rel=1e-12)
    for line in run.energy_lines:
        assert parse_action(str(line.action)) == line.action


def test_a_run_kept_before_leakage_was_told_apart_is_refused_by_name() -> None:
    old = {"workload": "w", "hardware": "m", "policy": "uniform-low", "leakage_pj": 1.0}
    with pytest.raises(AccelsimError) as caught:
        leakage_by_part_pj(old)
    assert str(caught.value) == (
        "w on m, uniform-low: was kept by a version that did not tell what logic leaks from what"
        " memories do; run the study again"
    )
    assert leakage_by_part_pj(old | {"leakage_by_part_pj": None}) == {}


@pytest.mark.parametrize("text", ["", "add", "read", "hurl fp16", "read x B SRAM"])
def test_what_is_no_action_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an action|invalid literal"):
        parse_action(text)


def test_findings_are_computed_from_the_runs(demo: Demo) -> None:
    case = demo.case("mid-32x32", "digits-relu")
    best, high = case.best_selective, case.high
    assert best.accuracy is not None
    assert high.accuracy is not None
    assert best.accuracy >= high.accuracy - 0.005
    for run in case.runs:
        if run.policy.name == "selective" and run.charged_pj < best.charged_pj:
            assert run.accuracy is not None
            assert run.accuracy < high.accuracy - 0.005
    for run in case.runs:  # what leaks counts, everywhere alike
        assert run.leakage_pj
        assert run.charged_pj == run.energy_pj + run.leakage_pj == run.total_energy_pj
    text = " ".join(case.sentences())
    change = best.charged_pj / high.charged_pj - 1.0
    assert f"{abs(change):.1%} {'less' if change < 0 else 'more'} energy than uniform-high" in text
    assert f"{best.charged_per_inference_pj / 1e3:.2f} nJ" in text
    against = best.charged_pj / case.best_alternative.charged_pj - 1.0
    assert ("here it pays" in text) == (against < 0)
    assert ("here it does not pay" in text) == (against >= 0)


def test_controls_are_drawn_at_the_rates_of_the_selective_runs(demo: Demo) -> None:
    case = demo.case("mid-32x32", "digits-tanh")
    for run in case.runs:
        if run.policy.name == "selective":
            controls = case.controls(run)
            assert len(controls) == len(SEEDS)
            for control in controls:
                given = [layer["recompute_rate"] for layer in run.layers]
                assert [layer["recompute_rate"] for layer in control.layers] == given
                assert control.recompute_rate == run.recompute_rate
    seeds = {run.row["policy.seed"] for run in case.runs if run.control_of is not None}
    assert seeds == {*SEEDS}


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
    assert "| case | 45nm: both (%) | 7nm: both (%) | 40nm: both (%) |" in text
    same = all(
        len({(one.pays, one.pays_against_high) for one in under}) == 1 for under in cases(demo)
    )
    assert ("The conclusion survives every table" in text) == same
    assert ("The conclusion does not survive every table" in text) == (not same)
    for name, cells in side_by_side(demo):
        assert f"| {name} | {' | '.join(cells)} |" in text
    for case in demo.cases:
        for sentence in (one for one in case.sentences() if one):
            assert f"* {markdown(sentence)}" in text
    first = demo.cases[0].under(demo.tables[0])
    change = first.best_selective.charged_pj / first.high.charged_pj - 1.0
    assert side_by_side(demo)[0][1][0].startswith(f"{change:+.1%}, ")


def cases(demo: Demo) -> list[list[Case]]:
    return [[case.under(table) for table in demo.tables] for case in demo.cases]


def test_a_table_that_turns_the_verdict_is_named(demo: Demo) -> None:
    # Where high precision costs next to everything, redoing only some of it pays.
    own = demo.known_tables[0]
    costly = own.model_copy(update={"name": "dear"})
    dear = [
        replace(run, row=run.row | {"energy_table": "dear", "energy_pj": energy})
        for run in demo.runs
        if run.table == own.name
        for energy in [1e9 if run.policy.name.startswith(("uniform-high", "chunked")) else 1.0]
    ]
    runs = tuple(run for run in demo.runs if run.table == own.name)
    turned = replace(demo, runs=(*runs, *dear), tables=(own, costly))
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


def test_without_the_tables_of_then_their_sources_are_not_spoken_of(
    study: Study, tmp_path: Path
) -> None:
    write_report(study, tmp_path, [])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Of the energy tables 45nm, 7nm, 40nm only the costs are kept with these results" in text
    assert "It depends most on" not in text
    assert "Where every constant of each machine" not in text
    # What each action costs, and who says so, is kept with every run all the same.
    energies = {(row["energy_table"], row["what"]) for row in rows(tmp_path / "sources.csv")}
    assert {("45nm", "energy of add fp32"), ("7nm", "energy of add fp32")} <= energies
    assert all(what.startswith("energy of ") for _, what in energies)


def test_tables_are_those_of_then(study: Study) -> None:
    kept = dict(study.meta)
    try:
        assert [table.name for table in tables_of(study)] == list(TABLES)
        study.meta["energy_tables_sha256"] = kept["energy_tables_sha256"] | {"45nm": "0" * 64}
        assert [table.name for table in tables_of(study)] == ["7nm", "40nm"]
        del study.meta["energy_tables"]  # which older versions did not keep: shipped ones are known
        assert [table.name for table in tables_of(study)] == ["7nm", "40nm"]
    finally:
        study.meta.update(kept)


def test_an_interval_does_not_depend_on_what_else_was_swept(
    study: Study, demo: Demo, tmp_path: Path
) -> None:
    alone = accelsim.study(STUDY | {"sweep": {"energy_table": ["45nm"]}}, jobs=1, out=tmp_path)
    one = demo_of(alone, tables_of(alone))
    assert one is not None
    for case, other in zip(one.cases, demo.cases, strict=True):
        assert robustness(one, case).sentence() == robustness(demo, other).sentence()
        assert robustness(one, case).swings == robustness(demo, other).swings


def test_the_summary_says_in_how_many_cases_the_sources_decide(demo: Demo, folder: Path) -> None:
    (sentence,) = between(demo)
    assert (
        markdown(sentence) in (folder / "report.md").read_text(encoding="utf-8").split("\n## ")[0]
    )
    found = [robustness(demo, case) for case in demo.cases]
    for verdict, words in zip(VERDICTS, ("high precision in", "no less in", "; in"), strict=True):
        assert f"{words} {sum(one.verdict == verdict for one in found)} " in sentence
    for one in found:
        low, high = one.interval
        assert ("the sources" in one.verdict) == (low <= 0.0 < high)


def test_what_recomputing_adds_is_told_by_the_causes_that_are_tabled(demo: Demo) -> None:
    for case in demo.cases:
        best, low = case.best_selective, case.low
        added = best.energy_by_cause_pj["recomputation"] / (best.charged_pj - low.charged_pj)
        said = " ".join(case.sentences()).partition("It adds to uniform-low: ")[2]
        assert f"{added:.0%} for redoing outputs (second MACs with their registers" in said


def test_the_interval_holds_every_single_swing_and_the_saving(demo: Demo) -> None:
    for case in demo.cases:
        found = robustness(demo, case)
        low, high = found.interval
        assert low <= found.saving <= high
        total, other = case.best_selective.total_energy_pj, case.high.total_energy_pj
        assert total is not None
        others = case.accurate(case.of(Selective))
        assert total == min(run.total_energy_pj or math.inf for run in others)
        assert other is not None
        assert found.saving == pytest.approx(1.0 - total / other, rel=1e-9)
        for swing in found.swings:
            assert low - 1e-12 <= min(swing.at_low, swing.at_high)
            assert max(swing.at_low, swing.at_high) <= high + 1e-12
        assert f"takes {-found.saving:+.1%} against uniform-high" in found.sentence()
        assert f"{-high:+.1%} to {-low:+.1%} where every constant" in found.sentence()
        assert found.swings[0].spread.constant in found.sentence()


def test_who_is_at_the_ends_of_a_spread_stands_beside_the_tornado(demo: Demo, folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    lines = rows(folder / "spreads.csv")
    for case in demo.cases:
        found = robustness(demo, case)
        mine = [
            line for line in lines
            if (line["hardware"], line["workload"]) == (case.hardware, case.workload)
        ]  # fmt: skip
        assert [line["constant"] for line in mine] == [s.spread.constant for s in found.swings]
        for line, swing in zip(mine, found.swings, strict=True):
            assert line["lowest_source"] == swing.spread.low_source
            assert line["highest_source"] == swing.spread.high_source
        for swing in strongest(found, 8):
            assert swing.spread.low_source
            assert markdown(swing.spread.low_source) in text
            assert markdown(swing.spread.high_source) in text


def test_where_the_energy_goes_is_drawn_for_every_pair_of_network_and_table(
    demo: Demo, folder: Path
) -> None:
    pairs = len(demo.workloads) * len(demo.tables)
    assert pairs == 6
    for by in ("component", "cause"):
        drawn = {path.stem for path in (folder / "figures").glob(f"energy-*-{by}.svg")}
        assert drawn == {f"energy-{number}-{by}" for number in range(1, pairs + 1)}
    text = (folder / "report.md").read_text(encoding="utf-8")
    section = text.partition("Where the energy goes")[2].partition("\n## ")[0]
    assert "Figures are of the first" not in section


def test_energy_times_delay_is_of_the_whole_test_set_as_its_caption_says(
    demo: Demo, folder: Path
) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "all of its energy in pJ, leakage included, times all of its time in s" in text
    for case in demo.cases:
        for run in (case.high, case.best_selective):
            product = run.row["energy_delay_product_pj_s"]
            assert product == pytest.approx(run.charged_pj * run.latency_s, rel=1e-12)
            assert f" {product:.4g} |" in text


def test_every_number_of_the_counts_has_its_source(folder: Path) -> None:
    for row in rows(folder / "counts.csv"):
        assert row["source"]
        assert row["kind"] in {"measured", "scaled", "estimated"}
        if row["component"] == "dram":  # another chip, of which nobody says a node
            assert row["node_nm"] == row["voltage_v"] == ""
        else:
            assert float(row["node_nm"]) > 0
        if row["energy_table"] == "7nm" and row["component"] != "wires":
            assert row["voltage_v"] == ""


def test_under_any_table_an_energy_is_numbers_times_costs_with_their_sources(folder: Path) -> None:
    sources = {(row["energy_table"], row["what"]): row for row in rows(folder / "sources.csv")}
    assert {table for table, _ in sources} == {"40nm", "45nm", "7nm"}
    assert all(
        row["source"] and row["kind"] and float(row["value"]) >= 0 for row in sources.values()
    )
    assert sources["45nm", "leakage of logic"]["unit"] == "mW/mm2"
    total: dict[tuple[str, ...], float] = defaultdict(float)
    for row in rows(folder / "counts.csv"):
        for table in ("40nm", "45nm", "7nm"):
            cost = float(sources[table, f"energy of {row['action']}"]["value"])
            key = (row["hardware"], row["workload"], row["policy"], table)
            total[key] += int(row["number"]) * cost
    occupied: dict[tuple[str, ...], float] = defaultdict(float)
    for row in rows(folder / "parts.csv"):
        for table in ("40nm", "45nm", "7nm"):
            part = "leakage of SRAM" if row["part"].startswith("SRAM") else "leakage of logic"
            each = sources[table, f"area of {row['part']}"]
            where = [row["hardware"], row["workload"], row["policy"], table, part]
            occupied[*where] += int(row["number"]) * float(each["value"])
    leaked: dict[tuple[str, ...], float] = defaultdict(float)
    for row in rows(folder / "leakage.csv"):
        where = [row[name] for name in ("hardware", "workload", "policy", "energy_table", "what")]
        assert occupied[*where] == pytest.approx(float(row["area_um2"]), rel=1e-9)
        source = sources[row["energy_table"], row["what"]]
        said = row["density_source"], row["density_kind"]
        assert said == (source["source"], source["kind"])
        which = "every SRAM" if row["what"] == "leakage of SRAM" else "all but SRAM"
        assert row["area_source"] == f"{which} of parts.csv, each times its area in sources.csv"
        power_mw = float(row["area_um2"]) / 1e6 * float(source["value"])
        assert power_mw == pytest.approx(float(row["power_mw"]), rel=1e-12)
        key = (row["hardware"], row["workload"], row["policy"], row["energy_table"])
        leaked[key] += power_mw * float(row["latency_s"]) * 1e9
    assert set(leaked) == set(total)
    checked = 0
    for row in rows(folder / "results.csv"):
        mine = tuple(row[name] for name in ("hardware", "workload", "policy", "energy_table"))
        if mine in total and not row["policy.control_of"]:
            assert total[mine] == pytest.approx(float(row["energy_pj"]), rel=1e-12)
            charged = 1e3 * float(row["total_energy_nj"])
            assert total[mine] + leaked[mine] == pytest.approx(charged, rel=1e-12)
            checked += 1
    assert checked == len(total)


def test_under_a_user_s_table_numbers_are_followed_to_their_sources_as_under_any(
    tmp_path: Path,
) -> None:
    own = tmp_path / "mine.yaml"
    text = (SHIPPED / "45nm.yaml").read_text(encoding="utf-8").replace("name: 45nm", "name: mine")
    assert "energy_pj: 0.9, area_um2: 4184" in text
    changed = text.replace("energy_pj: 0.9, area_um2: 4184", "energy_pj: 0.8, area_um2: 4100")
    own.write_text(changed, encoding="utf-8")
    machine = shipped("hwconfigs", "edge-16x16").read_text(encoding="utf-8")
    machine = re.sub(r"(?m)^(name|energy_table):.*\n", "", machine)
    (tmp_path / "m.yaml").write_text(
        f"name: m\nenergy_table: mine.yaml\n{machine}", encoding="utf-8"
    )
    (tmp_path / "study.yaml").write_text(
        "name: mine\nhardware: m.yaml\nworkload: digits-relu\npolicy:\n"
        "  - uniform-low\n  - uniform-high\n"
        "  - {name: selective, sweep: {tau: [0, 8]}, controls: [0]}\n"
    )
    found = accelsim.study(tmp_path / "study.yaml", jobs=1)
    own.unlink()  # what is said of it is what it was when it was charged by
    write_report(found, found.folder)
    sources = {row["what"]: row for row in rows(found.folder / "sources.csv")}
    assert {row["energy_table"] for row in sources.values()} == {"mine"}
    assert (sources["energy of add fp32"]["value"], sources["area of add fp32"]["value"]) == (
        "0.8", "4100.0"
    )  # fmt: skip
    for row in rows(found.folder / "leakage.csv"):
        assert row["density_source"] == sources[row["what"]]["source"]
        assert row["power_mw_per_mm2"] == sources[row["what"]]["value"] == "12.2"
    spread = {row["constant"]: row for row in rows(found.folder / "spreads.csv")}
    add = spread["add, every float format"]
    assert add["energy_table"] == "mine"
    assert add["moves"] == "add e4m3fn, add fp32"
    # The shipped table that it differs from is a source like any other, and so is Aladdin.
    assert float(add["highest_factor"]) == pytest.approx(16.7 / 0.8)
    assert add["highest_source"].startswith("40nm: Aladdin")
    page = (found.folder / "report.md").read_text(encoding="utf-8")
    assert "against uniform-high under mine, and" in page
    assert "only the costs are kept" not in page
    assert str(tmp_path) not in page


def test_a_study_of_anything_else_has_no_such_section(study: Study) -> None:
    complete = list(study.rows)
    for missing in ("uniform-high", "selective:tau=0,numerator=constant"):
        study.rows = [row for row in complete if row["policy"] != missing]
        try:
            found = demo_of(study, ())
        finally:
            study.rows = complete
        assert (found is None) == (missing == "uniform-high")
    study.rows = [row for row in complete if row.get("policy.control_of") is None]
    try:
        assert demo_of(study, ()) is None
    finally:
        study.rows = complete


def test_the_demo_is_a_study_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = load_study(FILE)
    assert described.points == 3 * 3 * 2 * (6 + 16 * 4)
    # Points are compared by the energy that the findings on κ compare, which is with leakage.
    assert [name for name in described.objectives if "energy" in name] == ["total_energy_nj"]
    seen: dict[str, Any] = {}

    def study(source: Path, **given: Any) -> Study:
        seen.update(given, source=source)
        return accelsim.study(
            STUDY | {"hardware": "edge-16x16", "workload": "digits-relu"},
            executor=in_this_process,
            out=given["out"],
        )

    monkeypatch.setattr("accelsim.demo.study", study)
    found = run_demo(tmp_path / "demo")
    assert seen["source"] == FILE
    assert seen["out"] == found.folder == tmp_path / "demo"
    text = (tmp_path / "demo" / "report.md").read_text(encoding="utf-8")
    kappa = demo_of(found, ())
    assert kappa is not None
    kappa = replace(kappa, tables=tuple(tables_of(found)))
    # With what it is under every table, and between the sources.
    top = (*kappa.answer(), survival(kappa), *between(kappa))
    assert (
        "# Does selective recomputation pay on these machines?\n\n"
        + "\n\n".join(map(markdown, top))
        in text
    )
