"""What is wrong with a file is said in full: file, line, key, what was given, what is expected."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from accelsim.config import check_file, load_hardware, load_workload
from accelsim.errors import InputError

ROOT = Path(__file__).parents[2]

HARDWARE = """\
name: tiny
clock_mhz: 100
array:
  rows: 4
  cols: 4
  dataflow: os
  overlap_folds: true
dram:
  type: lpddr4
  bandwidth_gbytes_per_s: 25.6
  latency_ns: 100
scratchpads:
  a: {capacity_bytes: 1024}
recompute:
  unit: lanes
  lanes: 2
  queue_capacity: 8
energy_table: 45nm
"""
WORKLOAD = """\
name: shapes
operand_format: e4m3fn
layers:
  - {name: first, kind: gemm, m: 4, k: 5, n: 6}
  - {name: second, kind: gemm, m: 4, k: 6, n: 2}
"""
TABLE = """\
name: table
node_nm: 45
arithmetic:
  - {operation: add, format: fp32, energy_pj: 0.9, kind: measured, source: a paper}
width_laws:
  - {operation: add, coefficient_pj: 0.03, exponent: 1.04, kind: estimated, source: a fit}
sram:
  - {capacity_bytes: 8192, energy_pj_per_64_bits: 10.0, kind: measured, source: a paper}
dram:
  - {type: lpddr4, energy_pj_per_bit: 8.0, kind: scaled, source: a paper}
voltage_v: 0.9
"""
QUANTITY = "expected a finite number from 1e-09 to 1e+15"
COST = "expected a finite number from 1e-09 to 1e+09"
NODE = "expected a finite number from 1 to 10000"
COUNT = "expected an integer from 1 to 1099511627776"
SIZE = "expected an integer from 1 to 2147483648"
HARDWARE_KEYS = "name, clock_mhz, array, dram, scratchpads, tiling, recompute, vector, energy_table"


def problems(load: Any, folder: Path, text: str | bytes) -> list[str]:
    """Return what `load` says about a file with this text, without the file's path."""
    path = folder / "given.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(str(path)) for problem in caught.value.problems]


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} must occur once"
    return text.replace(old, new)


def test_the_texts_that_are_changed_here_load(tmp_path: Path) -> None:
    for text, kind in ((HARDWARE, "hardware tiny"), (WORKLOAD, "workload shapes")):
        (tmp_path / "x.yaml").write_text(text)
        assert check_file(tmp_path / "x.yaml") == kind
    (tmp_path / "x.yaml").write_text(TABLE)
    assert check_file(tmp_path / "x.yaml") == "energy table table"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "1e9",
            f"got '1e9' (a string in YAML; for the number write 1000000000), {QUANTITY}",
        ),
        ("2.5e3", f"got '2.5e3' (a string in YAML; for the number write 2500), {QUANTITY}"),
        ("1e-3", f"got '1e-3' (a string in YAML; for the number write 0.001), {QUANTITY}"),
        ("1e400", f"got the string '1e400', {QUANTITY}"),
        ("'100'", f"got the string '100', {QUANTITY}"),
        ("fast", f"got the string 'fast', {QUANTITY}"),
        ("2024-01-01", f"got the string '2024-01-01', {QUANTITY}"),
        ("0o17", f"got the string '0o17', {QUANTITY}"),
        ("=", f"got the string '=', {QUANTITY}"),
        ("no", f"got the boolean no (quote it if it is a name), {QUANTITY}"),
        ("true", f"got true, {QUANTITY}"),
        ("-5", f"got -5, {QUANTITY}"),
        ("0", f"got 0, {QUANTITY}"),
        ("-0.0", f"got -0.0, {QUANTITY}"),
        (".nan", f"got .nan, {QUANTITY}"),
        (".inf", f"got .inf, {QUANTITY}"),
        ("-.inf", f"got -.inf, {QUANTITY}"),
        ("1.0e+400", f"got 1.0e+400, {QUANTITY}"),
        ("", f"got nothing, {QUANTITY}"),
        ("~", f"got nothing, {QUANTITY}"),
        ("[1]", f"got a list, {QUANTITY}"),
        ("[]", f"got an empty list, {QUANTITY}"),
        ("{mhz: 1}", f"got a mapping, {QUANTITY}"),
        ("{}", f"got an empty mapping, {QUANTITY}"),
        ("010", "got 010, expected a plain decimal number"),
        ("1:30", "got 1:30, expected a plain decimal number"),
        ("1_000", "got 1_000, expected a plain decimal number"),
        ("0x10", "got 0x10, expected a plain decimal number"),
        ("0b11", "got 0b11, expected a plain decimal number"),
        ("9" * 5000, f"got {'9' * 79}…, expected a plain decimal number"),
        ("x" * 5000, f"got the string '{'x' * 78}…', {QUANTITY}"),
        ("!clock 100", "tag '!clock' is not allowed"),
        ("!!float 100", "tag '!!float' is not allowed"),
        ("!!bool maybe", "tag '!!bool' is not allowed"),
        ("!!null 100", "tag '!!null' is not allowed"),
        ("!!binary aaaa", "tag '!!binary' is not allowed"),
        ('"a\\nb"', "got the string 'a\\nb', expected text on one line"),
    ],
)
def test_a_quantity_takes_a_positive_finite_number_and_nothing_else(
    tmp_path: Path, given: str, said: str
) -> None:
    text = changed(HARDWARE, "clock_mhz: 100", f"clock_mhz: {given}")
    assert problems(load_hardware, tmp_path, text) == [f":2: clock_mhz: {said}"]


@pytest.mark.parametrize("given", ["100", "+100", "100.", "1.0e+2", "1000.0E-1", "!!int 100"])
def test_a_number_may_be_written_in_any_plain_decimal_way(tmp_path: Path, given: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(changed(HARDWARE, "clock_mhz: 100", f"clock_mhz: {given}"))
    assert load_hardware(path).clock_mhz == 100.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("4.0", f"got 4.0, {COUNT}"),
        ("true", f"got true, {COUNT}"),
        ("0", f"got 0, {COUNT}"),
        ("-1", f"got -1, {COUNT}"),
        ("1099511627777", f"got 1099511627777, {COUNT}"),
        ("'4'", f"got the string '4', {COUNT}"),
        (".nan", f"got .nan, {COUNT}"),
        ("1e3", f"got '1e3' (a string in YAML; for the number write 1000), {COUNT}"),
    ],
)
def test_a_count_takes_a_positive_integer_and_nothing_else(
    tmp_path: Path, given: str, said: str
) -> None:
    text = changed(HARDWARE, "rows: 4", f"rows: {given}")
    assert problems(load_hardware, tmp_path, text) == [f":4: array.rows: {said}"]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            "{fp33: 2}",
            "got a mapping, unknown format 'fp33'; allowed are eXmY and eXmYfn (X 2 to 8, Y 0 to"
            " 23), fp16, bf16, tf32, fp32, intN, uintN, fixedN.F and ufixedN.F (N 1 to 32 bits, F"
            " of them fraction)",
        ),
        ("{fp32: 2.5}", "got a mapping, fp32 takes 2.5, expected an integer from 1 to 4096"),
        ("{fp32: 0}", "got a mapping, fp32 takes 0, expected an integer from 1 to 4096"),
        ("{fp16: 2, e5m10: 3}", "got a mapping, e5m10 is given twice, under two names"),
        ("3", "got 3, expected a mapping from formats to cycles"),
    ],
)
def test_cycles_per_mac_takes_formats_and_positive_integers(
    tmp_path: Path, array: str, said: str
) -> None:
    text = changed(HARDWARE, "rows: 4", f"rows: 4\n  cycles_per_mac: {array}")
    assert problems(load_hardware, tmp_path, text) == [f":5: array.cycles_per_mac: {said}"]


def test_cycles_per_mac_knows_a_format_by_any_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(changed(HARDWARE, "rows: 4", "rows: 4\n  cycles_per_mac: {e8m23: 2}"))
    assert load_hardware(path).array.cycles_per_mac == {"fp32": 2}


@pytest.mark.parametrize(
    ("pad", "said"),
    [
        (
            "bandwidth_bytes_per_cycle: 0",
            "bandwidth_bytes_per_cycle: got 0, expected a finite number from 0.001 to 1e+15",
        ),
        (
            "bandwidth_bytes_per_cycle: ",
            "bandwidth_bytes_per_cycle: got nothing, expected a value; without one, leave the key"
            " out",
        ),
        ("double_buffered: 2", "double_buffered: got 2, expected true or false"),
    ],
)
def test_a_scratchpad_says_what_its_keys_take(tmp_path: Path, pad: str, said: str) -> None:
    text = changed(HARDWARE, "{capacity_bytes: 1024}", f"{{{pad}}}")
    assert problems(load_hardware, tmp_path, text) == [f":13: scratchpads.a.{said}"]


@pytest.mark.parametrize(
    ("tiling", "said"),
    [
        (
            "{order: mmk}",
            ".order: got the string 'mmk', expected one of mnk, mkn, nmk, nkm, kmn, knm",
        ),
        ("{m: 0}", f".m: got 0, {COUNT}"),
        ("[4, 4]", ": got a list, expected a mapping with the keys m, k, n, order"),
    ],
)
def test_a_tiling_says_what_its_keys_take(tmp_path: Path, tiling: str, said: str) -> None:
    text = changed(HARDWARE, "energy_table: 45nm", f"tiling: {tiling}")
    assert problems(load_hardware, tmp_path, text) == [f":18: tiling{said}"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: tiny", "name: no", "1: name: got the boolean no (quote it if it is a name), "),
        ("name: tiny", "name: 5", "1: name: got 5, "),
        ("name: tiny", "name: ''", "1: name: got the string '', "),
        ("name: tiny", f"name: {'n' * 201}", f"1: name: got the string '{'n' * 78}…', "),
    ],
)
def test_a_name_is_text_of_at_most_200_characters(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    expected = [f":{said}expected text of 1 to 200 characters"]
    assert problems(load_hardware, tmp_path, changed(HARDWARE, old, new)) == expected


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "dataflow: os",
            "dataflow: rs",
            ":6: array.dataflow: got the string 'rs', expected one of os, ws, is",
        ),
        (
            "overlap_folds: true",
            "overlap_folds: 1",
            ":7: array.overlap_folds: got 1, expected true or false",
        ),
        (
            "overlap_folds: true",
            "overlap_folds: !!bool maybe",
            ":7: array.overlap_folds: tag '!!bool' is not allowed",
        ),
        (
            "type: lpddr4",
            "type: lpddr5",
            ":9: dram.type: got the string 'lpddr5', expected one of ddr3, lpddr4, gddr6, hbm2,"
            " hbm3",
        ),
        (
            "latency_ns: 100",
            "latency_ns: -1",
            ":11: dram.latency_ns: got -1, expected a finite number from 0 to 1e+15",
        ),
        (
            "energy_table: 45nm",
            "energy_table: 54nm",
            ":18: energy_table: unknown name '54nm'; did you mean '45nm'? allowed: 40nm, 45nm, 7nm",
        ),
        (
            "energy_table: 45nm",
            "energy_table: 45",
            ":18: energy_table: got 45, expected text that is not empty",
        ),
        (
            "unit: lanes",
            "unit: lane",
            ":15: recompute.unit: got the string 'lane', expected one of lanes, array, dual",
        ),
        (
            "  unit: lanes\n",
            "",
            ":14: recompute.unit: key is missing, expected one of lanes, array, dual",
        ),
        (
            "  lanes: 2\n",
            "",
            f":14: recompute.lanes: key is missing, {COUNT}",
        ),
        (
            "clock_mhz: 100\n",
            "",
            f":1: clock_mhz: key is missing, {QUANTITY}",
        ),
        (
            "energy_table: 45nm",
            "colour: red",
            f":18: colour: unknown key; allowed: {HARDWARE_KEYS}",
        ),
        (
            "  latency_ns: 100",
            "  latency: 100",
            ":11: dram.latency: unknown key; did you mean 'latency_ns'?"
            " allowed: type, bandwidth_gbytes_per_s, latency_ns, capacity_bytes",
        ),
        (
            "energy_table: 45nm",
            "3: 4",
            f":18: 3: unknown key; allowed: {HARDWARE_KEYS}",
        ),
        (
            "energy_table: 45nm",
            "'': 4",
            f":18: '': unknown key; allowed: {HARDWARE_KEYS}",
        ),
        (
            "energy_table: 45nm",
            '"a\\n b": 4',
            f":18: 'a\\n b': unknown key; allowed: {HARDWARE_KEYS}",
        ),
        (
            "clock_mhz: 100",
            "clock_mhz: 100\nclock_mhz: 200",
            ":3: clock_mhz: key is given twice, first on line 2",
        ),
        (
            "  rows: 4",
            "  rows: 4\n  rows: 4",
            ":5: array.rows: key is given twice, first on line 4",
        ),
        (
            "energy_table: 45nm",
            "? [a, b]\n: 3",
            ":18: a key must be a word",
        ),
        (
            "  rows: 4\n  cols: 4",
            "  rows: &n 4\n  cols: *n",
            ":5: array.cols: aliases (*name) are not supported; write the value again",
        ),
        (
            "  rows: 4",
            "  <<: {rows: 4}\n  rows: 4",
            ":4: array.'<<': unknown key; allowed: rows, cols, dataflow, overlap_folds, count,"
            " cycles_per_mac, adder_latency_cycles",
        ),
        ("array:", "array: !!set", ":3: array: tag '!!set' is not allowed"),
        ("dram:", "dram: !fast", ":8: dram: tag '!fast' is not allowed"),
        (
            "  a: {capacity_bytes: 1024}",
            "",
            ":12: scratchpads: got nothing, expected a mapping with the keys a, b, c",
        ),
        (
            "{capacity_bytes: 1024}",
            "1024",
            ":13: scratchpads.a: got 1024, expected a mapping with the keys capacity_bytes,"
            " bandwidth_bytes_per_cycle, double_buffered",
        ),
    ],
)
def test_a_slip_in_a_hardware_file_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert problems(load_hardware, tmp_path, changed(HARDWARE, old, new)) == [said]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "array",
            "rows, cols, dataflow, overlap_folds, count, cycles_per_mac, adder_latency_cycles",
        ),
        ("dram", "type, bandwidth_gbytes_per_s, latency_ns, capacity_bytes"),
        ("scratchpads", "a, b, c"),
        (
            "recompute",
            "unit, lanes, queue_capacity, granularity, schedule, formats, gather_bytes_per_cycle",
        ),
    ],
)
@pytest.mark.parametrize(
    ("given", "got"), [("", "nothing"), ("[os]", "a list"), ("fast", "the string 'fast'")]
)
def test_a_section_must_be_a_mapping(
    tmp_path: Path, section: str, expected: str, given: str, got: str
) -> None:
    text = "name: tiny\nclock_mhz: 1\n"
    if section != "array":
        text += "array: {rows: 1, cols: 1, dataflow: os, overlap_folds: no}\n"
    line = text.count("\n") + 1
    assert problems(load_hardware, tmp_path, f"{text}{section}: {given}\n") == [
        f":{line}: {section}: got {got}, expected a mapping with the keys {expected}"
    ]


def test_recomputing_on_the_array_takes_no_lanes(tmp_path: Path) -> None:
    text = changed(HARDWARE, "unit: lanes", "unit: array")
    allowed = "unit, granularity, schedule, gather_bytes_per_cycle, formats"
    assert problems(load_hardware, tmp_path, text) == [
        f":16: recompute.lanes: unknown key; allowed: {allowed}",
        f":17: recompute.queue_capacity: unknown key; allowed: {allowed}",
    ]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            "{unit: array, granularity: row}",
            "recompute: got a mapping, expected gather_bytes_per_cycle with granularity row",
        ),
        (
            "{unit: array, gather_bytes_per_cycle: 4}",
            "recompute: got a mapping, expected granularity row or column with"
            " gather_bytes_per_cycle, not element",
        ),
        (
            "{unit: array, granularity: rows}",
            "recompute.granularity: got the string 'rows', expected one of element, tile, row,"
            " column",
        ),
        (
            "{unit: array, granularity: row, gather_bytes_per_cycle: 0}",
            "recompute.gather_bytes_per_cycle: got 0, expected a finite number from 0.001 to 1e+15",
        ),
        (
            "{unit: lanes, lanes: 2, queue_capacity: 4, granularity: row}",
            "recompute.granularity: got the string 'row', expected element",
        ),
        (
            "{unit: array, schedule: late}",
            "recompute.schedule: got the string 'late', expected one of inline, deferred",
        ),
        (
            "{unit: dual, schedule: inline}",
            "recompute.schedule: unknown key; allowed: unit, formats",
        ),
        (
            "{unit: dual, formats: fp32}",
            "recompute.formats: got the string 'fp32', expected a list of formats",
        ),
        (
            "{unit: dual, formats: [fp32, e8m23]}",
            "recompute.formats: got a list, e8m23 is given twice",
        ),
        (
            "{unit: dual, formats: []}",
            "recompute.formats: got an empty list, expected a list of formats",
        ),
    ],
)
def test_a_slip_in_a_recompute_unit_is_named(tmp_path: Path, section: str, said: str) -> None:
    text = "name: tiny\nclock_mhz: 1\n"
    text += "array: {rows: 1, cols: 1, dataflow: os, overlap_folds: no}\n"
    text += f"recompute: {section}\n"
    assert problems(load_hardware, tmp_path, text) == [f":4: {said}"]


def test_a_missing_part_of_a_machine_is_one_line_and_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # an error would be caught where the schema is made
        found = problems(load_hardware, tmp_path, "name: x\nclock_mhz: 100\n")
    assert found == [
        ":1: array: key is missing, expected a mapping with the keys rows, cols, dataflow,"
        " overlap_folds, count, cycles_per_mac, adder_latency_cycles"
    ]
    assert not caught


def test_all_problems_of_a_file_are_reported_at_once_in_the_order_of_their_lines(
    tmp_path: Path,
) -> None:
    text = """\
nam: x
clock_mhz: 1e9
array: {rows: 010, cols: 0, dataflow: rs, overlap_folds: 1, rows: 3}
dram: {type: foo, bandwidth_gbytes_per_s: .inf, latency_ns: -1}
scratchpads: {a: {capacity_bytes: 1.5}, d: {}}
recompute: {unit: lanes, lanes: 0}
energy_table: 45n
"""
    assert problems(load_hardware, tmp_path, text) == [
        ":1: name: key is missing, expected text of 1 to 200 characters",
        f":1: nam: unknown key; did you mean 'name'? allowed: {HARDWARE_KEYS}",
        f":2: clock_mhz: got '1e9' (a string in YAML; for the number write 1000000000), {QUANTITY}",
        ":3: array.rows: got 010, expected a plain decimal number",
        ":3: array.rows: key is given twice, first on line 3",
        f":3: array.cols: got 0, {COUNT}",
        ":3: array.dataflow: got the string 'rs', expected one of os, ws, is",
        ":3: array.overlap_folds: got 1, expected true or false",
        ":4: dram.type: got the string 'foo', expected one of ddr3, lpddr4, gddr6, hbm2, hbm3",
        f":4: dram.bandwidth_gbytes_per_s: got .inf, {QUANTITY}",
        ":4: dram.latency_ns: got -1, expected a finite number from 0 to 1e+15",
        f":5: scratchpads.a.capacity_bytes: got 1.5, {COUNT}",
        ":5: scratchpads.d: unknown key; allowed: a, b, c",
        f":6: recompute.lanes: got 0, {COUNT}",
        f":6: recompute.queue_capacity: key is missing, {COUNT}",
        ":7: energy_table: unknown name '45n'; did you mean '45nm'? allowed: 40nm, 45nm, 7nm",
    ]


GEMM_KEYS = "name, kind, m, k, n"
LAYER_KEYS = (
    f"{GEMM_KEYS}, inputs, outputs, activation, batch, height, width, channels, filters,"
    " kernel_height, kernel_width, stride, padding, dilation, groups, hidden, sequence, function,"
    " elements, operations, fused, row"
)
FORMATS = "allowed are eXmY and eXmYfn (X 2 to 8, Y 0 to 23), fp16, bf16, tf32, fp32"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("m: 4, k: 5", "m: 1e9, k: 5", f":4: layers[0].m: got '1e9' (a string in YAML; for the"
         f" number write 1000000000), {SIZE}"),
        ("m: 4, k: 5", "m: 0, k: 5", f":4: layers[0].m: got 0, {SIZE}"),
        ("m: 4, k: 5", "m: -4, k: 5", f":4: layers[0].m: got -4, {SIZE}"),
        ("m: 4, k: 5", "m: 4.5, k: 5", f":4: layers[0].m: got 4.5, {SIZE}"),
        ("m: 4, k: 5", "m: 2147483649, k: 5", f":4: layers[0].m: got 2147483649, {SIZE}"),
        (", n: 2", "", f":5: layers[1].n: key is missing, {SIZE}"),
        ("n: 2", "n: 2, q: 1", f":5: layers[1].q: unknown key; allowed: {GEMM_KEYS}"),
        (
            "second, kind: gemm",
            "second, kind: conv",
            ":5: layers[1].kind: got the string 'conv', expected one of gemm,"
            " dense, batched_gemm, conv2d, lstm, gru, rnn, activation, softmax, normalization,"
            " elementwise",
        ),
        (
            "second, kind: gemm",
            "second",
            ":5: layers[1].kind: key is missing, expected one of gemm,"
            " dense, batched_gemm, conv2d, lstm, gru, rnn, activation, softmax, normalization,"
            " elementwise",
        ),
        ("name: second", "name: first", ":5: layers[1].name: 'first' is the name of layers[0]"
         " already"),
        (
            "  - {name: second, kind: gemm, m: 4, k: 6, n: 2}",
            "  - second",
            ":5: layers[1]: got the string 'second', expected a mapping with the keys "
            + LAYER_KEYS,
        ),
        (
            "  - {name: second, kind: gemm, m: 4, k: 6, n: 2}",
            "  -",
            f":5: layers[1]: got nothing, expected a mapping with the keys {LAYER_KEYS}",
        ),
        (
            "operand_format: e4m3fn",
            "operand_format: fp8",
            f":2: operand_format: unknown format 'fp8'; {FORMATS}",
        ),
        (
            "operand_format: e4m3fn",
            "operand_format: no",
            ":2: operand_format: got the boolean no (quote it if it is a name),"
            " expected the name of a format, such as e4m3fn",
        ),
        (
            "operand_format: e4m3fn",
            "operand_format:",
            ":2: operand_format: got nothing, expected the name of a format, such as e4m3fn",
        ),
        (
            "operand_format: e4m3fn",
            "dataset: digits",
            ":2: dataset: a workload without weights has no dataset; remove the key",
        ),
        (
            "operand_format: e4m3fn",
            "dataset: cifar",
            ":2: dataset: got the string 'cifar', expected one of digits, mnist, fashion-mnist",
        ),
        (
            "operand_format: e4m3fn",
            "weights:",
            ":2: weights: got nothing, expected a value; without one, leave the key out",
        ),
        (
            "operand_format: e4m3fn",
            "weights: 5",
            ":2: weights: got 5, expected text that is not empty",
        ),
    ],
)  # fmt: skip
def test_a_slip_in_a_workload_file_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert problems(load_workload, tmp_path, changed(WORKLOAD, old, new)) == [said]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("layers:", "2: layers: got nothing, expected a list that is not empty"),
        ("layers: []", "2: layers: got an empty list, expected a list that is not empty"),
        ("layers: {a: 1}", "2: layers: got a mapping, expected a list that is not empty"),
        ("", "1: layers: key is missing, expected a list that is not empty"),
    ],
)
def test_a_workload_has_a_list_of_layers(tmp_path: Path, layers: str, said: str) -> None:
    assert problems(load_workload, tmp_path, f"name: x\n{layers}\n") == [f":{said}"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "energy_pj: 0.9",
            "energy_pj: -0.9",
            f":4: arithmetic[0].energy_pj: got -0.9, {COST}",
        ),
        ("energy_pj: 0.9", "energy_pj: 0", f":4: arithmetic[0].energy_pj: got 0, {COST}"),
        (
            "energy_pj: 0.9",
            "energy_pj: .nan",
            f":4: arithmetic[0].energy_pj: got .nan, {COST}",
        ),
        (
            "kind: measured, source: a paper}\nwidth",
            "kind: guessed, source: a paper}\nwidth",
            ":4: arithmetic[0].kind: got the string 'guessed',"
            " expected one of measured, scaled, estimated",
        ),
        (
            "kind: measured, source: a paper}\nwidth",
            "kind: measured}\nwidth",
            ":4: arithmetic[0].source: key is missing, expected text that is not empty",
        ),
        (
            "source: a fit",
            "source: ''",
            ":6: width_laws[0].source: got the string '', expected text that is not empty",
        ),
        (
            "{operation: add, format",
            "{operation: sub, format",
            ":4: arithmetic[0].operation: got the string 'sub',"
            " expected one of multiply, add, shift, compare",
        ),
        (
            "capacity_bytes: 8192",
            "capacity_bytes: 0",
            ":8: sram[0].capacity_bytes: got 0, expected an integer from 1 to 1125899906842624",
        ),
        (
            "dram:",
            "  - {capacity_bytes: 8192, energy_pj_per_64_bits: 1, kind: scaled,"
            " source: a book}\ndram:",
            ":9: sram[1]: 8192 is given twice, first as sram[0]",
        ),
        (
            "format: fp32",
            "format: fp33",
            ":4: arithmetic[0].format: unknown format 'fp33'; allowed are eXmY and eXmYfn"
            " (X 2 to 8, Y 0 to 23), fp16, bf16, tf32, fp32, intN, uintN, fixedN.F and ufixedN.F"
            " (N 1 to 32 bits, F of them fraction)",
        ),
        ("node_nm: 45", "node_nm: -45", f":2: node_nm: got -45, {NODE}"),
        (
            "energy_pj: 0.9",
            "energy_pj: 1.0e-300",
            f":4: arithmetic[0].energy_pj: got 1.0e-300, {COST}",
        ),
        (
            "energy_pj: 0.9",
            "energy_pj: 1.0e+16",
            f":4: arithmetic[0].energy_pj: got 1.0e+16, {COST}",
        ),
        # How to write a number that is taken for a string helps where the number would do.
        (
            "energy_pj: 0.9",
            "energy_pj: 5e-324",
            f":4: arithmetic[0].energy_pj: got the string '5e-324', {COST}",
        ),
        (
            "energy_pj: 0.9",
            "energy_pj: 9e-7",
            ":4: arithmetic[0].energy_pj: got '9e-7' (a string in YAML; for the number write"
            f" 9.0e-07), {COST}",
        ),
        (
            "exponent: 1.04",
            "exponent: 12",
            ":6: width_laws[0].exponent: got 12, expected a finite number from 0.01 to 10",
        ),
        (
            "  - {type: lpddr4, energy_pj_per_bit: 8.0, kind: scaled, source: a paper}\n",
            "",
            ":9: dram: got nothing, expected a list that is not empty",
        ),
    ],
)
def test_a_slip_in_an_energy_table_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert problems(check_file, tmp_path, changed(TABLE, old, new)) == [said]


def test_a_misspelt_unit_is_a_missing_and_an_unknown_key(tmp_path: Path) -> None:
    text = changed(TABLE, "energy_pj: 0.9", "energy_nj: 0.9")
    assert problems(check_file, tmp_path, text) == [
        f":4: arithmetic[0].energy_pj: key is missing, {COST}",
        ":4: arithmetic[0].energy_nj: unknown key; did you mean 'energy_pj'?"
        " allowed: source, kind, node_nm, voltage_v, area_source, area_kind, area_node_nm,"
        " operation, format, energy_pj, area_um2",
    ]


@pytest.mark.parametrize("load", [load_hardware, load_workload, check_file])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": is empty, expected a mapping of keys to values"),
        ("# a comment\n", ": is empty, expected a mapping of keys to values"),
        ("---\n", ":2: got nothing, expected a mapping of keys to values"),
        ("~\n", ":1: got nothing, expected a mapping of keys to values"),
        ("hello\n", ":1: got the string 'hello', expected a mapping of keys to values"),
        ("\n3\n", ":2: got 3, expected a mapping of keys to values"),
        ("- a\n", ":1: got a list, expected a mapping of keys to values"),
        ("!x {name: a}\n", ":1: tag '!x' is not allowed"),
        ("\tname: x\n", ":1: not YAML: found character '\\t' that cannot start any token"),
        ("name: [a\n", ":2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: a: b\n", ":1: not YAML: mapping values are not allowed here"),
        (
            "name: a\n---\nname: b\n",
            ":2: not YAML: expected a single document in the stream, but found another document",
        ),
        ("name: a\nclock: \a\n", ":2: not YAML: character U+0007 is not allowed"),
        ("name: a\0b\n", ":1: not YAML: character U+0000 is not allowed"),
        (b"name: a\n# caf\xe9\n", ":2: is not UTF-8 text, expected a YAML file"),
        (bytes(range(256)), ":2: is not UTF-8 text, expected a YAML file"),
        (HARDWARE.encode("utf-16"), ":1: is not UTF-8 text, expected a YAML file"),
        ("[" * 5000, ": is nested too deeply"),
        ("{a: " * 3000 + "1" + "}" * 3000, ": is nested too deeply"),
        ("- " * 5000 + "a", ": is nested too deeply"),
        ("#" * (2**20 + 1), ": is longer than 1048576 bytes, expected a YAML file"),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, str | bytes) else "",
)
def test_a_file_that_is_no_mapping_is_refused(
    tmp_path: Path, load: Any, text: str | bytes, said: str
) -> None:
    assert problems(load, tmp_path, text) == [said]


@pytest.mark.parametrize("load", [load_hardware, load_workload, check_file])
def test_what_cannot_be_read_is_refused(tmp_path: Path, load: Any) -> None:
    (tmp_path / "file").write_text(HARDWARE)
    for path, said in (
        (tmp_path, f"{tmp_path}: is a directory, expected a YAML file"),
        (tmp_path / "absent.yaml", f"{tmp_path}/absent.yaml: no such file"),
        (tmp_path / "file" / "x", f"{tmp_path}/file/x: cannot be read: Not a directory"),
        (tmp_path / "a\nb", f"{tmp_path}/a\\nb: no such file"),
        (tmp_path / "a\0b", f"{tmp_path}/a\\x00b: is not a file name"),
        ("/dev/zero", "/dev/zero: is not a regular file, expected a YAML file"),
    ):
        with pytest.raises(InputError) as caught:
            load(path)
        assert caught.value.problems == (said,)


def test_an_alias_is_refused_where_it_stands_and_never_expanded(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    found = problems(load_hardware, tmp_path, "\n".join(levels) + "\nname: *undefined\n")
    alias = "aliases (*name) are not supported; write the value again"
    assert [problem for problem in found if alias in problem] == [
        *(f":{i + 1}: a{i}[{j}]: {alias}" for i in range(1, 9) for j in range(9)),
        f":10: name: {alias}",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "hwconfigs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_machine_loads(path: Path) -> None:
    assert load_hardware(path).name == path.stem
    assert check_file(path) == f"hardware {path.stem}"


@pytest.mark.parametrize("path", sorted((ROOT / "workloads").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_workload_loads(path: Path) -> None:
    workload = load_workload(path)
    assert workload.name == path.stem
    if workload.network is None:
        assert not path.with_suffix(".npz").exists()
    else:
        *hidden, last = [layer.name for layer in workload.network.layers]
        assert hidden == [f"hidden{index + 1}" for index in range(len(hidden))]
        assert last == "logits"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "accelsim/energy/tables").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_shipped_energy_table_loads(path: Path) -> None:
    assert check_file(path) == f"energy table {path.stem}"


@pytest.mark.parametrize(
    "text", ["\ufeff" + HARDWARE, HARDWARE.replace("\n", "\r\n"), "%YAML 1.1\n---\n" + HARDWARE]
)
def test_a_byte_order_mark_line_ends_and_directives_do_not_matter(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "plain.yaml").write_text(HARDWARE)
    (tmp_path / "other.yaml").write_bytes(text.encode())
    assert load_hardware(tmp_path / "other.yaml") == load_hardware(tmp_path / "plain.yaml")


def test_a_machine_needs_no_more_than_name_clock_and_array(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\nclock_mhz: 1\narray: {rows: 1, cols: 2, dataflow: os, overlap_folds: false}\n"
    )
    machine = load_hardware(path)
    assert (machine.array.rows, machine.array.cols) == (1, 2)
    assert str(machine).count("(default)") == 5


def test_a_file_of_another_kind_is_told_in_one_line() -> None:
    machine, network = (
        ROOT / "hwconfigs" / "mid-32x32.yaml",
        ROOT / "workloads" / "digits-relu.yaml",
    )
    for load, path, said in (
        (load_hardware, network, "is of kind workload, expected hardware"),
        (load_workload, machine, "is of kind hardware, expected workload"),
    ):
        with pytest.raises(InputError) as caught:
            load(path)
        assert str(caught.value) == f"{path}: {said}"
