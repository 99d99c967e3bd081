"""A study as a whole: each point once, whatever the jobs, and again only if it would differ."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grids import MACHINE, POINTS, STUDY, WORKLOAD, contents, folder, run

import accelsim
from accelsim import cli, infer
from accelsim.cli.watch import Terminal
from accelsim.config import load_energy_table, load_workload
from accelsim.errors import AccelsimError
from accelsim.point import time_layer
from accelsim.study import Outcome, Setup, in_this_process, read_store
from accelsim.study import keys as keys_module
from accelsim.study import work as work_module
from accelsim.study.engine import count_points
from accelsim.study.execute import Outcomes
from accelsim.study.store import FILE

FAILING = STUDY.replace("array.rows: [2, 4]", "scratchpads.a.capacity_bytes: [1, 4096]")
TRAINED = """\
name: trained
hardware: [mid-32x32, datacentre-128x128]
workload: digits-relu
policy: [uniform-low, "selective:tau=8"]
sweep: {array.rows: [32, 64], policy.tau: [1, 8]}
constraints: {accuracy: {min: 0.962}}
objectives: {energy_per_inference_pj: min, accuracy: max}
"""


class Counting:
    """Counts the points that are computed."""

    def __init__(self) -> None:
        self.computed: list[int] = []

    def planned(self, *_: Any) -> None: ...

    def ended(self, *_: Any) -> None: ...

    def finished(self, row: dict[str, Any], *_: Any) -> None:
        self.computed.append(row["point"])


def computed(file: Path, **given: Any) -> list[int]:
    watch = Counting()
    run(file, watch=watch, **given)
    return sorted(watch.computed)


@pytest.fixture
def accelsim_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["accelsim", *arguments])
        status: Any = 0
        try:
            cli.main()
        except SystemExit as leave:
            status = leave.code
        return (status, *capsys.readouterr())

    return command


def test_results_are_the_same_bytes_whatever_the_jobs(tmp_path: Path) -> None:
    file = folder(tmp_path, TRAINED)
    one, two = (tmp_path / f"with-{jobs}" for jobs in (1, 2))
    accelsim.study(file, jobs=1, out=one)
    accelsim.study(file, jobs=2, out=two)
    assert len(contents(one)) == 12
    assert contents(one) == contents(two)
    assert (one / "results.csv").read_bytes() == (two / "results.csv").read_bytes()


def test_a_point_of_a_study_is_the_run_of_its_machine_and_policy(tmp_path: Path) -> None:
    found = run(folder(tmp_path))
    for row in (found.rows[0], found.rows[-1]):
        text = MACHINE if row["hardware"] == "tiny" else MACHINE.split("recompute")[0]
        text = text.replace("rows: 4", f"rows: {row['array.rows']}")
        text = text.replace("lanes: 3", f"lanes: {row.get('recompute.lanes')}")
        (tmp_path / "one.yaml").write_text(text.replace("tiny", row["hardware"]))
        one = accelsim.run(tmp_path / "one.yaml", tmp_path / "shapes.yaml", row["policy"])
        assert {key: row[key] for key in one.as_row()} == one.as_row()
        kept = one.as_dict() | {"excerpt": one.excerpt}
        assert found.detail(row["point"]) == json.loads(json.dumps(kept))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    file = folder(tmp_path)
    assert computed(file) == [*range(POINTS)]
    before = (tmp_path / "grid" / FILE).read_bytes()
    assert computed(file) == []
    assert (tmp_path / "grid" / FILE).read_bytes() == before


def test_editing_one_machine_computes_its_points_again_and_no_others(tmp_path: Path) -> None:
    file = folder(tmp_path)
    first = run(file)
    (tmp_path / "plain.yaml").write_text(
        (tmp_path / "plain.yaml").read_text().replace("clock_mhz: 100", "clock_mhz: 200")
    )
    again = computed(file)
    assert again == [row["point"] for row in first.rows if row["hardware"] == "plain"]
    second = accelsim.Study(tmp_path / "grid")
    for old, new in zip(first.rows, second.rows, strict=True):
        assert (old == new) == (old["hardware"] == "tiny")
    (tmp_path / "plain.yaml").write_text(
        "# The same machine.\n"
        + (tmp_path / "plain.yaml").read_text().replace("clock_mhz: 200", "clock_mhz: 100.0")
    )
    assert computed(file) == []  # what was known of it before is still known


def test_adding_to_a_sweep_computes_what_is_new(tmp_path: Path) -> None:
    file = folder(tmp_path)
    run(file)
    file.write_text(STUDY.replace("array.rows: [2, 4]", "array.rows: [2, 3, 4]"))
    assert len(computed(file)) == POINTS // 2
    assert [row["array.rows"] for row in run(file).rows[:10]] == [2] * 10
    assert len(run(file)) == POINTS // 2 * 3


@pytest.mark.parametrize("what", ["workload", "code", "versions", "energy table"])
def test_whatever_determines_a_result_is_part_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    file = folder(tmp_path)
    run(file)
    match what:
        case "workload":
            (tmp_path / "shapes.yaml").write_text(WORKLOAD.replace("k: 16", "k: 15"))
        case "code":
            monkeypatch.setattr("accelsim.study.plan.code_digest", lambda: bytes(32))
        case "versions":
            versions = keys_module.versions() | {"numpy": "0"}
            monkeypatch.setattr(keys_module, "versions", lambda: versions)
            keys_module.code_digest.cache_clear()
        case "energy table":
            table = load_energy_table("45nm").model_copy(update={"node_nm": 46.0})
            monkeypatch.setattr("accelsim.study.plan.load_energy_table", lambda _: table)
    assert computed(file) == [*range(POINTS)]
    keys_module.code_digest.cache_clear()


def test_weights_and_data_are_part_of_a_key() -> None:
    workload = load_workload("digits-relu")
    assert workload.network is not None
    assert workload.dataset is not None
    network, dataset = workload.network, workload.dataset
    bias = network.layers[1].bias.copy()
    bias[7] = np.nextafter(bias[7], np.float32(1))
    layers = (network.layers[0], replace(network.layers[1], bias=bias), network.layers[2])
    labels = dataset.test_labels.copy()
    labels[7] += 1
    changed = [
        workload,
        replace(workload, network=replace(network, layers=layers)),
        replace(workload, dataset=replace(dataset, test_labels=labels)),
    ]
    assert len({keys_module.digest(each) for each in changed}) == 3


def test_a_key_tells_values_apart_that_look_alike() -> None:
    values: list[Any] = [
        1, 1.0, True, "1", b"1", None, "None", (1, 2), (12,), ("ab", "c"), ("a", "bc"), {"a": 1},
        {"a": {}}, np.array([1.0]), np.array([1], np.float32), np.array([[1.0]]), np.array([True]),
        0.0, -0.0, math.nan, math.inf,
    ]  # fmt: skip
    assert len({keys_module.digest(value) for value in values}) == len(values)
    assert keys_module.digest({"a": 1, "b": 2}) == keys_module.digest({"b": 2, "a": 1})
    assert keys_module.digest(math.nan) == keys_module.digest(float("nan"))
    with pytest.raises(TypeError, match="has no canonical form"):
        keys_module.digest(object())


def test_code_that_computes_is_part_of_a_key_and_code_that_shows_is_not() -> None:
    package = Path(accelsim.__file__).parent
    parts = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if keys_module._computes(path.relative_to(package))
    }
    assert {
        "infer/inference.py",
        "machine/simulate.py",
        "numerics/lanes.py",
        "study/work.py",
    } <= parts
    assert not {"cli/commands.py", "study/store.py", "report/write.py", "demo.py"} & parts


def test_one_inference_serves_all_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inferred: list[str] = []

    def counting(prepared: Any, policy: Any, **given: Any) -> Any:
        inferred.append(str(policy))
        return infer.infer(prepared, policy, **given)

    monkeypatch.setattr(work_module, "infer", counting)
    run(folder(tmp_path))
    assert len(inferred) == len({*inferred}) == 5


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the layers that are simulated, in order."""
    names: list[str] = []

    def counting(trace: Any, hardware: Any) -> Any:
        names.append(trace.name)
        return time_layer(trace, hardware)

    monkeypatch.setattr(work_module, "time_layer", counting)
    return names


def test_layers_that_are_alike_are_simulated_once_for_all_points(
    tmp_path: Path, timed: list[str]
) -> None:
    text = STUDY.split("sweep")[0].replace("random:rate=0.1", "random:rate=0")
    file = folder(tmp_path, text + "sweep: {energy_table: [45nm, 7nm]}\n")
    rows = run(file).rows
    assert len(rows) == 8
    assert len(timed) == 8  # two machines, two policies, two layers: one of two tables
    tables = {(row["energy_table"], row["energy_pj"]) for row in rows}
    assert {table for table, _ in tables} == {"45nm", "7nm"}
    assert len(tables) == 4  # of what has nothing done again, both machines pay the same


def test_layers_of_a_network_are_simulated_once_however_many_differ(
    tmp_path: Path, timed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "REMEMBERED_BYTES", 0)
    many = 70
    text = STUDY.split("policy")[0] + "policy: uniform-low\n"
    file = folder(tmp_path, text + "sweep: {energy_table: [45nm, 7nm, 40nm]}\n")
    layers = [f"  - {{name: l{m}, kind: gemm, m: {m}, k: 2, n: 2}}" for m in range(1, many + 1)]
    (tmp_path / "shapes.yaml").write_text("\n".join(["name: shapes", "layers:", *layers, ""]))
    assert len(run(file)) == 6
    assert len(timed) == 2 * many  # two machines, of three tables each


def test_layers_that_policies_share_are_simulated_once_on_each_machine(
    tmp_path: Path, timed: list[str]
) -> None:
    text = STUDY.split("hardware")[0] + "hardware: tiny.yaml\nworkload: shapes.yaml\n"
    text += "policy: ['per-layer:formats=e4m3fn/fp16', 'per-layer:formats=e4m3fn/fp32']\n"
    file = folder(tmp_path, text + "sweep: {clock_mhz: {linear: [100, 400], n: 40}}\n")
    assert len(run(file)) == 80
    assert len(timed) == 40 * 3  # the first layer is the same under both


def test_files_are_named_by_their_paths_from_the_study_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/x/m", "a/y/m", "b"):
        (tmp_path / name).mkdir(parents=True)
    file = folder(tmp_path / "a")
    (tmp_path / "a" / "x" / "m" / "m.yaml").write_text(MACHINE)
    (tmp_path / "a" / "y" / "m" / "m.yaml").write_text(MACHINE.replace("tiny", "other"))
    (tmp_path / "b" / "shapes.yaml").write_text(WORKLOAD)
    file.write_text(
        "name: grid\nhardware: [x/m/m.yaml, y/m/m.yaml, mid-32x32]\nworkload: ../b/shapes.yaml\n"
        "policy: uniform-low\n"
    )
    given = []
    for where, path in (("a", "grid.yaml"), (".", "a/grid.yaml"), ("b", str(file))):
        monkeypatch.chdir(tmp_path / where)
        given.append(run(Path(path)).meta)
    assert given[1:] == [given[0]] * 2
    assert set(given[0]["inputs_sha256"]) == {
        "grid.yaml",
        "x/m/m.yaml",
        "y/m/m.yaml",
        "../b/shapes.yaml",
        "accelsim:hwconfigs/mid-32x32.yaml",
    }


def test_the_best_so_far_is_of_what_was_kept_before_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    text = "name: grid\nhardware: tiny.yaml\nworkload: shapes.yaml\npolicy: uniform-low\n"
    text += "objectives: {latency_s: min}\nsweep: {array.rows: [4]}\n"
    (fast,) = run(folder(tmp_path, text), watch=Terminal()).rows
    capsys.readouterr()
    rows = run(folder(tmp_path, text.replace("[4]", "[4, 1]")), watch=Terminal()).rows
    shown = {*re.findall(r"latency_s ([-+.e0-9]+)", capsys.readouterr().err)}
    assert shown == {f"{fast['latency_s']:.4g}"}
    assert rows[1]["latency_s"] > 1.1 * fast["latency_s"]


def test_a_point_that_fails_is_kept_with_its_error_and_tried_again_only_if_asked(
    tmp_path: Path, accelsim_command: Any
) -> None:
    file = folder(tmp_path, FAILING)
    found = run(file)
    assert len(found.failed) == POINTS // 2
    assert {row["scratchpads.a.capacity_bytes"] for row in found.failed} == {1}
    assert all("scratchpad" in row["error"] for row in found.failed)
    assert {row["feasible"] for row in found.failed} == {None}
    assert computed(file) == []
    assert computed(file, retry=True) == [row["point"] for row in found.failed]
    status, out, err = accelsim_command("study", str(file), "-j", "1")
    assert status == 0
    assert err == "grid: 30 points, 15 done, 15 failed (--retry tries again)\n"
    assert out.startswith("study 'grid': 30 points, 15 failed, in ")
    assert f"  point 0 failed: {found.failed[0]['error']}\n" in out
    assert out.endswith("  and 10 more failed\n")
    text = (tmp_path / "grid" / "results.csv").read_text()
    table = list(csv.DictReader(text.splitlines()))
    assert table[0]["status"] == "failed"
    assert table[0]["error"] == found.failed[0]["error"]


def test_a_study_of_which_no_point_can_be_computed_is_an_error(
    tmp_path: Path, accelsim_command: Any
) -> None:
    text = "name: grid\nhardware: tiny.yaml\nworkload: shapes.yaml\npolicy: static\n"
    status, out, err = accelsim_command("study", str(folder(tmp_path, text)), "-j", "1")
    assert status == 2
    assert "  point 0 failed: " in out
    assert err.splitlines()[-1] == "accelsim: no point could be computed"


def test_a_policy_that_cannot_run_fails_its_points_alone(tmp_path: Path) -> None:
    file = folder(tmp_path, STUDY.replace("uniform-low", "static"))
    found = run(file)
    assert {row["policy"].partition(":")[0] for row in found.failed} == {"static"}
    assert all("is calibrated on training data" in row["error"] for row in found.failed)


def test_what_no_input_should_cause_is_named_and_stops_no_other_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trace: Any, hardware: Any) -> Any:
        if hardware.array.rows == 2:
            raise ZeroDivisionError("division by zero")
        return time_layer(trace, hardware)

    monkeypatch.setattr(work_module, "time_layer", broken)
    found = run(folder(tmp_path))
    assert {row["error"] for row in found.failed} == {"ZeroDivisionError: division by zero"}
    assert len(found.failed) == POINTS // 2


def test_points_outside_the_constraints_are_kept_and_marked(tmp_path: Path) -> None:
    found = run(folder(tmp_path, TRAINED))
    assert {row["accuracy"] >= 0.962 for row in found.rows} == {True, False}
    assert all(row["feasible"] == (row["accuracy"] >= 0.962) for row in found.rows)
    front = found.pareto()
    assert front
    assert all(row["feasible"] for row in front)
    for row in found.rows:
        if row["feasible"] and row not in front:
            assert any(
                other["energy_per_inference_pj"] <= row["energy_per_inference_pj"]
                and other["accuracy"] >= row["accuracy"]
                for other in front
            )
    assert found.best("accuracy")["accuracy"] == max(row["accuracy"] for row in found.rows)
    cheapest = min(row["latency_s"] for row in found.rows if row["feasible"])
    assert {row["latency_s"] for row in found.pareto(["latency_s"])} == {cheapest}
    assert found.pareto({"latency_s": "min"}) == found.pareto(["latency_s"])
    with pytest.raises(AccelsimError, match="got 'less', expected min or max"):
        found.pareto({"latency_s": "less"})
    with pytest.raises(AccelsimError, match="no result has the column 'latency'"):
        found.pareto(["latency"])


def test_a_constraint_on_what_a_run_does_not_have_is_not_met(tmp_path: Path) -> None:
    found = run(folder(tmp_path, STUDY + "constraints: {accuracy: {min: 0}}\n"))
    assert {row["feasible"] for row in found.rows} == {False}
    assert found.pareto() == []


def test_constraints_and_objectives_can_change_and_nothing_is_computed(tmp_path: Path) -> None:
    file = folder(tmp_path)
    run(file)
    file.write_text(STUDY + "constraints: {array.rows: {min: 3}}\nobjectives: {energy_pj: max}\n")
    assert computed(file) == []
    found = accelsim.Study(tmp_path / "grid")
    assert {row["array.rows"] for row in found.rows if row["feasible"]} == {4}
    assert found.objectives == {"energy_pj": 1}


def test_the_table_has_every_column_with_its_unit_and_reads_back(tmp_path: Path) -> None:
    found = run(folder(tmp_path))
    with (tmp_path / "grid" / "results.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == found.columns
    assert found.columns[:6] == ["point", "status", "feasible", "hardware", "workload", "policy"]
    assert {"total_cycles", "latency_s", "energy_pj", "kl_divergence_nats"} <= {*found.columns}
    for given, row in zip(table, found.rows, strict=True):
        assert float(given["energy_pj"]) == row["energy_pj"]
        assert int(given["total_cycles"]) == row["total_cycles"]
    found.to_csv(tmp_path / "other.csv")
    assert (tmp_path / "other.csv").read_bytes() == (tmp_path / "grid" / "results.csv").read_bytes()


@pytest.mark.parametrize(("package", "call"), [("pandas", "to_frame"), ("pyarrow", "to_parquet")])
def test_what_needs_a_package_that_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, call: str
) -> None:
    found = run(folder(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)
    arguments = [tmp_path / "x.parquet"] if call == "to_parquet" else []
    with pytest.raises(AccelsimError, match=rf"needs {package}: pip install {package}$"):
        getattr(found, call)(*arguments)


def test_a_study_and_a_run_show_themselves_in_a_terminal_and_in_a_notebook(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    file = folder(tmp_path, STUDY.replace("name: grid", f'name: "{evil}"'))
    for name in ("tiny", "plain"):
        machine = (tmp_path / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(machine.replace(name, f"<b>{name}</b>"))
    found = run(file)
    assert repr(found).startswith(f"study {evil!r}: 30 points, in ")
    assert "best total_energy_nj: " in repr(found)
    one = accelsim.run(tmp_path / "tiny.yaml", tmp_path / "shapes.yaml", "uniform-low")
    assert repr(one) == f"<Run: {one}>"
    for shown in (found._repr_html_(), one._repr_html_()):
        assert "<script" not in shown
        assert "<b>" not in shown
        assert "&lt;b&gt;tiny" in shown
    assert "&lt;script&gt;" in found._repr_html_()
    page = one._repr_html_()
    for layer, values in zip(one.layers, one.as_dict()["layers"], strict=True):
        assert f"<tr><td>{layer.trace.name}</td><td>{values['macs']}</td>" in page
        assert f"<td>{layer.simulation.total_cycles}</td>" in page
        assert f"<td>{sum(values['energy_pj'].values()):.6g}</td></tr>" in page
    assert f"<td>energy_pj</td><td>{one.energy_pj:.6g}</td>" in page


def test_an_executor_can_take_the_place_of_the_processes(tmp_path: Path) -> None:
    seen: list[int] = []

    def backwards(setup: Setup, groups: Any, point: Any) -> Outcomes:
        batches = list(in_this_process(setup, groups, point))
        for outcomes in reversed(batches):
            seen.extend(outcome.index for outcome in outcomes)
            yield list[Outcome](reversed(outcomes))

    given = accelsim.study(folder(tmp_path), executor=backwards, out=tmp_path / "given")
    assert sorted(seen) == [*range(POINTS)]
    run(tmp_path / "grid.yaml")
    assert contents(tmp_path / "given") == contents(tmp_path / "grid")
    assert given.folder == tmp_path / "given"


def test_the_command_says_what_there_is_to_do_and_what_was_found(
    tmp_path: Path, accelsim_command: Any
) -> None:
    file = folder(tmp_path)
    where = tmp_path / "grid"
    assert accelsim_command("study", str(file), "--plan") == (
        0, f"grid: 30 points, 0 done, 0 failed, 30 to do, in {where}; how long that takes is said"
        " once some are done\n", "",
    )  # fmt: skip
    assert not where.exists()
    status, out, err = accelsim_command("study", str(file), "-j", "1")
    assert status == 0
    assert err.splitlines()[0] == "grid: 30 points, 0 done, 30 to do in 1 process"
    assert out.splitlines()[0] == f"study 'grid': 30 points, in {where}"
    assert sorted(path.name for path in where.iterdir()) == [".lock", "results.csv", FILE]
    status, out, err = accelsim_command("study", str(file), "--plan")
    assert out == f"grid: 30 points, 30 done, 0 failed, 0 to do, in {where}\n"


def test_a_plan_says_how_long_the_rest_takes_by_what_is_kept(tmp_path: Path) -> None:
    file = folder(tmp_path)

    def slowly(setup: Setup, groups: Any, point: Any) -> Outcomes:
        for outcomes in in_this_process(setup, groups, point):
            for outcome in outcomes[: 10 - len(kept)]:
                kept.append(outcome.index)
                yield [replace(outcome, seconds=30.0)]

    kept: list[int] = []
    accelsim.study(file, executor=slowly)
    assert len(kept) == 10
    said = "10 done, 0 failed, 20 to do, in "
    time = "about 10 minutes of one process, and inferences, by 10 points that are kept"
    assert count_points(file) == f"grid: 30 points, {said}{tmp_path / 'grid'}; {time}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.yaml"], "absent.yaml: no such file\n"),
        (["grid.yaml", "-j", "0"], "accelsim: Invalid value for '-j' / '--jobs': 0 is not in the"
         " range x>=1. Try 'accelsim study --help'.\n"),
        (["grid.yaml", "--out", "tiny.yaml"], "accelsim: Invalid value for '--out': Directory"
         " 'tiny.yaml' is a file. Try 'accelsim study --help'.\n"),
        (["grid.yaml", "--out", "tiny.yaml/x"], "tiny.yaml/x: cannot be made: Not a directory\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(
    tmp_path: Path,
    accelsim_command: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert accelsim_command("study", *arguments) == (2, "", said)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2"])
def test_jobs_are_counted(tmp_path: Path, jobs: Any) -> None:
    with pytest.raises(AccelsimError, match="expected an integer of at least 1"):
        accelsim.study(folder(tmp_path), jobs=jobs)


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.numerics.accumulate import _workers

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)})
    assert _workers(None) == 8
    monkeypatch.setenv("ACCELSIM_THREADS", "3")
    assert _workers(None) == 3
    assert _workers(5) == 5
    for text in ("", "0", "x", "-1", "99"):
        monkeypatch.setenv("ACCELSIM_THREADS", text)
        assert _workers(None) == 8


def test_a_point_that_is_no_longer_asked_for_is_not_in_the_table(tmp_path: Path) -> None:
    file = folder(tmp_path)
    run(file)
    file.write_text(STUDY.replace("array.rows: [2, 4]", "array.rows: [4]"))
    assert len(run(file)) == POINTS // 2
    store = read_store(tmp_path / "grid")
    assert len(store.states()) == POINTS
    store.close()
