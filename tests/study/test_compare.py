"""What changed between two runs: the parts of a difference add up to it, and name its causes."""

from __future__ import annotations

import copy
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim import cli
from accelsim.config import load_hardware
from accelsim.errors import InputError
from accelsim.study.compare import Comparison, compare_runs, read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs as `run --json` writes them."""
    path = tmp_path_factory.mktemp("runs")
    edge = load_hardware("edge-16x16")
    half = edge.dram.model_copy(update={"bandwidth_gbytes_per_s": 0.1})
    machines = {
        "edge": edge,
        "slow": edge.model_copy(update={"dram": half}),
        "cheap": edge.model_copy(update={"energy_table": "7nm"}),
        "mid": load_hardware("mid-32x32"),
    }
    found = {}
    for name, machine in machines.items():
        for policy in ("uniform-low", "random:rate=0.1"):
            run = accelsim.run(machine, "digits-relu", policy)
            found[f"{name} {policy}"] = path / f"{name}-{policy}.json"
            found[f"{name} {policy}"].write_text(json.dumps(run.as_dict()))
    return found


def compare(runs: dict[str, Path], before: str, after: str) -> Comparison:
    return compare_runs(read_run(runs[before]), read_run(runs[after]))


def test_the_parts_add_up_to_the_difference(runs: dict[str, Path]) -> None:
    for before in runs:
        for after in runs:
            found = compare(runs, before, after)
            cycles, *energies = found.breakdowns
            assert cycles.change == found.after.total_cycles - found.before.total_cycles
            assert sum(part.change for part in cycles.parts) == cycles.change
            for energy in energies:
                total = math.fsum(part.change for part in energy.parts)
                assert total == pytest.approx(
                    found.after.energy_pj - found.before.energy_pj,
                    abs=1e-9 * found.before.energy_pj,
                )
                assert all(part.where != "(not in any part)" for part in energy.parts)
                sizes = [abs(part.change) for part in energy.parts]
                assert sizes == sorted(sizes, reverse=True)


def test_runs_that_are_equal_differ_in_nothing(runs: dict[str, Path]) -> None:
    found = compare(runs, "mid uniform-low", "mid uniform-low")
    assert all(not breakdown.parts and not breakdown.change for breakdown in found.breakdowns)


def test_a_slower_memory_is_named_as_the_cause(runs: dict[str, Path]) -> None:
    cycles, *energies = compare(runs, "edge uniform-low", "slow uniform-low").breakdowns
    assert {part.why for part in cycles.parts} == {"stall dram"}
    assert all(not energy.parts for energy in energies)


def test_another_table_changes_what_actions_cost_and_not_how_many_there_are(
    runs: dict[str, Path],
) -> None:
    cycles, energy, *_ = compare(runs, "edge random:rate=0.1", "cheap random:rate=0.1").breakdowns
    assert not cycles.parts
    assert {part.why for part in energy.parts} == {"pJ each"}


def test_another_policy_changes_how_many_actions_there_are(runs: dict[str, Path]) -> None:
    _, energy, *_ = compare(runs, "edge uniform-low", "edge random:rate=0.1").breakdowns
    assert "number" in {part.why for part in energy.parts}
    assert "pJ each" not in {part.why for part in energy.parts}
    assert any(
        part.where.startswith("detector") and part.why == "only after" for part in energy.parts
    )


def test_a_memory_of_another_size_is_the_same_action_at_another_cost(
    runs: dict[str, Path],
) -> None:
    _, energy, *_ = compare(runs, "edge uniform-low", "mid uniform-low").breakdowns
    read = [part for part in energy.parts if part.where.startswith("scratchpad_b: read")]
    assert {part.why for part in read} == {"number", "pJ each"}
    assert read[0].where == "scratchpad_b: read 32768 B SRAM → read 131072 B SRAM"


def test_what_is_in_the_total_and_in_no_part_is_shown(runs: dict[str, Path]) -> None:
    content = json.loads(runs["edge uniform-low"].read_text())
    content["energy_pj"] += 1e6
    changed = runs["edge uniform-low"].with_name("changed.json")
    changed.write_text(json.dumps(content))
    found = compare_runs(read_run(runs["edge uniform-low"]), read_run(changed))
    for energy in found.breakdowns[1:]:
        (part,) = energy.parts
        assert part.where == "(not in any part)"
        assert part.change == pytest.approx(1e6)


def test_the_command_prints_both_and_tables_that_add_up(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(runs["edge random:rate=0.1"]), str(runs["mid random:rate=0.1"])]
    monkeypatch.setattr(sys, "argv", ["accelsim", "compare", *files, "--rows", "2"])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A: digits-relu on edge-16x16, random:rate=0.1, energy table 45nm")
    assert lines[1].startswith("B: digits-relu on mid-32x32, random:rate=0.1, energy table 45nm")
    start = next(i for i, line in enumerate(lines) if line.startswith("cycles, by layer"))
    change = int(lines[start].split()[-2])
    parts = []
    for line in lines[start + 2 :]:
        if not line:
            break
        parts.append(int(line.split()[-2]))
    assert len(parts) == 3
    assert sum(parts) == change


GOOD: dict[str, Any] = {
    "hardware": "h", "workload": "w", "policy": "p", "energy_table": "t", "total_cycles": 1,
    "latency_s": 1.0, "energy_pj": 1.0, "accuracy": None, "kl_divergence_nats": None,
    "recompute_rate": 0.0, "layers": [], "counts": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON, expected what run --json writes"),
        ("[" * 100_000, "is not JSON, expected what run --json writes"),
        ("[]", "Input should be a valid dictionary or instance of ReadRun; expected what run"),
        ("{}", "hardware: Field required; expected what run --json writes"),
        (json.dumps(GOOD | {"energy_pj": math.nan}), "energy_pj: Input should be"),
        (json.dumps(GOOD | {"energy_pj": math.inf}), "energy_pj: Input should be"),
        (json.dumps(GOOD | {"total_cycles": 1.5}), "total_cycles: Input should be a valid integer"),
        (json.dumps(GOOD | {"layers": [{}]}), "layers.0.name: Field required; expected what"),
    ],
)
def test_what_is_no_run_is_told_in_a_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_run(path)
    (line,) = caught.value.problems
    assert line.startswith(f"{path}: {said}")


def test_both_files_are_told_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["accelsim", "compare", str(tmp_path), f"{tmp_path}/x"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}: cannot be read: Is a directory",
        f"{tmp_path}/x: cannot be read: No such file or directory",
    ]


def test_names_that_a_terminal_would_obey_are_shown_and_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = copy.deepcopy(GOOD) | {"hardware": "\x1b[2J\nevil"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["accelsim", "compare", str(path), str(path)])
    cli.main()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J\\nevil" in out
