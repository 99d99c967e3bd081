"""What a report of policies says of intervals, controls, places, conditions, detectors and τ."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kept import keep, point
from policy_rows import KAPPA, comparison, row, rows_of

from accelsim.report import policy_figures
from accelsim.report.policy_accuracy import at_cost, changes_table
from accelsim.report.policy_answer import answer
from accelsim.report.policy_build import build_section
from accelsim.report.policy_clusters import clusters_section
from accelsim.report.policy_controls import control_answer, controls_of, controls_section
from accelsim.report.policy_curves import RATE, Comparison, curves
from accelsim.report.policy_figures import MEASURES
from accelsim.report.policy_means import average
from accelsim.report.policy_section import policies_section
from accelsim.report.policy_when import (
    best_split,
    cases,
    condition,
    conditions,
    counts,
    short_between,
    when_table,
)
from accelsim.report.study_report import write_report
from accelsim.study import Study

LOST, CHANGED = MEASURES[2], MEASURES[1]


def test_a_mean_has_students_interval_over_networks_of_the_means_of_their_seeds() -> None:
    # Means of networks: 1, 2 and 6. t(0.975, 2) is 4.3027, the deviation √7, over √3 networks.
    values = {("a", 0): 0.0, ("a", 1): 2.0, ("b", 0): 2.0, ("c", 0): 6.0}
    mean = average(values)
    assert mean is not None
    assert (mean.middle, mean.networks) == (3.0, 3)
    assert mean.half == pytest.approx(4.30265273 * math.sqrt(7.0 / 3.0))
    assert mean.text(1) == "3.0 (-3.6 to 9.6)"
    assert mean.text(1, of=3) == "3.0 (-3.6 to 9.6)"
    assert mean.text(1, "%", of=5) == "3.0% (-3.6 to 9.6; 3 networks)"
    two, one = average({("a", 0): 1.0, ("b", 0): 2.0}), average({("a", 0): -0.001})
    assert two is not None
    assert one is not None
    assert (two.text(1), one.text(1)) == ("1.5 (2 networks)", "0.0 (1 network)")
    assert average({}) is None


def test_what_is_lost_lies_on_a_straight_line_between_points() -> None:
    found = comparison(rows_of("a"))
    # κ has 0.8 and 0.9 at rates of 0 and 0.2, energies of 80 and 100, latencies of 8 and 10.
    for column, share in ((RATE, 0.1), ("energy", 0.9), ("latency_s", 0.9)):
        lost = at_cost(found, KAPPA, column, share, LOST)
        assert lost == {("a", 0): pytest.approx(5.0)}, column
    assert at_cost(found, KAPPA, RATE, 0.1, CHANGED) == {("a", 0): pytest.approx(1.0)}
    assert at_cost(found, KAPPA, "energy", 0.7, LOST) == {}
    assert at_cost(found, "chunked:chunk=32", "energy", 0.9, LOST) == {("a", 0): 0.0}


def test_what_is_lost_is_tabled_by_the_seeds_held_out_with_the_networks_that_are_left() -> None:
    rows = [one for name in ("a", "b", "c", "d") for one in rows_of(name)]
    rows += [one for name in ("a", "b", "c", "d") for one in rows_of(f"{name}-seed1")]
    for one in rows:
        if one["policy"].startswith("selective") and one["workload"] == "d-seed1":
            one["total_energy_nj"] += 50.0
        if one["workload"] in "abcd":
            one["accuracy"] = 0.0  # of seed 0, which is not looked at
    (table,) = changes_table(comparison(rows), "energy", (0.9,), "the same energy", "of it")
    assert [column.name for column in table.columns] == [
        "policy", "lost at 90% of it", "changed at 90% of it",
    ]  # fmt: skip
    cells = {one[0]: one[1:] for one in table.rows}
    assert cells[KAPPA] == ("5.00 (5.00 to 5.00; 3 networks)", "1.00 (1.00 to 1.00; 3 networks)")
    assert cells["chunked:chunk=32"][0] == "0.00 (0.00 to 0.00)"
    assert "seed 1: means over networks" in table.caption


def test_points_worth_building_have_intervals_of_what_they_lose() -> None:
    rows = [one for name in ("a", "b", "c") for one in rows_of(name)]
    points, _ = build_section([comparison(rows)], KAPPA).tables
    chunked = points.rows[0]
    assert chunked == (
        "chunked:chunk=32", "0.0%", "0.750", "0.02 (0.02–0.02)", "0.00 (0.00 to 0.00)",
        "0.00 (0.00 to 0.00)", "",
    )  # fmt: skip


def control(workload: str, kl: float, of: str, layers: str = "0.3/0.1") -> dict[str, Any]:
    """A control of a policy: as many outputs of every layer, by lot."""
    given = row(workload, f"random:layer_rates={layers}", 0.2, kl, 1.0, 1.0)
    return given | {"policy.control_of": of, "policy.seed": 0}


RULE = "selective:rate=0.2,numerator=constant"


def test_a_rule_is_taken_apart_into_which_outputs_and_how_many_of_which_layer() -> None:
    rows = [one for name in ("a", "b") for one in rows_of(name)]
    # κ has 0.08 at a rate of 0.2, and a lottery of one rate 0.01.
    rows += [control("a", 0.02, RULE), control("a", 0.08, RULE, "0.1/0.3")]
    rows.append(control("b", 0.04, RULE))
    found = comparison(rows)
    (one,) = controls_of(rows, found)
    assert one.policy == RULE
    assert one.rate.middle == pytest.approx(20.0)
    for logs, ratio in ((one.outputs, 2.0), (one.layers, 4.0), (one.both, 8.0)):
        assert {key: math.exp(log) for key, log in logs.items()} == {
            ("a", 0): pytest.approx(ratio), ("b", 0): pytest.approx(ratio),
        }  # fmt: skip
    section = controls_section([one], "seed 0")
    assert section is not None
    table, by_network = section.tables
    assert table.rows == (
        (RULE, "20.0 (2 networks)", "2 (2 networks)", "4 (2 networks)", "8 (2 networks)"),
    )
    assert by_network.rows == (("a", "2.00"), ("b", "2.00"))
    assert "which outputs it takes is not known from so few networks" in section.findings[0]
    assert control_answer([one], KAPPA) == (
        "Against as many outputs of every layer drawn by lot, the KL divergence is 2 (2 networks)"
        f" for {RULE} times as large; against the same share of every layer, that lottery with the"
        " layers' rates of the rule has 4 (2 networks) times: what it gains by how many it redoes"
        " of which layer."
    )
    assert controls_section([], "seed 0") is None
    assert control_answer([], KAPPA) == ""


def test_whether_a_choice_helps_is_said_if_the_interval_leaves_out_1() -> None:
    names = ("a", "b", "c")
    rows = [one for name in names for one in rows_of(name)]
    harm = [control(name, 0.04, RULE) for name in names]
    unclear = [control(name, kl, RULE) for name, kl in zip(names, (0.02, 0.32, 0.08), strict=True)]
    for given, verdict in (
        (harm, "takes does harm on average, network by network from 2.00 times (a) to 2.00 (a),"),
        (unclear, "makes no difference beyond its interval on average, network by network from"),
        (unclear, "from 0.25 times (b) to 4.00 (a), less on all seeds of 1 of 3 and more on all"),
    ):
        section = controls_section(controls_of([*rows, *given], comparison(rows)), "seed 0")
        assert section is not None
        assert verdict in section.findings[0]


def test_a_lottery_of_other_arithmetic_says_nothing_of_how_rates_are_split() -> None:
    chunked = "gauss-newton:rate=0.2,chunk=32,numerator=l2"
    rows = [one for name in ("a", "b") for one in rows_of(name)]
    for name in "ab":
        rows += [row(name, chunked, 0.2, 0.001, 90.0), control(name, 0.002, chunked)]
    (one,) = controls_of(rows, comparison(rows))
    assert (len(one.outputs), one.layers, one.both) == (2, {}, {})
    assert control_answer([one], KAPPA) == ""
    rows += [row(name, "random:chunk=32,rate=0.2", 0.2, 0.004, 90.0) for name in "ab"]
    (one,) = controls_of(rows, comparison(rows))
    assert [math.exp(log) for log in one.layers.values()] == [pytest.approx(0.5)] * 2


@pytest.fixture
def drawn_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are the numbers that they show, which takes no time to draw."""

    def panels(found: Comparison, column: str, *_: str) -> bytes:
        shown = {policy: policy_figures.means(found, policy, column) for policy in found.by_policy}
        return repr(shown).encode()

    monkeypatch.setattr(policy_figures, "_panels", panels)


def section_of(rows: list[dict[str, Any]]) -> Any:
    study = SimpleNamespace(rows=rows)
    return policies_section(cast(Study, study))


@pytest.mark.usefixtures("drawn_as_numbers")
def test_controls_are_in_no_other_table_figure_or_front() -> None:
    rows = [one for name in ("a", "b") for one in rows_of(name)]
    controls = [control(name, 1e-9, RULE) for name in "ab"]  # better and cheaper than all else
    with_them, without = section_of([*controls, *rows]), section_of(rows)
    title = "Which outputs, or how many of which layer"
    parts = [part for part in with_them.sections if part.title != title]
    assert len(with_them.sections) == len(parts) + 1
    assert tuple(parts) == without.sections
    assert with_them.paragraphs[0] == without.paragraphs[0]
    assert with_them.paragraphs[1].startswith(without.paragraphs[1])


def kept_study(folder: Path) -> Study:
    """A study on disk: rows of two networks, and controls that beat them all."""
    rows = [one for name in ("mnist-relu-3", "digits-relu-seed2") for one in rows_of(name)]
    rows += [control(name, 1e-9, RULE) for name in ("mnist-relu-3", "digits-relu-seed2")]
    left = ("point", "status", "policy.control_of", "policy.seed", "policy.rate")
    points = []
    for one in rows:
        of = one.get("policy.control_of")
        settings = {} if of is None else {"policy.control_of": of, "policy.seed": 0}
        points.append(point(settings, **{k: v for k, v in one.items() if k not in left}))
    names = ("mnist-relu-3", "digits-relu")
    inputs = {f"accelsim:workloads/{name}.yaml": "0" for name in names}
    swept = ["policy.control_of", "policy.seed"]
    return keep(folder / "policies", points, inputs_sha256=inputs, swept=swept)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kept")
    write_report(kept_study(folder), folder)
    return (folder / "report.md").read_text(encoding="utf-8")


def test_fronts_of_the_whole_report_are_without_controls(page: str) -> None:
    assert "2 of them are controls, which are compared with what they are controls of" in page
    assert "control of selective" not in page
    assert "layer_rates" not in page


def test_weights_of_other_seeds_and_data_are_said_to_be_made_first(page: str) -> None:
    assert "Their data are fetched by accelsim download mnist." in page
    assert "trained from seed N, here 2, each by python workloads/train.py --seed N --out" in page
    assert "Another kind of processor, or version of NumPy or scikit-learn, makes another" in page


def test_a_study_of_other_networks_says_nothing_of_these_weights(tmp_path: Path) -> None:
    points = [point(workload=name) for name in ("mnist-mine", "mine-seed1")]
    study = keep(tmp_path / "x", points)
    text = write_report(study, tmp_path).with_suffix(".md").read_text(encoding="utf-8")
    assert "accelsim download" not in text
    assert "train.py" not in text


def under(rows: list[dict[str, Any]], table: str, times: float = 1.0) -> list[dict[str, Any]]:
    """Return the same rows under another table, redoing outputs so many times as dear."""
    dear = {
        True: lambda energy: energy * times,
        False: lambda energy: energy,
    }
    return [
        one
        | {
            "energy_table": table,
            "total_energy_nj": dear[one["recompute_rate"] > 0.0](one["total_energy_nj"]),
        }
        for one in rows
    ]


@pytest.mark.usefixtures("drawn_as_numbers")
def test_an_energy_table_more_counts_no_network_twice_and_narrows_no_interval() -> None:
    rows = [one for name in ("a", "b", "c") for one in rows_of(name)]
    for one in rows:
        if one["workload"] == "a" and one["policy"] == RULE:
            one["total_energy_nj"] = 90.0  # pays, on one network
    alone, both = section_of(rows), section_of([*rows, *under(rows, "u", 2.0)])
    same = "At equal recompute rates", "At equal latency: m", "Sensitivity to the threshold"
    parts = {part.title: part for part in both.sections}
    for part in alone.sections:
        if part.title in same:
            assert parts[part.title] == part
    assert {"At equal energy: m, t", "At equal energy: m, u"} < {*parts}
    assert parts["At equal energy: m, t"].tables == next(
        part.tables for part in alone.sections if part.title == "At equal energy: m, t"
    )
    assert "takes less energy than these on 1 (m, t)." in alone.paragraphs[0]
    text = both.paragraphs[0]
    assert "takes less energy than these on 1 (m, t) and 0 (m, u)." in text
    assert "machine and energy table: m, t; m, u." in both.paragraphs[3]
    assert "is chunked:chunk=32 on 3." in text
    names = [image.name for part in both.everything for one in part.figures for image in one.images]
    assert len(names) == len({*names})
    assert [name for name in names if "energy" in name or "latency" in name] == [
        "policies-energy-0", "policies-energy-1", "policies-latency-0",
    ]  # fmt: skip


def networks(losses: dict[str, float], paying: set[str]) -> list[dict[str, Any]]:
    """Return networks by name on which all low loses so many points, and on some κ pays."""
    rows = []
    for name, lost in losses.items():
        rows.append(row(name, "uniform-high", 0.0, 1e-4, 100.0, 0.9))
        rows.append(row(name, "uniform-low", 0.0, 0.1, 60.0, 0.9 - lost / 100.0))
        cheap = 80.0 if name in paying else 120.0
        rows.append(row(name, RULE, 0.2, 0.01, cheap, 0.9))
        rows.append(row(name, "random:rate=0.2", 0.2, 0.02, cheap, 0.5))
    return rows


def test_when_a_rule_pays_is_said_by_the_quantity_that_tells_it_best() -> None:
    losses = {f"x-relu-{n}": n / 2 - 0.1 for n in range(1, 9)}
    found = comparison(networks(losses, {f"x-relu-{n}" for n in (1, 2, 3, 4)}))
    split = best_split(cases([found], KAPPA), [0])
    assert split is not None
    assert split.words == "uniform-low itself loses no more than 2 points of accuracy"
    assert condition(cases([found], KAPPA), [found]) == (
        "It does only where uniform-low itself loses no more than 2 points of accuracy: of those 4"
        " on 4, of the other 4 on none."
    )
    exception = comparison(networks(losses, {f"x-relu-{n}" for n in (1, 2, 3, 4, 7)}))
    assert condition(cases([exception], KAPPA), [exception]) == (
        "It does more often where uniform-low itself loses no more than 2 points of accuracy: of"
        " those 4 on 4, of the other 4 on 1."
    )


def test_names_of_networks_tell_data_activation_and_layers() -> None:
    losses = {f"{d}-{a}-{n}": 1.0 for d in ("x", "y") for a in ("relu", "tanh") for n in (3, 8)}
    by = {
        "the activation is tanh": {name for name in losses if "tanh" in name},
        "the data are y": {name for name in losses if name.startswith("y")},
        "there are more than 3 layers": {name for name in losses if name.endswith("8")},
    }
    for words, paying in by.items():
        found = comparison(networks(losses, paying))
        split = best_split(cases([found], KAPPA), [0])
        assert split is not None
        assert split.words == words
    table = when_table(cases([found], KAPPA), [found])
    counted = {one[0]: one[1:] for one in table.rows}
    assert counted["all"] == ("8", "4")
    assert counted["tanh, 8 layers"] == ("2", "2")
    assert counted["3 layers"] == ("4", "0")
    assert counted["x"] == ("4", "2")


def test_a_condition_that_only_one_machine_needs_is_said_of_that() -> None:
    losses = {f"x-{a}-{n}": n / 9.0 for a in ("relu", "tanh") for n in (3, 5, 8)}
    losses |= {f"y-{a}-{n}": 5.0 + n / 8.0 for a in ("relu", "tanh") for n in (3, 5, 8)}
    data = {name for name in losses if name.startswith("x")}
    here = networks(losses, data)
    there = networks(losses, {name for name in data if "tanh" in name})
    both = curves([*here, *({**one, "energy_table": "u"} for one in there)])
    machines = [Comparison(both, "m", table) for table in "tu"]
    found = cases(machines, KAPPA)
    assert condition(found, machines) == (
        "It does only where uniform-low itself loses no more than 1 points of accuracy: of those 6"
        " on 3 to 6, as the place goes, of the other 6 on none."
    )
    assert conditions(found, machines) == [
        "On m, u, of the 6 trained networks where uniform-low itself loses no more than 1 points of"
        " accuracy it is best told by whether the activation is tanh: the rule pays on 3 of 3 of"
        " these, and on 0 of the other 3."
    ]


def test_what_is_the_same_at_every_place_is_said_once() -> None:
    names = {f"x-relu-{n}": float(n) for n in range(4)}
    for paying, said in ((set(), "none, on any"), ({"x-relu-1"}, "1, on every")):
        rows = networks(names, paying)
        both = curves([*rows, *under(rows, "u")])
        machines = [Comparison(both, "m", table) for table in "tu"]
        assert counts(cases(machines, KAPPA), machines) == f"{said} machine and energy table"


def test_of_many_places_the_least_and_the_most_are_said() -> None:
    names = {f"x-relu-{n}": float(n) for n in range(4)}
    rows = networks(names, {"x-relu-1"})
    tables = "tuvwx"
    both = [one | {"energy_table": table} for table in tables[:4] for one in rows]
    both += [one | {"energy_table": "x"} for one in networks(names, {*names})]
    machines = [Comparison(curves(both), "m", table) for table in tables]
    assert counts(cases(machines, KAPPA), machines) == "1 to 4, as the place goes"


def test_where_a_rule_never_pays_no_condition_is_said() -> None:
    found = comparison(networks({f"x-relu-{n}": float(n) for n in range(8)}, set()))
    assert condition(cases([found], KAPPA), [found]) == ""
    assert "takes less energy than these on 0 (m, t). What should" in answer([found])


@pytest.mark.parametrize(
    ("low", "high", "between"),
    [(0.6142, 0.6811, "0.65"), (0.61, 0.68, "0.61"), (2.0, 2.5, "2"), (0.5, 12.0, "1"),
     (-0.011, 0.0, "-0.01"), (1.2345, 1.2346, "1.2345")],
)  # fmt: skip
def test_a_limit_has_as_few_decimals_as_tell_two_values_apart(
    low: float, high: float, between: str
) -> None:
    limit = short_between(low, high)
    assert low <= float(limit) < high
    assert len(str(limit)) <= len(between)


def test_clusters_and_what_is_missed_have_intervals_and_say_what_they_are_of() -> None:
    rows = [one for name in ("a", "b", "c") for one in rows_of(name)]
    for one in rows:
        if one["policy"] == RULE:
            share = {"a": 0.5, "b": 0.6, "c": 0.7}[one["workload"]]
            one |= {"flagged_rows": share, "flagged_blocks_32x32": share, RATE: 0.15}
            one["false_negative_rate"] = None if one["workload"] == "c" else share
        else:
            one["flagged_blocks_32x32"] = 0.1
        one["flagged_blocks_32x32_by_lot"] = 0.1
    section = clusters_section(comparison(rows), KAPPA)
    flagged, missed = section.tables
    heads = [column.name for column in flagged.columns]
    assert heads[-1] == "blocks 32x32 (%)"  # what rows tell is tabled, whatever size it has
    cells = {one[0]: one[1:] for one in flagged.rows}
    # The mean of 50, 60 and 70, and t(0.975, 2) = 4.3027 times 10/√3.
    assert cells[KAPPA][:2] == ("15.0 (15.0 to 15.0)", "60 (35 to 85), by lot 10 (10 to 10)")
    assert missed.rows[1] == (KAPPA, "15.0", "55.0 (2 networks)")
    assert "different rules are asked for different outputs" in missed.caption
