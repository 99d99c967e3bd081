"""A hardware file that extends another has its keys, but for those it gives itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.config import load_hardware, shipped_folder
from accelsim.errors import InputError
from accelsim.machine import Hardware, Lanes, Rerun

BASE = """\
name: base
clock_mhz: 100
array: {rows: 4, cols: 4, dataflow: os, overlap_folds: true}
recompute: {unit: lanes, lanes: 3, queue_capacity: 5}
dram: {latency_ns: 7}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def load(folder: Path, text: str) -> Hardware:
    (folder / "x.yaml").write_text(text)
    return load_hardware(folder / "x.yaml")


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, text)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_section_is_replaced_whole_and_the_others_stay(folder: Path) -> None:
    base = load_hardware(folder / "base.yaml")
    machine = load(folder, "extends: base.yaml\nname: x\nrecompute: {unit: array}\n")
    assert machine == base.model_copy(update={"name": "x", "recompute": Rerun(unit="array")})
    machine = load(folder, "extends: base.yaml\nname: x\ndram: {type: hbm2}\n")
    assert machine.dram.latency_ns == 100.0


def test_extensions_may_be_extended(folder: Path) -> None:
    (folder / "middle.yaml").write_text("extends: base.yaml\nname: middle\nclock_mhz: 50\n")
    machine = load(folder, "name: x\nextends: middle.yaml\n")
    assert (machine.name, machine.clock_mhz, machine.dram.latency_ns) == ("x", 50, 7)


def test_a_machine_that_comes_with_accelsim_is_extended_by_its_name(folder: Path) -> None:
    machine = load(folder, "extends: edge-16x16\nname: x\n")
    assert machine.array.rows == 16
    assert str(machine).count("(default)") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "extends: base.yaml\n",
            ["x.yaml:1: name: key is missing, expected a name unlike that of what it extends"],
        ),
        ("name: x\nextends: absent.yaml\n", ["x.yaml:2: extends: no such file: absent.yaml"]),
        (
            "name: x\nextends: 5\n",
            ["x.yaml:2: extends: got 5, expected a hardware file or a machine's name"],
        ),
        (
            "name: x\nextends: x.yaml\n",
            ["x.yaml:2: extends: x.yaml extends this file, so that neither is a machine"],
        ),
        (
            "name: x\nextends: loop.yaml\n",
            ["loop.yaml:2: extends: x.yaml extends this file, so that neither is a machine"],
        ),
        (
            "name: x\nextends: wrong.yaml\n",
            ["wrong.yaml:2: clock_mhz: got -1, expected a finite number from 1e-09 to 1e+15"],
        ),
        (
            "name: x\nextends: base.yaml\nrecompute: {unit: lanes, lanes: 2}\n",
            [
                "x.yaml:3: recompute.queue_capacity: key is missing, expected an integer from 1 to"
                " 1099511627776"
            ],
        ),
        (
            "name: x\nextends: base.yaml\nclock: 5\n",
            [
                "x.yaml:3: clock: unknown key; did you mean 'clock_mhz'? allowed: name, clock_mhz,"
                " array, dram, scratchpads, tiling, recompute, vector, energy_table"
            ],
        ),
    ],
)
def test_a_slip_is_named_with_the_file_that_it_is_in(
    folder: Path, text: str, said: list[str]
) -> None:
    (folder / "loop.yaml").write_text("name: loop\nextends: x.yaml\n")
    (folder / "wrong.yaml").write_text(BASE.replace("100", "-1"))
    assert problems(folder, text) == said


PUBLIC = ("eyeriss-like", "gemmini-like", "tpu-v1-like", "tpu-v4i-like")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_number_of_a_machine_modelled_on_a_public_one_says_where_it_is_from(
    name: str,
) -> None:
    lines = (shipped_folder("hwconfigs") / f"{name}.yaml").read_text().splitlines()
    section = ""
    for line in lines:
        if line.startswith("#") or line == f"name: {name}":
            continue
        if not line.startswith(" "):
            section = line
        figure = any(character.isdigit() for character in line.partition("#")[0])
        # One source may stand for a whole section, or for the halves of one memory.
        assert (
            not figure
            or "#" in line
            or "#" in section
            or "b: {capacity" in line
            or ("cols: " in line)
        ), line
    load_hardware(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_machine_comes_with_three_recompute_units_and_no_other_difference(
    name: str,
) -> None:
    base = load_hardware(name)
    assert isinstance(base.recompute, Rerun)
    found = [
        load_hardware(p.stem) for p in shipped_folder("hwconfigs").glob(f"{name}-*-lanes.yaml")
    ]
    lanes = sorted(m.recompute.lanes for m in found if isinstance(m.recompute, Lanes))
    assert lanes == [base.array.cols, 8 * base.array.cols]
    for machine in found:
        assert machine.name == f"{name}-{getattr(machine.recompute, 'lanes', 0)}-lanes"
        same = machine.model_copy(update={"name": name, "recompute": base.recompute})
        assert same == base


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("edge-16x16", ["dual", "gather", "tile"]),
        ("mid-32x32", ["8-lanes-deferred", "array", "dual", "gather", "gather-deferred"]),
        ("datacentre-128x128", ["dual", "gather"]),
    ],
)
def test_a_machine_of_ours_comes_with_units_to_compare_and_no_other_difference(
    name: str, units: list[str]
) -> None:
    base = load_hardware(name)
    found = sorted(path.stem for path in shipped_folder("hwconfigs").glob(f"{name}-*.yaml"))
    assert found == [f"{name}-{unit}" for unit in units]
    machines = [load_hardware(stem) for stem in found]
    for machine, stem in zip(machines, found, strict=True):
        assert machine.name == stem
        same = machine.model_copy(update={"name": name, "recompute": base.recompute})
        assert same == base
    assert len({base.recompute, *(machine.recompute for machine in machines)}) == 1 + len(units)
