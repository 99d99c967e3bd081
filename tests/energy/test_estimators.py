"""Other estimators in the place of a table: one counted in gates, and the one of the docs."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.config import load_energy_table, shipped
from accelsim.energy import Area, Cost, Estimator
from accelsim.errors import AccelsimError
from accelsim.machine import Action, Arithmetic, DramAccess, Sram
from accelsim.networks import Gemm, Workload
from accelsim.numerics import FixedFormat, FloatFormat
from accelsim.numerics.formats import parse_format
from accelsim.study.plan import estimator_key

DOCS = Path(__file__).parents[2] / "docs" / "energy.md"
MACHINE = shipped("hwconfigs", "mid-32x32")
WORKLOAD = Workload("w", FloatFormat.parse("e4m3fn"), shapes=(Gemm("a", 40, 50, 60),))
POLICIES = ("uniform-low", "uniform-high", "random:rate=0.1")
GATE_PJ, GATE_UM2, GATE_MW = 0.001, 0.8, 1e-5


@dataclass(frozen=True)
class Gates:
    """Counts gates: a full adder is 5 of them, a bit of a register 6, a multiplier a square."""

    name: str = "gates"

    def gates(self, part: Arithmetic) -> int:
        fmt = parse_format(part.format)
        exponent = fmt.exponent_bits if isinstance(fmt, FloatFormat) else 0
        bits = fmt.bits if isinstance(fmt, FixedFormat) else fmt.mantissa_bits + 1
        match part.operation:
            case "register" | "operand":
                return 6 * fmt.bits
            case "clock" | "hop":
                return fmt.bits
            case "multiply":
                return 5 * (bits * bits + exponent)
            case "add":  # two shifters beside the adders, if there is anything to align
                return 5 * (bits + exponent) + 2 * bits * bits.bit_length() * (exponent > 0)
            case "shift":
                return 2 * bits * bits.bit_length()
            case "compare":
                return 5 * fmt.bits

    def cost(self, action: Action) -> Cost:
        match action:
            case Arithmetic():
                return Cost(GATE_PJ * self.gates(action), "gates, counted", "estimated", 28)
            case Sram():
                pj = 0.01 * math.sqrt(action.capacity_bytes)
                return Cost(pj, "the side of a square", "estimated", 28)
            case DramAccess():
                return Cost(32.0, "a round number of the test suite", "estimated")

    def area(self, part: Arithmetic | Sram) -> Area:
        gates = self.gates(part) if isinstance(part, Arithmetic) else 8 * part.capacity_bytes
        return Area(GATE_UM2 * gates, GATE_MW * gates, "gates, counted", "estimated")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_gate_level_estimator_serves_as_a_table(policy: str) -> None:
    gates: Estimator = Gates()
    run = accelsim.run(MACHINE, WORKLOAD, policy, gates)
    by_hand = math.fsum(number * gates.cost(action).energy_pj for _, action, number in run.counts)
    assert run.energy_pj == pytest.approx(by_hand, rel=1e-14)
    found, row = run.as_dict(), run.as_row()
    assert found["energy_table"] == row["energy_table"] == "gates"
    assert math.fsum(found["energy_by_cause_pj"].values()) == found["total_energy_pj"]
    assert {line["source"] for line in found["counts"]} == {
        "gates, counted", "the side of a square", "a round number of the test suite"
    }  # fmt: skip
    # One gate leaks as much as any other, so that area and leakage are in proportion.
    assert row["leakage_mw"] == pytest.approx(row["area_um2"] / GATE_UM2 * GATE_MW)
    # Nothing else of the run depends on who estimates.
    assert run.total_cycles == accelsim.run(MACHINE, WORKLOAD, policy).total_cycles


def test_a_policy_is_charged_for_what_it_can_use_at_any_rate_and_for_nothing_else() -> None:
    never, at_no_rate, some = (
        accelsim.run(MACHINE, WORKLOAD, policy, Gates())
        for policy in ("uniform-low", "random:rate=0", "random:rate=0.1")
    )
    assert at_no_rate.built == some.built
    assert {"recompute", "queue"} <= some.built.keys() - never.built.keys()
    assert at_no_rate.area is not None
    assert never.area is not None
    assert at_no_rate.area.value > never.area.value
    assert at_no_rate.leakage == some.leakage


def test_what_an_estimator_does_not_know_ends_the_run_with_its_own_words() -> None:
    class NoMultipliers(Gates):
        def cost(self, action: Action) -> Cost:
            if isinstance(action, Arithmetic) and action.operation == "multiply":
                raise AccelsimError("gates: no multipliers")
            return super().cost(action)

    run = accelsim.run(MACHINE, WORKLOAD, "uniform-low", NoMultipliers())
    with pytest.raises(AccelsimError, match="gates: no multipliers"):
        _ = run.energy_pj


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, -math.inf, "1", None, True])
def test_no_cost_and_no_area_is_negative_or_not_finite(bad: Any) -> None:
    said = re.escape(f": got {bad!r}, expected a finite number from 0 on (gates, counted)")
    of_energy = said.replace("0\\ on", "0\\ to\\ 1e\\+09")
    with pytest.raises(AccelsimError, match=f"^energy_pj{of_energy}$"):
        Cost(bad, "gates, counted", "estimated")
    with pytest.raises(AccelsimError, match=f"^area_um2{said}$"):
        Area(bad, 1.0, "gates, counted", "estimated")
    with pytest.raises(AccelsimError, match=f"^leakage_mw{said}$"):
        Area(1.0, bad, "gates, counted", "estimated")
    assert Cost(0.0, "gates, counted", "estimated").energy_pj == 0.0


@pytest.mark.parametrize("bad", [math.nan, -5, 0.0, math.inf, 1e300, "45", True])
def test_no_cost_and_no_area_is_at_a_node_or_a_voltage_that_there_is_not(bad: Any) -> None:
    node = re.escape(f"node_nm: got {bad!r}, expected a finite number from 1 to 10000, or None (g)")
    voltage = re.escape(f"voltage_v: got {bad!r}, expected a finite number from 0.1 to 15, or None")
    with pytest.raises(AccelsimError, match=f"^{node}".replace(r"\(g\)", r"\(gates, counted\)$")):
        Cost(1.0, "gates, counted", "estimated", bad)
    with pytest.raises(AccelsimError, match=f"^{voltage}"):
        Cost(1.0, "gates, counted", "estimated", 45, bad)
    with pytest.raises(AccelsimError, match=r"^node_nm: got"):
        Area(1.0, 1.0, "gates, counted", "estimated", node_nm=bad)
    with pytest.raises(AccelsimError, match=r"^energy_pj: got 1e\+300, .* from 0 to 1e\+09"):
        Cost(1e300, "gates, counted", "estimated")
    assert Cost(1.0, "gates, counted", "estimated", 45, 0.9).node_nm == 45


@pytest.mark.parametrize("source", ["", "?", "TBD", None])
def test_no_cost_and_no_area_is_without_a_source(source: Any) -> None:
    with pytest.raises(AccelsimError, match=r"^source: got .*expected .*says so"):
        Cost(1.0, source, "estimated")
    with pytest.raises(AccelsimError, match=r"^source: got .*expected .*says so"):
        Area(1.0, 1.0, source, "estimated")
    with pytest.raises(AccelsimError, match=r"^kind: got 'guessed', expected one of measured, sc"):
        Cost(1.0, "gates, counted", "guessed")  # type: ignore[arg-type]


def test_what_an_estimator_may_not_say_is_named_with_what_it_is_said_of() -> None:
    class Generous(Gates):
        def cost(self, action: Action) -> Cost:
            if str(action) == "add fp32":
                return Cost(math.nan, "gates, counted", "estimated")
            return super().cost(action)

        def area(self, part: Arithmetic | Sram) -> Area:
            if isinstance(part, Sram):
                return Area(-2.0, 0.0, "gates, counted", "estimated")
            return super().area(part)

    run = accelsim.run(MACHINE, WORKLOAD, "uniform-high", Generous())
    with pytest.raises(AccelsimError) as caught:
        _ = run.energy_pj
    assert str(caught.value) == (
        "gates: cost of add fp32: energy_pj: got nan, expected a finite number from 0 to 1e+09"
        " (gates, counted)"
    )
    with pytest.raises(AccelsimError) as caught:  # and not as if areas were not known
        _ = run.area
    assert str(caught.value).startswith("gates: area of ")
    assert str(caught.value).endswith(
        " B SRAM: area_um2: got -2.0, expected a finite number from 0 on (gates, counted)"
    )


def stand_in() -> types.ModuleType:
    """Return what the example of the docs needs of hwcomponents-library, at a node of its own."""

    @dataclass
    class Spent:
        energy: float

    def unit(name: str, do: str, joules: float, square_metres: float) -> type:
        def made(self: Any, tech_node: float, width: int) -> None:
            assert tech_node == 16e-9
            self.width, self.area, self.leak_power = width, square_metres * width, 1e-9 * width

        return type(name, (), {
            "__init__": made, do: lambda self: Spent(joules * self.width)
        })  # fmt: skip

    module = types.ModuleType("hwcomponents_library")
    for name, do, joules in (
        ("AladdinAdder", "add", 1e-15),
        ("AladdinMultiplier", "multiply", 5e-15),
        ("AladdinRegister", "write", 2e-15),
    ):
        setattr(module, name, unit(name, do, joules, 1e-12))
    return module


def test_the_estimator_of_the_docs_works(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("hwcomponents_library") is None:
        monkeypatch.setitem(sys.modules, "hwcomponents_library", stand_in())
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # the docs are ours
    table = load_energy_table("45nm")
    components = names["FromComponents"](table)
    # Studies tell it from one that takes the rest from another table.
    other = names["FromComponents"](load_energy_table("7nm"))
    keys = [estimator_key(one) for one in (components, names["FromComponents"](table), other)]
    assert keys[0] == keys[1] != keys[2]
    runs = [accelsim.run(MACHINE, WORKLOAD, policy, components) for policy in POLICIES]
    for run in runs:
        assert run.as_row()["energy_table"] == "hwcomponents-16nm"
        assert run.area is not None
        assert {line.cost.source for line in run.energy_lines} > {"hwcomponents-library"}
    low, high, again = (run.energy_by_component_pj for run in runs)
    assert low["array"] < high["array"]
    assert low["dram"] == high["dram"]
    assert again["recompute"] > 0.0


def test_the_way_from_a_number_to_its_source_that_the_docs_show_is_there() -> None:
    run = accelsim.run("edge-16x16", "digits-relu", "selective:tau=8")
    (line,) = [
        count for count in run.as_dict()["counts"]
        if (count["component"], count["cause"], count["action"])
        == ("recompute", "recomputation", "add fp32")
    ]  # fmt: skip
    said = " ".join(DOCS.read_text(encoding="utf-8").split())
    words = f'{line["energy_pj_each"]:g} pJ each, `{line["kind"]}`, "{line["source"]}"'
    assert words.replace("M. ", "") in said
    assert "`recompute`, `recomputation`, `add fp32`" in said
