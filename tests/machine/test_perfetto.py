"""The Chrome trace: tracks, stalls with their cause, counters, layers in sequence."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import LAYERS, MACHINES, lanes, machine, trace, vector_work
from test_simulate import ANY_MACHINE, ONE_FOLD, run

from accelsim.machine import Hardware, chrome_trace, lower_layer, simulate_layer
from accelsim.trace import LayerTrace, VectorTrace


def spans(events: list[dict[str, Any]], track: str) -> list[tuple[str, float, float]]:
    tids = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name"}
    return [
        (e["name"], e["ts"], e["ts"] + e["dur"])
        for e in events
        if e["ph"] == "X" and e["tid"] == tids[track]
    ]


def test_a_trace_by_hand() -> None:
    # The timeline is worked out in test_simulate.py; at 1 GHz a cycle is a thousandth of a µs.
    hardware = machine(
        dram={"bandwidth_gbytes_per_s": 4.0, "latency_ns": 5.0}, unit=lanes(2, 8), tiling=ONE_FOLD
    )
    mask = np.zeros((4, 8), np.bool_)
    mask[0, :3] = True
    timeline = run(trace(4, 10, 8, mask), hardware).timeline
    written = chrome_trace([timeline, timeline], hardware)
    events = written["traceEvents"]
    assert spans(events, "layer") == [("layer", 0.0, 0.069), ("layer", 0.069, 0.138)]
    assert spans(events, "array")[:2] == [("tile 0", 0.025, 0.041), ("tile 1", 0.041, 0.057)]
    assert spans(events, "stalls")[:3] == [
        ("stall: dram", 0.0, 0.025),
        ("stall: recompute", 0.057, 0.061),
        ("stall: dram", 0.061, 0.069),
    ]
    queue = [(e["ts"], e["args"]["entries"]) for e in events if e["name"] == "queue"]
    # Three flagged outputs enter at 41; two leave at once, the third when the lanes are free.
    assert queue[:3] == [(0.0, 0), (0.041, 1), (0.051, 0)]
    assert written["otherData"] == {"hardware": "test", "clock_mhz": 1000.0}
    assert json.loads(json.dumps(written)) == written


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_stalls_are_those_that_are_counted_and_never_overlap(
    hardware: Hardware, layer: LayerTrace
) -> None:
    result = run(layer, hardware)
    stalls = sorted(result.timeline.stalls, key=lambda stall: stall.start_cycles)
    for cause, cycles in result.stall_cycles.items():
        assert sum(s.end_cycles - s.start_cycles for s in stalls if s.cause == cause) == cycles
    assert all(before.end_cycles <= after.start_cycles for before, after in pairwise(stalls))


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_counters_stay_within_the_machine_and_end_at_zero(
    hardware: Hardware, layer: LayerTrace
) -> None:
    levels = run(layer, hardware).timeline.levels
    most = {
        "tiles ahead": 2,
        "tiles in c": 2,
        "queue": getattr(hardware.recompute, "queue_capacity", 0),
    }
    assert {level.counter for level in levels} == set(most)
    assert all(0 <= level.value <= most[level.counter] for level in levels)
    assert {level.counter: level.value for level in levels} == dict.fromkeys(most, 0)


NETWORK = st.lists(
    st.one_of(
        LAYERS,
        st.builds(
            vector_work, rows=st.integers(1, 99), fused=st.booleans(), repeats=st.integers(1, 3)
        ),
        st.builds(
            trace, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5),
            repeats=st.integers(2, 4), recurrent=st.just(True),
        ),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@up_to(60)
@given(MACHINES, NETWORK)
def test_the_file_has_the_structure_that_viewers_read(
    hardware: Hardware, layers: list[LayerTrace | VectorTrace]
) -> None:
    """After the Trace Event Format: what each kind of event must have, and of which type."""
    timelines = [
        simulate_layer(lower_layer(layer, hardware), hardware).timeline for layer in layers
    ]
    written = json.loads(json.dumps(chrome_trace(timelines, hardware), allow_nan=False))
    events = written["traceEvents"]
    tracks: dict[int, str] = {}
    busy: dict[int, list[tuple[float, float]]] = {}
    for event in events:
        assert event["pid"] == 1
        assert isinstance(event["name"], str)
        if event["ph"] == "M" and event["name"] == "thread_name":
            assert event["tid"] not in tracks
            tracks[event["tid"]] = event["args"]["name"]
        elif event["ph"] == "X":
            assert number(event["ts"])
            assert number(event["dur"])
            assert event["dur"] > 0
            busy.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "C":
            assert number(event["ts"])
            assert event["args"]
            assert all(number(value) and value >= 0 for value in event["args"].values())
        else:
            assert event["ph"] == "M"
    assert sorted(tracks.values()) == sorted(
        ["layer", "array", "vector", "stalls", "gather", "recompute", "dram"]
    )
    assert set(busy) <= set(tracks)
    for track in busy.values():  # no unit does two things at once
        track.sort()
        for (_, end), (start, _) in pairwise(track):
            assert start >= end - 1e-9 * end
    stalls = [event["name"] for event in events if tracks.get(event.get("tid")) == "stalls"]
    assert {name for name in stalls if not name.startswith("thread_")} <= {
        "stall: dram",
        "stall: scratchpad",
        "stall: recompute",
    }
