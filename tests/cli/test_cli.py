"""The command line: what it prints where, how it exits, and what it leaves on disk."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import accelsim
from accelsim import cli
from accelsim.errors import AccelsimError
from accelsim.files import check_writable, write_whole
from accelsim.policies import POLICIES

ROOT = Path(__file__).parents[2]
HARDWARE = """\
name: tiny
clock_mhz: 100
array: {rows: 4, cols: 4, dataflow: os, overlap_folds: true}
"""
LANES = HARDWARE + "recompute: {unit: lanes, lanes: 3, queue_capacity: 5}\n"
GATHER = HARDWARE + (
    "recompute: {unit: array, granularity: row, schedule: deferred, gather_bytes_per_cycle: 0.5}\n"
)
WORKLOAD = """\
name: shapes
layers:
  - {name: first, kind: gemm, m: 40, k: 5, n: 60}
  - {name: second, kind: gemm, m: 40, k: 60, n: 3}
"""


class Result(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def accelsim_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run the command line in this process, in a folder with h.yaml and w.yaml."""
    (tmp_path / "h.yaml").write_text(HARDWARE)
    (tmp_path / "lanes.yaml").write_text(LANES)
    (tmp_path / "gather.yaml").write_text(GATHER)
    (tmp_path / "w.yaml").write_text(WORKLOAD)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["accelsim", *arguments])
        status: Any = 0
        try:
            cli.main()
        except SystemExit as leave:
            status = leave.code
        return Result(status, *capsys.readouterr())

    return command


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["accelsim: Missing command. Try 'accelsim --help'."]),
        (["simulate"], ["accelsim: No such command 'simulate'. Try 'accelsim --help'."]),
        (["--fast"], ["accelsim: No such option '--fast'. Try 'accelsim --help'."]),
        (["check"], ["accelsim: Missing argument 'FILE…'. Try 'accelsim check --help'."]),
        (["run"], ["accelsim: Missing argument 'HARDWARE'. Try 'accelsim run --help'."]),
        (
            ["run", "h.yaml", "w.yaml"],
            ["accelsim: Missing option '--policy'. Try 'accelsim run --help'."],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy"],
            ["accelsim: Option '--policy' requires an argument. Try 'accelsim --help'."],
        ),
        (
            ["run", "no-h.yaml", "no-w.yaml", "--policy", "magic", "--json", "out.json"],
            [
                "no-h.yaml: no such file",
                "no-w.yaml: no such file",
                "policy: unknown name 'magic'; allowed are "
                f"{', '.join(POLICIES)}",
            ],
        ),
        (
            ["run", "w.yaml", "h.yaml", "--policy", "uniform-low", "--json", "out.json"],
            [
                "w.yaml: is of kind workload, expected hardware",
                "h.yaml: is of kind hardware, expected workload",
            ],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy", "selective", "--json", "out.json"],
            [
                "policy selective looks at values, but workload shapes has no weights:"
                " use a uniform or chunked policy, or random:rate=R"
            ],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--energy-table", "45"],
            ["energy table '45': unknown; did you mean '45nm'? allowed: 40nm, 45nm, 7nm"],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--energy-table", ""],
            ["energy table '': unknown; allowed: 40nm, 45nm, 7nm"],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--json", "."],
            [".: is a directory, expected a file to write"],
        ),
        (
            ["run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--json", "h.yaml/x"],
            ["h.yaml/x: cannot be written: h.yaml is not a directory"],
        ),
        (["check", "a\nb"], ["a\\nb: no such file"]),
        (["check", "."], [".: is a directory, expected a YAML file"]),
    ],
)  # fmt: skip
def test_bad_input_is_told_on_stderr_line_by_line_and_nothing_is_written(
    tmp_path: Path, accelsim_command: Any, arguments: list[str], said: list[str]
) -> None:
    before = files(tmp_path)
    result = accelsim_command(*arguments)
    assert result == Result(2, "", "\n".join(said) + "\n")
    assert files(tmp_path) == before


def test_a_place_that_cannot_be_written_to_is_found_before_any_work(accelsim_command: Any) -> None:
    for name, said in (
        ("absent/out.json", "absent/out.json: cannot be written: absent is not a directory"),
        ("x" * 300, f"{'x' * 300}: cannot be written: File name too long"),
    ):
        result = accelsim_command("run", "absent", "absent", "--policy", "x", "--json", name)
        assert result == Result(2, "", said + "\n")


def test_check_describes_good_files_and_tells_all_problems_of_bad_ones(
    tmp_path: Path, accelsim_command: Any
) -> None:
    (tmp_path / "bad.yaml").write_text(HARDWARE.replace("os", "rs").replace("100", "-1"))
    (tmp_path / "empty.yaml").write_text("")
    table = str(ROOT / "accelsim/energy/tables/7nm.yaml")
    result = accelsim_command("check", "h.yaml", "bad.yaml", "w.yaml", "empty.yaml", table)
    assert result.status == 2
    assert result.out.splitlines() == [
        "h.yaml: ok, hardware tiny",
        "w.yaml: ok, workload shapes",
        f"{table}: ok, energy table 7nm",
    ]
    assert result.err.splitlines() == [
        "bad.yaml:2: clock_mhz: got -1, expected a finite number from 1e-09 to 1e+15",
        "bad.yaml:3: array.dataflow: got the string 'rs', expected one of os, ws, is",
        "empty.yaml: is empty, expected a mapping of keys to values",
    ]


def test_check_of_a_study_looks_at_what_it_wants_of_results(
    tmp_path: Path, accelsim_command: Any
) -> None:
    study = (
        "name: s\nhardware: [h.yaml]\nworkload: [w.yaml]\npolicy: [uniform-high]\n"
        "objectives: {total_energy_nj: min}\n"
    )
    (tmp_path / "s.yaml").write_text(study)
    assert accelsim_command("check", "s.yaml") == Result(0, "s.yaml: ok, study s, 1 points\n", "")
    (tmp_path / "s.yaml").write_text(study.replace("total", "totl"))
    found = accelsim_command("check", "s.yaml")
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(
        "s.yaml:5: objectives.totl_energy_nj: no result has the column 'totl_energy_nj'; did you"
        " mean 'total_energy_nj'?"
    )


def test_check_of_good_files_alone_succeeds(accelsim_command: Any) -> None:
    assert accelsim_command("check", "h.yaml") == Result(0, "h.yaml: ok, hardware tiny\n", "")


@pytest.mark.parametrize("policy", ["uniform-low", "uniform-high", "chunked", "random:rate=0.5"])
@pytest.mark.parametrize("machine", ["h.yaml", "lanes.yaml"])
def test_a_run_prints_a_line_for_every_layer_and_every_count(
    accelsim_command: Any, machine: str, policy: str
) -> None:
    result = accelsim_command("run", machine, "w.yaml", "--policy", policy, "--json", "out.json")
    assert (result.status, result.err) == (0, "")
    written = json.loads(Path("out.json").read_text())
    lines = result.out.splitlines()
    for layer in written["layers"]:
        cycles, moved = (line for line in lines if line.split()[:1] == [layer["name"]])
        assert cycles.split()[1:10] == [
            str(layer["macs"]),
            str(layer["compute_cycles"]),
            str(layer["stall_cycles"]["dram"]),
            str(layer["stall_cycles"]["scratchpad"]),
            str(layer["stall_cycles"]["recompute"]),
            str(layer["total_cycles"]),
            f"{layer['utilization']:.3f}",
            f"{layer['recompute_rate']:.4f}",
            f"{layer['recompute_share']:.3f}",
        ]
        assert cycles.endswith(f"{layer['bottleneck']}: {layer['why']}")
        tiling = layer["tiling"]
        assert moved.split()[1:] == [
            *(str(size) for size in layer["bytes"].values()),
            f"{sum(layer['energy_pj'].values()):.6g}",
            f"{tiling['m']}x{tiling['k']}x{tiling['n']}",
            f"{tiling['order']},",
            str(tiling["tiles"]),
            "tiles",
        ]
    for count in written["counts"]:
        what = f"{count['component']:<14}{count['action']:<24}{count['cause']:<22}"
        start = f"{what}{count['number']:>14}"
        assert sum(line.startswith(start) for line in lines) == 1
    assert lines[-1].split() == ["total", f"{written['energy_pj']:.6g}"]
    causes = written["energy_by_cause_pj"] | {"with leakage": written["total_energy_pj"]}
    for cause, energy in causes.items():
        assert f"{cause:<24}{energy:>14.6g}" in lines
    area_mm2, leakage_mw = (math.fsum(written[key].values()) for key in ("area_um2", "leakage_mw"))
    said = f"{area_mm2 / 1e6:.4g} mm2 that leak {leakage_mw:.4g} mW; energy-delay product"
    assert any(line.startswith(said) for line in lines)


def test_a_gather_and_what_is_deferred_are_printed_and_in_the_trace(accelsim_command: Any) -> None:
    run = ("run", "gather.yaml", "w.yaml", "--json", "out.json", "--trace", "t.json")
    result = accelsim_command(*run, "--policy", "random:rate=0.25")
    assert (result.status, result.err) == (0, "")
    rows = [line for line in result.out.splitlines() if line.startswith(("layer", "first"))][:2]
    header, first = (row.split() for row in rows)
    layer = json.loads(Path("out.json").read_text())["layers"][0]
    assert header[-3:] == ["gather_cycles", "deferred_cycles", "bottleneck"]
    assert str(layer["gather_cycles"]) in first
    assert str(layer["deferred_cycles"]) in first
    assert layer["redone_outputs"] > layer["recomputed_outputs"] == 600
    assert layer["stall_cycles"]["recompute"] == layer["deferred_cycles"] > 0
    events = json.loads(Path("t.json").read_text())["traceEvents"]
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name"}
    for track, name in (
        ("gather", "lines of deferred redo 0"),
        ("recompute", "deferred redo 0"),
    ):
        names = {e["name"] for e in events if e["ph"] == "X" and e["tid"] == tracks[track]}
        assert name in names
    plain = accelsim_command("run", "gather.yaml", "w.yaml", "--policy", "uniform-low").out
    assert "gather_cycles" not in plain


RUN_KEYS = {"total_cycles", "energy_pj", "recompute_rate", "accuracy", "layers"}
LAYER_KEYS = {
    "name",
    "unit",
    "macs",
    "mac_cycles",
    "fill_drain_cycles",
    "vector_cycles",
    "compute_cycles",
    "stall_cycles",
    "total_cycles",
    "utilization",
    "bottleneck",
    "why",
    "tiling",
    "bytes",
    "recomputed_outputs",
    "redone_outputs",
    "gather_cycles",
    "deferred_cycles",
    "recompute_rate",
    "recompute_share",
    "energy_pj",
    "energy_by_cause_pj",
}


def assert_adds_up(run: dict[str, Any]) -> None:
    """Check what must hold of any run's JSON."""
    assert set(run) >= RUN_KEYS
    layers = run["layers"]
    for layer in layers:
        assert set(layer) == LAYER_KEYS
        stalls = sum(layer["stall_cycles"].values())
        assert layer["total_cycles"] == layer["compute_cycles"] + stalls
        parts = layer["mac_cycles"] + layer["fill_drain_cycles"] + layer["vector_cycles"]
        assert layer["compute_cycles"] == parts
        assert (layer["utilization"] > 0.0) == (layer["unit"] == "array")
        assert 0.0 <= layer["utilization"] <= 1.0
        assert (
            layer["recompute_share"] == layer["stall_cycles"]["recompute"] / layer["total_cycles"]
        )
        assert all(isinstance(size, int) for size in layer["bytes"].values())
    assert run["total_cycles"] == sum(layer["total_cycles"] for layer in layers)
    components = [pj for layer in layers for pj in layer["energy_pj"].values()]
    assert run["energy_pj"] == pytest.approx(math.fsum(components), rel=1e-12)
    for count in run["counts"]:
        assert count["energy_pj"] == count["number"] * count["energy_pj_each"]
        assert count["source"]
    assert run["energy_pj"] == math.fsum(count["energy_pj"] for count in run["counts"])


@pytest.mark.parametrize("policy", ["uniform-low", "uniform-high", "chunked", "random:rate=0.25"])
@pytest.mark.parametrize("machine", ["h.yaml", "lanes.yaml", "gather.yaml"])
def test_the_json_of_shapes_adds_up(accelsim_command: Any, machine: str, policy: str) -> None:
    accelsim_command("run", machine, "w.yaml", "--policy", policy, "--json", "out.json")
    run = json.loads(Path("out.json").read_text())
    assert_adds_up(run)
    assert (run["hardware"], run["workload"], run["samples"]) == ("tiny", "shapes", 1)
    assert (run["accuracy"], run["kl_divergence_nats"]) == (None, None)
    assert [layer["name"] for layer in run["layers"]] == ["first", "second"]
    assert [layer["macs"] for layer in run["layers"]] == [40 * 5 * 60, 40 * 60 * 3]
    redone = 630 if policy.startswith("random") else 0
    assert sum(layer["recomputed_outputs"] for layer in run["layers"]) == redone
    assert run["recompute_rate"] == redone / 2520


def test_the_json_of_a_network_adds_up_and_has_its_accuracy(accelsim_command: Any) -> None:
    result = accelsim_command(
        "run",
        str(ROOT / "hwconfigs/mid-32x32.yaml"),
        str(ROOT / "workloads/digits-relu.yaml"),
        *("--policy", "selective:tau=4,numerator=exact", "--json", "out.json"),
    )
    assert result.status == 0
    run = json.loads(Path("out.json").read_text())
    assert_adds_up(run)
    assert run["policy"] == "selective:tau=4,numerator=exact"
    assert run["samples"] == 899
    assert 0.9 < run["accuracy"] <= 1.0
    assert (run["accuracy"] * 899) == pytest.approx(round(run["accuracy"] * 899))
    outputs = [899 * 256, 899 * 128, 899 * 10]
    redone = sum(layer["recomputed_outputs"] for layer in run["layers"])
    assert run["recompute_rate"] == redone / sum(outputs)
    assert 0 < redone < sum(outputs)


def test_another_energy_table_changes_joules_and_no_cycles(accelsim_command: Any) -> None:
    runs = []
    for table in ("45nm", "7nm"):
        accelsim_command(
            *("run", "h.yaml", "w.yaml", "--policy", "uniform-low"),
            *("--energy-table", table, "--json", "out.json"),
        )
        runs.append(json.loads(Path("out.json").read_text()))
    first, second = runs
    assert (first["energy_table"], second["energy_table"]) == ("45nm", "7nm")
    assert first["total_cycles"] == second["total_cycles"]
    assert [c["number"] for c in first["counts"]] == [c["number"] for c in second["counts"]]
    assert first["energy_pj"] != second["energy_pj"]


def test_the_python_function_gives_the_same_numbers(accelsim_command: Any) -> None:
    policy = "random:rate=0.25"
    accelsim_command("run", "h.yaml", "w.yaml", "--policy", policy, "--json", "out.json")
    run = accelsim.run("h.yaml", "w.yaml", policy)
    assert json.loads(Path("out.json").read_text()) == json.loads(json.dumps(run.as_dict()))


def test_an_old_file_is_replaced_when_writing_succeeds(accelsim_command: Any) -> None:
    Path("out.json").write_text("old")
    accelsim_command("run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--json", "out.json")
    assert json.loads(Path("out.json").read_text())["workload"] == "shapes"
    assert stat.S_IMODE(Path("out.json").stat().st_mode) == 0o644


def test_an_old_file_is_kept_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelsim_command: Any
) -> None:
    (tmp_path / "out.json").write_text("old")
    before = files(tmp_path)

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    result = accelsim_command(
        "run", "h.yaml", "w.yaml", "--policy", "uniform-low", "--json", "out.json"
    )
    assert result.status == 2
    assert result.out == ""
    assert result.err == "out.json: cannot be written: No space left on device\n"
    assert files(tmp_path) == before


def test_an_old_file_is_kept_when_the_run_fails(tmp_path: Path, accelsim_command: Any) -> None:
    (tmp_path / "out.json").write_text("old")
    result = accelsim_command(
        "run", "h.yaml", "w.yaml", "--policy", "selective", "--json", "out.json"
    )
    assert result.status == 2
    assert (tmp_path / "out.json").read_text() == "old"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_link_to_itself_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(AccelsimError) as caught:
        check_writable(tmp_path / "loop")
    assert str(caught.value).startswith(f"{tmp_path}/loop: cannot be written: ")


def test_a_read_only_folder_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(AccelsimError) as caught:
        check_writable(tmp_path / "x")
    assert str(caught.value) == f"{tmp_path}/x: cannot be written: {tmp_path} is read-only"


def test_help_names_the_commands_and_all_policies(accelsim_command: Any) -> None:
    result = accelsim_command("--help")
    assert (result.status, result.err) == (0, "")
    assert all(name in result.out for name in ("check", "run", "demo"))
    result = accelsim_command("run", "--help")
    assert (result.status, result.err) == (0, "")
    text = " ".join(result.out.split()).replace("- ", "-")  # names are broken at their hyphens
    for name, policy in POLICIES.items():
        assert f"{name}: {policy.summary}" in text


def test_the_version_is_printed(accelsim_command: Any) -> None:
    expected = Result(0, f"accelsim {accelsim.__version__}\n", "")
    assert accelsim_command("--version") == expected


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accelsim.cli", *arguments],
        capture_output="stdout" not in options,
        text=True,
        check=False,
        **options,
    )


def test_nothing_moves_on_the_screen_when_stdout_is_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(HARDWARE)
    (tmp_path / "w.yaml").write_text(WORKLOAD.replace("m: 40, k: 5, n: 60", "m: 800, k: 5, n: 800"))
    done = command("run", "h.yaml", "w.yaml", "--policy", "uniform-low", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout


def test_a_process_with_bad_input_exits_with_two_and_no_traceback(tmp_path: Path) -> None:
    done = command("check", str(tmp_path), "absent.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"{tmp_path}: is a directory, expected a YAML file\nabsent.yaml: no such file\n"
    )


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = command("--version", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "accelsim: cannot write the output: No space left on device\n"


def test_a_trace_opens_with_every_layer_and_the_cycles_of_the_run(accelsim_command: Any) -> None:
    result = accelsim_command(
        *("run", "lanes.yaml", "w.yaml", "--policy", "random:rate=0.3", "--trace", "t.json"),
        *("--json", "out.json"),
    )
    assert result.status == 0
    written, run = (json.loads(Path(name).read_text()) for name in ("t.json", "out.json"))
    events = written["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    layers = [event for event in events if event["ph"] == "X" and event["tid"] == 1]
    assert [layer["name"] for layer in layers] == [layer["name"] for layer in run["layers"]]
    last = layers[-1]["ts"] + layers[-1]["dur"]
    assert last == pytest.approx(run["total_cycles"] / written["otherData"]["clock_mhz"])
    names = {event["name"] for event in events}
    assert {"stall: dram", "stall: recompute", "queue", "tiles ahead"} <= names


def test_a_trace_that_cannot_be_written_is_refused_before_any_work(accelsim_command: Any) -> None:
    result = accelsim_command("run", "absent", "absent", "--policy", "x", "--trace", "no/t.json")
    assert result.status == 2
    assert result.err == "no/t.json: cannot be written: no is not a directory\n"


NETWORK = """\
name: network
layers:
  - {name: product, kind: gemm, m: 8, k: 5, n: 6}
  - {name: gelu, kind: activation, function: gelu, elements: 48, fused: true}
  - {name: softmax, kind: softmax, elements: 48, row: 6}
  - {name: cell, kind: lstm, inputs: 6, hidden: 4, sequence: 3, batch: 2}
"""


def test_vector_work_and_recurrent_layers_are_rows_like_any_other(accelsim_command: Any) -> None:
    Path("n.yaml").write_text(NETWORK)
    outputs = ("--json", "out.json", "--trace", "t.json")
    result = accelsim_command(
        "run", "lanes.yaml", "n.yaml", "--policy", "random:rate=0.5", *outputs
    )
    assert (result.status, result.err) == (0, "")
    run = json.loads(Path("out.json").read_text())
    assert_adds_up(run)
    units = {layer["name"]: layer["unit"] for layer in run["layers"]}
    products, vector = ("product", "cell_inputs", "cell_steps"), ("gelu", "softmax", "cell_gates")
    assert units == dict.fromkeys(products, "array") | dict.fromkeys(vector, "vector")
    for layer in run["layers"]:
        if layer["name"] in vector:
            assert layer["bottleneck"] in {"vector", "dram"}
            assert layer["energy_pj"]["vector"] > 0.0
            assert layer["recompute_rate"] == 0.0
    events = json.loads(Path("t.json").read_text())["traceEvents"]
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name"}
    on_vector = {
        e["args"]["layer"] for e in events if e.get("tid") == tracks["vector"] and e["ph"] == "X"
    }
    assert on_vector == set(vector)


def test_the_csv_says_what_the_json_says(accelsim_command: Any) -> None:
    Path("n.yaml").write_text(NETWORK)
    outputs = ("--json", "out.json", "--csv", "out.csv")
    accelsim_command("run", "lanes.yaml", "n.yaml", "--policy", "random:rate=0.5", *outputs)
    run = json.loads(Path("out.json").read_text())
    with Path("out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [layer["name"] for layer in run["layers"]]
    for row, layer in zip(rows, run["layers"], strict=True):
        for column, text in row.items():
            key, _, inner = column.partition(".")
            nothing = 0 if key == "energy_pj" else ""
            value = layer[key].get(inner, nothing) if inner else layer[key]
            assert text == str(value), column
        maps = {key: value for key, value in layer.items() if isinstance(value, dict)}
        names = {f"{key}.{name}" for key, value in maps.items() for name in value}
        assert set(row) >= (layer.keys() - maps.keys()) | names


@pytest.mark.parametrize("option", ["--json", "--csv", "--trace"])
def test_an_input_is_never_written_over(tmp_path: Path, accelsim_command: Any, option: str) -> None:
    Path("more.yaml").write_text("extends: h.yaml\nname: more\n")
    (tmp_path / "link.yaml").symlink_to("w.yaml")
    before = files(tmp_path)
    for name in ("more.yaml", "h.yaml", "w.yaml", "link.yaml", "./w.yaml"):
        result = accelsim_command(
            "run", "more.yaml", "w.yaml", "--policy", "uniform-low", option, name
        )
        said = f"{Path(name)}: is an input of this run, and would be overwritten\n"
        assert result == Result(2, "", said)
    assert files(tmp_path) == before


def test_weights_are_inputs_too(accelsim_command: Any) -> None:
    weights = ROOT / "workloads/digits-relu.npz"
    before = weights.read_bytes()
    result = accelsim_command(
        "run", "h.yaml", "digits-relu", "--policy", "uniform-low", "--json", str(weights)
    )
    assert result.status == 2
    assert result.err == f"{weights}: is an input of this run, and would be overwritten\n"
    assert weights.read_bytes() == before


def test_two_outputs_need_two_files(accelsim_command: Any) -> None:
    result = accelsim_command(
        *("run", "h.yaml", "w.yaml", "--policy", "uniform-low"),
        *("--json", "out", "--csv", "./out"),
    )
    assert result == Result(2, "", "out: is given for two outputs\n")


def test_what_is_shipped_is_listed_and_run_by_name(accelsim_command: Any) -> None:
    listed = accelsim_command("list")
    assert listed.status == 0
    lines = listed.out.splitlines()
    assert f"machines, in {ROOT / 'hwconfigs'}:" in lines
    assert "  tpu-v1-like" in lines
    assert "  resnet-50" in lines
    assert (
        "  static: low and, for the worst columns of the training set, high"
        " (rate, layer_rates, tau, by, low, high, chunk, redo, overflow, last)"
    ) in lines
    by_name = accelsim_command("run", "mid-32x32", "digits-relu", "--policy", "uniform-low")
    by_path = accelsim_command(
        *("run", str(ROOT / "hwconfigs/mid-32x32.yaml")),
        *(str(ROOT / "workloads/digits-relu.yaml"), "--policy", "uniform-low"),
    )
    assert by_name == by_path
    checked = accelsim_command("check", "tpu-v1-like", "vit-b-16")
    assert checked.out == "tpu-v1-like: ok, hardware tpu-v1-like\nvit-b-16: ok, workload vit-b-16\n"


def test_a_name_that_nothing_has_is_told_what_it_may_be(accelsim_command: Any) -> None:
    result = accelsim_command("run", "tpu-v1", "digit-relu", "--policy", "uniform-low")
    assert result.status == 2
    first, second = result.err.splitlines()
    assert first.startswith(
        "tpu-v1: no such file, and no machine of that name comes with accelsim;"
        " did you mean 'tpu-v1-like'? allowed: "
    )
    assert second.startswith(
        "digit-relu: no such file, and no workload of that name comes with accelsim;"
        " did you mean 'digits-relu'? allowed: "
    )


def test_a_pipe_is_refused_at_once(tmp_path: Path, accelsim_command: Any) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    result = accelsim_command("check", "pipe.yaml")
    assert result == Result(2, "", "pipe.yaml: is not a regular file, expected a YAML file\n")
    (tmp_path / "n.yaml").write_text(
        "name: n\ndataset: digits\nweights: pipe.yaml\nlayers:\n"
        "  - {name: a, kind: dense, inputs: 64, outputs: 10, activation: relu}\n"
    )
    result = accelsim_command("check", "n.yaml")
    assert result == Result(2, "", "n.yaml:3: weights: pipe.yaml: is not a regular file\n")


def test_a_pipe_that_a_shell_hands_over_is_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "accelsim.cli", "check", "/dev/stdin"],
        input=HARDWARE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "/dev/stdin: ok, hardware tiny\n")


@pytest.mark.parametrize("module", ["click", "simpy", "accelsim.machine"])
def test_an_interrupt_while_importing_ends_in_one_line(module: str) -> None:
    script = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['accelsim', '--version']\n"
        "from accelsim.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stderr == "interrupted; nothing half done was kept\n"
    assert (done.returncode, done.stdout) == (130, "")


def test_an_interrupt_of_a_command_ends_in_the_same_line(
    accelsim_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("accelsim.cli.commands.run_point", interrupted)
    result = accelsim_command("run", "h.yaml", "w.yaml", "--policy", "uniform-low")
    assert (result.status, result.out) == (130, "")
    # Click ends the line on which a terminal shows ^C.
    assert result.err == "\ninterrupted; nothing half done was kept\n"
