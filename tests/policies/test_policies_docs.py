"""docs/policies.md knows every policy, every parameter and every numerator."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from accelsim.config import load_workload
from accelsim.infer import accuracy, infer, prepare
from accelsim.policies import POLICIES, Uniform, parse_policy
from accelsim.policies.numerators import Numerator

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", PAGE)


def test_every_policy_and_parameter_is_there() -> None:
    for name, policy in POLICIES.items():
        assert any(quoted.split(":")[0] == name for quoted in QUOTED), name
        for key in policy.parameters():
            assert any(re.match(rf"{key}\b", quoted) for quoted in QUOTED), key
    assert set(get_args(Numerator)) <= set(QUOTED)


def test_every_policy_that_is_written_out_can_be() -> None:
    written = [quoted for quoted in QUOTED if quoted.split(":")[0] in POLICIES and ":" in quoted]
    assert len(written) > 8
    for text in written:
        assert parse_policy(text).name == text.split(":")[0]


def test_the_table_shows_the_defaults() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name, policy in POLICIES.items():
        asks = policy is Uniform or any(f.is_required() for f in policy.model_fields.values())
        if not asks:
            assert any(f"`{parse_policy(name)}`" in row.split("|")[1] for row in rows), name


def test_the_path_bound_is_as_loose_as_the_page_says() -> None:
    """Its largest output is 17 at most, its largest error .35."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    there: dict[str, Any] = {}
    exec(block, there)  # noqa: S102
    prepared, inputs = there["prepared"], there["inputs"]
    exact = inputs
    for layer in there["facts"].layers:
        weight, bias = layer.require_weights()
        exact = exact @ weight + bias
        exact = np.maximum(exact, 0.0) if layer.activation == "relu" else exact
    errors = np.abs(infer(prepared, there["policy"]).outputs - exact)
    assert (errors <= there["bound"]).all()
    said = "its median over samples and classes is\n168, where no output exceeds 17 and no output"
    assert f"{said} errs by more than .35" in PAGE
    assert round(float(np.median(there["bound"]))) == 168
    assert 16.5 < np.abs(exact).max() < 17.0
    assert 0.345 < errors.max() < 0.35


def test_what_the_page_says_of_thresholds_is_in_the_report() -> None:
    report = (Path(__file__).parents[2] / "reports" / "layers" / "report.md").read_text("utf-8")
    text = " ".join(PAGE.split())
    kappa, gauss = "selective:numerator=exact,margin=0", "gauss-newton:numerator=l2,margin=0"
    table = report.split(f"What the threshold of {kappa} does")[1].split("What the threshold")[0]
    for tau, words in (("32", " of the KL divergence of all low at τ = 32"), ("2", " at τ = 2")):
        line = next(line for line in table.splitlines() if line.startswith(f"| {tau} |"))
        assert line.split(" | ")[3].split(" (")[0] + words in text
    row = next(line for line in report.splitlines() if line.startswith(f"| {kappa} | 0.3,"))
    _, _, steps, rises, *_ = row.split(" | ")
    assert f"in {rises} of {steps} steps to a lower τ the KL divergence rises" in text
    gained = {
        tuple(cells[:3]): cells[-1].removesuffix(" |").strip()
        for line in report.split("tables whose rates are within")[1].splitlines()
        if len(cells := line.removeprefix("| ").split(" | ")) == 8
    }
    energy = "same energy, with all of the last layer redone, last=fp32, or neither"
    assert f"{gained[kappa, '10%', 'same rate'].split(' (')[0]} times the KL" in text
    for policy, rate, how in (
        (kappa, "10%", energy), (kappa, "30%", energy), (gauss, "10%", "same rate"),
        (gauss, "10%", energy),
    ):  # fmt: skip
        assert gained[policy, rate, how].replace(" (", " times (") in text


def test_what_the_page_says_of_spilling_is_in_the_report() -> None:
    report = (Path(__file__).parents[2] / "reports" / "machines" / "report.md").read_text("utf-8")
    lines = PAGE.split("## Spilling")[1].split("\n## ")[0].splitlines()
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line
    )
    policies = [cell.strip("`") for cell in head[1:]]
    assert len(rows) == 6
    gemmini = report.split("### At equal energy: gemmini-like, 45nm")[1].split("\n### ")[0]
    assert "| chunked:chunk=48,high=e4m7,last=e4m7 | 0.52 (" in gemmini
    for place, *cells in rows:
        table = report.split(f"### At equal energy: {place}")[1].split("\n### ")[0]
        for policy, said in zip(policies, cells, strict=True):
            line = next(line for line in table.splitlines() if line.startswith(f"| {policy} |"))
            found = [cell.split(" ")[0].lstrip("0") for cell in line.strip("| ").split(" | ")]
            assert said == f"{found[1]} on {found[-1]}"


def test_the_point_of_fixed_point_has_to_suit_small_sums() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if "`fixed13.11` |" in line]
    (head,) = rows
    start = PAGE.splitlines().index("| " + " | ".join(head) + " |") + 2
    formats = [cell.strip("`") for cell in head[1:]]
    load = load_workload(Path(__file__).parents[2] / "workloads" / "digits-relu.yaml")
    assert load.network is not None
    assert load.dataset is not None
    for line in PAGE.splitlines()[start : start + 4]:
        shift, *said = line.strip("| ").split(" | ")
        factor = np.float32(2.0 ** -int(shift))
        layers = tuple(
            replace(layer, weight=layer.weight * (1 if i else factor), bias=layer.bias * factor)
            for i, layer in enumerate(load.network.layers)
        )
        prepared = prepare(replace(load, network=replace(load.network, layers=layers)))
        for fmt, share in zip(formats, said, strict=True):
            outputs = infer(prepared, parse_policy(f"uniform:format={fmt}")).outputs
            assert outputs is not None
            assert f"{accuracy(outputs, load.dataset.test_labels):.3f}".lstrip("0") == share
