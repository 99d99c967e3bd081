"""A few cycles of a layer: enough to see who waits for whom, and little enough to keep."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from accelsim.machine.hardware import Hardware
from accelsim.machine.layers import Lowered
from accelsim.machine.lower import LoweredLayer
from accelsim.machine.recurrent import LoweredSteps
from accelsim.machine.simulate import simulate_some_visits
from accelsim.machine.timeline import Interval, Stall, Timeline
from accelsim.machine.vector import LoweredVector, simulate_vector
from accelsim.machine.visits import Pass

WORKED = 12
"""How often the unit that works is seen at work."""
BEFORE = 2
"""Visits that are seen before the first one that leaves flagged outputs."""
FURTHEST = 1000
"""A visit that comes later than so many is too far in to simulate all that comes before it."""


@dataclass(frozen=True)
class Excerpt:
    """What happens in a layer from `start_cycles` to `end_cycles`, counted from its beginning."""

    start_cycles: int
    end_cycles: int
    intervals: tuple[Interval, ...]
    stalls: tuple[Stall, ...]


def excerpt(layer: Lowered, hardware: Hardware) -> Excerpt:
    """Return a layer's timeline from where outputs are first redone, or else from its beginning,
    until the unit that works has worked `WORKED` times.

    Of a recurrent layer it is taken from the first step. More is simulated, so that what is still
    under way at the end is known, too.
    """
    match layer:
        case LoweredVector():
            once = replace(layer.trace, repeats=1)
            some = replace(layer, trace=once, pieces=layer.pieces[: 2 * WORKED])
            return _cut(0, simulate_vector(some, hardware).timeline, "vector")
        case LoweredSteps():
            return _of_product(layer.steps[0], hardware)
        case _:
            return _of_product(layer, hardware)


def _of_product(layer: LoweredLayer, hardware: Hardware) -> Excerpt:
    if layer.deferred is not None:
        return _cut(*simulate_some_visits(layer, hardware, 0, WORKED), "recompute")
    return _cut(*simulate_some_visits(layer, hardware, _first(layer.first), WORKED), "array")


def _first(work: Pass) -> int:
    """Return the visit to begin with, so that the first flagged outputs are seen to be redone."""
    flagged = np.array([kind.flagged > 0 for kind in work.kinds])[work.sequence]
    first = int(flagged.argmax()) - BEFORE if flagged.any() else 0
    return first if WORKED // 2 <= first <= FURTHEST else 0


def _cut(start: int, timeline: Timeline, unit: str) -> Excerpt:
    """Return what happens from `start` until `unit` has worked `WORKED` times."""
    ends = sorted(i.end_cycles for i in timeline.intervals if i.unit == unit)
    ends = [end for end in ends if end > start]
    end = ends[WORKED - 1] if len(ends) > WORKED else timeline.total_cycles
    return Excerpt(
        start,
        end,
        tuple(
            Interval(i.unit, max(i.start_cycles, start), min(i.end_cycles, end), i.label)
            for i in timeline.intervals
            if i.start_cycles < end and i.end_cycles > start
        ),
        tuple(
            Stall(stall.cause, max(stall.start_cycles, start), min(stall.end_cycles, end))
            for stall in timeline.stalls
            if stall.start_cycles < end and stall.end_cycles > start
        ),
    )
