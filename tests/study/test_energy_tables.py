"""Energy tables that a study or its machines name by their paths."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from grids import MACHINE, WORKLOAD, run

import accelsim
from accelsim.config import load_energy_table, load_hardware, load_study
from accelsim.energy import Area, Cost, EnergyTable, Part
from accelsim.errors import AccelsimError, InputError
from accelsim.machine import Action
from accelsim.report import write_report
from accelsim.study import plan as plan_module
from accelsim.study.plan import make_plan

SHIPPED = Path(accelsim.__file__).parent / "energy" / "tables" / "45nm.yaml"
HEAD = "name: grid\nhardware: machines/m.yaml\nworkload: shapes.yaml\npolicy: uniform-high\n"
ADD = "{operation: add, format: fp32, energy_pj: 0.9,"


def folder(path: Path, sweep: str) -> Path:
    """Write a study, a machine with a table of its own in another folder, and two tables."""
    text = SHIPPED.read_text(encoding="utf-8")
    for name in ("machines/tables", "mine"):
        (path / name).mkdir(parents=True)
    (path / "machines" / "m.yaml").write_text(MACHINE + "energy_table: tables/own.yaml\n")
    own, dear = text.replace("name: 45nm", "name: own"), text.replace("name: 45nm", "name: dear")
    assert ADD in text
    (path / "machines" / "tables" / "own.yaml").write_text(own, encoding="utf-8")
    (path / "mine" / "dear.yaml").write_text(
        dear.replace(ADD, ADD.replace("0.9", "1.8")), encoding="utf-8"
    )
    (path / "shapes.yaml").write_text(WORKLOAD)
    (path / "grid.yaml").write_text(HEAD + f"sweep: {{{sweep}}}\n")
    return path / "grid.yaml"


def test_tables_are_swept_by_paths_relative_to_the_study(tmp_path: Path) -> None:
    file = folder(tmp_path, "energy_table: [45nm, mine/dear.yaml, machines/tables/own.yaml]")
    found = {row["energy_table"]: row for row in run(file).rows}
    assert set(found) == {"45nm", "dear", "own"}
    assert found["own"]["energy_pj"] == found["45nm"]["energy_pj"]
    # Every fp32 addition, of sums and of biases, takes 0.9 pJ more.
    macs, outputs = 12 * 5 * 16 + 12 * 16 * 3, 12 * 16 + 12 * 3
    more = found["dear"]["energy_pj"] - found["own"]["energy_pj"]
    assert more == pytest.approx(0.9 * (macs + outputs))


@pytest.mark.parametrize("where", [".", "machines", "elsewhere"])
def test_a_machine_s_own_table_stays_its_own_where_something_else_is_swept(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder(tmp_path, "array.rows: [2, 4]")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / where)
    found = run(Path(os.path.relpath(file)))
    assert {row["energy_table"] for row in found.rows} == {"own"}


def test_a_table_is_told_by_its_content_and_not_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder(tmp_path, "energy_table: [mine/dear.yaml]")
    dear = tmp_path / "mine" / "dear.yaml"
    (before,) = make_plan(load_study(file)).keys
    monkeypatch.chdir(tmp_path)  # the same table, by another path
    assert make_plan(load_study("grid.yaml")).keys == [before]
    dear.rename(tmp_path / "mine" / "moved.yaml")
    file.write_text(file.read_text().replace("dear.yaml", "moved.yaml"))
    assert make_plan(load_study(file)).keys == [before]
    moved = tmp_path / "mine" / "moved.yaml"
    moved.write_text(moved.read_text(encoding="utf-8").replace("1.8", "1.7"), encoding="utf-8")
    assert make_plan(load_study(file)).keys != [before]


def test_a_user_s_table_that_takes_a_shipped_one_s_name_is_refused(tmp_path: Path) -> None:
    file = folder(tmp_path, "energy_table: [45nm, mine/tiny.yaml]")
    tiny = tmp_path / "mine" / "tiny.yaml"
    tiny.write_text("# Mine.\nname: 45nm\nscaled: {from: 45nm, to_node_nm: 7, to_voltage_v: 0.7}\n")
    expected = (
        f"{tiny}:2: name: got '45nm', which is the name of the shipped table {SHIPPED}, and this is"
        " another table; expected a name of its own"
    )
    with pytest.raises(InputError) as caught:
        load_energy_table(tiny)
    assert caught.value.problems == (expected,)
    with pytest.raises(InputError) as caught:
        load_study(file)
    (problem,) = caught.value.problems
    assert problem.startswith(expected)
    # The same table under its name is no other one.
    tiny.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert {row["energy_table"] for row in run(file).rows} == {"45nm"}
    changed = load_energy_table("45nm").model_copy(update={"voltage_v": 1.0})
    file.write_text(HEAD)
    with pytest.raises(AccelsimError, match=r"^energy_tables: name: got '45nm', which is the name"):
        accelsim.study(file, jobs=1, energy_tables=[changed])


def test_two_tables_of_one_name_in_a_study_are_refused(tmp_path: Path) -> None:
    own = "machines/tables/own.yaml"
    file = folder(tmp_path, "energy_table: [mine/dear.yaml, mine/again.yaml, 45nm]")
    dear, again = tmp_path / "mine" / "dear.yaml", tmp_path / "mine" / "again.yaml"
    again.write_text(dear.read_text(encoding="utf-8"), encoding="utf-8")
    assert {row["energy_table"] for row in run(file).rows} == {"dear", "45nm"}  # one, named twice
    again.write_text(dear.read_text(encoding="utf-8").replace("1.8", "1.7"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_study(file)
    (problem,) = caught.value.problems
    assert problem == (
        f"{file}:5: sweep.energy_table[1]: {again}: name: got 'dear', which is the name of another"
        f" table in {dear}; expected a name of its own"
    )
    # A machine's own table is one of the study, whether or not it is charged by it.
    dear.write_text(dear.read_text(encoding="utf-8").replace("name: dear", "name: own"))
    file.write_text(HEAD + "sweep: {energy_table: [45nm, mine/dear.yaml]}\n")
    with pytest.raises(InputError) as caught:
        load_study(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}:5: sweep.energy_table[1]: {dear}: name: got 'own', which is")
    assert own in problem


def test_a_table_that_is_swept_is_an_input_of_the_study(tmp_path: Path) -> None:
    study = load_study(folder(tmp_path, "energy_table: [45nm, mine/dear.yaml]"))
    assert tmp_path / "mine" / "dear.yaml" in study.files
    assert tmp_path / "machines" / "tables" / "own.yaml" in [f.resolve() for f in study.files]


def test_a_table_that_is_not_there_or_not_right_is_refused(tmp_path: Path) -> None:
    file = folder(tmp_path, "energy_table: [mine/none.yaml]")
    with pytest.raises(InputError) as caught:
        load_study(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}:5: energy_table: no such file: {tmp_path}/mine/none.yaml")
    file.write_text(HEAD + "sweep: {energy_table: [mine/dear.yaml]}\n")
    dear = tmp_path / "mine" / "dear.yaml"
    dear.write_text(dear.read_text(encoding="utf-8").replace("1.8", "-1.8"), encoding="utf-8")
    line = next(i for i, text in enumerate(dear.read_text().splitlines(), 1) if "-1.8" in text)
    with pytest.raises(InputError) as caught:
        load_study(file)
    assert caught.value.problems[0].startswith(f"{dear}:{line}: arithmetic[6].energy_pj: got -1.8")


@dataclass(frozen=True)
class Flat:
    """Everything costs as much, and every part is as large."""

    pj: float = 2.0
    name: str = "flat"
    identity: str = "version 1"

    def cost(self, action: Action) -> Cost:
        return Cost(self.pj, "a round number of the test suite", "estimated")

    def area(self, part: Part) -> Area:
        return Area(1.0, 0.0, "a round number of the test suite", "estimated")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_study_takes_a_user_s_own_estimator_beside_tables(tmp_path: Path, jobs: int) -> None:
    file = folder(tmp_path, "array.rows: [2, 4]")
    tables: list[EnergyTable | Flat] = [load_energy_table("45nm"), Flat()]
    found = accelsim.study(file, jobs=jobs, energy_tables=tables)
    assert [(row["array.rows"], row["energy_table"]) for row in found.rows] == [
        (2, "45nm"), (2, "flat"), (4, "45nm"), (4, "flat")
    ]  # fmt: skip
    assert not found.failed
    for row in found.rows:
        machine = load_hardware(tmp_path / "machines" / "m.yaml")
        array = machine.array.model_copy(update={"rows": row["array.rows"]})
        one = accelsim.run(
            machine.model_copy(update={"array": array}),
            tmp_path / "shapes.yaml",
            "uniform-high",
            next(table for table in tables if table.name == row["energy_table"]),
        )
        assert row["energy_pj"] == one.energy_pj
        assert row["area_um2"] == one.as_row()["area_um2"]
    assert {"45nm", "flat"} == set(found.meta["energy_tables_sha256"])
    write_report(found, found.folder, [load_energy_table("45nm")])


def test_an_estimator_is_told_by_its_identity(tmp_path: Path) -> None:
    described = load_study(folder(tmp_path, "array.rows: [2]"))
    (key,) = make_plan(described, [Flat()]).keys
    assert make_plan(described, [Flat()]).keys == [key]
    assert make_plan(described, [Flat(identity="version 2")]).keys != [key]
    assert make_plan(described, [Flat(name="even")]).keys != [key]
    # A table is told by its content, whether a machine names it or it is given.
    own = load_energy_table(tmp_path / "machines" / "tables" / "own.yaml")
    assert make_plan(described, [own]).keys == make_plan(described).keys


@pytest.mark.parametrize(
    ("sweep", "tables", "said"),
    [
        ("energy_table: [45nm]", [Flat()], "energy_tables are given, and the study sweeps energy"),
        ("array.rows: [2]", [Flat(), Flat(3.0)], "energy_tables: 'flat' is the name of several"),
        ("array.rows: [2]", [Flat(identity="")], "energy_tables: flat: identity: got ''"),
    ],
)
def test_estimators_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, sweep: str, tables: list[Flat], said: str
) -> None:
    with pytest.raises(AccelsimError, match=re.escape(said)):
        accelsim.study(folder(tmp_path, sweep), jobs=1, energy_tables=tables)


def test_an_estimator_that_no_other_process_knows_is_refused(tmp_path: Path) -> None:
    class Local(Flat):
        pass

    file = folder(tmp_path, "array.rows: [2, 4]")
    with pytest.raises(AccelsimError, match=r"flat cannot go to other processes .*\(jobs=1\)$"):
        accelsim.study(file, jobs=2, energy_tables=[Local()])
    assert not accelsim.study(file, jobs=1, energy_tables=[Local()]).failed


def test_points_under_every_given_table_count_towards_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder(tmp_path, "array.rows: [1, 2, 3, 4]")
    tables = [load_energy_table(name) for name in ("45nm", "7nm")]
    monkeypatch.setattr(plan_module, "MAX_POINTS", 8)
    assert len(make_plan(load_study(file), tables)) == 8
    monkeypatch.setattr(plan_module, "MAX_POINTS", 7)
    with pytest.raises(AccelsimError) as caught:
        accelsim.study(file, jobs=1, energy_tables=tables)
    assert str(caught.value) == ("energy_tables: 2 of them make 8 points, expected at most 7")
    assert not (tmp_path / "grid").exists()
