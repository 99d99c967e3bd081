"""docs/policies.md knows every policy, every parameter and every numerator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np

from accelsim.infer import infer
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
