"""Energy: sourced tables, and a fold over exact counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim.config import energy_table_names, load_energy_table
from accelsim.energy import EnergyTable, by_component, charge, total_pj
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, Counts, DramAccess, Sram

# The cited figures, pJ: M. Horowitz, ISSCC 2014, and Jouppi et al., ISCA 2021, table 2.
CITED: dict[str, dict[Action, float]] = {
    "45nm": {
        Arithmetic("add", "fp16"): 0.4,
        Arithmetic("multiply", "fp16"): 1.1,
        Arithmetic("add", "fp32"): 0.9,
        Arithmetic("multiply", "fp32"): 3.7,
        Arithmetic("compare", "fp32"): 0.1,
        Sram("read", 8192): 10 / 8,
        Sram("write", 32768): 20 / 8,
        Sram("read", 2**20): 100 / 8,
        DramAccess("read", "lpddr4"): 8 * 8,
        DramAccess("write", "hbm2"): 3.97 * 8,
        DramAccess("read", "ddr3"): 70 * 8,
    },
    "7nm": {
        Arithmetic("add", "bf16"): 0.11,
        Arithmetic("multiply", "bf16"): 0.21,
        Arithmetic("add", "fp16"): 0.16,
        Arithmetic("multiply", "fp16"): 0.34,
        Arithmetic("add", "fp32"): 0.38,
        Arithmetic("multiply", "fp32"): 1.31,
        Arithmetic("compare", "fp32"): 0.03,
        Sram("read", 8192): 7.5 / 8,
        Sram("write", 32768): 8.5 / 8,
        Sram("read", 2**20): 14 / 8,
        DramAccess("read", "hbm2"): (250 + 450) / 2 / 64 * 8,
        DramAccess("read", "lpddr4"): 8 * 8,
    },
}


def table(**changes: object) -> EnergyTable:
    return EnergyTable.model_validate(load_energy_table("45nm").model_dump() | changes)


def test_there_is_a_45_nm_and_a_7_nm_table() -> None:
    assert energy_table_names() == ["45nm", "7nm"]


@pytest.mark.parametrize("name", CITED)
def test_the_shipped_tables_hold_the_cited_figures(name: str) -> None:
    shipped = load_energy_table(name)
    for action, energy_pj in CITED[name].items():
        cost = shipped.cost(action)
        assert cost.energy_pj == pytest.approx(energy_pj, rel=1e-12), action
        assert cost.source


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
    name: str, operation: str, a: float, p: float
) -> None:
    for fmt, bits in (("e4m3fn", 4), ("e5m2", 3), ("e6m5", 6)):
        cost = load_energy_table(name).cost(Arithmetic(operation, fmt))  # type: ignore[arg-type]
        assert cost.energy_pj == pytest.approx(a * bits**p)
        assert cost.kind == "estimated"
        assert f"{a:g}·{bits}^{p:g}" in cost.source


@pytest.mark.parametrize("name", ["45nm", "7nm"])
@pytest.mark.parametrize("operation", ["add", "multiply"])
def test_more_significand_bits_never_cost_less(name: str, operation: str) -> None:
    shipped = load_energy_table(name)
    formats = ["e5m2", "e4m3fn", "e5m5", "bf16", "e5m8", "fp16", "e8m12", "e8m20", "fp32"]
    costs = [shipped.cost(Arithmetic(operation, f)).energy_pj for f in formats]  # type: ignore[arg-type]
    assert costs == sorted(costs)


@given(st.integers(1, 2**24), st.integers(1, 2**24))
def test_a_larger_scratchpad_never_costs_less(first: int, second: int) -> None:
    small, large = sorted((first, second))
    for name in energy_table_names():
        shipped = load_energy_table(name)
        low, high = (shipped.cost(Sram("read", size)).energy_pj for size in (small, large))
        assert low <= high * (1 + 1e-12)


def test_between_two_capacities_the_logarithms_are_interpolated() -> None:
    middle = 16384  # half-way between 8 KB and 32 KB
    cost = load_energy_table("45nm").cost(Sram("read", middle))
    assert cost.energy_pj == pytest.approx(math.sqrt(10 * 20) / 8)
    assert cost.kind == "estimated"
    assert cost.source.startswith("between 8192 and 32768 B: ")


def test_what_a_table_does_not_know_is_refused() -> None:
    with pytest.raises(AccelsimError) as caught:
        load_energy_table("45nm").cost(DramAccess("read", "gddr9"))
    assert str(caught.value) == (
        "energy table 45nm has no DRAM type 'gddr9'; it knows ddr3, lpddr4, hbm2"
    )
    with pytest.raises(AccelsimError) as caught:
        load_energy_table("45nm").cost(Arithmetic("compare", "fp16"))
    assert str(caught.value) == "energy table 45nm has no cost for: compare fp16"


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf])
def test_a_cost_that_is_not_a_positive_number_does_not_load(value: float) -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "source": "here"}
    with pytest.raises(ValidationError):
        table(arithmetic=[entry | {"energy_pj": value}])
    table(arithmetic=[entry | {"energy_pj": 0.1}])


def test_a_cost_without_a_source_does_not_load() -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "energy_pj": 0.1}
    with pytest.raises(ValidationError):
        table(arithmetic=[entry])
    with pytest.raises(ValidationError):
        table(arithmetic=[entry | {"source": ""}])


def test_two_costs_for_one_action_do_not_load() -> None:
    entry = {"operation": "add", "format": "fp16", "kind": "measured", "energy_pj": 0.1}
    with pytest.raises(ValidationError, match="more than one cost for: add fp16"):
        table(arithmetic=[entry | {"source": "here"}, entry | {"source": "there"}])


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
        table(**{section: [entry | {"kind": "measured", "source": "here"}]})


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
