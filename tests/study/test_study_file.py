"""A study file: what it makes, and what is wrong with one, in full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids import MACHINE, POINTS, STUDY, folder, run

import accelsim
from accelsim.config import check_file, load_hardware, load_study
from accelsim.errors import InputError
from accelsim.study import slug
from accelsim.study.engine import check_study, count_points

HEAD = "name: s\nhardware: tiny.yaml\nworkload: shapes.yaml\npolicy: uniform-low\n"
RANGE = "a list of values, or a mapping with linear or log: [from, to], n, and round if wanted"


def problems(path: Path, text: str) -> list[str]:
    file = folder(path, text)
    with pytest.raises(InputError) as caught:
        load_study(file)
    return [problem.removeprefix(f"{path}/") for problem in caught.value.problems]


def settings(path: Path, text: str) -> list[dict[str, Any]]:
    study = load_study(folder(path, text))
    return [dict(variant.settings) for grid in study.grids for variant in grid.machines]


def test_what_has_no_such_key_is_left_unswept_and_makes_no_point_twice(tmp_path: Path) -> None:
    rows = run(folder(tmp_path)).rows
    assert len(rows) == POINTS
    assert {row.get("recompute.lanes") for row in rows if row["hardware"] == "plain"} == {None}
    assert sum(row["policy"] == "uniform-low" for row in rows) == 6
    whats = [(r["hardware"], r["policy"], r["array.rows"], r.get("recompute.lanes")) for r in rows]
    assert len(set(whats)) == POINTS


def test_one_of_anything_needs_no_list(tmp_path: Path) -> None:
    assert load_study(folder(tmp_path, HEAD)).points == 1


def test_what_is_wrong_with_many_files_is_said_once(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / f"{name}.yaml").write_text("name: x\nlayers: 3\n", encoding="utf-8")
    text = HEAD.replace("shapes.yaml", "[a.yaml, shapes.yaml, b.yaml, c.yaml, d.yaml, e.yaml]")
    (first,) = [line for line in problems(tmp_path, text) if "layers" in line]
    assert first.startswith("grid.yaml:3: workload[0]: ")
    assert first.endswith("; the same of b.yaml, c.yaml, d.yaml and 1 more")
    (few,) = [line for line in problems(tmp_path, text.replace(", e.yaml", "")) if "layers" in line]
    assert few.endswith("; the same of b.yaml, c.yaml, d.yaml")
    (alone,) = [
        line
        for line in problems(tmp_path, HEAD.replace("shapes.yaml", "[a.yaml, shapes.yaml]"))
        if "layers" in line
    ]
    assert "the same" not in alone


def test_grids_that_meet_make_the_points_in_both_once(tmp_path: Path) -> None:
    file = folder(
        tmp_path, HEAD + "sweep: [{array.rows: [2, 4], array.cols: [4]}, {array.cols: [4, 8]}]\n"
    )
    rows = [(row.get("array.rows"), row["array.cols"]) for row in run(file).rows]
    assert rows == [(2, 4), (4, 4), (None, 8)]


def test_values_lie_evenly_on_a_scale_and_whole_ones_are_whole(tmp_path: Path) -> None:
    text = HEAD + "sweep:\n  array.rows: {log: [1, 1024], n: 11}\n"
    assert [s["array.rows"] for s in settings(tmp_path, text)] == [2**i for i in range(11)]
    text = HEAD + "sweep:\n  clock_mhz: {linear: [0.5, 2], n: 4}\n"
    assert [s["clock_mhz"] for s in settings(tmp_path, text)] == [0.5, 1, 1.5, 2]
    text = HEAD + "sweep:\n  array.rows: {log: [1, 10], n: 5, round: true}\n"
    assert [s["array.rows"] for s in settings(tmp_path, text)] == [1, 2, 3, 6, 10]
    text = HEAD + "sweep:\n  clock_mhz: {log: [0.1, 100], n: 7}\n"
    found = [s["clock_mhz"] for s in settings(tmp_path, text)]
    assert found[0] == 0.1
    assert found[-1] == 100
    assert np.allclose(found, np.geomspace(0.1, 100, 7), rtol=1e-12)


def test_a_section_can_be_swept_as_a_whole(tmp_path: Path) -> None:
    text = (
        HEAD + "sweep: {recompute: [{unit: array}, {unit: lanes, lanes: 1, queue_capacity: 2}]}\n"
    )
    study = load_study(folder(tmp_path, text))
    units = [variant.make().recompute.unit for variant in study.grids[0].machines]
    assert units == ["array", "lanes"]


def test_a_machine_of_a_study_is_the_machine_a_file_would_make(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "by-hand.yaml").write_text(MACHINE.replace("rows: 4", "rows: 2"))
    text = HEAD + "sweep: {array.rows: [2]}\n"
    (made,) = load_study(folder(tmp_path, text)).grids[0].machines
    assert made.make() == load_hardware(tmp_path / "by-hand.yaml")
    assert str(made.make()) == str(load_hardware(tmp_path / "by-hand.yaml"))


def test_a_study_can_be_a_mapping_of_plain_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = accelsim.study(
        {
            "name": "from a script",
            "hardware": Path("tiny.yaml"),
            "workload": "shapes.yaml",
            "policy": ["uniform-low", {"name": "random", "rate": 0.1}],
            "sweep": {"array.rows": np.array([2, 4]), "clock_mhz": range(50, 150, 50)},
        },
        jobs=1,
    )
    assert len(found) == 8
    assert found.folder == Path("from-a-script")
    assert [row["policy"] for row in found.rows[:2]] == ["uniform-low", "random:rate=0.1"]


def test_check_knows_a_study(tmp_path: Path) -> None:
    assert check_file(folder(tmp_path)) == "study grid, 30 points"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: s\n", [
            "grid.yaml:1: hardware: key is missing, expected a list that is not empty",
            "grid.yaml:1: workload: key is missing, expected a list that is not empty",
            "grid.yaml:1: policy: key is missing, expected a list that is not empty",
        ]),
        (HEAD + "sweeps: {}\n", [
            "grid.yaml:5: sweeps: unknown key; did you mean 'sweep'? allowed: name, hardware,"
            " workload, policy, sweep, seeds, constraints, objectives",
        ]),
        (HEAD.replace("tiny", "/etc/passwd"), [
            "grid.yaml:2: hardware: got '/etc/passwd.yaml', expected a path relative to the"
            " study's",
        ]),
        (HEAD.replace("tiny.yaml", "[tiny.yaml, tiny.yaml]"), [
            "grid.yaml:2: hardware[1]: 'tiny.yaml' is given twice",
        ]),
        (HEAD.replace("tiny.yaml", "[tiny.yaml, ./tiny.yaml]"), [
            "grid.yaml:2: hardware[1]: its name, 'tiny', is that of another one",
        ]),
        (HEAD.replace("uniform-low", "selectiv"), [
            "grid.yaml:4: policy: policy: unknown name 'selectiv'; did you mean 'selective'?"
            " allowed are ",
        ]),
        (HEAD.replace("uniform-low", "{name: selectiv, tau: 8}"), [
            "grid.yaml:4: policy.name: got the string 'selectiv', expected the name of a policy;"
            " did you mean 'selective'? allowed: uniform-low,"
        ]),
        (HEAD.replace("uniform-low", "{name: selective, tau: 1e-3}"), [
            "grid.yaml:4: policy.tau: got '1e-3' (a string in YAML; for the number write"
            " 0.001), expected a number or a word",
        ]),
        (HEAD.replace("uniform-low", "{name: selective, taw: 8}"), [
            "grid.yaml:4: policy.taw: unknown parameter of selective; did you mean 'tau'?"
            " allowed: ",
        ]),
        (HEAD.replace("uniform-low", "{name: selective, tau: '8,low=fp16'}"), [
            "grid.yaml:4: policy.tau: got the string '8,low=fp16', expected a number or a word",
        ]),
        (HEAD + "sweep:\n  array.rows:\n    - 4\n    - 0\n", [
            "grid.yaml:8: array.rows: got 0, expected an integer from 1 to 1099511627776, for tiny",
        ]),
        (HEAD + "sweep:\n  clock_mhz: [100, 1e3]\n", [
            "grid.yaml:6: clock_mhz: got '1e3' (a string in YAML; for the number write 1000),"
            " expected a finite number from 1e-09 to 1e+15, for tiny",
        ]),
        (HEAD + "sweep:\n  array.rows: {log: [1, 10], n: 4}\n", [
            "grid.yaml:6: array.rows: got 2.15",
            "grid.yaml:6: array.rows: got 4.64",
        ]),
        (HEAD + "sweep:\n  array.rwos: [1]\n", [
            "grid.yaml:6: sweep.'array.rwos': no machine of this study has this key; did you mean"
            " 'array.rows'? allowed: array, ",
        ]),
        (HEAD + "sweep:\n  array.rows.x: [1]\n", [
            "grid.yaml:6: sweep.'array.rows.x': no machine of this study has this key",
        ]),
        (HEAD + "sweep:\n  __class__: [1]\n", [
            "grid.yaml:6: sweep.__class__: no machine of this study has this key",
        ]),
        (HEAD + "sweep:\n  name: [a, b]\n", [
            "grid.yaml:6: sweep.name: is what tells machines apart, and cannot be swept",
        ]),
        (HEAD + "sweep:\n  policy.tau: [1]\n", [
            "grid.yaml:6: sweep.'policy.tau': no policy of this study (uniform-low) has a"
            " tau; allowed: format, last, overflow",
        ]),
        (HEAD + "seeds: [0, 1]\n", [
            "grid.yaml:5: seeds: no policy of this study (uniform-low) has a seed; allowed:"
            " format, last, overflow",
        ]),
        (HEAD.replace("uniform-low", "random") + "sweep: {policy.rate: [0.1, 2]}\n", [
            "grid.yaml:5: sweep.'policy.rate'[1]: policy random: rate is '2', expected: less than"
            " or equal to 1",
        ]),
        (HEAD + "sweep:\n  array.rows: 4\n", [
            f"grid.yaml:6: sweep.'array.rows': got 4, expected {RANGE}",
        ]),
        (HEAD + "sweep:\n  array.rows: {log: [0, 4], n: 3}\n", [
            "grid.yaml:6: sweep.'array.rows'.log[0]: got 0, expected a finite number above 0",
        ]),
        (HEAD + "sweep:\n  array.rows: {linear: [1, 4], n: 1e1}\n", [
            "grid.yaml:6: sweep.'array.rows'.n: got '1e1' (a string in YAML; for the number write"
            " 10), expected an integer from 2 to 100000",
        ]),
        (HEAD + "sweep:\n  array.rows: {linear: [1, 4], log: [1, 4], n: 3}\n", [
            "grid.yaml:6: sweep.'array.rows': got a mapping with 'linear', 'log', 'n', expected"
            f" {RANGE}",
        ]),
        (HEAD + "sweep:\n  array.rows: [4, 4]\n", [
            "grid.yaml:6: sweep.'array.rows'[1]: 4 is given twice",
        ]),
        (HEAD + "sweep:\n  recompute: [{unit: array}]\n  recompute.lanes: [1]\n", [
            "grid.yaml:7: sweep.'recompute.lanes': is a part of recompute, which is swept as well",
        ]),
        (HEAD + "sweep:\n  recompute:\n    - {unit: lanes, lames: 1, queue_capacity: 1}\n", [
            "grid.yaml:7: recompute.lanes: key is missing, expected an integer from 1 to"
            " 1099511627776, for tiny",
            "grid.yaml:7: recompute.lames: unknown key; did you mean 'lanes'? allowed: unit, lanes,"
            " queue_capacity, granularity, schedule, formats, for tiny",
        ]),
        (HEAD + "sweep: {energy_table: [45nm, 46nm]}\n", [
            "grid.yaml:5: energy_table: unknown name '46nm'; did you mean '45nm'? allowed: ",
        ]),
        (HEAD + "sweep: {energy_table: [45nm, /etc/passwd]}\n", [
            "grid.yaml:5: sweep.energy_table[1]: got '/etc/passwd', expected a path relative to the"
            " study's",
        ]),
        (HEAD + "constraints: {accuracy: 0.9}\n", [
            "grid.yaml:5: constraints.accuracy: got 0.9, expected a mapping with min, max or both",
        ]),
        (HEAD + "constraints: {accuracy: {min: .nan}}\n", [
            "grid.yaml:5: constraints.accuracy.min: got .nan, expected a finite number",
        ]),
        (HEAD + "constraints: {accuracy: {min: 2, max: 1}}\n", [
            "grid.yaml:5: constraints.accuracy: got min 2 and max 1, expected min to be at most"
            " max",
        ]),
        (HEAD + "objectives: {energy_pj: less}\n", [
            "grid.yaml:5: objectives.energy_pj: got the string 'less', expected min or max",
        ]),
        (HEAD + "seeds: [0, 0]\n", ["grid.yaml:5: seeds: has a seed twice"]),
        (HEAD + "seeds: [1, 1.5, -1]\n", [
            "grid.yaml:5: seeds[1]: got 1.5, expected an integer of at least 0",
            "grid.yaml:5: seeds[2]: got -1, expected an integer of at least 0",
        ]),
        ("!!python/object/apply:os.system ['touch owned']\n", [
            "grid.yaml:1: tag '!!python/object/apply:os.system' is not allowed",
        ]),
        (HEAD + "sweep: {array.rows: !!python/tuple [1, 2]}\n", [
            "grid.yaml:5: sweep.'array.rows': tag '!!python/tuple' is not allowed",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(said)
    for line, start in zip(found, said, strict=True):
        assert line.startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "grid.yaml",
        "plain.yaml",
        "shapes.yaml",
        "tiny.yaml",
    ]


WANTED = """\
sweep: {array.dataflow: [os, ws], array.rows: [1, 2]}
constraints:
  acuracy: {min: 1}
  array.rows: {max: 1}
  policy: {min: 1}
objectives: {energy: min, array.dataflow: min, latency_s: min}
"""


def check(path: Path) -> str:
    return check_file(path, check_study)


@pytest.mark.parametrize("work", [run, count_points, check])
def test_columns_that_are_none_of_numbers_are_found_before_any_work(
    tmp_path: Path, work: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, HEAD + WANTED)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        work(Path("grid.yaml"))
    energy, dataflow, accuracy, policy = caught.value.problems
    assert energy.startswith(
        "grid.yaml:10: objectives.energy: no result has the column 'energy'; did you mean"
    )
    assert dataflow == (
        "grid.yaml:10: objectives.'array.dataflow': 'array.dataflow' holds no numbers, expected a"
        " column that does"
    )
    assert accuracy.startswith(
        "grid.yaml:7: constraints.acuracy: no result has the column 'acuracy'; did you mean 'acc"
    )
    assert policy == (
        "grid.yaml:9: constraints.policy: 'policy' holds no numbers, expected a column that does"
    )
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("values", [1001, 100_000])
def test_over_a_million_points_are_refused_with_their_number_at_once(
    tmp_path: Path, values: int
) -> None:
    text = (
        HEAD + f"sweep:\n  clock_mhz: {{linear: [1, 2], n: {values}}}\n"
        f"  dram.latency_ns: {{linear: [1, 2], n: {values}}}\n"
    )
    start = time.process_time()
    (line,) = problems(tmp_path, text)
    assert time.process_time() - start < 5
    assert line == f"grid.yaml:5: sweep: makes {values**2:,} points, expected at most 1,000,000"


@pytest.mark.parametrize(
    ("name", "folder_name"),
    [
        ("grid", "grid"),
        ("lanes and bandwidth", "lanes-and-bandwidth"),
        ("../../evil", "evil-"),
        ("..", "study-"),
        ("/etc/cron.d/x", "etc-cron-d-x-"),
        ("<script>alert(1)</script>", "script-alert-1-script-"),
        ("Über μ²", "ber-"),
        ("日本", "study-"),
        ("CON", "con-"),
        ("a\\b", "a-b-"),
        ("x" * 200, "x" * 60 + "-"),
        ("-", "study-"),
        (".hidden", "hidden-"),
    ],
)
def test_a_name_becomes_a_folder_beside_the_file_and_nowhere_else(
    tmp_path: Path, name: str, folder_name: str
) -> None:
    made = slug(name)
    assert made.startswith(folder_name)
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(made) <= 69
    inner = tmp_path / "inner"
    inner.mkdir()
    file = folder(inner, HEAD.replace("name: s", f"name: {name!r}".replace("\\\\", "\\")))
    before = {path.name for path in inner.iterdir()}
    found = run(file)
    assert found.name == name
    assert {path.name for path in inner.iterdir()} == before | {made}
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_names_that_differ_have_folders_that_differ() -> None:
    names = ["a b", "a-b", "A b", "a  b", "a/b", "á b", " a b", "x" * 61, "x" * 62]
    folders = [slug(name) for name in names]
    assert len({*folders[1:]}) == len(names) - 1
    assert slug("a b") == slug("a-b")  # which the store tells apart by the name in it


def test_results_are_not_written_through_a_link(tmp_path: Path) -> None:
    file = folder(tmp_path, HEAD)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "s").symlink_to("elsewhere")
    with pytest.raises(accelsim.AccelsimError, match="is a link, expected a folder"):
        run(file)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_infinite_threshold_can_be_swept(tmp_path: Path) -> None:
    text = HEAD.replace("uniform-low", "selective") + "sweep: {policy.tau: [0.5, .inf]}\n"
    (grid,) = load_study(folder(tmp_path, text)).grids
    assert [variant.make().tau for variant in grid.policies] == [0.5, math.inf]  # type: ignore[attr-defined]


def test_the_file_beside_the_study_goes_before_the_shipped_one(tmp_path: Path) -> None:
    text = HEAD.replace("tiny.yaml", "edge-16x16")
    assert load_study(folder(tmp_path, text)).grids[0].machines[0].make().name == "edge-16x16"
    (tmp_path / "edge-16x16").write_text(MACHINE)
    assert load_study(folder(tmp_path, text)).grids[0].machines[0].make().name == "tiny"


def test_every_point_of_the_study_used_here_is_counted(tmp_path: Path) -> None:
    assert load_study(folder(tmp_path, STUDY)).points == POINTS
