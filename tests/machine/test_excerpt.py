"""What is kept of a timeline is a piece of the whole, where outputs are first redone."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.machine.excerpt import FURTHEST, WORKED, Excerpt, excerpt
from accelsim.machine.lower import LoweredLayer
from accelsim.machine.timeline import Timeline

Spans = list[tuple[str, int, int]]


def spans(whole: Timeline | Excerpt, start: int, end: int) -> tuple[Spans, Spans]:
    """The intervals and stalls from `start` to `end`, in order."""
    busy = sorted(
        (i.unit, max(i.start_cycles, start), min(i.end_cycles, end))
        for i in whole.intervals
        if i.start_cycles < end and i.end_cycles > start
    )
    stalls = sorted(
        (s.cause, max(s.start_cycles, start), min(s.end_cycles, end))
        for s in whole.stalls
        if s.start_cycles < end and s.end_cycles > start
    )
    return busy, stalls


@pytest.mark.parametrize("policy", ["uniform-low", "random:rate=0.002", "random:rate=0.3"])
@pytest.mark.parametrize(
    "machine",
    ["edge-16x16", "edge-16x16-dual", "edge-16x16-gather", "edge-16x16-tile", "mid-32x32",
     "mid-32x32-8-lanes-deferred", "mid-32x32-gather-deferred", "gemmini-like-16-lanes",
     "eyeriss-like-14-lanes"],
)  # fmt: skip
def test_an_excerpt_is_a_piece_of_the_timeline(
    machine: str, policy: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("shapes") / "s.yaml"
    path.write_text(
        "name: s\nlayers:\n"
        "  - {name: long, kind: gemm, m: 500, k: 150, n: 200}\n"
        "  - {name: deep, kind: gemm, m: 32, k: 9000, n: 32}\n"
        "  - {name: short, kind: gemm, m: 20, k: 30, n: 10}\n"
        "  - {name: soft, kind: softmax, elements: 300000, row: 100}\n"
        "  - {name: cell, kind: lstm, inputs: 60, hidden: 60, sequence: 3}\n"
    )
    run = accelsim.run(machine, path, policy)
    for layer in run.layers:
        found, whole = excerpt(layer.lowered, run.hardware), layer.simulation.timeline
        start, end = found.start_cycles, found.end_cycles
        assert 0 <= start < end <= whole.total_cycles
        if layer.trace.name == "long":
            worked = [i for i in found.intervals if i.unit in ("array", "recompute")]
            assert len(worked) >= WORKED or end == whole.total_cycles
        if layer.trace.name == "cell":  # a step at a time
            continue
        assert spans(found, start, end) == spans(whole, start, end)
        if policy != "random:rate=0.3" or not isinstance(layer.lowered, LoweredLayer):
            continue
        if len(layer.lowered.first.sequence) < FURTHEST:
            units = {i.unit for i in whole.intervals}
            assert ("recompute" in units) == any(i.unit == "recompute" for i in found.intervals)
        else:
            assert start == 0


@pytest.mark.parametrize("machine", ["edge-16x16", "mid-32x32"])
def test_an_excerpt_begins_two_tiles_before_the_first_that_is_redone(
    machine: str, tmp_path: Path
) -> None:
    """Sums of 60,000 terms take many tiles, and none leaves outputs but the last."""
    path = tmp_path / "s.yaml"
    path.write_text("name: s\nlayers: [{name: deep, kind: gemm, m: 32, k: 60000, n: 32}]\n")
    layer = accelsim.run(machine, path, "random:rate=0.1").layers[0]
    found, whole = excerpt(layer.lowered, layer.simulation.hardware), layer.simulation.timeline
    first = min(int(i.label.split()[-1]) for i in whole.intervals if i.label.startswith("redo"))
    assert first > WORKED
    began = min(i.start_cycles for i in whole.intervals if i.label.startswith(f"tile {first - 2}"))
    assert found.start_cycles == began


def test_a_run_keeps_some_of_its_longest_layer() -> None:
    run = accelsim.run("edge-16x16", "digits-relu", "selective:tau=8")
    kept = run.excerpt
    longest = max(run.layers, key=lambda layer: layer.simulation.total_cycles)
    assert kept["layer"] == longest.trace.name
    assert kept["start_cycles"] == 0
    assert kept["total_cycles"] == longest.simulation.total_cycles
    whole = longest.simulation.timeline
    spans = [(i.start_cycles, i.end_cycles) for i in whole.intervals if i.unit == "array"]
    assert kept["busy_cycles"]["array"] == spans[: len(kept["busy_cycles"]["array"])]
