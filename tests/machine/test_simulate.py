"""The discrete-event model: a log by hand, and the laws of time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import FAST_DRAM, lanes, machine, random_mask, trace

from accelsim.machine import Hardware, Lanes, Rerun, Simulation, lower, simulate
from accelsim.trace import LayerTrace


def run(layer: LayerTrace, hardware: Hardware) -> Simulation:
    return simulate(lower(layer, hardware), hardware)


UNITS: st.SearchStrategy[Lanes | Rerun] = st.one_of(
    st.just(Rerun(unit="array")),
    st.builds(lanes, st.integers(1, 20), st.integers(1, 20)),
)
MACHINES = st.builds(
    lambda rows, cols, overlap, unit, dataflow, bandwidth, latency: machine(
        rows,
        cols,
        overlap,
        unit,
        dataflow,
        dram={"bandwidth_gbytes_per_s": bandwidth, "latency_ns": latency},
    ),
    st.integers(1, 8),
    st.integers(1, 8),
    st.booleans(),
    UNITS,
    st.sampled_from(["os", "ws", "is"]),
    st.sampled_from([0.5, 1.0, 3.0, 16.0, 1e9]),
    st.sampled_from([0.0, 7.0, 100.0]),
)
LAYERS = st.builds(
    lambda m, k, n, rate, seed, repeats: trace(
        m, k, n, random_mask(repeats * m, n, rate, seed), repeats=repeats
    ),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    st.integers(0, 3),
    st.sampled_from([1, 1, 3]),
)


def test_a_timeline_by_hand() -> None:
    # Two folds of 4x4 outputs, K = 10: 16 cycles each. At 4 bytes a cycle, the first loads A and
    # B strips, 80 bytes in 20 cycles, the second the other strip of B in 10.
    hardware = machine(dram={"bandwidth_gbytes_per_s": 4.0, "latency_ns": 5.0}, unit=lanes(2, 8))
    mask = np.zeros((4, 8), np.bool_)
    mask[0, :3] = True  # three outputs of the first fold: two rounds of ten cycles
    result = run(trace(4, 10, 8, mask), hardware)
    assert sorted(str(result.timeline).splitlines()) == sorted(
        [
            "       0       20 dram      load fold 0",
            "      20       30 dram      load fold 1",
            "      25       41 array     fold 0",
            "      41       57 array     fold 1",
            "      41       51 recompute redo 2 of fold 0",
            "      51       61 recompute redo 1 of fold 0",
            "      57       61 dram      store fold 1",
            "      61       65 dram      store fold 0",
        ]
    )
    assert result.total_cycles == 65
    assert result.compute_cycles == 32
    # 25 cycles for the first operands; after the array is done at 57, four for redoing, four for
    # the last store.
    assert result.stall_cycles == {"dram": 29, "recompute": 4}


def test_no_fold_starts_before_its_own_operands_have_arrived() -> None:
    # The last of four folds fetches nothing, and must not be taken for the third, which does.
    hardware = machine(dram={"bandwidth_gbytes_per_s": 4.0, "latency_ns": 100.0})
    lowered = lower(trace(8, 10, 8), hardware)
    assert [fold.load_bytes for fold in lowered.folds] == [80, 40, 40, 0]
    log = str(simulate(lowered, hardware).timeline).splitlines()
    assert "     136      146 dram      load fold 2" in log
    assert "     246      262 array     fold 2" in log
    assert "     262      278 array     fold 3" in log


def test_the_array_itself_takes_the_time_of_a_fold_to_redo_outputs() -> None:
    hardware = machine(dram=FAST_DRAM)
    mask = np.zeros((4, 12), np.bool_)
    mask[2, 5] = True
    plain = run(trace(4, 10, 12), hardware)
    redone = run(trace(4, 10, 12, mask), hardware)
    assert redone.total_cycles == plain.total_cycles + 16
    assert redone.stall_cycles["recompute"] == 16


def test_the_array_redoes_a_tile_of_several_folds_in_the_time_of_all_of_them() -> None:
    hardware = machine(dataflow="ws", dram=FAST_DRAM)  # 3 folds over K, of 2·4 + 4 + 6 - 2 cycles
    mask = np.zeros((6, 12), np.bool_)
    mask[2, 5] = True
    plain, redone = run(trace(6, 10, 12), hardware), run(trace(6, 10, 12, mask), hardware)
    assert redone.total_cycles == plain.total_cycles + 3 * 16
    assert redone.stall_cycles["recompute"] == 3 * 16


def test_operands_that_are_fetched_again_hold_up_recomputation() -> None:
    mask = np.zeros((6, 4), np.bool_)
    mask[2, 1] = True
    dram = {"bandwidth_gbytes_per_s": 1.0, "latency_ns": 7.0}
    small = {"a": {"capacity_bytes": 48}, "b": {"capacity_bytes": 32}}
    hardware = machine(dataflow="ws", dram=dram, scratchpads=small)
    again = run(trace(6, 12, 4, mask), hardware).timeline
    fetch = [i for i in again.intervals if i.label == "fetch again for fold 2"]
    redo = [i for i in again.intervals if i.label == "redo fold 2"]
    assert [i.end_cycles - i.start_cycles for i in fetch] == [8 + 8]
    assert redo[0].start_cycles == fetch[0].end_cycles + 7


def test_one_lane_redoes_one_output_in_k_cycles() -> None:
    mask = np.ones((4, 4), np.bool_)
    result = run(trace(4, 10, 4, mask), machine(dram=FAST_DRAM, unit=lanes(1, 100)))
    assert result.timeline.busy_cycles("recompute") == 16 * 10


@pytest.mark.parametrize("overlap", [False, True])
def test_a_full_queue_stalls_the_array(overlap: bool) -> None:
    mask = np.ones((4, 40), np.bool_)
    roomy = machine(overlap_folds=overlap, dram=FAST_DRAM, unit=lanes(8, 1000))
    tight = machine(overlap_folds=overlap, dram=FAST_DRAM, unit=lanes(8, 2))
    layer = trace(4, 10, 40, mask)
    assert run(layer, tight).total_cycles > run(layer, roomy).total_cycles
    assert run(layer, tight).stall_cycles["recompute"] > run(layer, roomy).stall_cycles["recompute"]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40),
    st.integers(1, 9), st.integers(1, 9), st.booleans(), st.sampled_from(["os", "ws", "is"]),
)  # fmt: skip
def test_without_stalls_the_closed_form_is_exact(
    m: int, k: int, n: int, rows: int, cols: int, overlap: bool, dataflow: str
) -> None:
    # Two folds may take less than a store: only then does an infinite channel still hold one up.
    hardware = machine(rows, cols, overlap, dataflow=dataflow, dram=FAST_DRAM)
    folds = lower(trace(m, k, n), hardware)
    result = simulate(folds, hardware)
    if folds.interval_cycles >= 2:
        # One cycle to load the first operands, one to store the last outputs.
        assert result.total_cycles == folds.compute_cycles + 2
    assert result.compute_cycles == folds.compute_cycles


@settings(max_examples=150, deadline=None)
@given(MACHINES, LAYERS)
def test_laws_of_time(hardware: Hardware, layer: LayerTrace) -> None:
    check_laws(hardware, layer)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 8), st.integers(1, 40), st.integers(1, 8), UNITS, st.sampled_from(["ws", "is"]),
    st.booleans(), st.sampled_from([0.05, 0.4]), st.sampled_from([0.5, 3.0, 1e9]),
)  # fmt: skip
def test_laws_of_time_hold_where_operands_are_fetched_again(
    m: int, k: int, n: int, unit: Lanes | Rerun, dataflow: str, overlap: bool, rate: float,
    bandwidth: float,
) -> None:  # fmt: skip
    small = {"capacity_bytes": 64}
    dram = {"bandwidth_gbytes_per_s": bandwidth, "latency_ns": 7.0}
    hardware = machine(
        4, 4, overlap, unit, dataflow, dram=dram, scratchpads={"a": small, "b": small}
    )
    check_laws(hardware, trace(m, k, n, random_mask(m, n, rate)))


def check_laws(hardware: Hardware, layer: LayerTrace) -> None:
    lowered = lower(layer, hardware)
    result = simulate(lowered, hardware)
    timeline = result.timeline
    busy = {unit: timeline.busy_cycles(unit) for unit in ("array", "dram", "recompute")}
    assert result.total_cycles == result.compute_cycles + sum(result.stall_cycles.values())
    assert min(result.stall_cycles.values()) >= 0
    assert max(*busy.values(), result.compute_cycles) <= result.total_cycles
    fetches = len(lowered.folds) + sum(fold.refetch_bytes > 0 for fold in lowered.folds)
    waits = hardware.dram_latency_cycles * fetches
    drains = lowered.drain_cycles * (len(lowered.folds) + 1)
    assert result.total_cycles <= sum(busy.values()) + waits + drains
    moved = sum(f.load_bytes + f.store_bytes + f.refetch_bytes for f in lowered.folds)
    roofline = moved * hardware.clock_mhz / (hardware.dram.bandwidth_gbytes_per_s * 1e3)
    assert result.total_cycles >= roofline


@settings(max_examples=60, deadline=None)
@given(MACHINES, LAYERS)
def test_no_unit_does_two_things_at_once(hardware: Hardware, layer: LayerTrace) -> None:
    intervals = run(layer, hardware).timeline.intervals
    for unit in ("array", "dram", "recompute"):
        spans = sorted((i.start_cycles, i.end_cycles) for i in intervals if i.unit == unit)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@settings(max_examples=60, deadline=None)
@given(MACHINES, LAYERS)
def test_the_same_input_gives_the_same_timeline(hardware: Hardware, layer: LayerTrace) -> None:
    first, second = run(layer, hardware), run(layer, hardware)
    assert first == second
    assert first.timeline == second.timeline


@settings(max_examples=60, deadline=None)
@given(MACHINES, st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_a_recompute_rate_of_zero_takes_the_time_of_uniform(
    hardware: Hardware, m: int, k: int, n: int
) -> None:
    uniform = run(trace(m, k, n), hardware)
    unflagged = run(trace(m, k, n, np.zeros((m, n), np.bool_)), hardware)
    assert unflagged == uniform
    assert unflagged.timeline == uniform.timeline
    assert uniform.stall_cycles["recompute"] == 0


@settings(max_examples=60, deadline=None)
@given(MACHINES, LAYERS)
def test_every_output_is_loaded_for_computed_and_stored(
    hardware: Hardware, layer: LayerTrace
) -> None:
    lowered = lower(layer, hardware)
    labels = [interval.label for interval in simulate(lowered, hardware).timeline.intervals]
    for number, fold in enumerate(lowered.folds):
        assert labels.count(f"fold {number}") == 1
        assert labels.count(f"store fold {number}") == fold.closes
        assert labels.count(f"fetch again for fold {number}") == (fold.refetch_bytes > 0)
        assert labels.count(f"load fold {number}") == (fold.load_bytes > 0)
