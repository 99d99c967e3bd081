"""The first cycles of a layer: enough to see who waits for whom, and little enough to keep."""

from __future__ import annotations

from dataclasses import replace

from accelsim.machine.hardware import Hardware
from accelsim.machine.layers import Lowered
from accelsim.machine.recurrent import LoweredSteps
from accelsim.machine.simulate import simulate_first_visits
from accelsim.machine.timeline import Interval, Stall, Timeline
from accelsim.machine.vector import LoweredVector, simulate_vector

FOLDS = 12
"""How often the unit that works is seen at work."""


def opening(layer: Lowered, hardware: Hardware) -> Timeline:
    """Return what a layer's timeline begins with, cut where its array has worked `FOLDS` times.

    Of a recurrent layer that is its first step; where a layer is shorter, all of it. More is
    simulated, so that what is still under way at the cut is known, too.
    """
    match layer:
        case LoweredVector():
            once = replace(layer.trace, repeats=1)
            some = replace(layer, trace=once, pieces=layer.pieces[: 2 * FOLDS])
            found, unit = simulate_vector(some, hardware).timeline, "vector"
        case LoweredSteps():
            found, unit = simulate_first_visits(layer.steps[0], hardware, FOLDS), "array"
        case _:
            found, unit = simulate_first_visits(layer, hardware, FOLDS), "array"
    ends = sorted(i.end_cycles for i in found.intervals if i.unit == unit)
    end = ends[FOLDS - 1] if len(ends) > FOLDS else found.total_cycles
    return Timeline(
        layer.trace.name,
        end,
        tuple(
            Interval(i.unit, i.start_cycles, min(i.end_cycles, end), i.label)
            for i in found.intervals
            if i.start_cycles < end
        ),
        tuple(
            Stall(stall.cause, stall.start_cycles, min(stall.end_cycles, end))
            for stall in found.stalls
            if stall.start_cycles < end
        ),
    )
