"""Recurrent layers on a machine: steps that never overlap.

A step takes what the gates made of the step before, so that it begins when that one's outputs are
in DRAM, on an idle machine. All steps have the same right operand: if the whole of it fits
scratchpad b it is fetched by the first step and kept, else every step fetches it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from accelsim.machine.counts import ByCause, Counts
from accelsim.machine.hardware import Hardware
from accelsim.machine.lower import LoweredLayer, check_sizes, lower
from accelsim.machine.simulate import Simulation, simulate
from accelsim.machine.tiling import bytes_of
from accelsim.machine.timeline import Timeline, joined
from accelsim.progress import Progress, silent
from accelsim.trace import LayerTrace


@dataclass(frozen=True)
class LoweredSteps:
    """The steps of a recurrent layer, in order; equal steps are one object."""

    trace: LayerTrace
    steps: tuple[LoweredLayer, ...]
    by_cause: ByCause

    @cached_property
    def counts(self) -> Counts:
        """All actions, whatever they are done for."""
        return self.by_cause.total

    @property
    def list_bytes(self) -> int:
        """The longest list of what waits to be redone at the end of a step."""
        return max(step.list_bytes for step in self.steps)

    @property
    def redone_outputs(self) -> int:
        """Outputs computed again, flagged or not."""
        return sum(step.redone_outputs for step in self.steps)

    @property
    def gather_cycles(self) -> int:
        """Cycles in which lines are put in dense order to be redone."""
        return sum(step.gather_cycles for step in self.steps)

    @property
    def compute_cycles(self) -> int:
        """Cycles of the first pass over all steps if nothing ever waits."""
        return sum(step.compute_cycles for step in self.steps)


@dataclass(frozen=True)
class StepsSimulation:
    """The time of all steps, one after the other. total = compute + all stalls.

    What a step defers is done at its own end, as the next one needs it.
    """

    total_cycles: int
    compute_cycles: int
    stall_cycles: dict[str, int]
    deferred_cycles: int
    layer: LoweredSteps = field(repr=False, compare=False)
    hardware: Hardware = field(repr=False, compare=False)
    steps: tuple[Simulation, ...] = field(repr=False, compare=False)

    @cached_property
    def timeline(self) -> Timeline:
        """The timelines of all steps, one after the other."""
        return joined(self.layer.trace.name, (step.timeline for step in self.steps))


def lower_steps(trace: LayerTrace, hardware: Hardware) -> LoweredSteps:
    """Cut every step into folds.

    Raises AccelsimError if a step's pieces do not fit, or all steps the DRAM.
    """
    bits = trace.operand_format.bits
    b_bytes = bytes_of(trace.k * trace.n, bits)
    a_bytes = bytes_of(trace.repeats * trace.m * trace.k, bits)
    c_bytes = bytes_of(trace.outputs, trace.output_format.bits)
    check_sizes(trace, hardware, a_bytes, b_bytes, c_bytes)
    kept = b_bytes <= hardware.scratchpads.b.capacity_bytes
    alike: dict[bool, LoweredLayer] = {}
    steps = []
    for index in range(trace.repeats):
        step, b_on_chip = trace.step(index), kept and index > 0
        if step.recomputed_outputs:
            steps.append(lower(step, hardware, b_on_chip=b_on_chip))
            continue
        if b_on_chip not in alike:
            alike[b_on_chip] = lower(step, hardware, b_on_chip=b_on_chip)
        steps.append(alike[b_on_chip])
    return LoweredSteps(trace, tuple(steps), _sum(steps))


def simulate_steps(
    layer: LoweredSteps, hardware: Hardware, progress: Progress = silent
) -> StepsSimulation:
    """Run every step from an idle machine until its last output is in DRAM."""
    found: dict[int, Simulation] = {}
    for step in progress(layer.steps, f"simulate {layer.trace.name}"):
        if id(step) not in found:
            found[id(step)] = simulate(step, hardware)
    steps = tuple(found[id(step)] for step in layer.steps)
    stalls: Counter[str] = Counter()
    for simulation in steps:
        stalls.update(simulation.stall_cycles)
    return StepsSimulation(
        total_cycles=sum(step.total_cycles for step in steps),
        compute_cycles=layer.compute_cycles,
        stall_cycles=dict(stalls),
        deferred_cycles=sum(step.deferred_cycles for step in steps),
        layer=layer,
        hardware=hardware,
        steps=steps,
    )


def _sum(steps: list[LoweredLayer]) -> ByCause:
    """Return the counts of all steps, adding those of equal steps once."""
    times = Counter(id(step) for step in steps)
    distinct = {id(step): step for step in steps}
    return sum((step.by_cause * times[key] for key, step in distinct.items()), ByCause())
