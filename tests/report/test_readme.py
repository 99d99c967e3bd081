"""The README's worked example is what the program computes."""

from __future__ import annotations

from pathlib import Path

import accelsim
from accelsim.config import shipped
from accelsim.energy import charge, total_pj
from accelsim.trace import LayerTrace

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_worked_example_holds() -> None:
    run = accelsim.run(
        shipped("hwconfigs", "edge-16x16"), shipped("workloads", "digits-relu"), "selective:tau=8"
    )
    layer = run.layers[0]
    simulation, trace = layer.simulation, layer.trace
    assert isinstance(trace, LayerTrace)
    for number in (
        trace.recomputed_outputs,
        trace.outputs,
        simulation.compute_cycles,
        simulation.total_cycles,
        trace.recomputed_outputs * trace.k,
        trace.outputs + trace.recomputed_outputs,
    ):
        assert f"{number:,}" in README, number
    assert f"{simulation.stall_cycles['dram']} cycles of `dram`" in README
    lines = charge(layer.lowered.counts, run.energy_table)
    for line in lines:
        assert f"{line.number:,}" in README, line
    components = sorted({line.component for line in lines})
    for component in components:
        part = sum(line.energy_pj for line in lines if line.component == component)
        assert f"{part / 1e3:,.1f} |" in README, component
    assert f"**{total_pj(lines) / 1e3:,.1f}**" in README


def test_the_readme_opens_with_what_a_newcomer_types() -> None:
    opening = README.split("## ")[0]
    assert "make demo" in opening
    assert "make test" in opening
