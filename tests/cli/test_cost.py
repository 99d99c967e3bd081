"""`accelsim cost`: trees whose printed parts add up to what is printed above them."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import accelsim
from accelsim import cli
from accelsim.cli.commands import commands
from accelsim.cli.cost import NUMERATORS, needed
from accelsim.config import load_energy_table, load_hardware, shipped_names
from accelsim.energy import Needs, charge
from accelsim.energy.redoing import redoing
from accelsim.errors import AccelsimError
from accelsim.machine import Counts
from accelsim.machine.vector import vector_operations
from accelsim.numerics import FixedFormat, FloatFormat
from accelsim.trace import LayerTrace, VectorOperations

ROW = re.compile(r"^ *(\d+(?:\.\d+)?)  ( *)(\S.*)$")
HARDWARE = (
    "name: tiny\nclock_mhz: 100\narray: {rows: 2, cols: 2, dataflow: os, overlap_folds: false}\n"
)


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(commands, ["cost", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def trees(text: str) -> list[tuple[int, int, str]]:
    """Every line of a tree as (depth, number without its point, name)."""
    found = []
    for line in text.split("\nwidth laws")[0].splitlines():
        match = ROW.match(line)
        if match and not line.startswith(("mid", "e4m3")):
            number, indent, name = match.groups()
            found.append((len(indent) // 2, int(number.replace(".", "")), name.split("  [")[0]))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["e4m3fn"],
        ["e4m3fn", "--accumulator", "fp32"],
        ["e4m3fn", "--accumulator", "e4m7", "--energy-table", "7nm"],
        ["int8", "--accumulator", "int32", "--energy-table", "40nm"],
        ["e5m10", "--accumulator", "fixed16.8"],
        ["edge-16x16"],
        ["mid-32x32", "--energy-table", "40nm"],
        ["datacentre-128x128", "--recompute", "none"],
        ["tpu-v4i-like", "--accumulator", "bf16", "--operands", "bf16"],
        ["tpu-v1-like", "--accumulator", "int32", "--operands", "int8"],
        ["mid-32x32", "--numerator", "l2"],
        ["mid-32x32-gather-deferred", "--numerator", "low", "--energy-table", "7nm"],
        ["mid-32x32-dual", "--numerator", "running-error"],
    ],
)
def test_what_is_printed_adds_up_to_the_last_digit(arguments: list[str]) -> None:
    rows = trees(printed(*arguments))
    assert len(rows) > 10
    parents = 0
    for index, (depth, number, name) in enumerate(rows):
        parts = []
        for below, value, _ in rows[index + 1 :]:
            if below <= depth:
                break
            if below == depth + 1:
                parts.append(value)
        if parts:
            assert sum(parts) == number, name
            parents += 1
    assert parents >= 3


@pytest.mark.parametrize("name", shipped_names("hwconfigs"))
def test_every_machine_that_comes_with_it_has_its_costs_told(name: str) -> None:
    rows = trees(printed(name))
    hardware = load_hardware(name)
    assert rows[0][2] == hardware.name
    counted = {what.rsplit(",", 1)[0] for _, _, what in rows if " × " in what}
    names = {what for _, _, what in rows} | {what.split(" × ")[1] for what in counted}
    assert {"array", "vector", "scratchpad_a", "scratchpad_b", "scratchpad_c"} <= names
    assert {"tanh", "relu"} <= names
    assert f"a bit of {hardware.dram.type}" in names
    unit = hardware.recompute.unit
    assert ("recompute" in names) == ("queue" in names) == (unit == "lanes")
    # A queue is there where lanes work beside the array; what comes later, or is packed, is a list.
    listed = hardware.defers or getattr(hardware.recompute, "packs", False)
    assert ("an output in the queue" in names) == (unit == "lanes" and not hardware.defers)
    assert ("an output in the list" in names) == listed
    # What finds the outputs to redo, with its adders of absolute values, wherever any are redone.
    redoing = {"detector", "absolute-value adder fp32", "absolute-value adder, for each MAC"}
    assert redoing | {"detector, for each output", "element of a softmax"} <= names
    never = {what for _, _, what in trees(printed(name, "--recompute", "none"))}
    assert not (redoing | {"queue", "recompute", "an output in the list"}) & never
    # Of a MAC in an array: twice the operand where both stream, once where one stays.
    streams = 2 if hardware.array.dataflow == "os" else 1
    assert (f"{streams} × operand e4m3fn" if streams > 1 else "operand e4m3fn") in names | counted


@pytest.mark.parametrize("arguments", [
    ["e9m3"], ["mid-32x3"], ["fp16", "--accumulator", "fp99"], ["fp16", "--energy-table", "9nm"],
    ["e4m3fn", "--recompute", "fp32"], ["fp16", "--operands", "fp16"],
    ["fp16", "--numerator", "l2"], ["edge-16x16", "--recompute", "none", "--numerator", "l2"],
    ["edge-16x16", "--accumulator", "fp32", "--recompute", "e4m3fn"],
    ["no.yaml"], ["edge-16x16", "--recompute", "x"], ["fp16", "--tabel", "45nm"], [],
])  # fmt: skip
def test_bad_input_is_one_line_and_a_status_of_two(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["accelsim", "cost", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert "Traceback" not in said.err


@pytest.mark.parametrize("numerator", NUMERATORS)
def test_a_detector_is_told_to_take_what_a_run_is_charged_for_it(numerator: str) -> None:
    run = accelsim.run("mid-32x32", "digits-relu", f"selective:tau=8,numerator={numerator}")
    table = load_energy_table("45nm")
    for layer in run.layers:
        trace = layer.trace
        assert isinstance(trace, LayerTrace)
        sections = redoing(run.hardware, Needs.of([trace]), table)
        told = {tree.name: tree.value for _, _, trees in sections for tree in trees}
        places = {
            "absolute-value adder, for each MAC": trace.macs,
            "detector, for each word": trace.m * trace.k,
            "detector, for each row": trace.m,
            "detector, for each output": trace.outputs,
        }
        lines = charge(layer.lowered.by_cause, table)
        detection = math.fsum(number * told.pop(name, 0.0) for name, number in places.items())
        charged = math.fsum(line.energy_pj for line in lines if line.cause == "detection")
        assert detection == pytest.approx(charged, rel=1e-12)
        assert charged > 0.0
        queue = math.fsum(line.energy_pj for line in lines if line.component == "queue")
        entry = told.pop("an output in the queue")
        assert trace.recomputed_outputs * entry == pytest.approx(queue, rel=1e-12)
        assert not told


def test_the_detector_is_that_of_the_numerator_that_is_named() -> None:
    fmt = FloatFormat.parse("fp16")
    found = {name: needed(fmt, fmt, fmt, name).detectors[0].name for name in NUMERATORS}
    assert found["exact"] == "exact numerator"
    assert found["low"] == "numerator in fp16"
    assert len({*found.values()}) == len(NUMERATORS)
    assert needed(fmt, fmt, None, "exact").detectors == ()
    integer = FixedFormat(32)
    assert needed(fmt, integer, fmt, "exact").detectors[0].name == "exact numerator"
    with pytest.raises(AccelsimError, match="low: unknown format 'int32'"):
        needed(fmt, integer, fmt, "low")


def test_functions_from_tables_cost_a_read(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(HARDWARE + "vector: {functions: table}\n")
    rows = {name: number for _, number, name in trees(printed(str(tmp_path / "h.yaml")))}
    assert rows["tanh"] == rows["sigmoid"] == 5000  # four bytes at 10 pJ for eight, in 1/1000 pJ


def test_a_value_of_a_table_has_one_price(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(HARDWARE + "vector: {functions: table}\n")
    for text in (printed(str(tmp_path / "h.yaml")), printed("fp32")):
        rows = [line.split() for line in text.splitlines() if "table of 256 values in fp32" in line]
        assert {float(row[0]) for row in rows} == {5.0}
    hardware, table = load_hardware(tmp_path / "h.yaml"), load_energy_table("45nm")
    once = Counts(vector_operations(VectorOperations(lookups=1), 1, hardware))
    assert sum(line.energy_pj for line in charge(once, table)) == 5.0


@pytest.mark.parametrize("name", ["mid-32x32", "tpu-v4i-like", "edge-16x16-dual"])
def test_whatever_there_are_many_of_is_printed_with_how_many_and_what_one_has(name: str) -> None:
    found = 0
    for line in printed(name).splitlines():
        row = re.match(r"^ *(\d+(?:\.(\d+))?)  +(\d+) × [^\[]*, (\S+) each(?:  \[|$)", line)
        if row is not None:
            total, decimals, number, each = row.groups()
            # A row may be one unit off for its siblings to add up; one has six digits.
            off = 1.01 * 10.0 ** -len(decimals or "") + 1e-5 * float(total)
            assert int(number) * float(each) == pytest.approx(float(total), abs=off), line
            found += 1
    assert found > 40


def test_a_mac_is_told_with_its_sources() -> None:
    text = printed("fp16", "--accumulator", "fp32", "--energy-table", "7nm")
    lines = text.splitlines()
    assert lines[0] == "fp16 under 7nm"
    assert lines[3].split("  ")[1] == "MAC fp16 into fp32"
    assert float(lines[3].split()[0]) == pytest.approx(0.34 + 0.38 + 32 * 0.0027, abs=1e-4)
    assert "[measured] Jouppi, ISCA 2021, table 2 (recalled): fp16 multiply" in text
    assert "add bf16" in text  # in the width laws, with how far they are off
    assert "by the law" in text


def test_a_wider_accumulator_and_a_second_one_cost_more() -> None:
    def first(*arguments: str) -> float:
        return float(printed(*arguments).splitlines()[3].split()[0])

    assert first("e4m3fn") < first("e4m3fn", "--accumulator", "fp16")
    assert first("edge-16x16", "--recompute", "none") < first("edge-16x16", "--recompute", "fp16")
    assert first("edge-16x16", "--recompute", "fp16") < first("edge-16x16")


def test_the_trees_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(HARDWARE)
    out = tmp_path / "out.json"
    printed(str(tmp_path / "h.yaml"), "--json", str(out))
    found = json.loads(out.read_text())
    assert list(found) == [
        "area", "leakage, while it is on", "energy of a MAC",
        "energy of detection: exact numerator",
        "energy of a function of one value", "energy of an access",
    ]  # fmt: skip
    (area,) = found["area"]["trees"]
    assert area["name"] == "tiny"
    assert found["area"]["unit"] == "um2"
    assert area["value"] == pytest.approx(sum(part["value"] for part in area["parts"]), rel=1e-15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["e9m3"],
            "no machine, and not a format: e9m3: unknown format 'e9m3': format:"
            " exponent_bits is 9, allowed are 2 to 8",
        ),
        (
            ["mid-32x3"],
            "mid-32x3: no such file, and no machine of that name comes with accelsim;"
            " did you mean 'mid-32x32'?",
        ),
        (["no.yaml"], "no.yaml: no such file"),
        (["fp16", "--accumulator", "fp99"], "accumulator: unknown format 'fp99'"),
        (["fp16", "--energy-table", "9nm"], "energy table '9nm': unknown"),
        (["edge-16x16", "--recompute", "fp99"], "recompute: unknown format 'fp99'"),
        (["edge-16x16", "--operands", "x"], "operands: unknown format 'x'"),
        (
            ["e4m3fn", "--recompute", "bogus", "--operands", "nonsense"],
            "--recompute: of HARDWARE alone, and e4m3fn is a format",
        ),
        (["e4m3fn", "--numerator", "exact"], "--numerator: of HARDWARE alone, and e4m3fn is a"),
        (
            ["edge-16x16", "--recompute", "none", "--numerator", "exact"],
            "--numerator: finds what to redo, and nothing is (--recompute none)",
        ),
        (
            ["edge-16x16", "--accumulator", "fp32", "--recompute", "e4m3fn"],
            "--recompute: got e4m3fn, expected a format with a width beyond those of fp32, which is"
            " accumulated in first; or none",
        ),
        (["edge-16x16", "--accumulator", "fp32"], "--recompute: got fp32, expected a format with"),
    ],
)
def test_what_is_not_known_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        CliRunner().invoke(commands, ["cost", *arguments], catch_exceptions=False)
    assert str(caught.value).startswith(said)


def test_the_trees_are_not_written_over_what_they_are_made_from(tmp_path: Path) -> None:
    path: Any = tmp_path / "h.yaml"
    path.write_text(HARDWARE)
    with pytest.raises(AccelsimError, match="would be overwritten"):
        CliRunner().invoke(commands, ["cost", str(path), "--json", str(path)],
                           catch_exceptions=False)  # fmt: skip
    assert path.read_text() == HARDWARE
