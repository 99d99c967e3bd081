"""Policies are compared at equal rates and energies, network by network and seed by seed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from policy_rows import KAPPA, comparison, row, rows_of

from accelsim.report.policy_answer import answer, behind, unbeaten
from accelsim.report.policy_build import build_section, front, points
from accelsim.report.policy_curves import Comparison, curves, family, network_of
from accelsim.report.policy_figures import MEASURES, PLAIN_LOOKS, STYLES, means
from accelsim.report.policy_layers import SAME_ENERGY, SAME_RATE, layers_section
from accelsim.report.policy_means import mean_ratio
from accelsim.report.policy_networks import (
    NEITHER,
    NONE,
    OTHER,
    PLAIN,
    REDO,
    networks_section,
    winner,
)
from accelsim.report.policy_section import policies_section
from accelsim.report.policy_thresholds import steps, thresholds_section
from accelsim.study import Study


def test_a_policy_without_its_budget_is_its_family() -> None:
    assert family("selective:rate=0.1,numerator=exact,last=fp32") == (
        "selective:numerator=exact,last=fp32"
    )
    assert family("random:rate=0.1,seed=3") == "random"
    assert family("gauss-newton:tau=3") == "gauss-newton"
    assert family("uniform-high") == "uniform-high"


def test_a_network_trained_again_is_told_by_its_name() -> None:
    assert network_of("mnist-relu-5-seed3") == ("mnist-relu-5", 3)
    assert network_of("mnist-relu-5") == ("mnist-relu-5", 0)


def test_between_two_points_the_logarithm_of_kl_is_straight() -> None:
    found = comparison(rows_of("a"))
    mean = found.at_rate(KAPPA, "random", 0.1, 0.1)
    assert mean is not None
    # Half way: sqrt(0.2·0.08) over sqrt(0.1·0.01), which is sqrt(16).
    assert mean.ratio == pytest.approx(4.0)
    assert (mean.low, mean.high, mean.networks) == (None, None, 1)
    assert found.at_rate(KAPPA, "random", 0.3, 0.3) is None  # nobody went that far
    half = found.at_rate("random", KAPPA, 0.0, 0.2)
    assert half is not None
    assert half.ratio == pytest.approx(0.1 / 0.08)


def test_a_policy_of_one_rate_is_compared_at_that_rate_with_a_lottery_from_nothing_drawn() -> None:
    rows = [*rows_of("a"), row("a", "look-ahead", 0.02, 0.03, 82.0)]
    assert comparison(rows).at_own_rate("look-ahead", "random") is not None
    rows = [one for one in rows if one["policy"] != "random:rate=0"]
    found = comparison(rows)
    assert found.of_one_rate == ["random", "look-ahead"]
    assert found.at_own_rate("look-ahead", "random") is None  # the lottery is known at 20 % alone
    found = comparison([*rows, row("a", "uniform-low", 0.0, 0.16, 70.0)])
    mean = found.at_own_rate("look-ahead", "random")
    assert mean is not None
    # A tenth of the way from 0.16 to 0.01.
    assert mean.ratio == pytest.approx(0.03 / (0.16**0.9 * 0.01**0.1))
    assert found.own_rate("look-ahead") == 0.02


def test_rates_count_as_equal_that_differ_by_whole_outputs() -> None:
    found = comparison(rows_of("a"))
    at_end, beyond = (found.at_rate(KAPPA, "random", rate, rate) for rate in (0.2, 0.209))
    assert at_end is not None
    assert at_end == beyond
    assert found.at_rate(KAPPA, "random", 0.211, 0.211) is None


def test_a_policy_of_one_rate_is_what_it_is_at_larger_rates_and_a_control_is_not() -> None:
    rows = [*rows_of("a"), row("a", "look-ahead", 0.02, 0.03, 82.0)]
    found = comparison(rows)
    mean = found.at_rate("look-ahead", "random", 0.2, 0.2)
    assert mean is not None
    assert mean.ratio == pytest.approx(0.03 / 0.01)
    assert found.at_rate("look-ahead", "random", 0.01, 0.01) is None
    assert found.at_rate(KAPPA, "look-ahead", 0.2, 0.2) is None


def test_what_wins_on_a_network_is_the_cheapest_that_is_as_accurate() -> None:
    low = row("a", "uniform-low", 0.0, 0.16, 70.0, 0.8)
    chunks = row("a", "chunked:chunk=32", 0.0, 0.02, 75.0, 0.9)
    rule = row("a", "selective:rate=0.1,numerator=constant", 0.1, 0.03, 72.0, 0.9)
    high = row("a", "uniform-high", 0.0, 1e-4, 100.0, 0.9)

    def won(*rows: dict[str, Any]) -> tuple[str, str]:
        return winner(comparison([high, *rows]), [KAPPA], ("a", 0))

    assert won(low | {"accuracy": 0.896}, chunks, rule) == (NEITHER, "uniform-low")
    assert won(low, chunks, rule) == (REDO, KAPPA)
    assert won(low, chunks, rule | {"accuracy": 0.89}) == (PLAIN, "chunked:chunk=32")
    other = row("a", "look-ahead", 0.02, 0.03, 71.0)
    assert won(low, chunks, rule, other) == (OTHER, "look-ahead")
    lottery, oracle = (row("a", name, 0.1, 0.03, 60.0) for name in ("random", "oracle"))
    assert won(low, chunks, rule, lottery, oracle) == (REDO, KAPPA)  # nobody can build these
    assert won(low, chunks | {"total_energy_nj": 71.0}, rule) == (PLAIN, "chunked:chunk=32")
    dear = {"total_energy_nj": 101.0}
    assert won(low, chunks | dear, rule | dear) == (NONE, "uniform-high")


def test_networks_are_counted_by_what_wins_on_them() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *rows_of("b-seed1")]
    rows += [row(name, "uniform-low", 0.0, 0.2, 70.0, 0.8) for name in ("a", "b")]
    rows.append(row("b-seed1", "uniform-low", 0.0, 0.2, 70.0, 0.9))
    found = networks_section([comparison(rows)], [KAPPA])
    assert found is not None
    assert found.findings == (
        "On m, t, of 3 trained networks 1 need neither; of the others the rule is the cheapest on"
        " 0, another rule on 0, what redoes nothing on 2 (chunked:chunk=32 2), and nothing takes"
        " less energy than uniform-high on 0.",
    )
    pays, won = found.tables
    assert pays.rows == (("all", "3", "0"),)
    assert won.rows == (
        ("a", "0", "0", "0", "1", "0", "chunked:chunk=32"),
        ("b", "1", "0", "0", "1", "0", "chunked:chunk=32"),
    )
    assert networks_section([comparison(rows_of("a"))], [KAPPA]) is None


def test_figures_take_means_of_what_policies_cost_in_accuracy() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    for one in rows:
        if one["workload"] == "b" and one["policy"] == "chunked:chunk=32":
            one |= {"accuracy": 0.7, "flip_rate": 0.3, "kl_divergence_nats": 0.08}
    measured = (
        means(comparison(rows), "chunked:chunk=32", "energy", measure) for measure in MEASURES
    )
    ((cost, kl),), ((_, flips),), ((_, lost),) = measured
    assert cost == pytest.approx(0.75)
    assert kl == pytest.approx(math.sqrt(0.02 * 0.08))
    assert flips == pytest.approx(15.0)
    assert lost == pytest.approx(10.0)


def test_no_two_policies_of_a_figure_look_alike_where_they_are_points() -> None:
    looks = {(colour, marker) for colour, marker, _ in STYLES}
    assert len(looks) == len(STYLES) == 24
    assert len({*PLAIN_LOOKS}) == len(PLAIN_LOOKS)
    reports = Path(__file__).parents[2] / "reports"
    for page in reports.glob("*/report.md"):
        for lines, marks in re.findall(
            r"a line for each of (\d+) policies that redo outputs, and a point for each of (\d+)",
            page.read_text(encoding="utf-8"),
        ):
            assert int(lines) <= len(STYLES)
            assert int(marks) <= len(PLAIN_LOOKS)


def test_at_equal_energy_a_policy_without_a_budget_is_as_it_is() -> None:
    found = comparison(rows_of("a"))
    mean = found.at_cost("chunked:chunk=32", KAPPA, "energy", 0.9)
    assert mean is not None
    assert mean.ratio == pytest.approx(0.02 / math.sqrt(0.2 * 0.08))
    assert found.at_cost("chunked:chunk=32", KAPPA, "energy", 0.7) is None


def test_where_a_rule_takes_less_energy_is_counted() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    for one in rows:
        if one["workload"] == "b" and one["policy"].startswith("selective"):
            one["total_energy_nj"] += 25.0  # above all in high at every rate
    assert comparison(rows).cheaper(KAPPA, "uniform-high") == (1, 2)


def test_the_cheapest_point_counts_that_is_as_accurate() -> None:
    found = comparison(rows_of("a"))
    assert found.cheapest_as_good(KAPPA, ("a", 0), 0.005) == 1.0  # at a rate of 0.2
    assert found.rate_as_good(KAPPA, ("a", 0), 0.005) == 0.2
    assert found.cheapest_as_good("random", ("a", 0), 0.005) is None
    assert found.cheapest_as_good("random", ("a", 0), 0.1) == 0.8
    assert found.cheapest_as_good("chunked:chunk=32", ("a", 0), 0.005) == 0.75


def test_the_interval_is_students_over_networks_of_the_means_of_their_seeds() -> None:
    # Means of the logarithms of a network: 0 and 2. t(0.975, 1) is 12.706.
    logs = {("a", 0): 1.0, ("a", 1): -1.0, ("b", 0): 2.0}
    mean = mean_ratio(logs)
    assert mean is not None
    assert mean.ratio == pytest.approx(math.e)
    assert mean.networks == 2
    assert mean.low == pytest.approx(math.exp(1 - 12.7062047), rel=1e-6)
    assert mean.high == pytest.approx(math.exp(1 + 12.7062047), rel=1e-6)
    assert mean_ratio({}) is None


def test_rows_that_failed_or_have_no_kl_make_no_curve() -> None:
    rows = rows_of("a")
    rows.append(row("a", "uniform-low", 0.0, math.inf, 1.0))
    rows.append(row("a", "spill", 0.0, 1.0, 1.0) | {"status": "failed"})
    assert {curve.policy for curve in curves(rows)} == {
        "uniform-high", KAPPA, "random", "chunked:chunk=32",
    }  # fmt: skip


def test_the_answer_counts_where_kappa_saves_and_says_what_is_cheapest() -> None:
    rows = [*rows_of("a"), *rows_of("a-seed1"), *rows_of("b")]
    text = answer([comparison(rows)])
    assert text.startswith(
        "Does recomputing the outputs that the rule of arXiv:2503.15568 flags save energy? On none"
        " of these networks. When? At an accuracy no more than 0.5 percentage points below that of"
        f" all sums in fp32 (uniform-high), of 3 trained networks the rule ({KAPPA}) takes less"
        " energy than these on 0 (m, t). What should one build instead?"
    )
    assert behind([comparison(rows)]) == (
        "The rule is the cheapest policy on none of these networks, and any rule that redoes"
        " outputs is on none."
    )
    most = "on the most trained networks, 3, at the least energy is chunked:chunk=32, with 0.75 of"
    assert most in text
    assert "network by network, is chunked:chunk=32 on 3." in text
    assert unbeaten([comparison(rows)]) == (
        "Of the policies here nothing beats these in both energy and KL divergence there, seed 1:"
        " chunked:chunk=32, uniform-high. Of the points that nothing beats, none redo outputs."
    )


def test_the_answer_counts_where_kappa_is_never_as_accurate() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    for one in rows:
        if one["workload"] == "b" and one["policy"].startswith("selective"):
            one["accuracy"] = 0.8
    assert "on none; on 1 no point of it is so accurate." in behind([comparison(rows)])


def test_the_answer_tells_where_kappa_saves_and_would_not_be_needed() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *rows_of("c")]
    for name in "ab":  # κ reaches the accuracy for less than everywhere else
        rows.append(row(name, "selective:rate=0.1,numerator=constant", 0.1, 0.1, 70.0))
    rows.append(row("a", "uniform-low", 0.0, 0.5, 50.0))
    text = answer([comparison(rows)])
    assert "some networks, but what redoes nothing saves more on 2 of 3. When? At" in text
    assert (
        "takes less energy than these on 2 (m, t). Of the networks where it does, it is needed on"
        " 1: on the others its first pass is as accurate with nothing redone, or with a wider"
        " last layer. What should"
    ) in text
    text = behind([comparison(rows)])
    assert (
        "Of the 2 where it does somewhere, its first pass by itself, or with a wider last layer,"
        " is as accurate on 1: uniform-low on 1. Why?"
    ) in text
    assert (
        f"Why? With 10% of the outputs redone {KAPPA} takes 0.76 times the energy of uniform-high,"
        " and 0.76 times its time; all sums in e4m3fn (uniform-low) take 0.50 times the energy,"
        " chunked:chunk=32 0.75."
    ) in text
    assert text.startswith(
        "The rule is the cheapest policy on 1 of these networks, and any rule that redoes outputs"
        " is on 1."
    )


def test_a_first_pass_in_another_format_counts_as_well() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    rows += [row(name, f"{KAPPA},low=e4m4", 0.1, 0.1, 70.0) for name in "ab"]
    rows += [row(name, "uniform:format=e4m4,last=fp16", 0.0, 0.1, 60.0) for name in "ab"]
    rows += [row(name, "uniform:format=e4m5", 0.0, 0.1, 60.0) for name in "ab"]
    assert "it is needed on 0: on" in answer([comparison(rows)])
    rows = [one | {"accuracy": 0.5} if "e4m4,last" in one["policy"] else one for one in rows]
    assert "it is needed on 2: on" in answer([comparison(rows)])


def test_what_to_build_is_told_place_by_place() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    rows += [row(name, "spill", 0.0, 0.1, 70.0) for name in "ab"]
    other = [one | {"energy_table": "u"} for one in rows]
    for one in other:
        one["total_energy_nj"] = 60.0 if "chunked" in one["policy"] else one["total_energy_nj"]
    both = curves([*rows, *other])
    assert (
        "on the most trained networks, 2, at the least energy is spill, with 0.70 of that of"
        " uniform-high on m, t, and chunked:chunk=32, with 0.60 of that of uniform-high on m, u."
    ) in answer([Comparison(both, "m", table) for table in "tu"])


def test_of_many_places_those_that_only_redo_otherwise_are_told() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *(row(name, "spill", 0.0, 0.1, 70.0) for name in "ab")]
    places = {}
    for table in "tuvwx":
        places[table] = [one | {"energy_table": table} for one in rows]
        for one in places[table]:
            if table in "uv" and "selective" in one["policy"]:
                one["total_energy_nj"] += 1.0
            if table in "wx" and "chunked" in one["policy"]:
                one["total_energy_nj"] = 60.0
    every = curves([one for mine in places.values() for one in mine])
    found = answer([Comparison(every, "m", table) for table in places])
    assert (
        " is spill, with 0.70 of that of uniform-high at 3 of the 5 places (1 of 2 but for their"
        " units to redo outputs), and chunked:chunk=32, with 0.60 of that of uniform-high at 2 of"
        " the 5 places (1 of 2 but for their units to redo outputs)."
    ) in found


def test_what_fixed_point_has_for_nothing_is_said() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    said = " Fixed point (fixed13.7 is 13 bits, seven of them behind the point) is charged"
    assert said not in answer([comparison(rows)])
    floats = row("a", "spill:low=e4m3fn,high=fp16", 0.0, 0.1, 76.0)
    assert said not in answer([comparison([*rows, floats])])
    for policy, spills in (
        ("uniform:format=fixed12.6", False),
        ("spill:low=fixed8.6,high=fp16", True),
        ("spill:low=fixed8.6,high=fixed13.6", True),
    ):
        found = answer([comparison([*rows, row("a", policy, 0.0, 0.1, 76.0)])])
        assert said in found
        assert ("A sum that spills goes from low to high" in found) == spills


def test_what_is_nearly_as_cheap_on_less_area_is_told() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    rows += [row(name, "spill", 0.0, 0.1, 76.0) for name in "ab"]
    rows += [row(name, "l1-bound:bits=32", 0.0, 0.1, 77.0) for name in "ab"]  # 2.7 % more
    areas = {"uniform-high": 8.0, "spill": 2.0, "chunked:chunk=32": 5.0, "l1-bound:bits=32": 1.0}
    for one in rows:
        one["area_um2"] = areas.get(one["policy"], 4.0)
    said = (
        " For no more than 2% more energy spill is so accurate on as many, on 0.25 times the area"
        " of uniform-high, where the cheapest has 0.62. The cheapest"
    )
    assert f"chunked:chunk=32, with 0.75 of that of uniform-high.{said}" in answer(
        [comparison(rows)]
    )
    rows[0]["area_um2"] = None
    assert "more energy" not in answer([comparison(rows)])


def test_the_answer_counts_where_kappa_saves_beside_fp16_too() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *rows_of("c")]
    rows += [row(name, "uniform:format=fp16", 0.0, 1e-3, 80.0) for name in "abc"]
    for name, taken in zip("abc", (70.0, 80.0, 90.0), strict=True):
        rows.append(row(name, "selective:rate=0.1,numerator=constant", 0.1, 0.1, taken))
    text = answer([comparison(rows)])
    assert (
        "takes less energy than these on 3 (m, t), and less than all sums in fp16"
        " (uniform:format=fp16) on 1."
    ) in text
    rows = [one for one in rows if (one["workload"], one["policy"]) != ("c", "uniform:format=fp16")]
    assert "on 3 (m, t)." in answer([comparison(rows)])


def test_the_answer_says_areas_where_every_table_knows_them() -> None:
    rows = [*rows_of("a"), row("a", "uniform-low", 0.0, 0.5, 50.0, 0.5)]
    areas = {"uniform-high": 8.0, "uniform-low": 2.0, "chunked:chunk=32": 5.0}
    for one in rows:
        one["area_um2"] = areas.get(one["policy"], 4.0)
    text = behind([comparison(rows)])
    assert "times the energy of uniform-high on 0.50 times the area, and 0.90 times" in text
    assert "0.50 times the energy on 0.25 times the area, chunked:chunk=32 0.75 on 0.62 t" in text
    rows[-1]["area_um2"] = None
    assert "the area" not in behind([comparison(rows)])


def test_the_least_and_the_most_are_told_by_their_size() -> None:
    rows = [*rows_of("a"), row("a", "uniform-low", 0.0, 0.5, 50.0, 0.5)]
    slow = [one | {"energy_table": "u"} for one in rows]
    for one in slow:
        if one["policy"].startswith("selective"):
            one["total_energy_nj"] *= 12.0
    both = curves([*rows, *slow])
    text = behind([Comparison(both, "m", table) for table in "tu"])
    assert "takes 0.90 to 10.80 times the energy of uniform-high" in text


def test_where_nothing_is_so_accurate_nothing_saves_more() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    rows.append(row("a", "selective:rate=0.1,numerator=constant", 0.1, 0.1, 70.0))
    for one in rows:
        if one["workload"] == "b" and one["policy"] != "uniform-high":
            one["accuracy"] = 0.1
    assert "redoes nothing saves more on none of 1." in answer([comparison(rows)])


def test_a_rule_in_several_settings_counts_as_the_best_of_them_on_each_network() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *rows_of("c")]
    rows.append(row("a", "selective:rate=0.1,numerator=constant", 0.1, 0.1, 70.0))
    rows.append(row("b", "selective:rate=0.1,numerator=constant,margin=0", 0.1, 0.1, 70.0))
    text = answer([comparison(rows)])
    assert (
        "the rule, in the best of its 2 settings and 4 points here for each, takes less energy than"
        " these on 2 (m, t)."
    ) in text
    assert behind([comparison(rows)]).startswith(
        "The rule is the cheapest policy on 2 of these networks, and any rule that redoes outputs"
        " is on 2."
        f" {KAPPA} alone takes less energy than uniform-high on 1."
    )


def test_what_is_cheap_where_it_works_is_not_what_works_most_often() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    rows.append(row("a", "uniform-low", 0.0, 0.5, 50.0))  # as accurate on one network alone
    rows.append(row("b", "uniform-low", 0.0, 0.5, 50.0, 0.5))
    rows += [row(name, "oracle:rate=0.1", 0.1, 0.1, 10.0) for name in "ab"]
    text = answer([comparison(rows)])
    assert "trained networks, 2, at the least energy is chunked:chunk=32, with 0.75" in text
    assert "is chunked:chunk=32 on 1, uniform-low on 1." in text


def test_whether_anything_takes_so_much_less_than_fp16_is_said() -> None:
    def energy_findings(fp16_nj: float, more: Sequence[Any] = ()) -> tuple[str, ...]:
        both = [*rows_of("a"), *rows_of("b"), *more]
        both += [row(name, "uniform:format=fp16", 0.0, 1e-3, fp16_nj) for name in "ab"]
        found = policies_section(cast(Study, SimpleNamespace(rows=both)))
        assert found is not None
        parts = {part.title: part.findings for part in found.everything}
        return parts["At equal energy: m, t"]

    assert energy_findings(96.0)[-1] == (
        "uniform:format=fp16 less 25% is 0.72 of the energy of uniform-high: the cheapest policy"
        " here, chunked:chunk=32, takes 0.75."
    )
    assert energy_findings(104.0)[-1].endswith(
        "is 0.78 of the energy of uniform-high: so little take chunked:chunk=32, at their least"
        " rate. Of what redoes nothing there, the KL divergence as a ratio to that of"
        f" {KAPPA} at a rate of 10%: chunked:chunk=32 0.158 (2 networks)."
    )
    low = [row(name, "uniform-low", 0.0, 0.3, 74.0) for name in "ab"]
    assert energy_findings(96.0, low)[-1].endswith(
        "the cheapest policy here, uniform-low, takes 0.74. No rule whose first pass is uniform-low"
        " can get there: that takes 0.74 before anything is redone."
    )


def test_places_where_the_rule_or_its_reference_was_not_run_are_left_out() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    more = [one | {"energy_table": "u"} for one in rows]
    alone = policies_section(cast(Study, SimpleNamespace(rows=rows)))
    assert alone is not None
    for without in ("selective", "uniform-high", "random"):
        left = [one for one in more if not one["policy"].startswith(without)]
        found = policies_section(cast(Study, SimpleNamespace(rows=[*rows, *left])))
        assert found is not None
        assert found.paragraphs[0] == alone.paragraphs[0]
    other = [one | {"policy": f"{one['policy']},margin=0"} if "selective" in one["policy"] else one
             for one in more]  # fmt: skip
    both = policies_section(cast(Study, SimpleNamespace(rows=[*rows, *other])))
    assert both is not None
    assert "less energy than these on none, on any machine and energy table" in both.paragraphs[0]


def test_the_section_is_of_studies_of_several_networks_with_a_control() -> None:
    def section(rows: list[dict[str, Any]]) -> Any:
        return policies_section(cast(Study, SimpleNamespace(rows=rows)))

    rows = [*rows_of("a"), *rows_of("b"), *rows_of("b-seed1")]
    assert section(rows_of("a")) is None
    assert section([one for one in rows if not one["policy"].startswith("random")]) is None
    found = section(rows)
    parts = {part.title: part for part in found.everything}
    by_rate = parts["At equal recompute rates"]
    assert "4 (2 networks) times the KL divergence" in by_rate.findings[0]
    assert "over 2 networks" in by_rate.findings[0]
    assert len(by_rate.figures[0].images) == 1
    clusters = parts["How flags lie together, and what detectors miss"]
    flagged, missed = clusters.tables
    assert {one[0] for one in flagged.rows} == {KAPPA, "random"}
    assert {one[0] for one in missed.rows} == {KAPPA}
    at_energy, at_latency = parts["At equal energy: m, t"], parts["At equal latency: m"]
    assert len(at_energy.figures[0].images) == len(at_latency.figures[0].images) == 1
    equal = {one[0]: one[1:] for one in at_energy.tables[1].rows}
    # κ has a KL of sqrt(0.2·0.08) half way, at 90 % of the energy, and chunks have 0.02.
    assert equal["chunked:chunk=32"] == tuple(
        f"{ratio} (2 networks)" for ratio in (0.1, 0.158, 0.25)
    )
    assert "not finite" not in found.paragraphs[-1]
    more = section([*rows, *(row(name, "uniform-low", 0.0, math.nan, 1.0) for name in "ab")])
    assert more.paragraphs[:-1] == found.paragraphs[:-1]
    assert "In no mean are 2 points whose KL divergence is not finite" in more.paragraphs[-1]


ACROSS = "selective:numerator=constant,across=network"


def with_one_threshold(workload: str, *kls: float) -> list[dict[str, Any]]:
    """Return points of a rule with one threshold, at rates of 0, a tenth, and so on."""
    return [
        row(
            workload,
            f"selective:rate={place / 10:g},numerator=constant,across=network",
            *(place / 10, kl, 80.0 + 10.0 * place, 0.9 - kl / 10),
        )
        for place, kl in enumerate(kls)
    ]


def test_steps_to_a_lower_threshold_are_counted_where_they_make_things_worse() -> None:
    rows = [*with_one_threshold("a", 0.2, 0.3, 0.1), *with_one_threshold("b", 0.4, 0.2, 0.1)]
    rows += [*rows_of("a"), *rows_of("b")]
    found = comparison(rows)
    taken = steps(found, ACROSS)
    assert (taken.number, taken.kl_rose, taken.accuracy_fell) == (4, 1, 1)
    assert taken.largest_rise == pytest.approx(1.5)
    assert (steps(found, KAPPA).kl_rose, steps(found, KAPPA).largest_rise) == (0, 1.0)
    section = thresholds_section(found, ACROSS)
    assert section is not None
    assert section.findings[0] == (
        f"{ACROSS} is not monotone: in 1 of 4 steps to a lower threshold the KL divergence rises,"
        " by up to 50.00%, and in 1 the accuracy falls."
    )
    (table,) = section.tables
    assert table.rows == (
        (ACROSS, "0.0, 10.0, 20.0", "4", "1", "1", "50.00%"),
        (KAPPA, "0.0, 20.0", "2", "0", "0", ""),
    )
    assert section.findings[1] == (
        f"That is known of 3 thresholds of {ACROSS}, at rates of 0.0%, 10.0%, 20.0%, and of 2 of"
        " the other rules here. What lies between is not seen."
    )


def test_only_what_becomes_worse_is_said() -> None:
    rows = [*rows_of("a"), *rows_of("b"), *with_one_threshold("a", 0.3, 0.2)]
    rows += with_one_threshold("b", 0.3, 0.2)
    rows[-1]["accuracy"] = 0.1
    section = thresholds_section(comparison(rows), ACROSS)
    assert section is not None
    assert section.findings[0] == (
        f"{ACROSS} is not monotone: in 1 of 2 steps to a lower threshold the accuracy falls."
    )


def test_one_threshold_is_compared_with_one_for_each_layer() -> None:
    # At 10 %: 0.3 and 0.2 against sqrt(0.2·0.08) = 0.126.
    rows = [*with_one_threshold("a", 0.2, 0.3, 0.1), *with_one_threshold("b", 0.4, 0.1, 0.1)]
    section = thresholds_section(comparison([*rows_of("a"), *rows_of("b"), *rows]), KAPPA)
    assert section is not None
    monotone, _, across = section.findings
    assert monotone.startswith(f"{KAPPA} is monotone wherever it was looked at: in 2 steps")
    mean = math.sqrt(0.3 * 0.1 / (0.2 * 0.08))
    assert f"selective (numerator=constant) has {mean:.3g}" in across
    assert across.endswith("the same share; no more on 1 of 2 networks.")


def test_a_threshold_that_is_given_has_a_line() -> None:
    """0.02 and 0.09 of 0.1 and 0.4: .2 and .225, whose geometric mean is .212."""
    rows = [
        *(row("a", "uniform-low", 0.0, 0.1, 80.0), row("b", "uniform-low", 0.0, 0.4, 80.0)),
        *(row("a", "uniform-high", 0.0, 1e-4, 100.0), row("b", "uniform-high", 0.0, 1e-4, 100.0)),
    ]
    for tau, rate, energy in ((16, 0.05, 90.0), (2, 0.5, 160.0)):
        for network, kl, extra in (("a", 0.02, 0.0), ("b", 0.09, 0.1)):
            text = f"selective:tau={tau},numerator=exact"
            rows.append(row(network, text, rate + extra, kl, energy, 0.89))
    section = thresholds_section(comparison(rows), "selective:numerator=exact")
    assert section is not None
    _, table = section.tables
    few = "(2 networks)"
    assert [line[:4] for line in table.rows] == [
        ("16", f"10.0 {few}", "5.0 to 15.0", f"0.212 {few}"),
        ("2", f"55.0 {few}", "50.0 to 60.0", f"0.212 {few}"),
    ]
    assert table.rows[0][4:] == (f"1.00 {few}", f"1.00 {few}", f"0.9 {few}")


def in_layers(workload: str, taus: str, rate: float, kl: float) -> dict[str, Any]:
    return row(workload, f"selective:layer_taus={taus},numerator=exact", rate, kl, 90.0)


def test_a_threshold_for_each_layer_is_compared_at_its_rate_and_at_its_energy() -> None:
    """One threshold has a KL divergence of .1 at 5 % and .025 at 20 %, .063 at 10 % between them;
    its logarithm is straight. With its last layer in fp32 it has a tenth for as much energy.
    """
    rows = []
    for workload in ("a", "a-seed1", "b", "b-seed1"):
        for tau, rate, kl in ((16, 0.05, 0.1), (2, 0.2, 0.025)):
            rows.append(row(workload, f"selective:tau={tau},numerator=exact", rate, kl, 90.0))
        high = "selective:tau=16,numerator=exact,last=fp32"
        rows.append(row(workload, high, 0.02, 0.0025, 85.0))
    at_a_tenth = 0.1 * 4.0 ** (-1 / 3)
    gains = {
        "a": (0.5, 0.8, 2.0), "a-seed1": (1.5, 0.25, 3.0),
        "b": (0.9, 0.4, 1.0), "b-seed1": (1.0, 0.6, 1.0),
    }  # fmt: skip
    for workload, mine in gains.items():
        for taus, gain in zip(("8/0", "4/4", "2/9"), mine, strict=True):
            rows.append(in_layers(workload, taus, 0.1, gain * at_a_tenth))
    found = comparison(rows)
    plain = "selective:numerator=exact"
    assert set(found.by_policy) == {plain, f"{plain},last=fp32"}  # and no policy of each table
    section = layers_section(found, rows)
    assert section is not None
    gained, chosen = section.tables
    median, best = (0.8 * 1.5 * 0.9 * 1.0) ** 0.25, (0.5 * 0.25 * 0.4 * 0.6) ** 0.25
    held = math.sqrt(1.5 * 0.6)  # 8/0 of a, which is best on seed 0, and 4/4 of b
    few, over = "(2 networks)", at_a_tenth / 0.0025
    assert gained.rows == (
        (
            *(plain, "10%", SAME_RATE, "3"),
            *(f"{median:.3g} {few}", f"{best:.3g} {few}", f"{held:.3g} {few}"),
        ),
        (
            *(plain, "10%", SAME_ENERGY, "3"),
            *(f"{number * over:.3g} {few}" for number in (median, best, held)),
        ),
    )
    assert [line[3:] for line in chosen.rows[:2]] == [
        ("a", "8/0", "10.0", "0.5", "10.0", "1.5"),
        ("b", "4/4", "10.0", "0.4", "10.0", "0.6"),
    ]


def test_a_threshold_for_each_layer_is_a_policy_where_there_is_none_for_all() -> None:
    rows = [*rows_of("a"), *rows_of("b"), in_layers("a", "8/0", 0.1, 0.05)]
    found = comparison(rows)
    assert "selective:layer_taus=8/0,numerator=exact" in found.by_policy
    assert layers_section(found, rows) is None


def test_a_study_without_thresholds_says_nothing_of_them() -> None:
    rows = [one for one in rows_of("a") if not one["policy"].startswith("selective")]
    assert thresholds_section(comparison(rows), KAPPA) is None


def test_what_nothing_beats_is_worth_building() -> None:
    rows = [*rows_of("a"), row("a", "oracle:rate=0.1", 0.1, 1e-9, 1.0)]
    found = comparison([*rows, row("a", "gauss-newton:tau=1", 0.1, 0.01, 85.0)])
    listed = points(found)
    assert [point.policy for point in listed] == [
        "chunked:chunk=32", "random", KAPPA, "gauss-newton", "uniform-high", "random", KAPPA,
    ]  # fmt: skip
    assert [(p.policy, p.energy) for p in front(listed)] == [
        ("chunked:chunk=32", 0.75), ("gauss-newton", 0.85), ("uniform-high", 1.0),
    ]  # fmt: skip


def test_what_one_should_build_is_judged_by_the_seeds_held_out() -> None:
    rows = [*rows_of("a", 1e-3), *rows_of("b", 1e-3)]  # on seed 0 κ is better than all else
    for name in ("a-seed1", "b-seed1", "a-seed2"):
        rows += [*rows_of(name), row(name, "gauss-newton:tau=1", 0.1, 0.01, 85.0)]
    section = build_section([comparison(rows)], KAPPA)
    assert section.paragraphs[0].endswith("of 2 networks, seeds 1, 2.")
    sentence, bar = section.findings
    assert "than chunked:chunk=32 (0.75, 0.02), gauss-newton (0.85, 0.01)" in sentence
    assert "1 of these 3 points redo outputs" in sentence
    ratio = 0.1**1.25 / math.sqrt(0.2 * 0.08)  # a quarter of the way from 0.1 to 0.01
    assert f"random (2 of 2, KL {ratio:.3g} " in bar
    of_seed_0 = build_section([comparison(rows_of("a", 1e-3))], KAPPA)
    assert of_seed_0.paragraphs[0].endswith("of 1 networks, seed 0.")
    assert KAPPA in of_seed_0.findings[0]


def test_the_table_of_energies_has_areas_where_they_are_known() -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    for one in rows:
        one["area_um2"] = 2.0 if one["policy"].startswith("chunked") else 8.0

    def table() -> list[str]:
        section = policies_section(cast(Study, SimpleNamespace(rows=rows)))
        assert section is not None
        (place,) = (one for one in section.sections if one.title.startswith("At equal energy"))
        found = place.tables[0]
        assert len({len(row) for row in found.rows} | {len(found.columns)}) == 1
        (row,) = (row for row in found.rows if row[0] == "chunked:chunk=32")
        return [column.name for column in found.columns] + list(row)

    assert "area" in table()
    assert table()[-1] == "0.25"
    for one in rows:
        one["area_um2"] = None
    assert "area" not in table()
