"""What a MAC, an access and a machine are made of: parts that add up, to the last digit."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim
from accelsim.config import energy_table_names, load_energy_table, load_hardware, shipped
from accelsim.energy import (
    Area,
    Cost,
    EnergyTable,
    Estimator,
    Item,
    area_um2,
    built,
    charge,
    leakage_by_part_mw,
    leakage_mw,
    leakage_pj,
    needs,
    scale_logic,
)
from accelsim.energy.entries import AreaLaw
from accelsim.energy.laws import fit_power, residuals
from accelsim.energy.machine_area import Needs
from accelsim.energy.parts import (
    access,
    area,
    clocked,
    energy,
    in_units,
    lookup,
    mac,
    operation,
    polynomial,
    softmax,
    step,
    times,
)
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Adder, Arithmetic, Hardware, Sram, lower
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.formats import Format, parse_format
from accelsim.trace import Detector, LayerTrace

TABLES = [load_energy_table(name) for name in energy_table_names()]
E4M3, FP16, FP32 = (FloatFormat.parse(name) for name in ("e4m3fn", "fp16", "fp32"))
LOW, HIGH = Accumulator(E4M3, overflow="saturate"), Accumulator(FP32)
FORMATS = st.builds("e{}m{}".format, st.integers(2, 8), st.integers(0, 23)) | st.builds(
    "int{}".format, st.integers(1, 32)
)


def all_items(item: Item) -> Iterator[Item]:
    yield item
    for part in item.parts:
        yield from all_items(part)


def check_sums(item: Item) -> None:
    """Every whole is the sum of its parts, to the last digit of the number and of the print."""
    for inner in all_items(item):
        if inner.parts:
            assert inner.value == math.fsum(part.value for part in inner.parts)
            assert all(part.value > 0 for part in inner.parts)
    for unit in (1e-4, 0.03, 1.0):
        rows = in_units(item, unit)
        assert [inner for _, inner, _ in rows] == list(all_items(item))
        numbers = {id(inner): number for _, inner, number in rows}
        assert rows[0][2] == round(item.value / unit)
        for _, inner, number in rows:
            if inner.parts and len({id(part) for part in inner.parts}) == len(inner.parts):
                assert number == sum(numbers[id(part)] for part in inner.parts)


@given(FORMATS, FORMATS)
def test_a_mac_is_the_sum_of_its_parts(first: str, second: str) -> None:
    operands, into = parse_format(first), parse_format(second)
    for table, measure in itertools.product(TABLES, (energy, area)):
        check_sums(mac(measure(table), operands, [into]))
    check_sums(clocked(mac(energy(TABLES[0]), operands, [into]), TABLES[0]))


@given(FORMATS, st.sampled_from(["add", "multiply", "compare", "register"]))
def test_an_operation_s_parts_make_what_the_table_says(name: str, what: str) -> None:
    for table in TABLES:
        action = Arithmetic(what, name)  # type: ignore[arg-type]
        assert operation(energy(table), action).value == pytest.approx(
            table.cost(action).energy_pj, rel=1e-15
        )


def test_a_published_addition_already_contains_its_alignment() -> None:
    found = operation(energy(load_energy_table("45nm")), Arithmetic("add", "fp32"))
    assert found.value == pytest.approx(0.9, rel=1e-15)
    assert found.kind == "measured"
    assert [part.name for part in found.parts] == [
        "exponent logic",
        "significand adder",
        "alignment",
        "normalisation and rounding",
    ]
    assert found.parts[2].value == found.parts[3].value
    # That an int8 adder is measured does not make the share of it in another adder a measurement.
    integer = load_energy_table("45nm").cost(Arithmetic("add", "int8"))
    assert integer.kind == "measured"
    for part in found.parts:
        assert part.kind == "estimated"
        assert part.source.startswith("assumed: ")
        assert found.source in part.source
    assert integer.source in found.parts[0].source
    # What the split leaves for the two shifters is near that of Aladdin's, 0.417 pJ at 40 nm.
    assert found.parts[2].value == pytest.approx(0.417, rel=0.1)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_wide_accumulator_costs_more_and_a_shared_one_is_counted_once(table: Estimator) -> None:
    for measure in (energy(table), area(table)):
        narrow, wide = (mac(measure, E4M3, [fmt]).value for fmt in (E4M3, FP32))
        both = mac(measure, E4M3, [E4M3, FP32]).value
        assert narrow < wide < both
        multiplier = operation(measure, Arithmetic("multiply", "e4m3fn")).value
        assert both == pytest.approx(narrow + wide - multiplier, rel=1e-12)
        assert mac(measure, E4M3, [FP32, FP32]).value == wide


def test_a_mac_costs_what_its_actions_are_counted_for() -> None:
    table = load_energy_table("7nm")
    counted = ("multiply", "e4m3fn"), ("add", "fp32"), ("register", "fp32")
    by_hand = math.fsum(table.cost(Arithmetic(*one)).energy_pj for one in counted)  # type: ignore[arg-type]
    assert mac(energy(table), E4M3, [FP32]).value == pytest.approx(by_hand, rel=1e-15)


@pytest.mark.parametrize("into", [FP32, FixedFormat(20, 9)], ids=str)
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_a_mac_in_an_array_costs_what_its_actions_are_counted_for(
    dataflow: str, into: Format
) -> None:
    # So many MACs that putting the stationary operand in place is next to nothing.
    rows, terms = 10**6, 3
    shape = (terms, terms, rows) if dataflow == "is" else (rows, terms, terms)
    accumulator = Accumulator(into, overflow="saturate")
    layer = LayerTrace("l", shape[0], shape[1], shape[2], E4M3, FP16, accumulator)
    if dataflow == "is":
        layer = replace(layer, m=terms, n=rows)
    array = {"rows": 3, "cols": 3, "dataflow": dataflow, "overlap_folds": True}
    pads = {key: {"capacity_bytes": 2**26} for key in "abc"}
    hardware = Hardware.model_validate(
        {"name": "m", "clock_mhz": 1.0, "array": array, "scratchpads": pads}
    )
    counts = lower(layer, hardware).counts
    for table in TABLES:
        lines = charge(counts, table)
        spent = math.fsum(
            line.energy_pj for line in lines if line.component in {"array", "wires", "clock"}
        )
        one = step(energy(table), E4M3, into, dataflow)
        check_sums(one)
        assert spent / layer.macs == pytest.approx(one.value, rel=1e-4)


@given(st.integers(1, 2**22), st.integers(1, 1024), st.integers(0, 64))
def test_a_wider_access_never_costs_less(capacity: int, width: int, more: int) -> None:
    table = load_energy_table("45nm")
    narrow, wide = (access(table, capacity, bits).value for bits in (width, width + more))
    assert narrow <= wide
    assert access(table, 8192, 64).value == 10.0


def test_functions_of_one_value_are_made_of_operations() -> None:
    table = load_energy_table("45nm")
    pj = energy(table)
    cubic = polynomial(pj, FP16, 3)
    assert cubic.value == pytest.approx(3 * (1.1 + 0.4))
    table_read = lookup(table, FP16, 256)
    # 512 B are charged as the smallest memory that is known, and a value as a quarter of its word.
    assert table_read.value == 2.5
    for exponential in (cubic, table_read):
        element = softmax(pj, FP16, exponential)
        check_sums(element)
        more = table.cost(Arithmetic("compare", "fp16")).energy_pj + 2 * 0.4 + 1.1
        assert element.value == pytest.approx(exponential.value + more)


@given(st.integers(0, 10**6), FORMATS)
def test_so_many_of_a_part_are_so_many_of_its_parts(number: int, name: str) -> None:
    one = mac(area(TABLES[0]), parse_format(name), [FP32])
    many = times(number, one)
    check_sums(many)
    assert many.value == pytest.approx(number * one.value, rel=1e-12)


MACHINES = ("edge-16x16", "mid-32x32", "datacentre-128x128")


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_machine_is_the_sum_of_its_components(name: str, table: Estimator) -> None:
    hardware = load_hardware(shipped("hwconfigs", name))
    detector = Detector("exact", FP32, 1, 1)
    for needed in (needs(E4M3, LOW), needs(E4M3, LOW, HIGH, detector)):
        for found in (area_um2(hardware, needed, table), leakage_mw(hardware, needed, table)):
            check_sums(found)
    components = {part.name for part in area_um2(hardware, needed, table).parts}
    lanes = {"recompute", "queue"} if hardware.recompute.unit == "lanes" else set()
    pads = {"scratchpad_a", "scratchpad_b", "scratchpad_c"}
    assert components == {"array", "detector", "vector", *pads, *lanes}


DETECTORS = {
    "compares_per_output": ("compare fp32, for each output", 32),
    "multiplies_per_output": ("multiply fp32, for each output", 32),
    "adds_per_output": ("add fp32, for each output", 32),
    "multiplies_per_word": ("multiply e4m3fn, for each word", 16),
    "adds_per_word": ("add fp32, for each word", 16),
    "compares_per_word": ("compare fp32, for each word", 16),
    "multiplies_per_row": ("multiply fp32, for each row", 1),
    "adds_per_row": ("add fp32, for each row", 1),
    "compares_per_row": ("compare fp32, for each row", 1),
}


@pytest.mark.parametrize("quantity", DETECTORS)
def test_whatever_a_detector_does_has_a_unit(quantity: str) -> None:
    hardware = load_hardware(shipped("hwconfigs", "mid-32x32"))
    hardware = hardware.model_copy(
        update={"array": hardware.array.model_copy(update={"rows": 16, "count": 3})}
    )
    table = load_energy_table("45nm")
    counts = {"multiplies_per_output": 0, "compares_per_output": 0} | {quantity: 1}
    needed = needs(E4M3, LOW, HIGH, Detector("x", None, **counts))
    found = next(p for p in area_um2(hardware, needed, table).parts if p.name == "detector")
    name, number = DETECTORS[quantity]
    parts = {part.name: part for part in found.parts}
    what, fmt = name.split(",")[0].split()
    one = table.area(Arithmetic(what, fmt)).area_um2  # type: ignore[arg-type]
    assert parts.pop(name).value == pytest.approx(3 * number * one)
    # What is added up for the words of a row is kept in a register.
    assert [*parts] == (["register fp32, for each word"] if quantity == "adds_per_word" else [])
    assert all(part.value == pytest.approx(3 * 16 * 32 * 5.98) for part in parts.values())


def test_every_policy_s_detector_is_built_of_what_it_does() -> None:
    fields = {f.name for f in dataclasses.fields(Detector)} - {"name", "numerator_format"}
    assert fields == set(DETECTORS)


def test_a_list_of_what_is_redone_later_is_a_memory_of_its_size() -> None:
    machine = shipped("hwconfigs", "mid-32x32-8-lanes-deferred")
    run = accelsim.run(machine, shipped("workloads", "digits-relu"), "selective:tau=8")
    longest = max(
        layer.trace.recomputed_outputs
        for layer in run.layers
        if isinstance(layer.trace, LayerTrace)
    )
    assert run.area is not None
    parts = {part.name: part.value for part in run.area.parts}
    assert parts["list"] == pytest.approx(longest * 8 * 8 * 0.389)
    assert parts["queue"] == pytest.approx(32 * 8 * 8 * 0.389)
    low = accelsim.run(machine, shipped("workloads", "digits-relu"), "uniform-low")
    assert low.area is not None
    assert {"list", "queue", "recompute"}.isdisjoint(part.name for part in low.area.parts)


def test_tables_of_functions_take_area_in_every_lane_of_the_vector_unit() -> None:
    hardware, table = load_hardware(shipped("hwconfigs", "mid-32x32")), load_energy_table("45nm")
    vector = hardware.vector.model_copy(update={"functions": "table", "table_entries": 128})
    tabled = hardware.model_copy(update={"vector": vector})
    sizes = [area_um2(machine, needs(E4M3, LOW), table).value for machine in (hardware, tabled)]
    assert sizes[1] - sizes[0] == pytest.approx(32 * 128 * 4 * 8 * 0.389)


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_that_can_recompute_pays_for_both_accumulators(name: str) -> None:
    hardware, table = load_hardware(shipped("hwconfigs", name)), load_energy_table("45nm")

    def size(needed: Needs) -> float:
        return area_um2(hardware, needed, table).value

    low, high, both = (
        size(needs(E4M3, *accumulators)) for accumulators in ((LOW,), (HIGH,), (LOW, HIGH))
    )
    assert low < high
    assert low < both
    units = (
        hardware.recompute.lanes
        if hardware.recompute.unit == "lanes"
        else (hardware.array.macs_per_cycle)
    )
    wide = sum(table.area(Arithmetic(op, "fp32")).area_um2 for op in ("add", "register"))
    assert both - low >= units * wide * (1 - 1e-9)
    if hardware.recompute.unit == "array":
        assert both - low == pytest.approx(units * wide)
        assert both > high
        assert size(needs(E4M3, HIGH, HIGH)) == high  # shared, and counted once


@pytest.mark.parametrize("high", [None, HIGH], ids=["one accumulator", "both"])
@pytest.mark.parametrize("name", MACHINES)
def test_how_many_of_each_part_there_are_times_their_areas_is_the_area(
    name: str, high: Accumulator | None
) -> None:
    hardware = load_hardware(shipped("hwconfigs", name))
    needed = needs(E4M3, LOW, high, Detector("x", FP32, 1, 1) if high else None)
    found = built(hardware, needed)
    for table in TABLES:
        for component in area_um2(hardware, needed, table).parts:
            parts = found[component.name]
            whole = math.fsum(number * table.area(part).area_um2 for part, number in parts.items())
            assert whole == pytest.approx(component.value, rel=1e-12), component.name
    macs = hardware.array.macs_per_cycle
    assert found["array"][Arithmetic("multiply", "e4m3fn")] == macs
    assert found["array"][Arithmetic("register", "e4m3fn")] == 3 * macs  # a sum and two operands
    # The integer adders inside of a floating-point one are no parts of their own.
    assert {part for part in found["array"] if "fixed" in str(part)} == set()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_area_of_an_array_is_that_of_what_its_pes_are_made_of(table: EnergyTable) -> None:
    hardware = load_hardware(shipped("hwconfigs", "edge-16x16"))
    found = {part.name: part for part in area_um2(hardware, needs(E4M3, LOW), table).parts}
    assert table.register_bit is not None
    bit = table.register_bit.area_um2_per_bit
    assert bit is not None
    # A multiplier, an adder, an accumulator of 8 bits, and two operands of 8 bits passing by.
    units = [table.area(Arithmetic(what, "e4m3fn")).area_um2 for what in ("multiply", "add")]
    pe = math.fsum([*units, 8 * bit, 2 * 8 * bit])
    assert found["array"].value == pytest.approx(16 * 16 * pe, rel=1e-12)
    held = {part.name: part.value for part in found["array"].parts}["operand register e4m3fn"]
    assert held == pytest.approx(16 * 16 * 2 * 8 * bit, rel=1e-12)


def test_a_shifter_stands_where_something_is_shifted_and_nowhere_else() -> None:
    hardware, table = load_hardware(shipped("hwconfigs", "edge-16x16")), load_energy_table("45nm")
    narrow, wide = FixedFormat.parse("fixed10.7"), FixedFormat.parse("fixed24.7")
    saturating: dict[str, Any] = {"overflow": "saturate"}

    def shifters(low: Accumulator, high: Accumulator | None = None) -> set[str]:
        needed = needs(E4M3, low, high)
        found = {item.name for item in all_items(area_um2(hardware, needed, table))}
        return {name.split()[1] for name in found if name.startswith("shift ")}

    chunked = Accumulator(narrow, chunk=4, outer=wide, **saturating)
    assert shifters(chunked) == {"fixed10.7"}  # its chunks go on over wires
    assert shifters(Accumulator(E4M3, chunk=4, outer=wide, **saturating)) == {"fixed24.7"}
    assert shifters(Accumulator(narrow, order="spill", outer=FP32, **saturating)) == {"fixed10.7"}
    # What is too large for the narrow sum goes to the wide one by itself.
    spilling = Accumulator(narrow, order="spill", outer=wide, **saturating)
    assert shifters(spilling) == {"fixed10.7", "fixed24.7"}
    assert shifters(chunked, Accumulator(wide, **saturating)) == {"fixed10.7", "fixed24.7"}
    assert shifters(LOW, HIGH) == set()
    layer = LayerTrace("a", 1, 1, 1, E4M3, FP16, chunked)
    assert Needs.of([layer]) == needs(E4M3, chunked)
    assert Needs.of([layer]).of_sums == (wide,)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_whatever_leaks_names_the_source_of_its_area_and_of_the_density(table: EnergyTable) -> None:
    hardware = load_hardware(shipped("hwconfigs", "mid-32x32"))
    needed = needs(E4M3, LOW, HIGH, Detector("x", FP32, 1, 1))
    areas, leaks = (found(hardware, needed, table) for found in (area_um2, leakage_mw))
    for component in leaks.parts:
        size = next(part for part in areas.parts if part.name == component.name)
        entry = table.leakage_of("sram" if component.source else "logic")
        assert entry is not None
        pairs = zip((component, *component.parts), (size, *size.parts), strict=True)
        for item, occupied in pairs:
            if item.source:
                assert item.kind == "estimated"
                assert f"{entry.power_mw_per_mm2:g} mW/mm2 [{entry.kind}]" in item.source
                assert entry.source in item.source
                assert f"[{occupied.kind}] {occupied.source}" in item.source
        assert component.source or all(part.source for part in component.parts)


LEAKS = re.compile(
    r"(\S+) mW/mm2 \[\w+\] .*; on (\S+) um2 \[\w+\] .* \((?:node not stated|\S+ nm)\)$"
)


@pytest.mark.parametrize("name", ["mid-32x32", "edge-16x16", "datacentre-128x128"])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_stands_in_a_line_of_leakage_makes_its_number(table: EnergyTable, name: str) -> None:
    hardware = load_hardware(shipped("hwconfigs", name))
    needed = needs(E4M3, LOW, HIGH, Detector("x", FP32, 1, 1))
    found = 0
    for component in leakage_mw(hardware, needed, table).parts:
        for item in component.parts or (component,):
            said = LEAKS.fullmatch(item.source)
            assert said is not None, item.source
            density, um2 = map(float, said.groups())
            assert item.value == pytest.approx(item.number * density * um2 / 1e6, rel=1e-5)
            assert item.title.startswith(f"{item.number} × ") == (item.number > 1)
            found += 1
    array = area_um2(hardware, needed, table).parts[0]
    assert {item.number for item in array.parts if item.name.startswith("multiply")} == {
        hardware.array.macs_per_cycle
    }
    (held,) = (item.number for item in array.parts if item.name.startswith("operand register"))
    assert held == 2 * hardware.array.macs_per_cycle
    assert found > 8


@given(st.integers(1, 10**4), FORMATS)
def test_whatever_there_are_many_of_says_so_and_its_one_is_what_it_says(
    number: int, name: str
) -> None:
    one = mac(area(TABLES[0]), parse_format(name), [FP32])
    for single, many in zip(all_items(one), all_items(times(number, one)), strict=True):
        assert many.number == number * single.number
        assert (many.name, many.source) == (single.name, single.source)
        assert many.value == pytest.approx(number * single.value, rel=1e-12)


def test_an_area_names_the_node_that_it_is_of_also_where_logic_is_scaled() -> None:
    hardware = load_hardware(shipped("hwconfigs", "edge-16x16"))
    scaled = scale_logic(load_energy_table("45nm"), 16, 0.8)
    for item in all_items(area_um2(hardware, needs(E4M3, LOW), scaled)):
        if not item.parts:
            # Aladdin's register is of 40 nm; nothing has become one of 16.
            node = 40 if "register" in item.name else 45
            assert item.source.rstrip(")").endswith(f"({node} nm"), item.source
    for item in all_items(leakage_mw(hardware, needs(E4M3, LOW), scaled)):
        if item.source and not item.source.startswith("assumed"):
            assert re.search(r"\(40 nm, voltage not stated\); on .* \((40|45) nm\)$", item.source)


@pytest.mark.parametrize("capacity_bytes", [64, 512, 4096, 2**20])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_scratchpad_has_its_area_and_leaks(table: EnergyTable, capacity_bytes: int) -> None:
    hardware = load_hardware(shipped("hwconfigs", "edge-16x16"))
    pads = {
        f"{key}": getattr(hardware.scratchpads, key).model_copy(
            update={"capacity_bytes": capacity_bytes}
        )
        for key in "abc"
    }
    pads_of = hardware.scratchpads.model_copy(update=pads)
    small = hardware.model_copy(update={"scratchpads": pads_of})
    assert table.sram_area is not None
    density = table.leakage_of("sram")
    assert density is not None
    um2 = capacity_bytes * 8 * table.sram_area.area_um2_per_bit
    areas = {part.name: part.value for part in area_um2(small, needs(E4M3, LOW), table).parts}
    leaks = {part.name: part.value for part in leakage_mw(small, needs(E4M3, LOW), table).parts}
    for key in "abc":
        assert areas[f"scratchpad_{key}"] == pytest.approx(um2, rel=1e-12)
        assert leaks[f"scratchpad_{key}"] == pytest.approx(
            um2 * 1e-6 * density.power_mw_per_mm2, rel=1e-12
        )


def test_every_quantity_of_a_machine_adds_area() -> None:
    hardware, table = load_hardware(shipped("hwconfigs", "mid-32x32")), load_energy_table("45nm")
    base = area_um2(hardware, needs(E4M3, LOW, HIGH), table).value
    larger: list[dict[str, Any]] = [
        {"array": hardware.array.model_copy(update={"rows": 33})},
        {"array": hardware.array.model_copy(update={"count": 2})},
        {"recompute": hardware.recompute.model_copy(update={"lanes": 65})},
        {"recompute": hardware.recompute.model_copy(update={"queue_capacity": 257})},
        {"vector": hardware.vector.model_copy(update={"operations_per_cycle": 33})},
        {"scratchpads": hardware.scratchpads.model_copy(
            update={"b": hardware.scratchpads.b.model_copy(update={"capacity_bytes": 131073})}
        )},
    ]  # fmt: skip
    for change in larger:
        changed = hardware.model_copy(update=change)
        assert area_um2(changed, needs(E4M3, LOW, HIGH), table).value > base, change
    detected = needs(E4M3, LOW, HIGH, Detector("x", FP32, 0, 0))
    assert area_um2(hardware, detected, table).value > base


def test_what_layers_need_is_what_each_of_them_needs() -> None:
    layer = LayerTrace("a", 1, 1, 1, E4M3, FP16, LOW)
    chunked = replace(layer, accumulator=Accumulator(E4M3, chunk=4, outer=FP32))
    assert Needs.of([layer]) == needs(E4M3, LOW)
    assert Needs.of([layer, chunked]).first == (Adder.of(E4M3), Adder.of(FP32))


@pytest.mark.parametrize(("mw", "seconds"), [(2.0, 1e-3), (2.0, 5e-6), (0.3, 1e-3), (7.0, 2.0)])
def test_leakage_is_power_times_time(mw: float, seconds: float) -> None:
    assert leakage_pj(mw, seconds) == pytest.approx(mw * 1e-3 * seconds * 1e12, rel=1e-14)


def memory_names(item: Item) -> set[str]:
    words = ("scratchpad", "queue", "list", "table of a function")
    return {inner.name for inner in all_items(item) if inner.name.startswith(words)}


@pytest.mark.parametrize("name", [*MACHINES, "edge-16x16-tile"])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_leaks_is_logic_and_memories(name: str, table: EnergyTable) -> None:
    hardware = load_hardware(shipped("hwconfigs", name))
    vector = hardware.vector.model_copy(update={"functions": "table", "table_entries": 128})
    hardware = hardware.model_copy(update={"vector": vector})
    needed = replace(needs(E4M3, LOW, HIGH, Detector("x", FP32, 1, 1)), list_bytes=640)
    found = leakage_mw(hardware, needed, table)
    parts = leakage_by_part_mw(hardware, needed, table)
    # All of the tree that is called a memory, and nothing else.
    memories = [item.value for item in all_items(found) if item.name in memory_names(found)]
    assert parts["sram"] == pytest.approx(math.fsum(memories), rel=1e-12)
    assert parts["logic"] + parts["sram"] == pytest.approx(found.value, rel=1e-15)
    # Twice the density of one part is twice what it leaks, and does nothing to the other.
    for part in ("logic", "sram"):
        leakage = [
            entry.model_copy(update={"power_mw_per_mm2": 2 * entry.power_mw_per_mm2})
            if entry.part == part else entry
            for entry in table.leakage
        ]  # fmt: skip
        doubled = leakage_by_part_mw(
            hardware, needed, table.model_copy(update={"leakage": leakage})
        )
        for other, mw in parts.items():
            assert doubled[other] == pytest.approx((1 + (other == part)) * mw, rel=1e-12)


def test_laws_are_the_fits_that_they_are_said_to_be() -> None:
    for name, operations in (("45nm", ("multiply", "add")), ("7nm", ("multiply", "add"))):
        table = load_energy_table(name)
        for law in (*table.width_laws, *(table.area_laws if name == "45nm" else [])):
            if law.operation == "shift":  # through one figure
                continue
            assert law.operation in operations
            _, per_bit = law.parameters
            points = []
            for found in residuals(table):
                if found.law is law:
                    fmt = parse_format(found.format)
                    floating = isinstance(fmt, FloatFormat)
                    p = fmt.mantissa_bits + 1 if floating else fmt.bits  # type: ignore[union-attr]
                    e = fmt.exponent_bits if floating else 0  # type: ignore[union-attr]
                    points.append((p, found.published - per_bit * e))
            assert len(points) >= 2
            assert fit_power(points) == pytest.approx((law.parameters[0], law.exponent), rel=1e-4)


@pytest.mark.parametrize(("name", "most"), [("45nm", 1e-4), ("7nm", 0.03), ("40nm", 1e-3)])
def test_residuals_of_the_laws_are_small_and_known(name: str, most: float) -> None:
    found = residuals(load_energy_table(name))
    assert found
    assert max(abs(residual.relative) for residual in found) <= most
    areas = {r.law.operation for r in found if isinstance(r.law, AreaLaw)}
    assert areas == ({"shift"} if name == "7nm" else {"multiply", "add", "shift"})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_shifters_grow_as_their_multiplexers_do(table: EnergyTable) -> None:
    # n words of log2(n) stages each, as in a barrel shifter, and Aladdin's of 32 bits.
    for laws, at_32 in (
        (table.width_laws, table.cost(Arithmetic("shift", "int32")).energy_pj),
        (table.area_laws, table.area(Arithmetic("shift", "int32")).area_um2),
    ):
        (law,) = (law for law in laws if law.operation == "shift")
        assert law.numbers == "fixed"
        for bits in (8, 16, 32):
            by_stages = at_32 * bits * math.log2(bits) / (32 * 5)
            rel = 0.04 if bits == 16 else 1e-4
            assert law.at(FixedFormat(bits))[0] == pytest.approx(by_stages, rel=rel)


def test_the_docs_say_what_a_sum_in_fixed_point_takes() -> None:
    docs = Path(__file__).parents[2] / "docs" / "energy.md"
    said = " ".join(docs.read_text(encoding="utf-8").split())
    fixed = FixedFormat.parse("fixed10.7")
    names = ("add", "shift", "register")
    old, aladdin = load_energy_table("45nm"), load_energy_table("40nm")
    add, shift, register = (old.cost(Arithmetic(n, fixed.name)).energy_pj for n in names)  # type: ignore[arg-type]
    floating = math.fsum(old.cost(Arithmetic(n, "e4m3fn")).energy_pj for n in ("add", "register"))
    assert f"would take {add + register:.2f} pJ for a term at 45 nm" in said
    assert f"where it takes {add + shift + register:.2f}, register and all" in said
    assert f"e4m3 takes {floating:.2f}." in said
    whole = math.fsum(aladdin.cost(Arithmetic(n, fixed.name)).energy_pj for n in ("add", "shift"))
    addition = aladdin.cost(Arithmetic("add", "e4m3fn")).energy_pj
    assert f"of `fixed10.7` take {whole:.2f} pJ, e4m3's addition {addition:.1f}," in said


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_products_of_floating_point_are_shifted_into_fixed_point(table: Estimator) -> None:
    fixed, wide = FixedFormat.parse("fixed10.7"), FixedFormat.parse("int32")
    for measure in (energy(table), area(table)):
        found = mac(measure, E4M3, [fixed])
        parts = {part.name: part.value for part in found.parts}
        assert [*parts] == [
            "multiply e4m3fn", "shift fixed10.7", "add fixed10.7", "register fixed10.7"
        ]  # fmt: skip
        assert 0.0 < parts["shift fixed10.7"] < mac(measure, E4M3, [wide]).parts[1].value
        for operands, into in ((E4M3, FP32), (FixedFormat.parse("int8"), wide)):
            names = {part.name.split()[0] for part in mac(measure, operands, [into]).parts}
            assert names == {"multiply", "add", "register"}  # which contain it, or need none


class GateLevel:
    """Another estimator: all it takes to stand in for a table."""

    name = "gates"

    def cost(self, action: Action) -> Cost:
        if isinstance(action, Arithmetic) and action.operation == "multiply":
            raise AccelsimError("gates: no multipliers")
        return Cost(1.0, "one of each", "estimated")

    def area(self, part: Arithmetic | Sram) -> Area:
        return Area(2.0, 0.5, "two of each", "estimated")


def test_any_estimator_can_stand_in_for_a_table() -> None:
    machine = shipped("hwconfigs", "edge-16x16")
    estimator = GateLevel()
    hardware = load_hardware(machine)
    assert leakage_mw(hardware, needs(E4M3, LOW), estimator).value == (
        area_um2(hardware, needs(E4M3, LOW), estimator).value / 4
    )
    run = accelsim.run(machine, shipped("workloads", "bert-base"), "uniform-low", estimator)
    with pytest.raises(AccelsimError, match="gates: no multipliers"):
        _ = run.energy_pj
