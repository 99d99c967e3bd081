"""Who may import whom, and which dependency comes in by which door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "accelsim"

# A room may import the rooms named here, and itself.
GROUND = {"errors", "files", "progress", "schema"}
LEFT = {"numerics", "networks", "policies", "infer"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "progress": set(),
    "schema": set(),
    "numerics": {"errors"},
    "trace": {"errors", "numerics"},
    "networks": GROUND | {"numerics"},
    "policies": {"errors", "numerics", "trace", "networks"},
    "infer": {"errors", "progress", "numerics", "trace", "networks", "policies"},
    "machine": GROUND | {"numerics", "trace"},
    "energy": GROUND | {"numerics", "trace", "machine"},
    "config": GROUND | LEFT | {"machine", "energy"},
    "result": GROUND | LEFT | {"trace", "machine", "energy"},
    "point": GROUND | LEFT | {"trace", "machine", "energy", "config", "result"},
    "study": GROUND | LEFT | {"trace", "machine", "energy", "config", "result", "point", ""},
    "report": GROUND | LEFT | {"machine", "energy", "result", "point", "study"},
    "demo": GROUND | LEFT | {"machine", "energy", "config", "result", "point", "study", "report"},
    "cli": {
        *GROUND,
        *LEFT,
        "machine",
        "energy",
        "config",
        "result",
        "point",
        "study",
        "report",
        "demo",
        "",
    },
    "": {"errors", "numerics", "result", "point", "study"},
}
DOORS = {
    "yaml": "config",
    "numba": "numerics",
    "simpy": "machine",
    "matplotlib": "report",
    "jinja2": "report",
    "click": "cli",
    "tqdm": "cli",
    "sklearn": "networks",
    "urllib": "networks",
}


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names.append(node.module)
    return names


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_below(path: Path) -> None:
    here = room(path)
    assert here in ROOMS, f"{path}: a new room needs a place in the house"
    for name in imports(path):
        if name == "accelsim" or name.startswith("accelsim."):
            there = name.partition(".")[2].split(".")[0]
            assert there == here or there in ROOMS[here], f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_dependency_has_one_door(path: Path) -> None:
    for name in imports(path):
        package = name.split(".")[0]
        assert DOORS.get(package, room(path)) == room(path), f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if room(path) == "cli":
        return
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & {"print", "sys.exit", "exit", "quit", "eval", "exec"}


def test_the_wings_never_meet() -> None:
    right = {"machine", "energy"}
    for name in LEFT:
        assert not ROOMS[name] & right
    for name in right:
        assert not ROOMS[name] & LEFT - {"numerics"}
