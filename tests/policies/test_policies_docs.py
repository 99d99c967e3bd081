"""docs/policies.md knows every policy, every parameter and every numerator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

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
