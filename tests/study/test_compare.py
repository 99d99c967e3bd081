"""What changed between two runs: the parts of a difference add up to it, and name its causes."""

from __future__ import annotations

import copy
import itertools
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
from accelsim.machine import Lanes
from accelsim.study.compare import Breakdown, Comparison, compare_runs
from accelsim.study.factors import Part
from accelsim.study.read_run import ReadRun, read_run

FEW_LANES = Lanes(unit="lanes", lanes=64, queue_capacity=1024)
MORE_LANES = Lanes(unit="lanes", lanes=256, queue_capacity=1024)
NEVER = "selective:tau=1000000"
ENERGY = "energy, by count and cost"
LEAKAGE = "leakage, by part and time"
TOTAL = "total energy, by count and cost, part and time"
DELAYED = "energy-delay product, by energy and time"
AREA = "area, by part"
TOTALS = {
    "cycles, by layer and cause": "total_cycles",
    ENERGY: "energy_pj",
    "energy, by layer and component": "energy_pj",
    "energy, by layer and cause": "energy_pj",
    LEAKAGE: "leakage_pj",
    TOTAL: "total_energy_pj",
    DELAYED: "energy_delay_product_pj_s",
    AREA: "area_um2",
}


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
        "late": edge.model_copy(update={"clock_mhz": edge.clock_mhz / 2}),
        "lanes": edge.model_copy(update={"recompute": FEW_LANES}),
        "more lanes": edge.model_copy(update={"recompute": MORE_LANES}),
    }
    found = {}
    for name, machine in machines.items():
        for policy in [NEVER] if "lanes" in name else ["uniform-low", "random:rate=0.1"]:
            run = accelsim.run(machine, "digits-relu", policy)
            found[f"{name} {policy}"] = path / f"{name}-{policy}.json"
            found[f"{name} {policy}"].write_text(json.dumps(run.as_dict()))
    return found


def compare(runs: dict[str, Path], before: str, after: str) -> Comparison:
    return compare_runs(read_run(runs[before]), read_run(runs[after]))


def by_title(found: Comparison) -> dict[str, Breakdown]:
    return {breakdown.title: breakdown for breakdown in found.breakdowns}


def test_the_parts_of_every_table_add_up_to_the_difference(runs: dict[str, Path]) -> None:
    for before, after in itertools.product(runs, repeat=2):
        found = compare(runs, before, after)
        assert {title: TOTALS[title] for title in by_title(found)} == TOTALS
        for breakdown in found.breakdowns:
            name = TOTALS[breakdown.title]
            old, new = (whole(runs[run], name) for run in (before, after))
            assert breakdown.change == pytest.approx(new - old, rel=1e-12, abs=1e-12 * new)
            total = math.fsum(part.change for part in breakdown.parts)
            assert total == pytest.approx(new - old, abs=1e-9 * max(old, new))
            assert not breakdown.unknown_of
            assert all(part.where != "(not in any part)" for part in breakdown.parts)
            sizes = [abs(part.change) for part in breakdown.parts]
            assert sizes == sorted(sizes, reverse=True)


def whole(path: Path, name: str) -> float:
    """Return a total as the file has it."""
    found = json.loads(path.read_text())[name]
    return math.fsum(found.values()) if isinstance(found, dict) else found


def test_a_slower_clock_leaks_longer_and_the_cycle_is_named_as_the_cause(
    runs: dict[str, Path],
) -> None:
    found = by_title(compare(runs, "edge uniform-low", "late uniform-low"))
    for title in (LEAKAGE, TOTAL):
        most = found[title].parts[0]
        assert (most.where, most.why) == ("leakage, for its time", "s a cycle")
        assert most.after == pytest.approx(2 * most.before)
        # Fewer of the longer cycles are waited for the memory.
        assert {(part.where, part.why) for part in found[title].parts[1:]} == {
            ("leakage, for its time", "cycles")
        }
    assert {(part.where, part.why) for part in found[DELAYED].parts} == set(
        itertools.product(("delay", "leakage, for its time"), ("cycles", "s a cycle"))
    )
    assert not found[ENERGY].parts
    assert not found[AREA].parts


def test_more_lanes_that_do_nothing_are_named_in_area_and_in_leakage(
    runs: dict[str, Path],
) -> None:
    found = by_title(compare(runs, f"lanes {NEVER}", f"more lanes {NEVER}"))
    assert not found[ENERGY].parts
    for title, start in ((AREA, "recompute: "), (LEAKAGE, "leakage of recompute: ")):
        assert found[title].change > 0.0
        assert {part.why for part in found[title].parts} == {"number"}
        assert all(part.where.startswith(start) for part in found[title].parts)
        assert all(part.after == 4 * part.before > 0 for part in found[title].parts)
    assert found[TOTAL].parts == found[LEAKAGE].parts
    few = json.loads(runs[f"lanes {NEVER}"].read_text())
    added = 3 * few["area_um2"]["recompute"]
    assert found[AREA].change == pytest.approx(added)


def test_another_table_changes_what_parts_occupy_and_not_how_many_there_are(
    runs: dict[str, Path],
) -> None:
    found = by_title(compare(runs, "edge uniform-low", "cheap uniform-low"))
    assert {part.why for part in found[AREA].parts} == {"um2 each"}
    assert {part.why for part in found[LEAKAGE].parts} == {"mW each"}


def test_longer_work_leaks_more_and_its_cycles_are_named_as_the_cause(
    runs: dict[str, Path],
) -> None:
    found = by_title(compare(runs, "edge uniform-low", "slow uniform-low"))
    (part,) = found[LEAKAGE].parts
    assert (part.where, part.why) == ("leakage, for its time", "cycles")
    assert part.after > part.before


def test_what_a_run_does_not_know_is_said_and_is_not_no_change(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(runs["edge uniform-low"].read_text())
    for name in ("leakage_pj", "total_energy_pj", "energy_delay_product_pj_s", "area_um2"):
        content[name] = None
    content |= {"leakage_mw": None, "parts": []}
    unknown = runs["edge uniform-low"].with_name("unknown.json")
    unknown.write_text(json.dumps(content))
    files = [str(runs["edge uniform-low"]), str(unknown)]
    monkeypatch.setattr(sys, "argv", ["accelsim", "compare", *files])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "not known" in line] == [
        f"{title}: not known of B" for title in (LEAKAGE, TOTAL, DELAYED, AREA)
    ]
    assert sum("no change" in line for line in lines) == len(TOTALS) - 4


def test_parts_of_a_product_of_three_are_worked_out_by_hand() -> None:
    """2 adders of 3 mW for 10 cycles of 1 s, then 4 of 5 mW for 20 cycles of 0.5 s."""
    first = made(number=2, each=3.0, cycles=10, latency=10.0)
    second = made(number=4, each=5.0, cycles=20, latency=10.0)
    found = by_title(compare_runs(first, second))[LEAKAGE]
    assert set(found.parts) == {
        Part("leakage of array: add fp32", "number", 2, 4, 2 * 4.0 * 10.0 * 1e9),
        Part("leakage of array: add fp32", "mW each", 3.0, 5.0, 2.0 * 3 * 10.0 * 1e9),
        Part("leakage, for its time", "cycles", 10, 20, 10 * 0.75 * 13.0 * 1e9),
        Part("leakage, for its time", "s a cycle", 1.0, 0.5, -0.5 * 15 * 13.0 * 1e9),
    }
    assert found.change == (4 * 5.0 * 10.0 - 2 * 3.0 * 10.0) * 1e9


def made(number: int, each: float, cycles: int, latency: float) -> ReadRun:
    leaked = number * each * latency * 1e9
    return ReadRun.model_validate(
        GOOD
        | {
            "total_cycles": cycles,
            "latency_s": latency,
            "energy_pj": 0.0,
            "leakage_pj": leaked,
            "total_energy_pj": leaked,
            "leakage_mw": {"array": number * each},
            "built": [{"component": "array", "part": "add fp32", "number": number}],
            "parts": [{"part": "add fp32", "area_um2_each": 1.0, "leakage_mw_each": each}],
        }
    )


def test_runs_that_are_equal_differ_in_nothing(runs: dict[str, Path]) -> None:
    found = compare(runs, "mid uniform-low", "mid uniform-low")
    assert all(not breakdown.parts and not breakdown.change for breakdown in found.breakdowns)


def test_a_slower_memory_is_named_as_the_cause(runs: dict[str, Path]) -> None:
    cycles, *energies = compare(runs, "edge uniform-low", "slow uniform-low").breakdowns[:4]
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
        part.where.startswith("detector") and part.why == "only after (pJ)" for part in energy.parts
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
    for energy in found.breakdowns[1:4]:
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
    "recompute_rate": 0.0, "leakage_pj": None, "total_energy_pj": None,
    "energy_delay_product_pj_s": None, "area_um2": None, "leakage_mw": None, "built": [],
    "parts": [], "layers": [], "counts": [],
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
