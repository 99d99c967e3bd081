"""Timelines as Chrome trace events, which Perfetto opens.

The format is that of the "Trace Event Format" document of the Chromium project: complete events
(`X`), counters (`C`) and names (`M`), with times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from accelsim.machine.hardware import Hardware
from accelsim.machine.timeline import Timeline

TRACKS = ("layer", "array", "vector", "stalls", "gather", "recompute", "dram")
"""From top to bottom, as a viewer shows them.

`stalls` are those of the array, and in a layer of vector work those of the vector unit.
"""


def chrome_trace(timelines: Iterable[Timeline], hardware: Hardware) -> dict[str, Any]:
    """Return the layers one after the other: a track per unit, stalls by cause, counters."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": hardware.name}}
    ]
    for tid, track in enumerate(TRACKS, start=1):
        place = {"ph": "M", "pid": 1, "tid": tid}
        events.append(place | {"name": "thread_name", "args": {"name": track}})
        events.append(place | {"name": "thread_sort_index", "args": {"sort_index": tid}})
    start = 0
    for timeline in timelines:
        events += _layer(timeline, start, hardware.clock_mhz)
        start += timeline.total_cycles
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"hardware": hardware.name, "clock_mhz": hardware.clock_mhz},
    }


def _layer(timeline: Timeline, offset: int, clock_mhz: float) -> list[dict[str, Any]]:
    """Return the events of a layer that begins `offset` cycles into the run."""

    def span(track: str, name: str, start: int, end: int) -> dict[str, Any]:
        return {
            "ph": "X",
            "name": name,
            "pid": 1,
            "tid": TRACKS.index(track) + 1,
            "ts": (offset + start) / clock_mhz,
            "dur": (end - start) / clock_mhz,
            "args": {"layer": timeline.layer, "start_cycles": start, "cycles": end - start},
        }

    events = [span("layer", timeline.layer, 0, timeline.total_cycles)]
    events += [span(i.unit, i.label, i.start_cycles, i.end_cycles) for i in timeline.intervals]
    events += [
        span("stalls", f"stall: {stall.cause}", stall.start_cycles, stall.end_cycles)
        for stall in timeline.stalls
    ]
    # Of several changes in one cycle only the last lasts.
    levels = {(change.cycle, change.counter): change.value for change in timeline.levels}
    events += [
        {
            "ph": "C",
            "name": counter,
            "pid": 1,
            "ts": (offset + cycle) / clock_mhz,
            "args": {"entries" if counter == "queue" else "in use": value},
        }
        for (cycle, counter), value in levels.items()
    ]
    return events
