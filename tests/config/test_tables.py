"""Users' energy tables: checked as shipped ones are, and found from the file that names them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import accelsim
from accelsim.config import (
    check_file,
    energy_table_names,
    load_energy_table,
    load_hardware,
    shipped,
)
from accelsim.config.inputs import input_files
from accelsim.energy.laws import residuals
from accelsim.energy.sources import says_who
from accelsim.errors import InputError
from accelsim.machine import Arithmetic

TABLES = Path(accelsim.__file__).parent / "energy" / "tables"
OWN = (TABLES / "45nm.yaml").read_text(encoding="utf-8").replace("name: 45nm", "name: own")
MACHINE = """\
name: tiny
clock_mhz: 100
array: {rows: 2, cols: 2, dataflow: os, overlap_folds: false}
energy_table: tables/own.yaml
"""
SHAPES = "name: shapes\nlayers:\n  - {name: a, kind: gemm, m: 4, k: 4, n: 4}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/own.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "h.yaml").write_text(MACHINE)
    (tmp_path / "w.yaml").write_text(SHAPES)
    return tmp_path


def problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_hardware(path)
    return [problem.removeprefix(str(path.parent) + "/") for problem in caught.value.problems]


def test_a_hardware_file_names_a_table_beside_it(folder: Path) -> None:
    run = accelsim.run(folder / "h.yaml", folder / "w.yaml", "uniform-low")
    assert run.energy_table.name == "own"
    same = accelsim.run(folder / "h.yaml", folder / "w.yaml", "uniform-low", "45nm")
    assert run.energy_pj == same.energy_pj
    assert folder / "tables/own.yaml" in input_files(folder / "h.yaml", folder / "w.yaml")


def test_a_file_that_extends_another_finds_that_one_s_table(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/h.yaml").write_text("extends: ../h.yaml\nname: other\n")
    table = load_energy_table(load_hardware(folder / "sub/h.yaml").energy_table)
    assert table.name == "own"


def test_a_table_given_for_a_run_is_a_name_a_path_or_an_object(folder: Path) -> None:
    own = folder / "tables/own.yaml"
    for given in (own, str(own), load_energy_table(own)):
        run = accelsim.run("edge-16x16", folder / "w.yaml", "uniform-low", given)
        assert run.energy_table.name == "own"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("energy_pj: 0.03,", "energy_pj: -0.03,", "arithmetic[0].energy_pj: got -0.03,"),
        ("energy_pj: 0.03,", "energy_pj: .nan,", "arithmetic[0].energy_pj: got .nan,"),
        ("energy_pj: 0.03,", "energy_pj: .inf,", "arithmetic[0].energy_pj: got .inf,"),
        ("format: int8, energy_pj: 0.03", "format: int99, energy_pj: 0.03",
         "arithmetic[0].format: unknown format 'int99'"),
        ("operation: multiply, format: int8", "operation: add, format: int8",
         "arithmetic[1]: add int8 is given twice, first as arithmetic[0]"),
        ("operation: multiply, format: int8", "operation: add, format: fixed8.0",
         "arithmetic[1]: add fixed8.0 (int8) is given twice, first as arithmetic[0]"),
    ],
)  # fmt: skip
def test_a_slip_in_a_user_s_table_is_named_where_it_is_used(
    folder: Path, old: str, new: str, said: str
) -> None:
    assert OWN.count(old) == 1
    (folder / "tables/own.yaml").write_text(OWN.replace(old, new), encoding="utf-8")
    line = next(n for n, text in enumerate(OWN.splitlines(), 1) if old in text)
    (found,) = problems(folder / "h.yaml")
    assert found.startswith(f"tables/own.yaml:{line}: {said}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format: fp32, energy_pj: 0.9", "format: fp32, energy_pj: 0.3",
         "arithmetic[6].energy_pj: got 0.3 for add fp32, expected at least the 0.4 of add fp16,"
         " arithmetic[4]"),
        ("energy_pj: 3.7, area_um2: 7700", "energy_pj: 3.7, area_um2: 1600",
         "arithmetic[7].area_um2: got 1600 for multiply fp32, expected at least the 1640 of"
         " multiply fp16, arithmetic[5]"),
        ("capacity_bytes: 1048576, energy_pj_per_64_bits: 100.0",
         "capacity_bytes: 1048576, energy_pj_per_64_bits: 19.5",
         "sram[2].energy_pj_per_64_bits: got 19.5 for sram 1048576, expected at least the 20 of"
         " sram 32768, sram[1]"),
    ],
)  # fmt: skip
def test_nothing_wider_or_larger_costs_less(folder: Path, old: str, new: str, said: str) -> None:
    assert OWN.count(old) == 1
    (folder / "tables/own.yaml").write_text(OWN.replace(old, new), encoding="utf-8")
    line = next(n for n, text in enumerate(OWN.splitlines(), 1) if old in text)
    assert problems(folder / "h.yaml") == [f"tables/own.yaml:{line}: {said}"]


def test_what_is_wider_in_one_way_and_narrower_in_another_may_cost_less(folder: Path) -> None:
    figure = "  - {operation: add, format: bf16, energy_pj: 0.1, kind: measured, source: our own}\n"
    (folder / "tables/own.yaml").write_text(
        OWN.replace("arithmetic:\n", f"arithmetic:\n{figure}"),
        encoding="utf-8",
    )
    table = load_energy_table(folder / "tables/own.yaml")
    assert table.cost(Arithmetic("add", "bf16")).energy_pj == 0.1


def test_a_value_without_a_source_does_not_load(folder: Path) -> None:
    lines = OWN.splitlines()
    index = next(i for i, text in enumerate(lines) if text.startswith("register_bit"))
    lines[index] = lines[index].split(", source")[0] + "}"
    (folder / "tables/own.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert problems(folder / "h.yaml") == [
        f"tables/own.yaml:{index + 1}: register_bit.source: key is missing,"
        " expected text that is not empty"
    ]


SHORT = "{}, expected who says so, in words of 3 letters or more"
NOBODY = "{}, which names nobody; expected who says so"
STANDING_IN = (
    "no source", "to be determined", "to do", "To do: ask Horowitz", "guess", "a wild guess",
    "citation needed", "[citation needed]", "missing", "nobody", "not yet known", "asdf", "test",
    "unsourced value", "TBD (later)", "TBD, perhaps Horowitz", "see above", "from memory", "here",
    "without a source", "needs a source", "test 1", "to be measured at 45 nm", "to_be_done",
)  # fmt: skip
SAYING_WHO = (
    "Guess et al., 2019", "test chip, ISSCC 2014", "Test and Measurement Ltd., data sheet",
    "Unknown Devices Inc., data sheet 7", "measured here on board 3", "a guess by our designer",
    "Smith, to be published in 2027", "To Be published, Smith", "Known-good-die report",
    "missing in Horowitz, so as CACTI", "ACM", "as logic: nobody says of which cells",
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said"),
    [(source, SHORT) for source in ("-", "?", "x", "2014", "—–", "n/a")]
    + [(source, NOBODY) for source in ("TBD", "none", "Unknown", "todo", "(unknown)", "tba.")]
    + [(source, NOBODY) for source in STANDING_IN],
)
def test_a_source_that_names_nobody_does_not_load(folder: Path, source: str, said: str) -> None:
    (folder / "tables/own.yaml").write_text(
        re.sub(r'(register_bit.*source: ")[^"]*', rf"\g<1>{source}", OWN), encoding="utf-8"
    )
    line = next(n for n, text in enumerate(OWN.splitlines(), 1) if text.startswith("register_bit"))
    given = said.format(f"got '{source}'")
    assert problems(folder / "h.yaml") == [f"tables/own.yaml:{line}: register_bit.source: {given}"]
    # A source that says what is not known of it is one.
    (folder / "tables/own.yaml").write_text(
        re.sub(r'(register_bit.*source: ")[^"]*', r"\g<1>Smith 2020, voltage unknown", OWN),
        encoding="utf-8",
    )
    assert load_energy_table(folder / "tables/own.yaml").register_bit is not None


LAW = "coefficient_pj: 0.0254643, exponent: 1.56449"
FLOAT_AREA = "coefficient_um2: 41.3394, exponent: 1.45025"
COMPARE = "operation: compare, format: fp32, energy_pj: 0.1, area_um2: 137"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (LAW, "coefficient_pj: 100, exponent: 1.56449",
         "width_laws[0].coefficient_pj: got 100, by which multiply fp32 takes 1.443e+04; expected"
         " within 4 times of the 3.7 that the table gives"),
        (LAW, "coefficient_pj: 0.0254643, exponent: 0.5",
         "width_laws[0].coefficient_pj: got 0.0254643, by which multiply fp32 takes"
         " 0.1497; expected within 4 times of the 3.7 that the table gives"),
        (FLOAT_AREA, "coefficient_um2: 4.1, exponent: 1.45025",
         "area_laws[1].coefficient_um2: got 4.1, by which add fp32 takes 445.8; expected within"
         " 4 times of the 4184 that the table gives"),
        (COMPARE, "operation: compare, format: fp32, energy_pj: 1000, area_um2: 137",
         "arithmetic[8].energy_pj: got 1000 for compare fp32, expected at most 4 times the 0.9 of"
         " add fp32, which contains a subtraction"),
        ("{value: 17.0, source", "{value: 2000000, source",
         "sram[1].alternatives[0].value: got 2e+06, expected within 100 times of the 20 of"
         " the entry"),
        ("{value: 0.0699, source", "{value: 0.0000699, source",
         "wire.alternatives[0].value: got 6.99e-05, expected within 100 times of the 0.0405 of the"
         " entry"),
        ("{value: 157, source", "{value: 1570000, source",
         "leakage[1].alternatives[2].value: got 1.57e+06, expected within 50000 times of the"
         " 12.2 of the entry"),
        ("node_nm: 45\n", "node_nm: 0.5\n",
         "node_nm: got 0.5, expected a finite number from 1 to 10000"),
        ("voltage_v: 0.9\n", "voltage_v: 50\n",
         "voltage_v: got 50, expected a finite number from 0.1 to 15"),
    ],
)  # fmt: skip
def test_what_contradicts_the_rest_of_the_table_does_not_load(
    folder: Path, old: str, new: str, said: str
) -> None:
    assert OWN.count(old) == 1
    (folder / "tables/own.yaml").write_text(OWN.replace(old, new), encoding="utf-8")
    line = next(n for n, text in enumerate(OWN.splitlines(True), 1) if old in text)
    assert problems(folder / "h.yaml") == [f"tables/own.yaml:{line}: {said}"]


def test_a_law_that_is_near_its_figures_loads(folder: Path) -> None:
    new = "coefficient_pj: 0.09, exponent: 1.56449"
    (folder / "tables/own.yaml").write_text(OWN.replace(LAW, new), encoding="utf-8")
    table = load_energy_table(folder / "tables/own.yaml")
    assert 3.4 < max(one.fitted / one.published for one in residuals(table)) < 4.0
    # The shipped ones are far within, which is what the limit is set by.
    shipped = [one for name in energy_table_names() for one in residuals(load_energy_table(name))]
    assert max(abs(one.relative) for one in shipped) < 0.03


@pytest.mark.parametrize("source", SAYING_WHO)
def test_a_source_that_names_somebody_is_one(source: str) -> None:
    assert says_who(source) == source


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("operation: shift, format: int32", "operation: shift, format: fp16", "and fp16 is none"),
        ("operation: shift, numbers: fixed, coefficient_pj", "operation: shift, coefficient_pj",
         "numbers is fixed for it"),
    ],
)  # fmt: skip
def test_there_is_no_shift_into_floating_point(folder: Path, old: str, new: str, said: str) -> None:
    assert OWN.count(old) == 1
    (folder / "tables/own.yaml").write_text(OWN.replace(old, new), encoding="utf-8")
    line = next(n for n, text in enumerate(OWN.splitlines(), 1) if old in text)
    (found,) = problems(folder / "h.yaml")
    assert found.startswith(f"tables/own.yaml:{line}: ")
    assert found.endswith(said)


@pytest.mark.parametrize("kind", ["measured", "scaled"])
@pytest.mark.parametrize("section", ["width_laws", "area_laws"])
def test_a_law_is_an_estimate_whatever_it_goes_through(
    folder: Path, section: str, kind: str
) -> None:
    before, head, after = OWN.partition(f"\n{section}:")
    changed = before + head + after.replace("kind: estimated", f"kind: {kind}", 1)
    (folder / "tables/own.yaml").write_text(changed, encoding="utf-8")
    line = 1 + next(n for n, text in enumerate(OWN.splitlines(), 1) if text.startswith(section))
    assert problems(folder / "h.yaml") == [
        f"tables/own.yaml:{line}: {section}[0].kind: got '{kind}', expected 'estimated': what a"
        " law says of formats without a figure is"
    ]


def test_an_area_s_source_needs_an_area(folder: Path) -> None:
    (folder / "tables/own.yaml").write_text(
        OWN.replace("format: int8, energy_pj: 0.03", "area_kind: scaled, format: int8,"
                    " energy_pj: 0.03").replace("area_um2: 36, ", ""),
        encoding="utf-8",
    )  # fmt: skip
    (found,) = problems(folder / "h.yaml")
    assert found.endswith("arithmetic[0]: got a mapping, area_kind is given, and no area")


def test_a_table_that_is_not_there_is_named_with_the_line(folder: Path) -> None:
    (folder / "tables/own.yaml").unlink()
    assert problems(folder / "h.yaml") == [
        f"h.yaml:4: energy_table: no such file: {folder}/tables/own.yaml"
    ]
    with pytest.raises(InputError) as caught:
        load_energy_table("absent.yaml")
    assert caught.value.problems == ("absent.yaml: no such file",)


def test_a_table_s_logic_can_be_another_s_at_another_node(folder: Path) -> None:
    path = folder / "scaled.yaml"
    path.write_text("name: small\nscaled: {from: 45nm, to_node_nm: 7, to_voltage_v: 0.7}\n")
    table = load_energy_table(path)
    assert (table.name, table.node_nm, table.voltage_v) == ("small", 7, 0.7)
    cost = table.cost(Arithmetic("add", "fp32"))
    assert cost.kind == "scaled"
    assert cost.energy_pj == pytest.approx(0.9 * 0.04781 / 0.84433, rel=1e-3)
    assert check_file(path) == "energy table small"
    path.write_text("name: small\nscaled: {from: tables/own.yaml, to_node_nm: 16}\n")
    assert load_energy_table(path).voltage_v == 0.9


@pytest.mark.parametrize(
    ("scaled", "said"),
    [
        ("{from: 54nm, to_node_nm: 7}",
         "scaled.from: unknown name '54nm'; did you mean '45nm'? allowed: 40nm, 45nm, 7nm"),
        ("{from: no.yaml, to_node_nm: 7}", "scaled.from: no such file: no.yaml"),
        ("{from: x.yaml, to_node_nm: 7}",
         "scaled.from: x.yaml is scaled from this file, so that neither is a table"),
        ("{from: 45nm, to_node_nm: 6}", "scaled: logic is not scaled to or from 6 nm;"
         " known are 130, 90, 65, 45, 32, 20, 16, 14, 10, 7"),
        ("{from: 7nm, to_node_nm: 7}",
         "scaled: energy table 7nm states no voltage_v to scale logic from"),
    ],
)  # fmt: skip
def test_a_scaling_that_cannot_be_is_refused(folder: Path, scaled: str, said: str) -> None:
    (folder / "x.yaml").write_text(f"name: x\nscaled: {scaled}\n")
    with pytest.raises(InputError) as caught:
        load_energy_table(folder / "x.yaml")
    assert caught.value.problems == (f"{folder}/x.yaml:2: {said}",)


def test_machines_that_come_with_it_still_name_theirs() -> None:
    assert load_hardware(shipped("hwconfigs", "edge-16x16")).energy_table == "45nm"


NUMBER = re.compile(r"([a-z_0-9]+): ([0-9][0-9.e-]*)(?=[,}]|$)")


def slips(name: str) -> list[tuple[int, str, str, str]]:
    """Every number of a shipped table: its line, its key, and the text before and after it."""
    text = (TABLES / f"{name}.yaml").read_text(encoding="utf-8")
    return [
        (number, found[1], line[: found.start(2)], line[found.end(2) :])
        for number, line in enumerate(text.splitlines(), 1)
        for found in NUMBER.finditer(line.split("source:")[0] if "alter" not in line else line)
        if not line.startswith("#")
    ]


@pytest.mark.parametrize(
    ("name", "bad"), [("45nm", "-1.0"), ("7nm", ".nan"), ("40nm", ".inf")]
)  # a third each, as a load takes its time
def test_no_number_of_a_table_may_be_negative_or_not_finite(
    name: str, bad: str, tmp_path: Path
) -> None:
    lines = (TABLES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "own.yaml"
    found = slips(name)
    assert len(found) > 60
    assert {key for _, key, *_ in found} >= {
        "energy_pj_per_bit", "energy_pj_per_bit_mm", "pe_pitch_um", "area_um2_per_bit",
        "power_mw_per_mm2", "clock_share", "value", "node_nm",
    }  # fmt: skip
    for number, key, before, after in found:
        changed = [*lines[: number - 1], f"{before}{bad}{after}", *lines[number:]]
        path.write_text("\n".join(changed), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_energy_table(path)
        assert any(
            problem.startswith(f"{path}:{number}: ") and f"{key}: got {bad}" in problem
            for problem in caught.value.problems
        ), (number, key, caught.value.problems)


def test_no_entry_of_a_table_loads_without_its_source(tmp_path: Path) -> None:
    lines = (TABLES / "7nm.yaml").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "own.yaml"
    sourced = [index for index, line in enumerate(lines) if "source: " in line]
    assert len(sourced) > 20
    for index in sourced:
        start = lines[index].index(", source: ")
        end = lines[index].index('"', lines[index].index('"', start) + 1) + 1
        cut = lines[index][:start] + lines[index][end:]
        path.write_text("\n".join([*lines[:index], cut, *lines[index + 1 :]]), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_energy_table(path)
        (problem,) = caught.value.problems
        assert problem.startswith(f"{path}:{index + 1}: ")
        assert "source: key is missing" in problem
