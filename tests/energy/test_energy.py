"""Energy: sourced tables, and a fold over exact counts."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import accelsim
from accelsim import energy
from accelsim.config import energy_table_names, load_energy_table, load_hardware, shipped
from accelsim.energy import EnergyTable, adding_up, by_component, charge, scale_logic, total_pj
from accelsim.energy.estimate import conditions
from accelsim.energy.scale import POLYNOMIALS, logic_energy
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, Counts, DramAccess, Sram
from accelsim.machine.counts import Operation
from accelsim.networks import Gemm, Workload
from accelsim.numerics import FloatFormat
from accelsim.report.kappa import LEFT_OUT

TABLES = ("40nm", "45nm", "7nm")

# The cited figures, pJ: M. Horowitz, ISSCC 2014; Jouppi et al., ISCA 2021, table 2; Y. S. Shao et
# al., Aladdin, ISCA 2014, at 40 nm and 1 ns, with CACTI's memories at 45 nm.
LPDDR4 = DramAccess("read", "lpddr4")
# Of the clock network of an accelerator, before routing and after it: what the tree adds to pins.
CLOCK_PJ = round(0.00794 * (0.28 * 1.172 / (0.34 * 0.821) - 1.0), 4)
CITED: dict[str, dict[Action, float]] = {
    "45nm": {
        Arithmetic("add", "int8"): 0.03,
        Arithmetic("multiply", "int8"): 0.2,
        Arithmetic("add", "int32"): 0.1,
        Arithmetic("multiply", "int32"): 3.1,
        Arithmetic("add", "fp16"): 0.4,
        Arithmetic("multiply", "fp16"): 1.1,
        Arithmetic("add", "fp32"): 0.9,
        Arithmetic("multiply", "fp32"): 3.7,
        Arithmetic("shift", "int32"): 0.417,
        Arithmetic("compare", "fp32"): 0.1,
        Arithmetic("register", "fp32"): 32 * 0.009,
        Arithmetic("operand", "int8"): 8 * 0.009,
        Arithmetic("clock", "fp32"): 32 * CLOCK_PJ,
        Arithmetic("hop", "int8"): 8 * 0.2 * 0.9**2 / 4 * 0.109,
        Sram("read", 8192): 10 / 8,
        Sram("write", 32768): 20 / 8,
        Sram("read", 2**20): 100 / 8,
        LPDDR4: 8 * 8,
        DramAccess("write", "hbm2"): 3.97 * 8,
        DramAccess("read", "hbm3"): 4.05 * 8,
        DramAccess("read", "ddr3"): 70 * 8,
    },
    "7nm": {
        Arithmetic("add", "int8"): 0.007,
        Arithmetic("multiply", "int8"): 0.07,
        Arithmetic("add", "int32"): 0.03,
        Arithmetic("multiply", "int32"): 1.48,
        Arithmetic("add", "bf16"): 0.11,
        Arithmetic("multiply", "bf16"): 0.21,
        Arithmetic("add", "fp16"): 0.16,
        Arithmetic("multiply", "fp16"): 0.34,
        Arithmetic("add", "fp32"): 0.38,
        Arithmetic("multiply", "fp32"): 1.31,
        Arithmetic("shift", "int32"): 0.417 * 0.03 / 0.1,
        Arithmetic("compare", "fp32"): 0.03,
        Arithmetic("register", "fp32"): 32 * 0.009 * 0.03 / 0.1,
        Arithmetic("operand", "int8"): 8 * 0.009 * 0.03 / 0.1,
        Arithmetic("clock", "fp32"): 32 * CLOCK_PJ * 0.03 / 0.1,
        Arithmetic("hop", "int8"): 8 * 0.2 * 0.7**2 / 4 * 0.0304,
        Sram("read", 8192): 7.5 / 8,
        Sram("write", 32768): 8.5 / 8,
        Sram("read", 2**20): 14 / 8,
        LPDDR4: 8 * 8,
        DramAccess("read", "hbm2"): (250 + 450) / 2 / 64 * 8,
        DramAccess("read", "gddr6"): (350 + 480) / 2 / 64 * 8,
        DramAccess("read", "hbm3"): 4.05 * 8,
        DramAccess("read", "ddr3"): 70 * 8,
    },
    "40nm": {
        Arithmetic("add", "int32"): 0.21,
        Arithmetic("multiply", "int32"): 12.68,
        Arithmetic("add", "fp32"): 16.7,
        Arithmetic("multiply", "fp32"): 35.3,
        Arithmetic("shift", "int32"): 0.417,
        Arithmetic("compare", "fp32"): 0.02947,
        Arithmetic("register", "fp32"): 32 * 0.009,
        Arithmetic("operand", "int8"): 8 * 0.009,
        Arithmetic("clock", "fp32"): 32 * CLOCK_PJ,
        Arithmetic("hop", "int8"): 8 * 0.2 * 0.9**2 / 4 * 0.115,
        Sram("read", 8192): 6.1 / 8,
        Sram("write", 32768): 17 / 8,
        Sram("read", 2**20): 94 / 8,
        LPDDR4: 8 * 8,
        DramAccess("read", "hbm2"): 6.25 * 8,
        DramAccess("read", "hbm3"): 4.05 * 8,
        DramAccess("read", "ddr3"): 70 * 8,
    },
}
CITED_UM2: dict[str, dict[Arithmetic, float]] = {
    "45nm": {
        Arithmetic("add", "int8"): 36,
        Arithmetic("multiply", "int8"): 282,
        Arithmetic("add", "int32"): 137,
        Arithmetic("multiply", "int32"): 3495,
        Arithmetic("add", "fp16"): 1360,
        Arithmetic("multiply", "fp16"): 1640,
        Arithmetic("add", "fp32"): 4184,
        Arithmetic("shift", "int32"): 250,
        Arithmetic("compare", "fp32"): 137,  # an int32 subtraction
        Arithmetic("multiply", "fp32"): 7700,
    },
    "40nm": {
        Arithmetic("add", "int32"): 278,
        Arithmetic("multiply", "int32"): 6350,
        Arithmetic("add", "fp32"): 4360,
        Arithmetic("multiply", "fp32"): 8970,
        Arithmetic("shift", "int32"): 250,
        Arithmetic("compare", "fp32"): 71,
        Arithmetic("register", "int8"): 8 * 5.98,
    },
}


def table(**changes: object) -> EnergyTable:
    return EnergyTable.model_validate(load_energy_table("45nm").model_dump() | changes)


# What other sources are cited with for the same, by table: as in the lists of alternatives.
WHOLE_TPUV4I = 55.0 / 400e-6 / 1e3
HOROWITZ_DRAM = [1300 / 64, 2600 / 64]
CITED_OTHERS: dict[str, dict[str, list[float]]] = {
    "45nm": {
        "clock": [],
        "wire": [0.345 * 0.9**2 / 4],
        "sram 8192": [6.1],
        "sram 32768": [17],
        "sram 1048576": [94],
        "dram ddr3": HOROWITZ_DRAM,
        "dram lpddr4": HOROWITZ_DRAM,
        "dram hbm2": [6.25],
        "dram hbm3": [],
        "leakage logic": [
            2.51e-5 / 71e-6, 0.0017 / 250e-6, 0.0024 / 278e-6, 0.08 / 6350e-6, 0.12 / 8970e-6
        ],
        "leakage sram": [
            0.02496255 / 3.26283, (4.48677 + 15.9418) / 3.26309, (469.914 + 27.4239) / 3.16947,
            82e-6 / 0.389e-6,
        ],
    },
    "7nm": {
        "clock": [],
        "wire": [0.247 * 0.7**2 / 4],
        "sram 8192": [1.6],
        "sram 32768": [3.8],
        "sram 1048576": [23.5],
        "dram ddr3": HOROWITZ_DRAM,
        "dram lpddr4": HOROWITZ_DRAM,
        "dram gddr6": [350 / 64, 480 / 64],
        "dram hbm2": [250 / 64, 450 / 64, 3.97],
        "dram hbm3": [],
        "leakage logic": [WHOLE_TPUV4I],
        "leakage sram": [WHOLE_TPUV4I, 0.177, 8.61, 98.5],
    },
    "40nm": {
        "clock": [],
        "wire": [0.345 * 0.9**2 / 4],
        "sram 8192": [10],
        "sram 32768": [20],
        "sram 1048576": [100],
        "dram ddr3": HOROWITZ_DRAM,
        "dram lpddr4": HOROWITZ_DRAM,
        "dram hbm2": [3.97],
        "dram hbm3": [],
        "leakage logic": [
            2.51e-5 / 71e-6, 0.0017 / 250e-6, 0.0024 / 278e-6, 0.08 / 6350e-6, 0.12 / 8970e-6
        ],
        "leakage sram": [2.5678e-4 / 0.0262675, 9.23907e-4 / 0.09486],
    },
}  # fmt: skip
# Stillmaker & Baas 2017, table of the energy's polynomials: a, b and c by node.
CITED_POLYNOMIALS = """
130 7.171 -6.709 2.904
90 4.762 -4.781 2.092
65 3.755 -4.398 1.975
45 1.103 -.362 .2767
32 .9559 -.7823 .471
20 .373 -.1582 .04104
16 .2958 -.1241 .03024
14 .2363 -.09675 .02239
10 .2068 -.09311 .02375
7 .1776 -.09097 .02447
"""


def test_three_tables_come_with_it() -> None:
    assert energy_table_names() == sorted(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_shipped_tables_hold_the_cited_figures(name: str) -> None:
    shipped = load_energy_table(name)
    for action, energy_pj in CITED[name].items():
        cost = shipped.cost(action)
        assert cost.energy_pj == pytest.approx(energy_pj, rel=1e-12), action
        assert cost.source
        # DRAM is a chip of its own, of whose node and voltage nobody says anything.
        assert bool(cost.node_nm) != isinstance(action, DramAccess)
        assert f"({conditions(cost.node_nm, cost.voltage_v)})" in cost.said
    for part, um2 in CITED_UM2.get(name, {}).items():
        assert shipped.area(part).area_um2 == pytest.approx(um2, rel=1e-12), part


def test_every_table_says_its_voltage_or_why_it_has_none() -> None:
    voltages = {name: load_energy_table(name).voltage_v for name in TABLES}
    assert voltages == {"45nm": 0.9, "7nm": None, "40nm": None}
    assert load_energy_table("45nm").conditions == "45nm: 45 nm, 0.9 V"
    for name in ("7nm", "40nm"):
        table = load_energy_table(name)
        assert table.voltage_unknown
        assert table.conditions == (
            f"{name}: {table.node_nm:g} nm, voltage not stated ({table.voltage_unknown})"
        )
        assert table.cost(Arithmetic("add", "fp32")).voltage_v is None
        # A table with neither is refused, and so is one with both.
        for changed in ({"voltage_unknown": None}, {"voltage_v": 1.0}):
            with pytest.raises(ValueError, match="expected voltage_v, or voltage_unknown"):
                EnergyTable.model_validate(table.model_dump() | changed)
    # Low-standby-power cells at 45 nm in tech_params/45nm.dat of CACTI.
    assert load_energy_table("40nm").cost(Sram("read", 8192)).voltage_v == 1.1
    assert conditions(None, None) == "node and voltage not stated"


@pytest.mark.parametrize("name", TABLES)
def test_what_other_sources_say_is_what_is_cited(name: str) -> None:
    shipped = load_energy_table(name)
    assert shipped.wire is not None
    assert shipped.clock_tree is not None
    lists = {"wire": shipped.wire.alternatives, "clock": shipped.clock_tree.alternatives}
    lists |= {entry.key: entry.alternatives for entry in shipped.sram}
    lists |= {entry.key: entry.alternatives for entry in shipped.dram}
    lists |= {entry.key: entry.alternatives for entry in shipped.leakage}
    found = {key: [other.value for other in others] for key, others in lists.items()}
    assert {*found} == {*CITED_OTHERS[name]}
    for key, values in CITED_OTHERS[name].items():
        assert found[key] == pytest.approx(values, rel=5e-3), key


def test_scaling_is_by_the_cited_polynomials() -> None:
    rows = [line.split() for line in CITED_POLYNOMIALS.split("\n") if line]
    cited = {int(node): tuple(map(float, values)) for node, *values in rows}
    assert cited == POLYNOMIALS


def test_areas_at_7_nm_are_horowitz_s_shrunk_as_cells_of_memory_shrank() -> None:
    old, new = load_energy_table("45nm"), load_energy_table("7nm")
    shrunk = 0.027 / 0.346
    assert len(old.area_laws) == len(new.area_laws)
    for before, after in zip(old.area_laws, new.area_laws, strict=True):
        assert (before.key, before.exponent) == (after.key, after.exponent)
        expected = [value * shrunk for value in before.parameters]
        assert after.parameters == pytest.approx(expected, rel=2e-3)
    for part in CITED_UM2["45nm"]:
        ratio = new.area(part).area_um2 / old.area(part).area_um2
        assert ratio == pytest.approx(shrunk, rel=2e-3), part


@pytest.mark.parametrize("name", TABLES)
def test_no_figure_of_a_shipped_table_is_missing_from_the_list(name: str) -> None:
    shipped = load_energy_table(name)
    listed = CITED[name]
    for entry in shipped.arithmetic:
        assert Arithmetic(entry.operation, entry.format) in listed
    assert {a.capacity_bytes for a in listed if isinstance(a, Sram)} == {
        entry.capacity_bytes for entry in shipped.sram
    }
    assert {a.type for a in listed if isinstance(a, DramAccess)} == {e.type for e in shipped.dram}


# What the figures would be for 4, 3 and 6 significand bits by laws of p alone, as planned.
@pytest.mark.parametrize(
    ("name", "operation", "a", "p"),
    [
        ("45nm", "multiply", 0.0264, 1.56),
        ("45nm", "add", 0.0331, 1.04),
        ("7nm", "multiply", 0.00627, 1.68),
        ("7nm", "add", 0.0107, 1.13),
    ],
)
def test_formats_without_a_figure_follow_the_width_law(
    name: str, operation: Operation, a: float, p: float
) -> None:
    shipped = load_energy_table(name)
    law = next(w for w in shipped.width_laws if (w.operation, w.numbers) == (operation, "float"))
    for fmt, exponent, bits in (("e4m3fn", 4, 4), ("e5m2", 5, 3), ("e6m5", 6, 6)):
        cost = shipped.cost(Arithmetic(operation, fmt))
        by_hand = law.coefficient_pj * bits**law.exponent + law.exponent_bit_pj * exponent
        assert cost.energy_pj == pytest.approx(by_hand, rel=1e-12)
        assert cost.energy_pj == pytest.approx(a * bits**p, rel=0.1)
        assert cost.kind == "estimated"
        assert f"{law.coefficient_pj:g}·{bits}^{law.exponent:g} + " in cost.source


FLOATS = st.builds("e{}m{}".format, st.integers(2, 8), st.integers(0, 23))
FIXED = st.builds("int{}".format, st.integers(1, 32))
OPERATIONS: tuple[Operation, ...] = ("multiply", "add", "compare", "register", "operand")
MOVES: tuple[Operation, ...] = ("hop", "clock")


def wider(name: str, by: tuple[int, int]) -> str:
    """A format with a wider exponent and mantissa, or a wider integer."""
    if name.startswith("int"):
        return f"int{min(int(name[3:]) + by[0], 32)}"
    e, m = (int(part) for part in name[1:].split("m"))
    return f"e{min(e + by[0], 8)}m{min(m + by[1], 23)}"


@given(FLOATS | FIXED, st.tuples(st.integers(0, 6), st.integers(0, 23)))
def test_no_width_ever_costs_or_occupies_less_than_a_narrower_one(
    name: str, by: tuple[int, int]
) -> None:
    for table_name, operation in itertools.product(TABLES, OPERATIONS):
        shipped = load_energy_table(table_name)
        narrow, wide = (Arithmetic(operation, f) for f in (name, wider(name, by)))
        assert shipped.cost(narrow).energy_pj <= shipped.cost(wide).energy_pj * (1 + 1e-12)
        assert shipped.area(narrow).area_um2 <= shipped.area(wide).area_um2 * (1 + 1e-12)
    for table_name in TABLES if name.startswith("int") else ():
        shipped = load_energy_table(table_name)
        narrow, wide = (Arithmetic("shift", f) for f in (name, wider(name, by)))
        assert shipped.cost(narrow).energy_pj <= shipped.cost(wide).energy_pj * (1 + 1e-12)
        assert shipped.area(narrow).area_um2 <= shipped.area(wide).area_um2 * (1 + 1e-12)
    for table_name, operation in itertools.product(TABLES, MOVES):
        shipped = load_energy_table(table_name)
        narrow, wide = (Arithmetic(operation, f) for f in (name, wider(name, by)))
        assert shipped.cost(narrow).energy_pj <= shipped.cost(wide).energy_pj * (1 + 1e-12)


def test_a_law_that_leaves_its_figures_is_held_between_them() -> None:
    wild = [
        {"operation": "add", "coefficient_pj": 9.0, "exponent": 1.0, "kind": "estimated",
         "source": "far too much"},
    ]  # fmt: skip
    changed = table(width_laws=wild)
    assert changed.cost(Arithmetic("add", "e5m9")).energy_pj == 0.4
    assert changed.cost(Arithmetic("add", "e5m9")).source.endswith("but no more than fp16")
    assert changed.cost(Arithmetic("add", "fp16")).energy_pj == 0.4


@given(st.integers(1, 2**24), st.integers(1, 2**24))
def test_a_larger_scratchpad_never_costs_less(first: int, second: int) -> None:
    small, large = sorted((first, second))
    for name in energy_table_names():
        shipped = load_energy_table(name)
        low, high = (shipped.cost(Sram("read", size)).energy_pj for size in (small, large))
        assert low <= high * (1 + 1e-12)
        assert shipped.area(Sram("read", small)).area_um2 <= (
            shipped.area(Sram("read", large)).area_um2
        )


def test_between_two_capacities_the_logarithms_are_interpolated() -> None:
    middle = 16384  # half-way between 8 KB and 32 KB
    cost = load_energy_table("45nm").cost(Sram("read", middle))
    assert cost.energy_pj == pytest.approx(math.sqrt(10 * 20) / 8)
    assert cost.kind == "estimated"
    assert cost.source.startswith(
        "between 10 pJ of 8192 B and 20 pJ of 32768 B, linear in the logarithms: "
    )


def test_what_a_table_does_not_know_is_refused() -> None:
    with pytest.raises(AccelsimError) as caught:
        load_energy_table("45nm").cost(DramAccess("read", "gddr9"))
    assert str(caught.value) == (
        "energy table 45nm has no DRAM type 'gddr9'; it knows ddr3, lpddr4, hbm2, hbm3"
    )
    bare = table(width_laws=[], area_laws=[], register_bit=None, clock_tree=None, wire=None,
                 sram_area=None, leakage=[])  # fmt: skip
    for action, said in (
        (Arithmetic("add", "e4m3fn"), "cost for: add e4m3fn; width_laws would give it"),
        (Arithmetic("compare", "fp16"), "cost for: compare fp16; arithmetic would give it"),
        (Arithmetic("shift", "fixed9.3"), "cost for: shift fixed9.3; width_laws would give it"),
        (Arithmetic("register", "fp32"), "cost for: register fp32; register_bit would give it"),
        (Arithmetic("operand", "fp32"), "cost for: register fp32; register_bit would give it"),
        (Arithmetic("clock", "fp32"), "cost for: clock fp32; clock_tree would give it"),
        (Arithmetic("hop", "fp32"), "cost for: hop fp32; wire would give it"),
    ):
        with pytest.raises(AccelsimError) as caught:
            bare.cost(action)
        assert str(caught.value) == f"energy table 45nm has no {said}"
    for part, said in (
        (Arithmetic("add", "e4m3fn"), "area of: add e4m3fn; area_laws would give it"),
        (Arithmetic("shift", "fixed9.3"), "area of: shift fixed9.3; area_laws would give it"),
        (Arithmetic("register", "fp32"),
         "area of: register fp32; register_bit.area_um2_per_bit would give it"),
        (Arithmetic("add", "fp32"), "leakage of logic; leakage would give it"),
    ):  # fmt: skip
        with pytest.raises(AccelsimError) as caught:
            bare.area(part)
        assert str(caught.value) == f"energy table 45nm has no {said}"
    with pytest.raises(AccelsimError) as caught:
        bare.area(Sram("read", 64))
    assert (
        str(caught.value) == "energy table 45nm has no area of a 64 B SRAM; sram_area would give it"
    )


def test_a_larger_queue_takes_more_energy_for_what_waits_in_it() -> None:
    machine = load_hardware(shipped("hwconfigs", "mid-32x32"))
    workload = Workload("w", FloatFormat.parse("e4m3fn"), shapes=(Gemm("a", 40, 30, 20),))
    large = load_energy_table("45nm")
    # A table that knows a smaller memory is asked for it.
    small = [large.sram[0].model_copy(update={"capacity_bytes": 512, "energy_pj_per_64_bits": 1.0})]
    known = table(sram=[*small, *large.sram])
    spent: list[list[float]] = []
    for capacity in (64, 256, 1024, 1_000_000):
        unit = machine.recompute.model_copy(update={"queue_capacity": capacity})
        changed = machine.model_copy(update={"recompute": unit})
        run = accelsim.run(changed, workload, "random:rate=1")
        (read,) = (a for c, a, _ in run.counts if c == "queue" and a.operation == "read")
        assert read == Sram("read", 8 * capacity)
        number = run.counts.number("queue", read)
        costs = [run.with_table(one).energy_by_component_pj["queue"] for one in (large, known)]
        assert costs == pytest.approx(
            [2 * number * one.cost(read).energy_pj for one in (large, known)]
        )
        spent.append(costs)
    ours, theirs = zip(*spent, strict=True)
    assert ours[0] == ours[1] == ours[2] < ours[3]  # 8 KB is the smallest that 45nm knows
    assert theirs[0] < theirs[1] < theirs[2] < theirs[3]


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf])
def test_a_cost_that_is_not_a_positive_number_does_not_load(value: float) -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "source": "a paper"}
    with pytest.raises(ValidationError):
        table(arithmetic=[entry | {"energy_pj": value}])
    with pytest.raises(ValidationError):
        table(arithmetic=[entry | {"energy_pj": 0.1, "area_um2": value}])
    table(arithmetic=[entry | {"energy_pj": 0.1}])


def test_a_cost_without_a_source_does_not_load() -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "energy_pj": 0.1}
    for given_source in ({}, *({"source": s} for s in ("", " ", "-", "?", "x", "1.1.9", "n/a"))):
        with pytest.raises(ValidationError):
            table(arithmetic=[entry | given_source])


def test_two_costs_for_one_action_do_not_load() -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "energy_pj": 0.1}
    with pytest.raises(ValidationError, match="more than one cost for: add fp16"):
        table(arithmetic=[entry | {"source": "a paper"}, entry | {"source": "a book"}])


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("arithmetic", {"operation": "add", "format": "fp17", "energy_pj": 0.1}),
        ("dram", {"type": "dd3", "energy_pj_per_bit": 1.0}),
    ],
)
def test_a_cost_of_what_does_not_exist_does_not_load(
    section: str, entry: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        table(**{section: [entry | {"kind": "measured", "source": "a paper"}]})


ACTIONS: st.SearchStrategy[Action] = st.sampled_from(list(CITED["45nm"]))
ENTRIES: st.SearchStrategy[list[tuple[str, Action, int]]] = st.lists(
    st.tuples(
        st.sampled_from(["array", "dram", "detector"]),
        ACTIONS,
        st.integers(0, 10**12),
    )
)


@given(ENTRIES)
def test_energy_is_the_sum_of_counts_times_costs(entries: list[tuple[str, Action, int]]) -> None:
    shipped = load_energy_table("45nm")
    lines = charge(Counts(entries), shipped)
    by_hand = math.fsum(number * shipped.cost(action).energy_pj for _, action, number in entries)
    assert total_pj(lines) == pytest.approx(by_hand, rel=1e-12)
    assert math.fsum(by_component(lines).values()) == pytest.approx(by_hand, rel=1e-12)


@given(ENTRIES, ENTRIES)
def test_counts_add_up(
    first: list[tuple[str, Action, int]], second: list[tuple[str, Action, int]]
) -> None:
    assert Counts(first) + Counts(second) == Counts(first + second) == Counts(second + first)


@given(st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=8))
def test_parts_add_up_to_a_total_that_each_of_them_missed(values: list[float]) -> None:
    thirds = [value / 3 for value in values]
    total = math.fsum(thirds * 3) / 3
    parts = dict(zip("abcdefgh", thirds, strict=False))
    found = adding_up(parts, total)
    assert list(found) == list(parts)
    assert math.fsum(found.values()) == math.fsum(reversed(found.values())) == total
    # None is moved by more than a digit or so in the last place of the total.
    assert all(abs(found[name] - parts[name]) <= 8 * math.ulp(total) for name in parts)


def test_a_small_part_is_not_rounded_to_the_digits_of_a_large_total() -> None:
    small = 354206 * 0.1
    found = adding_up({"dram": 123456789.1, "detector": small, "array": 7654321.7}, 131146531.4)
    assert found["detector"] == small
    assert found["array"] == 7654321.7
    assert math.fsum(found.values()) == 131146531.4
    # Half-way between two numbers the largest cannot make it right by itself.
    one = 1.0 + 2**-52
    found = adding_up({"a": 0.75, "b": 0.25 + 2**-53}, one)
    assert math.fsum(found.values()) == one


def test_doubling_one_constant_doubles_its_term_and_nothing_else() -> None:
    entries: list[tuple[str, Action, int]] = [
        ("dram", DramAccess("read", "lpddr4"), 7),
        ("array", Arithmetic("add", "fp16"), 5),
    ]
    doubled = table(
        dram=[
            entry.model_dump() | {"energy_pj_per_bit": entry.energy_pj_per_bit * 2}
            for entry in load_energy_table("45nm").dram
        ]
    )
    before = by_component(charge(Counts(entries), load_energy_table("45nm")))
    after = by_component(charge(Counts(entries), doubled))
    assert after == {"array": before["array"], "dram": 2 * before["dram"]}


DOUBLED: dict[str, tuple[str, set[str]]] = {
    "wire": ("energy_pj_per_bit_mm", {"hop"}),
    "clock_tree": ("energy_pj_per_bit", {"clock"}),
    "register_bit": ("energy_pj_per_bit", {"register", "operand"}),
}


@pytest.mark.parametrize("section", DOUBLED)
def test_doubling_a_constant_of_a_run_doubles_its_lines_and_nothing_else(section: str) -> None:
    shipped = load_energy_table("45nm")
    key, operations = DOUBLED[section]
    entry = getattr(shipped, section)
    doubled = table(**{section: entry.model_copy(update={key: 2 * getattr(entry, key)})})
    layers = (Gemm("a", 40, 30, 20),)
    run = accelsim.run(
        "edge-16x16", Workload("w", FloatFormat.parse("e4m3fn"), shapes=layers), "random:rate=0.2"
    )
    seen = set()
    for before, after in zip(run.energy_lines, run.with_table(doubled).energy_lines, strict=True):
        operation = getattr(before.action, "operation", "")
        factor = 2.0 if operation in operations else 1.0
        assert after.energy_pj == pytest.approx(factor * before.energy_pj, rel=1e-15)
        seen |= {operation} & operations
    assert seen == operations
    assert run.with_table(doubled).leakage_pj == run.leakage_pj


def test_dram_is_charged_by_what_it_moves_and_not_by_the_time_that_it_is_on() -> None:
    machine = load_hardware(shipped("hwconfigs", "edge-16x16"))
    workload = Workload("w", FloatFormat.parse("e4m3fn"), shapes=(Gemm("a", 40, 30, 20),))
    slow = machine.model_copy(update={"clock_mhz": machine.clock_mhz / 100})
    runs = [accelsim.run(one, workload, "uniform-low") for one in (machine, slow)]
    assert runs[1].latency_s > 2 * runs[0].latency_s
    leaks = [run.leakage_pj or 0.0 for run in runs]
    assert leaks[1] > 2 * leaks[0] > 0.0
    assert runs[1].energy_by_component_pj["dram"] == runs[0].energy_by_component_pj["dram"]
    # Which is said wherever it is said what is left out, with the side that it favours.
    root = Path(__file__).parents[2]
    files = ("README.md", "docs/energy.md", "docs/machine.md")
    for text in (*((root / name).read_text("utf-8") for name in files), " ".join(LEFT_OUT)):
        said = " ".join(text.replace("[", "").split())
        assert re.search(r"[Rr]efresh.{,350}favours recomputation", said)


def test_all_work_of_a_uniform_policy_is_called_useful_low_work_in_any_format() -> None:
    workload = Workload("w", FloatFormat.parse("e4m3fn"), shapes=(Gemm("a", 40, 30, 20),))
    causes = accelsim.run("edge-16x16", workload, "uniform-high").energy_by_cause_pj
    spent = {cause for cause, pj in causes.items() if pj}
    assert spent == {"useful_low_work", "memory_first_pass", "leakage"}
    said = " ".join((Path(__file__).parents[2] / "docs/energy.md").read_text("utf-8").split())
    assert "in whatever format, that of `uniform-high` too, where nothing is low" in said


CACTI_UM2_PER_BIT = 3.13089e3 * 1.04214e3 / 2**23
CACTI_LEAKS = (0.0176539 + 0.00730865) / (3.13089 * 1.04214)
LEAKS = 0.0531 / 4360e-6
CITED_REST = {
    # CACTI: 1 MB at 45 nm, low-standby-power cells at 300 K: 3.13089 mm x 1.04214 mm, 76 % of it
    # cells; it leaks 0.0176539 mW below threshold and 0.00730865 mW through gates. Or a cell
    # of 0.027 um2 (TSMC, 7 nm) against one of 0.346 (Intel, 45 nm); Aladdin's fp32 adder, 0.0531 mW
    # on 4360 um2, and its register, 0.00794 of 0.009 pJ at the clock pin.
    "40nm": (CACTI_UM2_PER_BIT, LEAKS, CACTI_LEAKS, 0.00794 / 0.009, 5.98),
    "45nm": (CACTI_UM2_PER_BIT, LEAKS, LEAKS, 0.00794 / 0.009, 5.98),
    "7nm": (0.027 / 0.7601, LEAKS, LEAKS, 0.00794 / 0.009, 5.98 * 0.027 / 0.346),
}


@pytest.mark.parametrize("name", TABLES)
def test_areas_of_bits_and_what_leaks_are_the_cited_ones(name: str) -> None:
    shipped = load_energy_table(name)
    assert shipped.sram_area is not None
    assert shipped.register_bit is not None
    leaks = {entry.part: entry.power_mw_per_mm2 for entry in shipped.leakage}
    assert set(leaks) == {"logic", "sram"}
    found = (
        shipped.sram_area.area_um2_per_bit, leaks["logic"], leaks["sram"],
        shipped.register_bit.clock_share, shipped.register_bit.area_um2_per_bit,
    )  # fmt: skip
    assert found == pytest.approx(CITED_REST[name], rel=5e-3)


def test_leakage_is_area_times_the_density_of_its_kind() -> None:
    shipped = load_energy_table("40nm")
    assert shipped.area(Arithmetic("add", "fp32")).leakage_mw == pytest.approx(0.0531, rel=0.01)
    pad = shipped.area(Sram("read", 32768))
    assert pad.leakage_mw == pytest.approx(pad.area_um2 / 1e6 * 0.00765)


def test_whatever_rests_on_a_recalled_figure_says_so() -> None:
    # Nobody here has read Jouppi et al. 2021, nor what Greaves says of leakage.
    for name in TABLES:
        text = (Path(energy.__file__).parent / "tables" / f"{name}.yaml").read_text("utf-8")
        said = re.findall(r'source: "([^"]*)"', text)
        # A source is shown on its own, beside the end of a spread.
        assert [one for one in said if "the same" in one or one.startswith("its ")] == []
        recalled = [one for one in said if "Jouppi" in one or "Greaves" in one]
        assert [one for one in recalled if "recalled" not in one and "nobody" not in one] == []
        assert bool(recalled) == (name != "40nm")


@pytest.mark.parametrize("name", [*energy_table_names(), "45nm scaled to 16"])
def test_what_a_law_says_is_an_estimate_under_every_table(name: str) -> None:
    shipped, _, node = name.partition(" scaled to ")
    table = load_energy_table(shipped)
    if node:
        table = scale_logic(table, float(node))
    for operation in ("add", "multiply"):
        for fmt in ("e4m3fn", "fixed12.0"):
            action = Arithmetic(operation, fmt)
            assert table.cost(action).kind == table.area(action).kind == "estimated", action


def test_logic_scales_by_the_published_polynomials_and_memories_do_not() -> None:
    old = load_energy_table("45nm")
    new = scale_logic(old, 7, 0.7)
    by_hand = (0.1776 * 0.7**2 - 0.09097 * 0.7 + 0.02447) / (1.103 * 0.9**2 - 0.362 * 0.9 + 0.2767)
    for action in CITED["45nm"]:
        before, after = old.cost(action), new.cost(action)
        if isinstance(action, Arithmetic) and action.operation != "hop":
            assert after.energy_pj == pytest.approx(before.energy_pj * by_hand, rel=1e-12)
            kind = "estimated" if before.kind == "estimated" else "scaled"
            assert (after.kind, after.node_nm, after.voltage_v) == (kind, 7, 0.7)
            assert "overstates" in after.source
        else:
            assert after == before
    parts: list[Arithmetic | Sram] = [Arithmetic(what, "e4m3fn") for what in OPERATIONS]
    for part in (*parts, *CITED_UM2["45nm"], Sram("read", 8192)):
        area = new.area(part)
        assert area == old.area(part)  # who says so, and how it was come by, as well
        assert area.kind != "scaled"
        assert "overstates" not in area.source
    # Scaled once more, they are still what they were.
    assert scale_logic(new, 16, 0.8).area(Arithmetic("add", "fp32")) == (
        old.area(Arithmetic("add", "fp32"))
    )
    # The warning is true: measured at 7 nm, an fp32 add takes more than 2.5 times as much.
    scaled = new.cost(Arithmetic("add", "fp32")).energy_pj
    assert load_energy_table("7nm").cost(Arithmetic("add", "fp32")).energy_pj > 2.5 * scaled


def test_a_smaller_node_never_takes_more_energy() -> None:
    energies = [logic_energy(node, 0.9) for node in sorted(POLYNOMIALS)]
    assert energies == sorted(energies)
    allowed = {}
    for node in POLYNOMIALS:
        volts = {}
        for voltage in range(50, 131):
            with contextlib.suppress(AccelsimError):
                volts[voltage] = logic_energy(node, voltage / 100)
        assert [*volts.values()] == sorted(volts.values()), node
        allowed[node] = min(volts), max(volts)
    assert allowed.pop(65) == (59, 130)
    assert allowed.pop(90) == (51, 130)
    assert {*allowed.values()} == {(50, 130)}
    # Nor does it at any voltage that both nodes allow.
    for small, large in itertools.pairwise(sorted(POLYNOMIALS)):
        for voltage in range(59, 131):
            assert logic_energy(small, voltage / 100) <= logic_energy(large, voltage / 100)


def test_that_scaling_overstates_the_gain_is_said_once_and_where_there_is_one() -> None:
    old, add = load_energy_table("45nm"), Arithmetic("add", "fp32")
    warning = "overstates the gain 2.5 times or more"
    for node, said in ((130, 0), (45, 0), (32, 1), (7, 1)):
        assert scale_logic(old, node).cost(add).source.count(warning) == said
    chained = scale_logic(scale_logic(scale_logic(old, 16, 0.8), 7, 0.7), 65, 0.9)
    assert chained.cost(add).source.count(warning) == 1
    assert chained.cost(add).source.count("; energy times ") == 3
    assert scale_logic(scale_logic(old, 130), 7).cost(add).source.count(warning) == 1


@pytest.mark.parametrize(
    ("name", "node", "voltage", "said"),
    [
        ("7nm", 45, 0.9, "energy table 7nm states no voltage_v to scale logic from"),
        ("45nm", 5, 0.7, "logic is not scaled to or from 5 nm; known are 130, 90, 65, 45, 32, 20,"
         " 16, 14, 10, 7"),
        ("45nm", 7, 0.2, "logic is not scaled to or from 0.2 V at 7 nm; allowed are 0.5 to 1.3"),
        ("45nm", 65, 0.55, "logic is not scaled to or from 0.55 V at 65 nm; allowed are 0.59 to"
         " 1.3"),
        ("45nm", 90, 0.5, "logic is not scaled to or from 0.5 V at 90 nm; allowed are 0.51 to 1.3"),
    ],
)  # fmt: skip
def test_logic_scales_only_where_that_is_published(
    name: str, node: float, voltage: float, said: str
) -> None:
    with pytest.raises(AccelsimError) as caught:
        scale_logic(load_energy_table(name), node, voltage)
    assert str(caught.value) == said
