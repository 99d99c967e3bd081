"""The report of a study: complete, self-contained, escaped, and the same each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import itertools
import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept import EXCERPT, SWEPT, grid, keep, point
from matplotlib import pyplot
from matplotlib.figure import Figure

import accelsim
from accelsim.cli.commands import main
from accelsim.errors import AccelsimError
from accelsim.report import overview, plots
from accelsim.report.energies import energies
from accelsim.report.gantt import Excerpt
from accelsim.report.overview import timed_rows
from accelsim.report.page import markdown
from accelsim.report.plots import OTHERS, marked
from accelsim.report.quantity import quantity
from accelsim.report.study_report import write_report
from accelsim.report.style import MARKS
from accelsim.report.survey import Dimension, Survey, dimension, label, pairs
from accelsim.study import Study

EVIL = "<script>alert('x')</script> & \"ü 😀\" | `../..` *b* $x$"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def accelsim_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line here: (status, output, errors)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["accelsim", *arguments])
        status = 0
        try:
            main()
        except SystemExit as leave:
            status = int(str(leave.code))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("made") / "grid"
    return keep(folder, grid(), excerpt=True, swept=SWEPT)


@pytest.fixture(scope="module")
def folder(study: Study) -> Path:
    assert write_report(study, study.folder) == study.folder / "report.html"
    return study.folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.name not in ("results.sqlite", ".lock")
    }


def test_a_report_is_a_page_markdown_figures_and_the_data_they_are_of(folder: Path) -> None:
    assert set(files(folder)) == {
        "report.html", "report.md", "results.csv", "details.json", "report.sha256",
        "figures/front-1-latency-s-total-energy-nj.svg", "figures/map-1.svg",
        "figures/coordinates-1.svg",
        "figures/energy-1-component.svg", "figures/energy-1-cause.svg", "figures/timeline-1.svg",
        "figures/timeline-2.svg",
    }  # fmt: skip


def test_columns_of_the_contents_stand_apart_by_more_than_a_number_is_wide(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    style = re.search(r"nav ol \{([^}]*)\}", page)
    assert style is not None
    rules = dict(rule.strip().split(": ") for rule in style[1].split(";") if rule.strip())
    # Numbers stand in the padding, outside of the columns' text.
    assert float(rules["column-gap"].removesuffix("rem")) > float(
        rules["padding-left"].removesuffix("rem")
    )


def test_written_twice_it_is_the_same_bytes(study: Study, folder: Path, tmp_path: Path) -> None:
    write_report(study, tmp_path)
    assert files(tmp_path) == files(folder)


@pytest.mark.parametrize(
    ("name", "folder", "command"),
    [
        ("by hand", "by-hand", "accelsim study hand.yaml."),
        ("by hand", "my own", "accelsim study hand.yaml --out 'my own'."),
        ("by-hand", "by-hand", "accelsim study hand.yaml."),
    ],
)
def test_the_command_that_computed_it_names_its_folder_unless_that_is_the_usual_one(
    tmp_path: Path, name: str, folder: str, command: str
) -> None:
    study = keep(tmp_path / folder, grid()[:1], name=name)
    write_report(study, study.folder)
    text = (study.folder / "report.md").read_text(encoding="utf-8")
    assert f"The points were computed by {command} This page" in text


def test_the_page_needs_nothing_but_itself(page: Page, folder: Path) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/svg+xml;base64,", "#"))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    (script,) = re.findall(r"<script>(.*)</script>", text, re.S)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for a in page.all("meta") if "Content-Security" in str(a))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{allowed}'" in policy


def test_the_page_is_whole_and_its_parts_are_in_order(page: Page) -> None:
    assert not page.unbalanced
    assert not page.open
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    links = [str(a["href"]) for a in page.all("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= {*ids}
    assert page.all("html")[0]["lang"] == "en"
    assert any(a.get("name") == "viewport" for a in page.all("meta"))


def test_every_figure_has_words_units_and_says_how_it_was_made(page: Page, folder: Path) -> None:
    pictures = page.all("img")
    assert len(pictures) == len(list((folder / "figures").iterdir())) == 7
    assert all(len(str(picture["alt"])) > 30 for picture in pictures)
    captions = page.tags.count(("figcaption", {}))
    assert captions == page.tags.count(("figure", {})) > 0
    text = "".join(page.text)
    assert text.count("Made by accelsim report grid from results.csv.") == captions - 1
    assert text.count("Made by accelsim report grid from details.json.") == 1
    for path in (folder / "figures").glob("*.svg"):
        words = " ".join(ET.parse(path).getroot().itertext())  # noqa: S314  made here
        assert re.search(r"\((pJ|µs|cycles.*)\)", words), path


def test_the_picture_on_the_page_is_the_file(page: Page, folder: Path) -> None:
    inside = {
        base64.b64decode(str(picture["src"]).partition(",")[2]) for picture in page.all("img")
    }
    assert inside == {path.read_bytes() for path in (folder / "figures").iterdir()}


def test_tables_sort_by_a_button_and_are_tables_without_it(page: Page, folder: Path) -> None:
    assert len(page.all("table")) == len(page.all("caption")) == 2
    assert all(a == {"scope": "col"} or a.get("class") == "number" for a in page.all("th"))
    regions = [a for a in page.all("div") if a.get("role") == "region"]
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in regions)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert 'createElement("button")' in text
    assert 'setAttribute("aria-sort"' in text
    assert not page.all("button")  # made by the script, so that none is dead without it


def test_a_broad_picture_is_scrolled_and_a_heading_stays_with_a_broad_table(
    page: Page, folder: Path
) -> None:
    spread = [a for a in page.all("div") if a.get("class") == "spread"]
    assert len(spread) == 1
    assert spread[0]["tabindex"] == "0"
    assert str(spread[0]["aria-label"]).startswith("Parallel coordinates")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert ".pictures .spread { overflow-x: auto;" in text
    assert ":is(h2, h3, h4):has(+ .broad) { page: broad; }" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (999.4, "999"), (999.6, "1000"), (1017.3, "1017"), (99999.4, "99999"),
     (123456.0, "1.23e+05"), (-1017.3, "-1017"), (0.0, "0")],
)  # fmt: skip
def test_a_number_in_a_heat_map_needs_no_exponent_before_it_must(value: float, text: str) -> None:
    assert plots.in_cell(value) == text


def test_a_step_of_a_logarithmic_sweep_is_shown_in_six_digits(tmp_path: Path) -> None:
    policy = "selective:tau=25.11886431509581,numerator=constant"
    study = keep(tmp_path / "x", [point(policy=policy), point(policy="random:rate=1.2345678e-07")])
    survey = Survey(study)
    assert survey.policy_name(survey.rows[0]) == "selective:tau=25.1189,numerator=constant"
    assert survey.policy_name(survey.rows[1]) == "random:rate=1.23457e-07"
    assert survey.rows[0]["policy"] == policy


def test_the_legend_of_parallel_coordinates_hides_no_line(study: Study) -> None:
    figure = Figure(layout="constrained")
    survey = Survey(study)
    (scope,) = survey.scopes
    plots.parallel(figure.subplots(), survey, scope, ["latency_s"], [int(scope.rows[0])])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["on the Pareto front"]
    assert all(axes.get_legend() is None for axes in figure.axes)


def test_the_ends_of_parallel_coordinates_stand_apart(tmp_path: Path) -> None:
    name = "selective:numerator=constant,last=fp32,redo=compensated"
    points = [
        point({"array.rows": rows}, hardware=machine, policy=policy, latency_s=1e-6 / rows)
        for machine in ("a machine with a long name", "another with a long name")
        for policy in ("chunked:chunk=16,outer=fp32", name)
        for rows in (1, 2)
    ]
    axes = keep(tmp_path / "x", points, swept=["array.rows"]).plot_parallel()
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    tops = [text.get_window_extent() for text in axes.texts if text.get_position()[1] == 1.02]
    assert len(tops) == 4
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(tops))
    pyplot.close(figure)


def test_every_value_of_a_category_is_named_beside_its_parallel_coordinate(tmp_path: Path) -> None:
    policies = ("uniform-low", "oracle:rate=0.1", "random:rate=0.1", "uniform-high")
    points = [
        point({"array.rows": rows}, policy=policy, latency_s=1e-6 / rows)
        for policy in policies
        for rows in range(1, 21)
    ]
    axes = keep(tmp_path / "x", points, swept=["array.rows"]).plot_parallel()
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    named = sorted(policies, key=lambda name: heights[name])
    assert heights[named[0]] < 0.0
    assert heights[named[3]] > 1.0
    assert [heights[name] for name in named[1:3]] == pytest.approx([1 / 3, 2 / 3])
    # Of twenty numbers both ends are named, and eight between them.
    places = {text.get_text(): text.get_position()[0] for text in axes.texts}
    numbers = sorted(
        (int(text.get_text()), text.get_position()[1])
        for text in axes.texts
        if abs(text.get_position()[0] - places["array.rows"]) < 0.1 and text.get_text().isdecimal()
    )
    assert len(numbers) == 2 + plots.MAX_BETWEEN
    assert [height for _, height in numbers] == sorted(height for _, height in numbers)
    assert all(height == pytest.approx((n - 1) / 19) for n, height in numbers[1:-1])
    figure.draw_without_rendering()
    for left, right in itertools.pairwise(["oracle:rate=0.1", "random:rate=0.1"]):
        boxes = [
            text.get_window_extent() for text in axes.texts if text.get_text() in (left, right)
        ]
        assert not boxes[0].overlaps(boxes[1])
    pyplot.close(figure)


def test_text_of_a_figure_is_turned_only_where_it_is_oblique(folder: Path) -> None:
    pictures = [path.read_text("utf-8") for path in (folder / "figures").iterdir()]
    assert all("<text" in picture for picture in pictures)
    turned = [n for p in pictures for n in re.findall(r'rotate\((\S+) [^"]*"', p)]
    assert turned
    assert all(float(degrees) for degrees in turned)


def test_what_is_swept_stands_together_also_where_the_first_point_lacks_it(tmp_path: Path) -> None:
    points = [
        point({"array.rows": 1}),
        point({"array.rows": 1, "policy.tau": 2.0}, policy="x"),
        point({"array.rows": 1, "policy.chunk": 8}, policy="y"),
    ]
    study = keep(tmp_path / "x", points, swept=["array.rows", "policy.tau", "policy.chunk"])
    first = study.columns.index("policy")
    swept = ["array.rows", "policy.tau", "policy.chunk"]
    assert study.columns[first + 1 : first + 4] == swept
    assert sorted(study.columns) == sorted({key for row in study.rows for key in row})


def test_the_page_prints_and_fits_a_phone(folder: Path) -> None:
    style = re.search(r"<style>(.*)</style>", (folder / "report.html").read_text(), re.S)
    assert style is not None
    assert "@media print" in style[1]
    assert "color-scheme: light" in style[1]
    assert "overflow-x: auto" in style[1]
    # What scrolls is the table, and its caption stays; printed, a long name of a column wraps.
    assert re.search(
        r"caption \{[^}]*position: sticky; left: 0; max-width: min\(62rem, calc\(", style[1]
    )
    heads = re.findall(r"<th [^>]*>([^\n]*?)</th>", (folder / "report.html").read_text())
    assert {"array.<wbr>rows", "recompute.<wbr>lanes", "policy"} <= set(heads)
    # A picture is never wider than what is there.
    assert "minmax(min(100%, 26rem), 1fr)" in style[1]


def test_what_is_swept_and_moves_nothing_that_shows_is_not_said_to(tmp_path: Path) -> None:
    points = [
        point({"array.rows": rows, "recompute.lanes": lanes}, latency_s=1e-6 / rows * (1 + faint))
        for rows in (1, 2)
        for lanes, faint in ((1, 0.0), (2, 1e-5))
    ]
    study = keep(tmp_path / "x", points, swept=["array.rows", "recompute.lanes"])
    section = overview.influences(Survey(study))
    assert section is not None
    said = [sentence for sentence in section.findings if "what moves latency most" in sentence]
    assert [sentence.rpartition(": ")[2] for sentence in said] == ["array.rows (2 times)."]


def test_timelines_speak_of_recompute_units_only_where_some_are_shown(tmp_path: Path) -> None:
    lanes = {"unit": "lanes", "lanes": 16, "queue_capacity": 64}
    swept = [
        point({"recompute": unit}, recompute_rate=0.1, latency_s=latency)
        for unit, latency in ((lanes, 1e-6), ({"unit": "array"}, 2e-6))
    ]
    none = [point({"array.rows": rows}, latency_s=1e-6 / rows) for rows in (1, 2)]
    captions = []
    for name, points in (("units", swept), ("none", none)):
        survey = Survey(keep(tmp_path / name, points, excerpt=True, swept=list(points[0][0])))
        excerpts = {row: Excerpt.of({"excerpt": EXCERPT}) for row in overview.timed_rows(survey)}
        section = overview.timelines(survey, {row: one for row, one in excerpts.items() if one})
        assert section is not None
        captions.append(section.figures[0].caption)
    assert "best in an objective, and of one for each recompute unit that was swept" in captions[0]
    assert "recompute" not in captions[1]
    assert "best in an objective: from where outputs are first redone" in captions[1]


def test_findings_are_what_the_rows_say(study: Study, folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    rows = study.rows
    cheap = min(rows, key=lambda row: row["total_energy_nj"])
    fast = min(rows, key=lambda row: row["latency_s"])
    assert f"12 points: {len(rows)} done." in text
    least = quantity("total_energy_nj", [row["total_energy_nj"] for row in rows])
    assert f"the least total energy, {least.text(cheap['total_energy_nj'])}," in text
    assert f"the least latency, {fast['latency_s'] * 1e6:.4g} µs," in text
    product = quantity(
        "energy_delay_product_pj_s", [row["energy_delay_product_pj_s"] for row in rows]
    )
    assert f"| {product.axis} | \n" in text
    for row in rows:
        assert f" {product.cell(row['energy_delay_product_pj_s'])} | \n" in text
    # By definition: with lanes 1, and every number of rows, nothing is better in both.
    front = [
        row
        for row in rows
        if not any(
            other["total_energy_nj"] <= row["total_energy_nj"]
            and other["latency_s"] <= row["latency_s"]
            and (other["total_energy_nj"], other["latency_s"])
            != (row["total_energy_nj"], row["latency_s"])
            for other in rows
        )
    ]
    assert len(front) == 4
    assert "4 of 12 points are on the front, from 3 pJ and 64 µs to 17 pJ (5.67 times" in text
    # All else being equal: 8 rows for 1 of them, and 3 lanes for 1; the median of the ratios.
    by_rows = float(np.median([(16 + lanes) / (2 + lanes) for lanes in (1, 2, 3)]))
    by_lanes = float(np.median([(2 * n + 3) / (2 * n + 1) for n in (1, 2, 4, 8)]))
    assert f"array.rows ({by_rows:.3g} times), recompute.lanes ({by_lanes:.3g} times)" in text
    assert "what moves latency most" in text
    assert "array.rows (8 times)." in text
    assert "takes 3 pJ per inference with what leaks, the least; by component: 67% array," in text
    assert "in cycles 0 to 100 of 400 of first, busy are array 50%, dram 70%" in text
    assert "the array waits 10% for dram, 40% for recompute." in text


def leaking(policy: str, actions: float, leaked: float | None) -> Any:
    """A point of 4 samples: pJ of actions in the array, and of what leaks, per inference."""
    nj: dict[str, Any] = {} if leaked is None else {"useful_low_work_nj": 4e-3 * actions}
    return point(
        policy=policy, samples=4, energy_pj=4 * actions, energy_per_inference_pj=actions,
        array_pj=4 * actions, leakage_nj=None if leaked is None else 4e-3 * leaked,
        total_energy_nj=None if leaked is None else 4e-3 * (actions + leaked), **nj,
    )  # fmt: skip


def test_where_the_energy_goes_is_told_of_the_energy_that_points_are_compared_by(
    tmp_path: Path,
) -> None:
    few_actions, little_leakage = leaking("uniform-low", 10.0, 10.0), leaking("chunked", 12.0, 4.0)
    study = keep(tmp_path / "x", [few_actions, little_leakage], objectives={"total_energy_nj": -1})
    section = energies(Survey(study))
    assert section is not None
    assert section.findings == (
        "w, 45nm table: point 1 (m, chunked) takes 16 pJ per inference with what leaks, the least;"
        " by component: 75% array, 25% leakage; by cause: 75% useful low work, 25% leakage.",
    )
    survey = Survey(study)
    for row in survey.rows:
        whole = {
            by: math.fsum(plots.pj_in(c) * row[c] for c, _ in columns)
            for by in ("component", "cause")
            if (columns := plots.part_columns(by))
        }
        assert whole["component"] == whole["cause"] == pytest.approx(1e3 * row["total_energy_nj"])


def test_where_it_is_not_known_what_leaks_energy_is_that_of_actions(tmp_path: Path) -> None:
    points = [leaking("uniform-low", 10.0, None), leaking("chunked", 12.0, None)]
    section = energies(Survey(keep(tmp_path / "x", points)))
    assert section is not None
    (sentence,) = section.findings
    said = "uniform-low) takes 10 pJ per inference without what leaks, which is not known, the lea"
    assert said in sentence
    assert "by component: 100% array" in sentence


def test_each_recompute_unit_is_shown_at_work(tmp_path: Path) -> None:
    points = [
        point(
            {"recompute": {"unit": unit}},
            hardware=machine,
            policy=f"random:rate={rate}",
            recompute_rate=rate,
            energy_per_inference_pj=1.0 + rate,
        )
        for machine in ("m", "other")
        for unit in ("array", "lanes")
        for rate in (0.0, 0.02, 0.12, 0.9)
    ]
    study = keep(tmp_path / "units", points, excerpt=True, swept=["recompute"])
    survey = Survey(study)
    shown = [survey.rows[row] for row in timed_rows(survey)]
    assert [(row["hardware"], row["recompute_rate"]) for row in shown if row["recompute_rate"]] == [
        ("m", 0.12), ("m", 0.12),
    ]  # fmt: skip


def test_a_heat_map_holds_the_best_over_all_else(study: Study) -> None:
    survey = Survey(study)
    (scope,) = survey.scopes
    rows, lanes = survey.dimensions
    table = plots.cells(survey, scope, rows, lanes, "energy_per_inference_pj", -1)
    expected = [[2.0 * r + n for r in (1, 2, 4, 8)] for n in (1, 2, 3)]
    assert table.tolist() == expected
    most = plots.cells(survey, scope, lanes, lanes, "latency_s", 1)
    assert [most[i][i] for i in range(3)] == [64e-6] * 3
    assert math.isnan(most[0][1])


def test_of_many_groups_those_of_the_most_points_have_a_mark_of_their_own() -> None:
    """Ten policies, the last with the most points: the first three go without."""
    names = tuple(f"policy-{number}" for number in range(10))
    codes = np.array([0, 1, 1, 2, *(number for number in range(3, 10) for _ in range(number))])
    groups = Dimension("policy", names, codes)
    found = list(marked(groups, np.arange(len(codes))))
    assert [name for _, name, _ in found] == [*names[3:], OTHERS]
    assert [mark for *_, mark in found] == list(MARKS)
    for rows, name, _ in found[:-1]:
        assert {names[code] for code in codes[rows]} == {name}
    assert codes[found[-1][0]].tolist() == [0, 1, 1, 2]
    few = list(marked(Dimension("array.rows", (8, 16), np.array([0, 1])), np.arange(2)))
    assert [name for _, name, _ in few] == ["array.rows 8", "array.rows 16"]


@pytest.mark.parametrize("seed", range(5))
def test_the_front_of_a_scope_is_what_nothing_in_it_beats(tmp_path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(1, 9, size=(80, 2))
    points = [
        point(workload=f"w{number % 2}", energy_per_inference_pj=float(e), accuracy=float(a) / 10.0)
        for number, (e, a) in enumerate(values)
    ]
    survey = Survey(keep(tmp_path / "x", points))
    for number, scope in enumerate(survey.scopes):
        mine = [index for index in range(80) if index % 2 == number]
        expected = [
            one
            for one in mine
            if not any(
                values[other][0] <= values[one][0]
                and values[other][1] >= values[one][1]
                and tuple(values[other]) != tuple(values[one])
                for other in mine
            )
        ]
        found = survey.front(scope, {"energy_per_inference_pj": -1, "accuracy": 1})
        assert sorted(found) == expected
        assert [values[row][0] for row in found] == sorted(values[row][0] for row in found)


def test_accuracy_and_kl_divergence_are_drawn_against_every_cost(tmp_path: Path) -> None:
    points = [
        point(
            energy_per_inference_pj=1.0 + n, latency_s=1.0 / (1 + n), area_um2=5.0 - n,
            accuracy=0.5 + 0.1 * n, kl_divergence_nats=1.0 / (1 + n), policy=f"selective:tau={n}",
            recompute_rate=1.0 - 0.25 * n,
        )
        for n in range(4)
    ]  # fmt: skip
    study = keep(tmp_path / "x", points)
    costs = ["total_energy_nj", "latency_s", "area_um2"]
    expected = [("accuracy", 1, cost) for cost in costs]
    expected += [("kl_divergence_nats", -1, cost) for cost in costs]
    assert pairs(Survey(study)) == expected
    write_report(study, study.folder)
    names = {path.name for path in (study.folder / "figures").iterdir()}
    assert {f"front-1-accuracy-{c.replace('_', '-')}.svg" for c in costs} <= names
    assert "rate-tau.svg" in names
    text = (study.folder / "report.md").read_text()
    assert "w, selective: 100.00% of the outputs are redone at τ = 0, 25.00% at τ = 3." in text
    assert "No timelines are kept" in text


def test_points_are_ranked_by_energy_with_what_leaks_if_all_of_them_say_it(tmp_path: Path) -> None:
    known = [
        point(energy_per_inference_pj=1.0, leakage_nj=9.0, latency_s=2e-6),
        point(energy_per_inference_pj=2.0, leakage_nj=1.0, latency_s=1e-6),
    ]
    study = keep(tmp_path / "known", known)
    assert study.objectives == {"total_energy_nj": -1, "latency_s": -1}
    assert [row["energy_per_inference_pj"] for row in study.pareto()] == [2.0]
    # Under one table nobody says what leaks: all are compared without.
    silent = point(energy_per_inference_pj=3.0, leakage_nj=None, total_energy_nj=None)
    study = keep(tmp_path / "silent", [*known, silent])
    assert study.objectives == {"energy_per_inference_pj": -1, "latency_s": -1}
    assert Survey(study).usual_signs() == study.objectives


def test_without_accuracy_costs_are_drawn_against_each_other(tmp_path: Path) -> None:
    points = [
        point(energy_per_inference_pj=1.0 + n, latency_s=4.0 - n, area_um2=1.0 + n % 2)
        for n in range(4)
    ]
    assert pairs(Survey(keep(tmp_path / "x", points))) == [
        ("latency_s", -1, "total_energy_nj"),
        ("area_um2", -1, "total_energy_nj"),
        ("area_um2", -1, "latency_s"),
    ]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "0 points: none. There is nothing to compare."),
        (
            [point(error="it is <i>broken</i>"), point({"x": 1}, error="it is <i>broken</i>")],
            "2 points: 2 failed. There is nothing to compare.",
        ),
        ([point()], "1 point: 1 done."),
        ([point(), (*point({"array.rows": 2})[:1], None, None)], "2 points: 1 done, 1 missing."),
    ],
    ids=["none", "all failed", "one", "one missing"],
)
def test_a_study_with_little_in_it_has_a_report(
    tmp_path: Path, points: list[Any], said: str
) -> None:
    study = keep(tmp_path / "little", points)
    write_report(study, study.folder)
    page = Page((study.folder / "report.html").read_text(encoding="utf-8"))
    assert said in "".join(page.text)
    assert not page.unbalanced
    assert not page.all("i")
    if any(one[2] for one in points):
        assert "for 1 different reason; 2 of them because: it is <i>broken</i>" in "".join(
            page.text
        )


def test_everything_from_the_data_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    points = [
        point(
            {"array.rows": number, "note": EVIL + str(number % 2)},
            hardware=f"{EVIL}{number % 3}", workload=EVIL, policy=f"{EVIL}:{number}",
            energy_table=EVIL, energy_per_inference_pj=float(number + 1),
            latency_s=1.0 / (number + 1),
        )
        for number in range(6)
    ]  # fmt: skip
    points.append(point(error=EVIL, hardware=EVIL))
    study = keep(
        tmp_path / "e <b>& ü", points, excerpt=True, name=EVIL, source=EVIL,
        swept=["array.rows", "note"],
    )  # fmt: skip
    write_report(study, study.folder)
    text = (study.folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert text.count("<script>") == 1
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert not page.unbalanced
    assert EVIL in "".join(page.text)
    assert "Made by accelsim report 'e <b>& ü' from results.csv." in "".join(page.text)
    for path in (study.folder / "figures").iterdir():
        assert re.fullmatch(r"[a-z0-9-]+\.svg", path.name)
        root = ET.parse(path).getroot()  # noqa: S314  made here
        assert not [one for one in root.iter() if one.tag.endswith("script")]
    written = (study.folder / "report.md").read_text(encoding="utf-8")
    assert "<script" not in written
    rows = [line for line in written.splitlines() if line.startswith("| ")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows if "&lt;script" in row}
    assert len(bars) <= 3  # one number of columns for each table
    assert {path.name for path in tmp_path.iterdir()} == {"e <b>& ü"}


def test_text_that_a_spreadsheet_would_calculate_is_text(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@x", "\t=1", "plain", "a=1"]
    study = keep(tmp_path / "x", [point(hardware=name, accuracy=-0.5) for name in names])
    study.to_csv(tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["hardware"] for row in rows] == [
        "'=1+1", "'+1", "'-1", "'@x", "'\t=1", "plain", "a=1",
    ]  # fmt: skip
    assert {row["accuracy"] for row in rows} == {"-0.5"}  # a number stays one


def test_markdown_shows_text_as_it_is() -> None:
    assert markdown("a|b *c* <d> `e` snake_case _f_ [g](h)\n") == (
        "a\\|b \\*c\\* &lt;d&gt; \\`e\\` snake_case \\_f\\_ \\[g\\](h)"
    )


@pytest.mark.parametrize(
    ("column", "values", "axis", "text"),
    [
        ("energy_per_inference_pj", [2e6, 3e6], "energy per inference (µJ)", "2.5 µJ"),
        ("total_energy_nj", [0.5, 2.0], "total energy (nJ)", "2.5e+06 nJ"),
        ("latency_s", [2e-3], "latency (ms)", "2.5e+09 ms"),
        ("area_um2", [3e6], "area (mm²)", "2.5 mm²"),
        ("accuracy", [0.9], "accuracy (share of test samples)", "250000000.00%"),
        ("total_cycles", [10], "total (cycles)", "2.5e+06 cycles"),
        ("array.rows", [10], "array.rows", "2.5e+06"),
    ],
)
def test_columns_are_quantities(column: str, values: list[float], axis: str, text: str) -> None:
    shown = quantity(column, values)
    assert shown.axis == axis
    assert shown.text(2.5e6) == text


def test_values_are_labels_of_a_line() -> None:
    assert label({"unit": "lanes", "lanes": 8}) == "8 lanes"
    assert label({"fp32": 2}) == "fp32: 2"
    assert label({}) == "as it is"
    assert label(0.1 + 0.2) == "0.3"
    assert label("a\nb") == "a\\nb"
    assert len(label("x" * 1000)) == 48
    assert dimension("k", [4, 1, 2.0, 1]).values == (1, 2.0, 4)
    assert dimension("k", ["b", "a", "b"]).codes.tolist() == [0, 1, 0]


def test_more_points_than_a_page_can_show_are_in_the_table_that_it_names(tmp_path: Path) -> None:
    points = [
        point(
            {"array.rows": n},
            energy_per_inference_pj=1.0 + n,
            latency_s=(1.0 if n < 600 else 2.0) / (1 + n),
        )
        for n in range(700)
    ]
    study = keep(tmp_path / "many", points, swept=["array.rows"])
    write_report(study, study.folder)
    text = (study.folder / "report.md").read_text(encoding="utf-8")
    assert "The first 300 of 700 points, by total_energy_nj; all points are in" in text
    assert "Points are drawn as pixels, the front as it is." in text
    assert (
        "Drawn are 300 of 700 points, evenly along total_energy_nj, and 100 of 600 on the"
        " front." in text
    )
    with (study.folder / "results.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 700
    # The points are a picture, and the front is a line with a corner and a ring for each of 600.
    path = study.folder / "figures" / "front-1-latency-s-total-energy-nj.svg"
    root = ET.parse(path).getroot()  # noqa: S314  made here
    assert len(root.findall(".//{*}image")) == 1
    assert max(len(group.findall("./{*}use")) for group in root.findall(".//{*}g")) >= 600


def test_the_command_takes_the_results_or_the_file_beside_them(
    tmp_path: Path, accelsim_command: Any
) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: shapes\nlayers:\n  - {name: only, kind: gemm, m: 12, k: 5, n: 16}\n"
    )
    (tmp_path / "g.yaml").write_text(
        "name: a study\nhardware: edge-16x16\nworkload: s.yaml\npolicy: ['random:rate=0.1']\n"
        "sweep: {array.rows: [4, 8], policy.rate: [0.1, 0.5]}\n"
    )
    accelsim.study(tmp_path / "g.yaml", jobs=1)
    folder = tmp_path / "a-study"
    said = (0, f"The report is {folder / 'report.html'}\n", "")
    assert accelsim_command("report", str(folder)) == said
    first = files(folder)
    assert accelsim_command("report", str(tmp_path / "g.yaml")) == said
    assert files(folder) == first
    details = json.loads(first["details.json"])
    assert all(detail["excerpt"]["busy_cycles"]["array"] for detail in details.values())
    assert b"accelsim report a-study" in first["report.md"]
    status, _, err = accelsim_command("report", str(tmp_path / "absent"))
    absent = tmp_path / "absent" / "results.sqlite"
    assert (status, err) == (2, f"{absent}: no such file, expected the results of a study\n")


def test_a_study_draws_itself(study: Study) -> None:
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    for axes in (
        study.plot_pareto(),
        study.plot_pareto("latency_s", "energy_per_inference_pj", workload="w"),
        study.plot_heatmap("array.rows", "recompute.lanes"),
        study.plot_energy(),
        study.plot_energy("cause", [0, 3]),
        study.plot_parallel(),
        study.plot_timeline(0),
    ):
        assert isinstance(axes, Axes)
    own = pyplot.figure().subplots()
    assert study.plot_pareto(ax=own) is own
    assert own.get_xlabel() == "total energy (pJ)"
    assert own.get_ylabel() == "latency (µs)"
    pyplot.close("all")


@pytest.mark.parametrize("columns", [None, 1, 2])
def test_the_title_of_a_timeline_fits_its_figure(tmp_path: Path, columns: int | None) -> None:
    name = "selective:tau=12345.6,numerator=constant,factor=1,last=fp32,redo=compensated"
    unit = {"unit": "lanes", "lanes": 16, "queue_capacity": 64}
    points = [
        point({"recompute": one, "array.rows": 8}, hardware="a-machine-with-a-name", policy=name)
        for one in (unit, unit | {"lanes": 8})
    ]
    kept = keep(tmp_path / "x", points, excerpt=True, swept=["recompute", "array.rows"])
    own = (
        pyplot.figure(layout="constrained").subplots(1, columns, squeeze=False) if columns else None
    )
    axes = kept.plot_timeline(0, ax=None if own is None else own[0, -1])
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    title = axes.title.get_window_extent()
    assert axes.get_title().count("\n") >= 2
    assert 0.0 <= title.x0 < title.x1 <= figure.bbox.x1
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("plot_pareto", {"x": "energie"}, "no result has numbers in 'energie'; allowed: "),
        ("plot_heatmap", {"x": "array.rows", "y": "array.cols"},
         "'array.cols' does not differ between the points; allowed: array.rows, recompute.lanes"),
        ("plot_energy", {"by": "colour"}, "by: got 'colour', expected component or cause"),
        ("plot_energy", {"points": [99]}, "study by hand has no finished point 99"),
        ("plot_pareto", {"workload": "x"}, "no points of workload x; there are w under"),
        ("plot_pareto", {"energy_table": "x"}, "no points under energy table x; there are w under"),
        ("plot_pareto", {"workload": "w", "energy_table": "x"},
         "no points of workload w under energy table x; there are w under"),
        ("plot_rates", {}, "study by hand has no policy at several values of tau"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(
    study: Study, call: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(AccelsimError, match=f"^{re.escape(said)}"):
        getattr(study, call)(**arguments)
