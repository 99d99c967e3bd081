"""What is kept of a timeline is how the whole of it begins."""

from __future__ import annotations

import pytest

import accelsim
from accelsim.machine.opening import FOLDS, opening
from accelsim.machine.timeline import Timeline


def cut(whole: Timeline, end: int) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
    """The intervals and stalls of a timeline until `end`, in order."""
    busy = sorted(
        (i.unit, i.start_cycles, min(i.end_cycles, end))
        for i in whole.intervals
        if i.start_cycles < end
    )
    stalls = sorted(
        (s.cause, s.start_cycles, min(s.end_cycles, end))
        for s in whole.stalls
        if s.start_cycles < end
    )
    return busy, stalls


@pytest.mark.parametrize("policy", ["uniform-low", "random:rate=0.02", "random:rate=0.3"])
@pytest.mark.parametrize(
    "machine",
    ["edge-16x16", "edge-16x16-dual", "edge-16x16-gather", "edge-16x16-tile", "mid-32x32",
     "mid-32x32-8-lanes-deferred", "mid-32x32-gather-deferred", "gemmini-like-16-lanes",
     "eyeriss-like-14-lanes"],
)  # fmt: skip
def test_an_opening_is_the_beginning_of_the_timeline(
    machine: str, policy: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("shapes") / "s.yaml"
    path.write_text(
        "name: s\nlayers:\n"
        "  - {name: long, kind: gemm, m: 500, k: 150, n: 200}\n"
        "  - {name: short, kind: gemm, m: 20, k: 30, n: 10}\n"
        "  - {name: soft, kind: softmax, elements: 300000, row: 100}\n"
        "  - {name: cell, kind: lstm, inputs: 60, hidden: 60, sequence: 3}\n"
    )
    run = accelsim.run(machine, path, policy)
    for layer in run.layers:
        found, whole = opening(layer.lowered, run.hardware), layer.simulation.timeline
        worked = [i for i in found.intervals if i.unit in ("array", "vector")]
        assert worked
        assert found.total_cycles <= whole.total_cycles
        if layer.trace.name == "long":
            assert len([i for i in worked if i.end_cycles <= found.total_cycles]) >= FOLDS
        if layer.trace.name == "cell":  # a step at a time
            continue
        assert cut(found, found.total_cycles) == cut(whole, found.total_cycles)


def test_a_run_keeps_how_its_longest_layer_begins() -> None:
    run = accelsim.run("edge-16x16", "digits-relu", "selective:tau=8")
    kept = run.opening
    longest = max(run.layers, key=lambda layer: layer.simulation.total_cycles)
    assert kept["layer"] == longest.trace.name
    assert kept["total_cycles"] == longest.simulation.total_cycles
    whole = longest.simulation.timeline
    spans = [(i.start_cycles, i.end_cycles) for i in whole.intervals if i.unit == "array"]
    assert kept["busy_cycles"]["array"] == spans[: len(kept["busy_cycles"]["array"])]
