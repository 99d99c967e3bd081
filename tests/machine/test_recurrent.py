"""Recurrent layers: steps that never overlap, and weights that stay on the chip if they fit."""

from __future__ import annotations

from typing import Any

from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import UNITS, Unit, machine, random_mask, trace

from accelsim.machine import (
    Dual,
    Hardware,
    lower,
    lower_layer,
    simulate,
    simulate_layer,
)
from accelsim.machine.recurrent import LoweredSteps, StepsSimulation
from accelsim.trace import LayerTrace


def steps(layer: LayerTrace, hardware: Hardware) -> tuple[LoweredSteps, StepsSimulation]:
    lowered = lower_layer(layer, hardware)
    assert isinstance(lowered, LoweredSteps)
    simulation = simulate_layer(lowered, hardware)
    assert isinstance(simulation, StepsSimulation)
    return lowered, simulation


def recurrent(m: int, k: int, n: int, repeats: int, **changes: Any) -> LayerTrace:
    return trace(m, k, n, repeats=repeats, recurrent=True, **changes)


def with_b(capacity_bytes: int, **parts: Any) -> Hardware:
    return machine(scratchpads={"b": {"capacity_bytes": capacity_bytes}}, **parts)


def test_weights_that_fit_are_fetched_once_and_others_at_every_step() -> None:
    layer = recurrent(2, 8, 12, repeats=5)
    for capacity, times in ((96, 1), (95, 5)):
        lowered, _ = steps(layer, with_b(capacity))
        assert lowered.counts.bytes_moved("dram") == times * 8 * 12 + 5 * 2 * 8 + 5 * 2 * 12


def test_a_step_begins_when_the_one_before_is_stored() -> None:
    layer, hardware = recurrent(3, 8, 12, repeats=4), with_b(95)
    once = simulate(lower(layer.step(0), hardware), hardware)
    _, simulation = steps(layer, hardware)
    assert simulation.total_cycles == 4 * once.total_cycles
    assert simulation.compute_cycles == 4 * once.compute_cycles
    intervals = simulation.timeline.intervals
    loads = [i.start_cycles for i in intervals if i.label == "load a of tile 0"]
    assert loads == [step * once.total_cycles for step in range(4)]


@up_to(60)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    st.sampled_from(["os", "ws", "is"]),
    UNITS,
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(0, 99),
)
def test_steps_are_products_one_after_the_other(
    shape: tuple[int, int, int, int], dataflow: str, unit: Unit, rate: float,
    fits: bool, seed: int,
) -> None:  # fmt: skip
    m, k, n, repeats = shape
    layer = recurrent(m, k, n, repeats, mask=random_mask(m * repeats, n, rate, seed))
    # Terms are cut into blocks that fit, whatever becomes of the whole.
    hardware = with_b(10_000 if fits else 2 * 4 * 9, dataflow=dataflow, unit=unit)
    kept = k * n <= hardware.scratchpads.b.capacity_bytes
    lowered, simulation = steps(layer, hardware)
    parts = [
        lower(layer.step(index), hardware, b_on_chip=kept and index > 0) for index in range(repeats)
    ]
    simulations = [simulate(part, hardware) for part in parts]
    assert simulation.total_cycles == sum(s.total_cycles for s in simulations)
    assert lowered.counts == sum((part.counts for part in parts[1:]), parts[0].counts)
    stalls = simulation.stall_cycles
    assert stalls == {cause: sum(s.stall_cycles[cause] for s in simulations) for cause in stalls}
    assert simulation.total_cycles == simulation.compute_cycles + sum(stalls.values())
    redone = sum(part.redone_outputs for part in parts)
    assert lowered.redone_outputs == redone
    if not isinstance(unit, Dual):
        assert redone >= layer.recomputed_outputs
    deferred = [step.deferred_cycles for step in simulations]
    assert simulation.deferred_cycles == sum(deferred)
    timeline = simulation.timeline
    assert timeline.total_cycles == simulation.total_cycles
    assert timeline.busy_cycles("dram") <= simulation.total_cycles


def test_equal_steps_are_lowered_once() -> None:
    lowered, _ = steps(recurrent(2, 8, 12, repeats=50), with_b(1000))
    assert len({id(step) for step in lowered.steps}) == 2
