"""The time of a layer: its passes through the `event_model`, in the order that takes the least."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.event_model import EventModel, Ran
from accelsim.machine.hardware import Hardware, Lanes
from accelsim.machine.lower import LoweredLayer
from accelsim.machine.steady import SteadyState
from accelsim.machine.timeline import Stall, Timeline, joined
from accelsim.machine.visits import Pass, Visit
from accelsim.progress import Progress, silent


@dataclass(frozen=True)
class Simulation:
    """The time of one layer. total = compute + all stalls; `timeline` says who did what when.

    Stall causes: `dram` (the array waits for operands, or for outputs to leave), `scratchpad` (its
    operands or outputs come and go more slowly than it works) and `recompute` (it waits for the
    recompute unit, or redoes outputs itself). Of the latter, `deferred_cycles` are those after the
    first pass.
    """

    total_cycles: int
    compute_cycles: int
    stall_cycles: dict[str, int]
    deferred_cycles: int
    layer: LoweredLayer = field(repr=False, compare=False)
    hardware: Hardware = field(repr=False, compare=False)

    @cached_property
    def timeline(self) -> Timeline:
        """Every interval of every visit, which is simulated when first asked for."""
        return simulate_every_visit(self.layer, self.hardware)[1]


def simulate(layer: LoweredLayer, hardware: Hardware, progress: Progress = silent) -> Simulation:
    """Run one layer from an empty machine until its last output is in DRAM.

    Rounds of visits that repeat exactly are jumped over, to the same integers.
    """
    return _in_turn(
        layer, hardware, [_fastest(layer, work, hardware, progress)[1] for work in layer.passes]
    )


def _fastest(
    layer: LoweredLayer, work: Pass, hardware: Hardware, progress: Progress = silent
) -> tuple[Pass, Ran]:
    """Return a pass in the order of loads and stores that takes the least time, and that time.

    The order is fixed before the run, by whoever compiles the layer for the machine.
    """
    runs = []
    for order in work.orders:
        steady = SteadyState(_by_time(order, hardware))
        runs.append((order, EventModel(layer, order, hardware, progress, steady).run()))
    return min(runs, key=lambda each: each[1].total_cycles)


def _by_time(work: Pass, hardware: Hardware) -> NDArray[np.int32]:
    """Return the kinds of the visits, without what makes no difference to time.

    An array redoes one flagged output of a wave in the time of all of them.
    """
    kinds = work.kinds
    if not isinstance(hardware.recompute, Lanes):
        kinds = tuple(
            kind.with_parts(tuple(p._replace(flagged=min(p.flagged, 1)) for p in kind.parts))
            for kind in kinds
        )
    numbers: dict[Visit, int] = {}
    renumbered = [numbers.setdefault(kind, len(numbers)) for kind in kinds]
    return np.array(renumbered, np.int32)[work.sequence]


def simulate_every_visit(
    layer: LoweredLayer, hardware: Hardware, progress: Progress = silent
) -> tuple[Simulation, Timeline]:
    """Run one layer without jumps, and return what happened as well."""
    runs, timelines = [], []
    for work in layer.passes:
        machines = [EventModel(layer, order, hardware, progress, None) for order in work.orders]
        ran = [machine.run() for machine in machines]
        best = min(range(len(ran)), key=lambda index: ran[index].total_cycles)
        runs.append(ran[best])
        timelines.append(machines[best].timeline())
    simulation = _in_turn(layer, hardware, runs)
    if layer.deferred:
        timelines[1] = _of_redoing(timelines[1])
    return simulation, joined(layer.trace.name, timelines)


def simulate_some_visits(
    layer: LoweredLayer, hardware: Hardware, first: int, number: int
) -> tuple[int, Timeline]:
    """Return when the `first` visit begins, and what happens from the beginning of its pass until
    the unit that works has worked `number` times since then, and a little longer.

    The pass is the deferred one if there is any.
    """
    work, ran = _fastest(layer, layer.first, hardware)
    before = 0
    if layer.deferred is not None:
        before = ran.total_cycles
        work, _ = _fastest(layer, layer.deferred, hardware)
    start, found = EventModel(layer, work, hardware, silent, None).run_some(first, number)
    found = found if layer.deferred is None else _of_redoing(found)
    name = layer.trace.name
    return before + start, joined(name, [Timeline(name, before, ()), found])


def _of_redoing(deferred: Timeline) -> Timeline:
    """Return the timeline of a deferred pass, all of which is time that recomputation adds."""
    return replace(deferred, stalls=(Stall("recompute", 0, deferred.total_cycles),))


def _in_turn(layer: LoweredLayer, hardware: Hardware, passes: list[Ran]) -> Simulation:
    """Return the time of a first pass, and of a deferred one after it if there is any."""
    first, deferred = passes[0], sum(run.total_cycles for run in passes[1:])
    stalls = first.stall_cycles | {"recompute": first.stall_cycles["recompute"] + deferred}
    return Simulation(
        total_cycles=first.total_cycles + deferred,
        compute_cycles=layer.compute_cycles,
        stall_cycles=stalls,
        deferred_cycles=deferred,
        layer=layer,
        hardware=hardware,
    )
