"""Whatever is done to a file, it loads or is refused line by line; there is no third way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.config import check_file, load_hardware, load_workload
from accelsim.errors import InputError

ROOT = Path(__file__).parents[2]
SHAPES = """\
name: shapes
layers:
  - {name: first, kind: gemm, m: 4, k: 5, n: 6}
  - name: second
    kind: gemm
    m: 4
    k: 6
    n: 2
"""
TOKENS = [
    *(": ", "- ", "{", "}", "[", "]", ",", "'", '"', "#", "&a ", "*a", "!!str ", "!x ", "? "),
    *("|", ">", "%", "@", "`", "<<", "=", "~", "\n", "\t", " ", "---\n", "...\n", "\0", "\x85"),
    *("1e9", "010", "1:30", "0x1", "1_0", "-1", "0", ".nan", ".inf", "-.inf", "1.0e+999"),
    *("9" * 400, "yes", "no", "null", "2024-01-01", "2024-13-45", "name", "layers", "array"),
    *("weights", "dataset", "kind", "unit", "energy_table", "rows", "\ufeff", "\ud7ff", "π", "٣"),
]
Mutation = tuple[str, int, str]
mutations = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace", "delete", "delete line", "repeat line", "value"]),
        st.integers(0, 2**16),
        st.one_of(st.sampled_from(TOKENS), st.text(max_size=5)),
    ),
    min_size=1,
    max_size=6,
)


def mutate(text: str, steps: list[Mutation]) -> str:
    """Change the text step by step, each at a position taken modulo its length."""
    for action, position, token in steps:
        at = position % (len(text) + 1)
        lines = text.splitlines(keepends=True) or [""]
        line = position % len(lines)
        match action:
            case "insert":
                text = text[:at] + token + text[at:]
            case "replace":
                text = text[:at] + token + text[at + len(token) :]
            case "delete":
                text = text[:at] + text[at + len(token) + 1 :]
            case "delete line":
                text = "".join(lines[:line] + lines[line + 1 :])
            case "repeat line":
                text = "".join([*lines[: line + 1], *lines[line:]])
            case "value":
                key = lines[line].partition(":")[0]
                text = "".join([*lines[:line], f"{key}: {token}\n", *lines[line + 1 :]])
    return text


@pytest.mark.parametrize(
    ("source", "load"),
    [
        ("hwconfigs/mid-32x32.yaml", load_hardware),
        ("workloads/digits-relu.yaml", load_workload),
        (SHAPES, load_workload),
        ("accelsim/energy/tables/45nm.yaml", check_file),
    ],
    ids=["hardware", "network", "shapes", "energy table"],
)
@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=mutations)
def test_a_changed_file_loads_or_every_line_of_the_error_starts_with_its_path(
    tmp_path: Path, source: str, load: Callable[[Path], Any], steps: list[Mutation]
) -> None:
    weights = tmp_path / "digits-relu.npz"
    if not weights.exists():
        shutil.copy(ROOT / "workloads/digits-relu.npz", weights)
    path = tmp_path / "changed.yaml"
    text = source if "\n" in source else (ROOT / source).read_text(encoding="utf-8")
    path.write_bytes(mutate(text, steps).encode("utf-8", "surrogatepass"))
    problems: tuple[str, ...] = ()
    refused = False
    try:
        load(path)
    except InputError as error:
        refused, problems = True, error.problems
    assert refused == bool(problems)
    for problem in problems:
        assert problem.startswith(f"{path}:")
        assert problem.isprintable()
