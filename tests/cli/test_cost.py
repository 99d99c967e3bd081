"""`accelsim cost`: trees whose printed parts add up to what is printed above them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from accelsim.cli.commands import commands
from accelsim.errors import AccelsimError

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
        "area", "leakage, while it is on", "energy of a MAC", "energy of an access",
    ]  # fmt: skip
    (area,) = found["area"]["trees"]
    assert area["name"] == "tiny"
    assert found["area"]["unit"] == "um2"
    assert area["value"] == pytest.approx(sum(part["value"] for part in area["parts"]), rel=1e-15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["e9m3"], "e9m3: no such file, and no machine of that name comes with accelsim"),
        (["fp16", "--accumulator", "fp99"], "accumulator: unknown format 'fp99'"),
        (["fp16", "--energy-table", "9nm"], "energy table '9nm': unknown"),
        (["edge-16x16", "--recompute", "fp99"], "recompute: unknown format 'fp99'"),
        (["edge-16x16", "--operands", "x"], "operands: unknown format 'x'"),
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
