"""What an installed accelsim holds: all that the README names, and no scripts of this folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel made of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    script = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        return set(wheel.namelist())


def test_every_machine_and_workload_is_installed(names: set[str]) -> None:
    for folder, pattern in (
        ("hwconfigs", "*.yaml"),
        ("workloads", "*.yaml"),
        ("workloads", "*.npz"),
    ):
        for path in (ROOT / folder).glob(pattern):
            assert f"accelsim/data/{folder}/{path.name}" in names


def test_every_module_is_installed_and_nothing_else_that_runs(names: set[str]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "accelsim").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    tops = {name.split("/")[0] for name in names}
    assert all(top == "accelsim" or top.endswith(".dist-info") for top in tops)
