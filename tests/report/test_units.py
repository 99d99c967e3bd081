"""A study over recompute units says at which rate each stops paying."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.config import energy_table_names, load_energy_table
from accelsim.errors import AccelsimError
from accelsim.report.break_even import Curve, curves, unit_name
from accelsim.report.folder import STAGE
from accelsim.report.page import markdown
from accelsim.report.study_report import write_report
from accelsim.report.unit_sources import (
    AREAS,
    COUNTS,
    LEAKS,
    PARTS,
    SOURCES,
    SPREADS,
    _exceptions,
    _grouped,
    looked_at,
    near,
    side_by_side,
    survival,
    trust,
    verdict,
)
from accelsim.report.units import NOT_AT_HAND, findings
from accelsim.study import Study

SWEPT = ["recompute", "policy.rate"]


def row(policy: str, rate: float, nj: float, **parts: float) -> dict[str, Any]:
    return {
        "status": "done", "hardware": "m", "energy_table": "45nm", "policy": policy, "point": 0,
        "recompute": {"unit": "array"}, "recompute_rate": rate, "total_energy_nj": nj,
        "latency_s": nj, **parts,
    }  # fmt: skip


def curve(*energies: float, high: float = 10.0) -> Curve:
    """One unit at the rates 0, 0.25, 0.5, ..."""
    rows = [row("random", index / 4, nj) for index, nj in enumerate(energies)]
    (found,) = curves([row("uniform-high", 0.0, high), *rows], SWEPT)
    return found


def test_a_unit_stops_paying_where_a_straight_line_reaches_the_others_energy() -> None:
    assert curve(6.0, 9.0, 13.0).break_even("energy", "uniform-high") == 0.25 + 0.25 * 1.0 / 4.0
    assert curve(6.0, 9.0, 10.0).break_even("energy", "uniform-high") == 0.5
    assert curve(10.0, 12.0).break_even("energy", "uniform-high") is None
    assert curve(6.0, 7.0, 8.0).break_even("time", "uniform-high") == math.inf


def test_points_are_ordered_by_rate_and_failed_ones_left_out() -> None:
    rows = [row("random", 0.5, 13.0), row("random", 0.0, 6.0), row("uniform-high", 0.0, 10.0)]
    failed = row("random", 0.25, 1.0) | {"status": "failed"}
    (found,) = curves([*rows, failed], SWEPT)
    assert found.rates == [0.0, 0.5]
    assert found.ratios("energy", "uniform-high") == [0.6, 1.3]


def test_what_grows_is_taken_apart_by_part_of_the_machine() -> None:
    parts = {"dram_pj": 5.0, "scratchpad_a_pj": 1.0, "scratchpad_b_pj": 2.0, "recompute_pj": 0.0}
    more = {"dram_pj": 5.0, "scratchpad_a_pj": 2.0, "scratchpad_b_pj": 3.0, "recompute_pj": 6.0}
    rest = dict.fromkeys(
        (
            "array_pj",
            "queue_pj",
            "detector_pj",
            "scratchpad_c_pj",
            "vector_pj",
            "wires_pj",
            "clock_pj",
        ),
        0.0,
    )
    rest["leakage_nj"] = 0.0
    first = row("random", 0.0, 1.0, **parts, **rest)
    second = row("random", 0.1, 1.0, **more, **rest)
    (found,) = curves([row("uniform-high", 0.0, 1.0), first, second], SWEPT)
    assert found.what_grows(0.1) == [("the recompute unit", 0.75), ("scratchpads", 0.25)]
    # What leaks is in nJ, all else in pJ; where it is not known, it takes no part.
    (found,) = curves([row("uniform-high", 0.0, 1.0), first, second | {"leakage_nj": 0.008}], SWEPT)
    assert found.what_grows(0.1) == [
        ("leakage", 0.5), ("the recompute unit", 0.375), ("scratchpads", 0.125)
    ]  # fmt: skip
    unknown = [one | {"leakage_nj": None} for one in (first, second)]
    (found,) = curves([row("uniform-high", 0.0, 1.0), *unknown], SWEPT)
    assert found.what_grows(0.1) == [("the recompute unit", 0.75), ("scratchpads", 0.25)]


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ({"unit": "array"}, "array, flagged PEs"),
        ({"unit": "array", "granularity": "tile"}, "array, whole waves"),
        (
            {"unit": "array", "granularity": "row", "schedule": "deferred"},
            "array, gathered rows, deferred",
        ),
        ({"unit": "lanes", "lanes": 8}, "8 lanes"),
        ({"unit": "dual"}, "dual accumulators"),
    ],
)
def test_units_have_names(unit: dict[str, Any], name: str) -> None:
    assert unit_name(unit) == name


def test_a_study_that_compares_no_units_is_refused() -> None:
    with pytest.raises(AccelsimError, match=r"does not sweep recompute and policy\.rate"):
        curves([row("random", 0.0, 1.0)], ["array.rows"])
    redone = [row("random", 0.0, 1.0), row("random", 0.1, 2.0)]
    low, high = row("uniform-low", 0.0, 1.0), row("uniform-high", 0.0, 1.0)
    for rows in (redone, [*redone, low], [redone[0], high]):
        with pytest.raises(AccelsimError, match="both of several recompute rates and of uniform-"):
            curves(rows, SWEPT)


def test_points_of_another_grid_take_no_part() -> None:
    rows = [row("uniform-high", 0.0, 10.0), row("random", 0.1, 6.0), row("random", 0.2, 7.0)]
    others = [one | {"array.rows": 8} for one in rows]
    for one in others:
        del one["recompute"]
    (found,) = curves([*rows, *others], [*SWEPT, "array.rows"])
    assert found.rows == (rows[1], rows[2])


def test_units_are_compared_with_what_finished_everywhere() -> None:
    def place(hardware: str, *policies: str) -> list[dict[str, Any]]:
        rows = [row(policy, 0.0, 10.0) for policy in policies]
        rows += [row("random", rate, 6.0) for rate in (0.1, 0.2)]
        return [one | {"hardware": hardware} for one in rows]

    low, high = "uniform-low", "uniform-high"
    rows = [*place("a", low, high), *place("b", high), *place("c", low)]
    found = curves(rows, SWEPT)
    assert [(curve.hardware, [*curve.against]) for curve in found] == [("a", [high]), ("b", [high])]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Study:
    tmp_path = tmp_path_factory.mktemp("units")
    (tmp_path / "shapes.yaml").write_text(
        "name: shapes\nlayers:\n  - {name: only, kind: gemm, m: 64, k: 32, n: 48}\n"
    )
    (tmp_path / "units.yaml").write_text(
        "name: units\nhardware: mid-32x32\nworkload: shapes.yaml\n"
        "policy: [uniform-high, 'chunked:chunk=32', 'random:rate=0.1']\n"
        "sweep:\n"
        "  recompute:\n"
        "    - {unit: array}\n"
        "    - {unit: lanes, lanes: 8, queue_capacity: 16}\n"
        "  energy_table: [45nm, 7nm]\n"
        "  policy.rate: [0.0, 0.1, 0.5]\n"
        "  policy.cluster: [1x1, '1x*']\n"
    )
    study = accelsim.study(tmp_path / "units.yaml", jobs=1)
    assert not study.failed
    return study


def test_parts_that_are_added_add_up_to_the_energy_that_is_compared(found: Study) -> None:
    kept = curves(found.rows, found.meta["swept"])
    for curve in kept:
        for rate, point in zip(curve.rates, curve.rows, strict=True):
            added = curve.added_pj(rate)
            grown = 1e3 * (point["total_energy_nj"] - curve.rows[0]["total_energy_nj"])
            scale = 1e3 * point["total_energy_nj"]
            assert math.fsum(added.values()) == pytest.approx(grown, rel=1e-9, abs=1e-12 * scale)
    lanes = [curve for curve in kept if curve.unit == "8 lanes"]
    assert lanes
    for curve in lanes:  # waiting for them, all else leaks on
        assert curve.added_pj(0.5)["leakage"] > 0.0
        assert "leakage" in dict(curve.what_grows(0.5))


def test_a_saving_between_sources_is_that_of_energies_with_what_leaks(found: Study) -> None:
    tables = [load_energy_table(name) for name in energy_table_names()]
    trusted = trust(found, curves(found.rows, found.meta["swept"]), tables)
    assert trusted
    for one in trusted:
        ours, theirs = near(one.curve), one.curve.against["uniform-high"]
        for terms, point in ((one.ours, ours), (one.theirs, theirs)):
            assert math.fsum(terms.values()) == pytest.approx(1e3 * point["total_energy_nj"])
            leaked = math.fsum(terms[name] for name in ("leakage of logic", "leakage of SRAM"))
            assert leaked == pytest.approx(1e3 * point["leakage_nj"], rel=1e-12)
            assert leaked > 0.0
        share = 1.0 - ours["total_energy_nj"] / theirs["total_energy_nj"]
        assert f"takes {-share:+.1%} against uniform-high" in one.sentence()


def test_what_can_be_trusted_is_asked_of_a_unit_that_the_tables_disagree_on() -> None:
    def curve(unit: str, table: str, energy: float) -> Any:
        row = {"point": 0, "recompute_rate": 0.1, "total_energy_nj": energy, "energy_pj": energy}
        high = {"uniform-high": row | {"total_energy_nj": 1.0, "energy_pj": 1.0}}
        return Curve("m", "", table, "1x1", unit, (row,), high)

    energies = {"dual": (1.1, 1.2), "lanes": (1.3, 0.9), "array": (1.4, 0.8), "tile": (9.0, 9.0)}
    found = [
        curve(unit, table, energy)
        for unit, both in energies.items()
        for table, energy in zip(("45nm", "7nm"), both, strict=True)
    ]
    under_45nm = [one for one in found if one.table == "45nm"]
    assert looked_at(under_45nm, found).unit == "lanes"
    agreed = [one for one in found if one.unit in ("dual", "tile")]
    assert looked_at([one for one in agreed if one.table == "45nm"], agreed).unit == "dual"


def test_who_is_at_the_ends_of_a_spread_stands_beside_the_tornado(
    found: Study, tmp_path: Path
) -> None:
    tables = [load_energy_table(name) for name in energy_table_names()]
    write_report(found, tmp_path, tables)
    (one,) = trust(found, curves(found.rows, found.meta["swept"]), tables)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    with (tmp_path / SPREADS).open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["constant"] for line in lines] == [s.spread.constant for s in one.swings]
    for line, swing in zip(lines, one.swings, strict=True):
        assert line["lowest_source"] == swing.spread.low_source
        assert line["highest_source"] == swing.spread.high_source
        assert float(line["saving_at_highest"]) == pytest.approx(swing.at_high)
    for swing in one.swings[:8]:
        assert markdown(swing.spread.low_source) in text
        assert markdown(swing.spread.high_source) in text


def test_the_first_table_whose_sources_are_at_hand_is_looked_at(
    found: Study, tmp_path: Path
) -> None:
    kept = curves(found.rows, found.meta["swept"])
    assert kept[0].table == "45nm"
    others = [load_energy_table(name) for name in ("40nm", "7nm")]
    assert {one.curve.table for one in trust(found, kept, others)} == {"7nm"}
    write_report(found, tmp_path, others)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Of 45nm only the costs are kept with these results" in text
    assert "what follows is under 7nm" in text
    assert "against uniform-high under 7nm, and" in markdown(text)
    write_report(found, tmp_path / "none", [])
    text = (tmp_path / "none/report.md").read_text(encoding="utf-8")
    assert NOT_AT_HAND in text
    assert not (tmp_path / "none" / SPREADS).exists()


def test_the_report_is_written_from_what_is_kept_twice_the_same(
    found: Study, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_report(found, folder, [load_energy_table(name) for name in energy_table_names()])
    files = (path for path in folders[0].rglob("*") if path.is_file() and STAGE not in path.parts)
    names = sorted(path.relative_to(folders[0]) for path in files)
    kinds = ("added", "energy", "time", "sensitivity")
    assert {f"figures/units-{kind}-1.svg" for kind in kinds} | {COUNTS, SOURCES} <= {
        str(name) for name in names
    }
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    text = (folders[0] / "report.md").read_text(encoding="utf-8")
    kept = curves(found.rows, found.meta["swept"])
    for sentence in (*findings(kept), survival(kept, "chunked:chunk=32")):
        assert markdown(sentence) in text
    assert text.count("under 45nm, and") == 1  # one machine, under the study's first table

    # From a number of the report to its source in two steps: counts, and what each costs; parts,
    # and what each occupies; and what leaks, in one.
    counts, sources, leaking, parts, areas = (
        list(csv.DictReader((folders[0] / file).read_text(encoding="utf-8").splitlines()))
        for file in (COUNTS, SOURCES, LEAKS, PARTS, AREAS)
    )
    occupied = {(line["energy_table"], line["part"]): line for line in areas}
    assert {line["energy_table"] for line in areas} == {"45nm", "7nm"}
    assert all(line["source"] and line["kind"] for line in areas)
    costs = {(line["energy_table"], line["action"]): line for line in sources}
    assert all(line["source"] and line["kind"] for line in sources)
    for curve in kept:
        for what, point in {curve.unit: near(curve), **curve.against}.items():
            cluster = curve.cluster if what == curve.unit else ""
            mine = [c for c in counts if (c["unit_or_policy"], c["cluster"]) == (what, cluster)]
            energy = math.fsum(
                int(c["number"]) * float(costs[curve.table, c["action"]]["energy_pj_each"])
                for c in mine
            )
            assert energy == pytest.approx(point["energy_pj"], rel=1e-12), what
            leaked = [
                leak
                for leak in leaking
                if (leak["unit_or_policy"], leak["cluster"]) == (what, cluster)
                and leak["energy_table"] == curve.table
            ]
            assert [leak["what"] for leak in leaked] == ["leakage of logic", "leakage of SRAM"]
            total = energy + math.fsum(leaked_pj(leak) for leak in leaked)
            assert total == pytest.approx(1e3 * point["total_energy_nj"], rel=1e-12), what
            # Areas are those of its parts, and add up to what the machine occupies.
            for leak in leaked:
                is_sram = leak["what"] == "leakage of SRAM"
                built = math.fsum(
                    int(part["number"])
                    * float(occupied[curve.table, part["part"]]["area_um2_each"])
                    for part in parts
                    if (part["unit_or_policy"], part["cluster"]) == (what, cluster)
                    and part["part"].startswith("SRAM") == is_sram
                )
                assert built == pytest.approx(float(leak["area_um2"]), rel=1e-9)
                assert leak["area_source"] == (
                    f"{'every SRAM' if is_sram else 'all but SRAM'} of {PARTS},"
                    f" each times its area in {AREAS}"
                )
            area = math.fsum(float(leak["area_um2"]) for leak in leaked)
            assert area == pytest.approx(point["area_um2"], rel=1e-9)
            for leak in leaked:
                entry = load_energy_table(curve.table).leakage_of(leak["what"].split()[-1].lower())
                assert entry is not None
                assert (leak["density_source"], leak["density_kind"]) == (entry.source, entry.kind)
                assert float(leak["power_mw_per_mm2"]) == entry.power_mw_per_mm2


def leaked_pj(leak: dict[str, str]) -> float:
    """Area times density times time, which the line gives as power and energy as well."""
    power_mw = float(leak["area_um2"]) / 1e6 * float(leak["power_mw_per_mm2"])
    assert power_mw == pytest.approx(float(leak["power_mw"]), rel=1e-12)
    found = power_mw * float(leak["latency_s"]) * 1e9
    assert found == pytest.approx(float(leak["leakage_pj"]), rel=1e-12)
    return found


def test_what_leaks_under_a_table_that_is_not_at_hand_says_so(found: Study, tmp_path: Path) -> None:
    write_report(found, tmp_path, [load_energy_table("7nm")])
    with (tmp_path / LEAKS).open(encoding="utf-8", newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["energy_table"] == "45nm"]
    assert lines
    for line in lines:
        assert line["density_source"] == "the energy table is not at hand here"
        assert line["area_source"] == line["density_source"]
        assert not line["area_um2"]
        power = float(line["power_mw"]) * float(line["latency_s"]) * 1e9
        assert power == pytest.approx(float(line["leakage_pj"]), rel=1e-12)


def test_a_user_s_table_has_areas_leakage_and_other_sources_too(tmp_path: Path) -> None:
    (tmp_path / "shapes.yaml").write_text(
        "name: shapes\nlayers:\n  - {name: only, kind: gemm, m: 64, k: 32, n: 48}\n"
    )
    (tmp_path / "units.yaml").write_text(
        "name: units\nhardware: mid-32x32\nworkload: shapes.yaml\n"
        "policy: [uniform-high, 'chunked:chunk=32', 'random:rate=0.1']\n"
        "sweep:\n"
        "  recompute: [{unit: array}, {unit: lanes, lanes: 8, queue_capacity: 16}]\n"
        "  policy.rate: [0.0, 0.1]\n"
        "  policy.cluster: [1x1, '1x*']\n"
    )
    mine = load_energy_table("45nm").model_copy(update={"name": "mine"})
    study = accelsim.study(tmp_path / "units.yaml", jobs=1, energy_tables=[mine])
    write_report(study, study.folder)
    for file in (AREAS, LEAKS, SPREADS):
        with (study.folder / file).open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        assert {line["energy_table"] for line in lines} == {"mine"}
    (add,) = (line for line in lines if line["constant"] == "add, every float format")
    assert float(add["highest_factor"]) == pytest.approx(16.7 / 0.9)
    assert add["highest_source"].startswith("40nm: ")


def test_what_the_tables_agree_on_is_counted(found: Study) -> None:
    kept = curves(found.rows, found.meta["swept"])
    (sentence,) = (one for one in findings(kept) if one.startswith("Of what the tables agree on"))
    plain = [curve for curve in kept if curve.cluster == kept[0].cluster]
    stops: dict[str, set[float | None]] = {}
    for curve in plain:
        stops.setdefault(curve.unit, set()).add(curve.break_even("energy", "uniform-high"))
    alike = int(all(len(rates) == 1 for rates in stops.values()))
    assert f"stop paying against uniform-high are in {alike} of 1." in sentence
    same = [curve for curve in kept if curve.table == kept[0].table]
    (sentence,) = (one for one in findings(same) if one.startswith("Of what the tables agree on"))
    assert "in 1 of 1 cases, and the rates" in sentence
    assert sentence.endswith("are in 1 of 1.")


def test_whether_a_conclusion_survives_is_told_by_the_verdicts_under_each_table() -> None:
    def under(table: str, energy: float) -> list[dict[str, Any]]:
        rows = [row("uniform-high", 0.0, 10.0), row("random", 0.0, 5.0), row("random", 0.1, energy)]
        return [one | {"energy_table": table} for one in rows]

    same = survival(curves([*under("a", 9.0), *under("b", 9.9)], SWEPT), None)
    assert same == (
        "The conclusion survives every table (a, b): whether a unit takes less energy at a rate"
        " of 10%, against uniform-high it is the same under all of them in 1 of 1 cases."
    )
    other = survival(curves([*under("a", 9.0), *under("b", 10.1)], SWEPT), None)
    assert other == (
        "The conclusion does not survive every table (a, b): whether a unit takes less energy"
        " at a rate of 10%, against uniform-high it is the same under all of them in 0 of 1 cases,"
        " and not for array, flagged PEs (on m, flags 1x1)."
    )


def test_units_whose_verdict_depends_on_the_table_are_told_apart_as_in_the_tables() -> None:
    def rows(count: int, cluster: str, energies: tuple[float, float]) -> list[dict[str, Any]]:
        return [
            one | {"energy_table": table, "array.count": count, "policy.cluster": cluster}
            for table, energy in zip("ab", energies, strict=True)
            for one in (
                row("uniform-high", 0.0, 10.0),
                row("random", 0.0, 5.0),
                row("random", 0.1, energy),
            )
        ]

    swept = [*SWEPT, "array.count", "policy.cluster"]
    found = curves(
        [
            *rows(1, "1x1", (9.0, 11.0)),
            *rows(2, "1x1", (9.0, 9.5)),
            *rows(2, "1x*", (9.0, 12.0)),
        ],
        swept,
    )
    said = survival(found, None)
    assert "in 1 of 3 cases" in said
    assert said.endswith(
        "and not for array, flagged PEs (on m, array.count 1, flags 1x1);"
        " array, flagged PEs (on m, array.count 2, flags 1x*)."
    )
    assert verdict(found, None) == (
        "Whether a unit takes less energy at a rate of 10% depends on the energy table (a, b) in"
        " 2 of 3 cases against uniform-high."
    )
    assert side_by_side(found, None).rows == (
        ("m", "array.count 1", "array, flagged PEs", "1x1", "-10.0%", "+10.0%", "uniform-high"),
        ("m", "array.count 2", "array, flagged PEs", "1x1", "-10.0%", "-5.0%", ""),
        ("m", "array.count 2", "array, flagged PEs", "1x*", "-10.0%", "+20.0%", "uniform-high"),
    )


def test_a_sentence_names_a_few_places_and_leaves_many_to_the_table() -> None:
    places = [("m", "", f"{lanes} lanes", "1x1") for lanes in range(1, 6)]
    assert _exceptions([]) == ""
    assert _exceptions(places[:1]) == f", and not for {_grouped(places[:1])}"
    assert "4 lanes" in _exceptions(places[:4])
    assert _exceptions(places) == " (the table below says in which 5 it is not)"
