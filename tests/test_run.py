"""One point from files to numbers: what must hold whatever the machine."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

import accelsim
from accelsim.config import energy_table_names, load_energy_table, shipped
from accelsim.energy import CAUSES, by_component, charge
from accelsim.machine import Arithmetic, ByCause, Hardware, LoweredLayer, Simulation, simulate
from accelsim.networks import Gemm, Workload
from accelsim.numerics import FloatFormat
from accelsim.policies import POLICIES
from accelsim.progress import Progress
from accelsim.result import COMPONENTS
from accelsim.trace import LayerTrace

WORKLOAD = shipped("workloads", "digits-relu")


def run(machine: str, policy: str) -> accelsim.Run:
    return accelsim.run(shipped("hwconfigs", machine), WORKLOAD, policy)


MACHINES = ("edge-16x16", "mid-32x32", "datacentre-128x128")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("policy", "plain"),
    [
        ("random:rate=0", "uniform-low"),
        ("selective:tau=inf", "uniform-low"),
        ("selective:tau=inf,numerator=exact", "uniform-low"),
        ("absolute:tau=inf,numerator=l2,cluster=1x*", "uniform-low"),
        ("random:rate=0,chunk=32,high=fp16", "chunked:chunk=32,high=fp16"),
        ("gauss-newton:tau=inf,numerator=l2,chunk=16", "chunked:chunk=16"),
    ],
)
def test_redoing_nothing_is_the_first_pass_plus_the_detector(
    machine: str, policy: str, plain: str
) -> None:
    low, nothing = run(machine, plain), run(machine, policy)
    assert nothing.recompute_rate == 0.0
    assert nothing.total_cycles == low.total_cycles
    for ours, theirs in zip(nothing.layers, low.layers, strict=True):
        assert ours.simulation == theirs.simulation
    others = [line for line in nothing.energy_lines if line.cause != "detection"]
    assert by_component(others) == by_component(low.energy_lines)
    found = dict(nothing.counts_by_cause)
    assert found.pop("detection").number("detector", Arithmetic("compare", "fp32")) > 0
    assert ByCause(found.items()) == low.counts_by_cause


@pytest.mark.parametrize("machine", MACHINES)
def test_a_tau_of_zero_redoes_everything(machine: str) -> None:
    high, everything = run(machine, "uniform-high"), run(machine, "selective:tau=0")
    assert everything.recompute_rate == 1.0
    assert everything.accuracy == high.accuracy
    assert everything.kl_divergence == high.kl_divergence
    assert everything.energy_pj > high.energy_pj
    assert everything.total_cycles > high.total_cycles
    energy, alone = by_component(everything.energy_lines), by_component(high.energy_lines)
    assert energy["recompute"] == alone["array"]


def test_a_run_describes_itself() -> None:
    result = run("edge-16x16", "uniform-low")
    row = result.as_row()
    assert row["energy_pj"] == result.energy_pj
    assert (
        row["total_cycles"]
        == result.total_cycles
        == sum(layer.simulation.total_cycles for layer in result.layers)
    )
    assert str(result).startswith("digits-relu on edge-16x16, uniform-low: 227030 cycles, ")


def test_the_energy_table_can_be_replaced() -> None:
    edge = shipped("hwconfigs", "edge-16x16")
    own = accelsim.run(edge, WORKLOAD, "uniform-low")
    other = accelsim.run(edge, WORKLOAD, "uniform-low", energy_table="7nm")
    assert (own.energy_table.name, other.energy_table.name) == ("45nm", "7nm")
    assert other.energy_pj < own.energy_pj
    assert other.total_cycles == own.total_cycles


def test_every_problem_of_every_file_is_named_at_once() -> None:
    with pytest.raises(accelsim.InputError) as caught:
        accelsim.run("missing.yaml", "absent.yaml", "chunky")
    assert caught.value.problems == (
        "missing.yaml: no such file",
        "absent.yaml: no such file",
        f"policy: unknown name 'chunky'; did you mean 'chunked'? allowed are {', '.join(POLICIES)}",
    )


def test_shapes_need_neither_the_compiler_nor_the_figures() -> None:
    code = (
        "import sys, accelsim\n"
        "from accelsim.cli import commands\n"
        f"accelsim.run({str(shipped('hwconfigs', MACHINES[0]))!r},"
        f" {str(shipped('workloads', 'bert-base'))!r}, 'uniform-low')\n"
        "assert not {'numba', 'sklearn', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert accelsim.matmul is accelsim.numerics.matmul\n"
        "assert 'numba' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for module in (accelsim, accelsim.numerics):
        assert all(getattr(module, name) is not None for name in module.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'absent'"):
            module.absent  # noqa: B018


def test_layers_that_are_alike_are_simulated_once_and_keep_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def counted(layer: LoweredLayer, hardware: Hardware, progress: Progress) -> Simulation:
        calls.append(layer.trace.name)
        return simulate(layer, hardware, progress)

    monkeypatch.setattr(sys.modules["accelsim.machine.layers"], "simulate", counted)
    shapes = {"first": (8, 9, 10), "second": (8, 9, 11), "third": (8, 9, 10)}
    gemms = tuple(Gemm(name, *shape) for name, shape in shapes.items())
    workload = Workload("w", FloatFormat.parse("e4m3fn"), gemms)
    machine = shipped("hwconfigs", MACHINES[0])
    result = accelsim.run(machine, workload, "uniform-low")
    assert calls == ["first", "second"]
    assert [layer.trace.name for layer in result.layers] == list(shapes)
    assert [layer.simulation.timeline.layer for layer in result.layers] == list(shapes)
    first, _, third = (layer.simulation for layer in result.layers)
    assert first == third
    # Where outputs are redone, their places decide: each layer is simulated.
    calls.clear()
    accelsim.run(machine, workload, "random:rate=0.5")
    assert calls == list(shapes)


def test_energy_by_cause_adds_up_with_leakage() -> None:
    machine, policy = "mid-32x32", "selective:tau=8,numerator=exact"
    result = run(machine, policy)
    causes = result.energy_by_cause_pj
    assert list(causes) == list(CAUSES)
    assert all(value > 0 for value in causes.values())
    assert result.total_energy_pj is not None
    assert math.fsum(causes.values()) == result.total_energy_pj
    assert math.fsum(result.energy_by_component_pj.values()) == result.energy_pj
    # The memory of the first pass is that of a run that redoes nothing; what is more, is redoing's.
    low = run(machine, "uniform-low")
    plain, energy = by_component(low.energy_lines), by_component(result.energy_lines)
    first, again = (
        math.fsum(parts[name] for name in ("dram", *(f"scratchpad_{key}" for key in "abc")))
        for parts in (plain, energy)
    )
    assert causes["memory_first_pass"] == pytest.approx(first, rel=1e-14)
    assert causes["memory_recomputation"] == pytest.approx(again - first, rel=1e-12)
    assert energy["array"] == pytest.approx(plain["array"], rel=1e-14)
    # The first pass over what is redone is thrown away, with its biases, wires and clock.
    useful = causes["useful_low_work"] + causes["discarded_low_work"]
    assert useful == pytest.approx(low.energy_by_cause_pj["useful_low_work"], rel=1e-14)
    # But ReLU is done once, when an output is final.
    thrown = math.fsum(
        line.energy_pj * layer.trace.recomputed_outputs / layer.trace.outputs
        for plain_layer, layer in zip(low.layers, result.layers, strict=True)
        if isinstance(layer.trace, LayerTrace)
        for line in charge(plain_layer.lowered.by_cause["useful_low_work"], low.energy_table)
        if str(line.action) != "compare fp32"
    )
    assert causes["discarded_low_work"] == pytest.approx(thrown, rel=1e-12)


@pytest.mark.parametrize("machine", MACHINES)
def test_parts_add_up_to_their_totals_to_the_last_digit(machine: str) -> None:
    result = run(machine, "selective:tau=8")
    for table in (load_energy_table(name) for name in energy_table_names()):
        charged = result.with_table(table)
        row, found = charged.as_row(), charged.as_dict()
        assert math.fsum(row[f"{name}_pj"] for name in COMPONENTS) == row["energy_pj"]
        assert math.fsum(row[f"{cause}_nj"] for cause in CAUSES) == row["total_energy_nj"]
        for key, total in (
            ("energy_by_component_pj", "energy_pj"),
            ("energy_by_cause_pj", "total_energy_pj"),
        ):
            assert math.fsum(found[key].values()) == found[total]
        for layer in found["layers"]:
            both = layer["energy_pj"], layer["energy_by_cause_pj"]
            assert math.fsum(both[0].values()) == math.fsum(both[1].values())
        # In integers there is nothing to round: every action is there for one thing.
        assert result.counts_by_cause.total == result.counts


@pytest.mark.parametrize("machine", MACHINES)
def test_a_policy_that_recomputes_needs_a_larger_machine(machine: str) -> None:
    low, both, high = (run(machine, p) for p in ("uniform-low", "selective:tau=8", "uniform-high"))
    for result in (low, both, high):
        assert result.area is not None
        assert result.leakage is not None
        assert result.leakage_pj == result.leakage.value * result.latency_s * 1e9
        kept = result.as_dict()
        assert sum(kept["leakage_by_part_pj"].values()) == kept["leakage_pj"] == result.leakage_pj
        row = result.as_row()
        assert row["area_um2"] == result.area.value
        assert result.area.value == math.fsum(part.value for part in result.area.parts)
        assert row["energy_delay_product_pj_s"] == pytest.approx(
            (result.energy_pj + result.leakage_pj) * result.latency_s, rel=1e-15
        )
    assert low.area is not None
    assert both.area is not None
    assert low.area.value < both.area.value


def test_a_table_without_areas_leaves_leakage_unknown_and_not_zero() -> None:
    table = load_energy_table("45nm").model_copy(update={"leakage": []})
    result = accelsim.run(shipped("hwconfigs", "edge-16x16"), WORKLOAD, "uniform-low", table)
    assert result.area is None
    assert result.total_energy_pj is None
    assert "leakage" not in result.energy_by_cause_pj
    row = result.as_row()
    assert (row["leakage_nj"], row["area_um2"], row["energy_delay_product_pj_s"]) == (None,) * 3
    assert result.as_dict()["area_um2"] is None
    assert result.as_dict()["leakage_by_part_pj"] is None


def test_the_keys_of_the_report_add_up() -> None:
    result = run("edge-16x16", "selective:tau=8")
    found = result.as_dict()
    layers = [math.fsum(layer["energy_pj"].values()) for layer in found["layers"]]
    assert math.fsum(layers) == pytest.approx(found["energy_pj"], rel=1e-14)
    assert math.fsum(line["energy_pj"] for line in found["counts"]) == found["energy_pj"]
    for cause, energy in found["energy_by_cause_pj"].items():
        lines = [line["energy_pj"] for line in found["counts"] if line["cause"] == cause]
        expected = math.fsum(lines) if lines else found["leakage_pj"]
        assert energy == pytest.approx(expected, rel=1e-12)
