"""The discrete-event model: a log by hand, and the laws of time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    FAST_DRAM,
    LAYERS,
    MACHINES,
    TIGHT_MACHINES,
    lanes,
    lowered,
    machine,
    trace,
)

from accelsim.machine import Hardware, Simulation, lower, simulate
from accelsim.numerics import Accumulator
from accelsim.trace import LayerTrace

ANY_MACHINE = st.one_of(MACHINES, TIGHT_MACHINES)
PARTS = [f" part {number}" for number in range(1000)]


def run(layer: LayerTrace, hardware: Hardware) -> Simulation:
    return simulate(lowered(layer, hardware), hardware)


ONE_FOLD = {"m": 4, "n": 4, "order": "mnk"}
"""Tiles of one fold each, so that what happens can be worked out by hand."""


def test_a_timeline_by_hand() -> None:
    # Two folds of 4x4 outputs, K = 10: 16 cycles each. At 4 bytes a cycle, each strip of A or B is
    # 40 bytes in 10 cycles; both tiles are loaded at once, and stored after both are computed.
    dram = {"bandwidth_gbytes_per_s": 4.0, "latency_ns": 5.0}
    hardware = machine(dram=dram, unit=lanes(2, 8), tiling=ONE_FOLD)
    mask = np.zeros((4, 8), np.bool_)
    mask[0, :3] = True  # three outputs of the first fold: two rounds of ten cycles
    result = run(trace(4, 10, 8, mask), hardware)
    assert sorted(str(result.timeline).splitlines()) == sorted(
        [
            "       0       10 dram      load a of tile 0",
            "      10       20 dram      load b of tile 0",
            "      20       30 dram      load b of tile 1",
            "      25       41 array     tile 0",
            "      41       57 array     tile 1",
            "      41       51 recompute redo 2 of tile 0",
            "      51       61 recompute redo 1 of tile 0",
            "      61       65 dram      store tile 0",
            "      65       69 dram      store tile 1",
        ]
    )
    assert result.total_cycles == 69
    assert result.compute_cycles == 32
    # 25 cycles for the first operands; after the array is done at 57, four for redoing, eight for
    # the stores, which the memory does in order.
    assert result.stall_cycles == {"dram": 33, "scratchpad": 0, "recompute": 4}


def test_no_tile_starts_before_its_own_operands_have_arrived() -> None:
    # The last of four tiles fetches nothing, and must not be taken for the third, which does.
    dram = {"bandwidth_gbytes_per_s": 4.0, "latency_ns": 100.0}
    hardware = machine(dram=dram, tiling=ONE_FOLD)
    lowered = lower(trace(8, 10, 8), hardware)
    assert [sum(visit.loads.values()) for visit in lowered.visits] == [80, 40, 40, 0]
    log = str(simulate(lowered, hardware).timeline).splitlines()
    # The third waits for the first to end at 136, and for its own strip, ten cycles and 100 away.
    assert "     120      136 array     tile 0" in log
    assert "     136      146 dram      load a of tile 2" in log
    assert "     246      262 array     tile 2" in log
    assert "     262      278 array     tile 3" in log


def test_a_scratchpad_with_one_buffer_loads_between_tiles() -> None:
    dram = {"bandwidth_gbytes_per_s": 4.0, "latency_ns": 0.0}
    layer = trace(4, 10, 12)
    double = machine(dram=dram, tiling=ONE_FOLD)
    single = machine(dram=dram, tiling=ONE_FOLD, scratchpads={"b": {"double_buffered": False}})
    # Loads of ten cycles hide behind folds of 16, or do not; at last four to store.
    assert run(layer, double).total_cycles == 20 + 3 * 16 + 4
    assert run(layer, single).total_cycles == 20 + 16 + 2 * (10 + 16) + 4


def test_a_slow_scratchpad_holds_up_the_array() -> None:
    # A fold of ten terms reads 40 bytes of A and of B: at two bytes a cycle, in 20 cycles and not
    # in ten. It writes 16 outputs.
    layer, whole = trace(4, 10, 12), {"m": 4, "n": 12, "k": 10}
    for key, rate, extra in (("a", 2.0, 10), ("b", 2.0, 10), ("c", 1.0, 6), ("a", 4.0, 0)):
        pads = {key: {"bandwidth_bytes_per_cycle": rate}}
        result = run(layer, machine(dram=FAST_DRAM, tiling=whole, scratchpads=pads))
        assert result.stall_cycles["scratchpad"] == 3 * extra
        assert result.compute_cycles == 3 * 16
        assert result.total_cycles == 3 * (16 + extra) + 3


def test_arrays_share_the_folds_of_a_tile() -> None:
    for count, waves in ((1, 10), (2, 5), (3, 4), (10, 1), (11, 1)):
        hardware = machine(dram=FAST_DRAM, array={"count": count}, tiling={"m": 8, "n": 20})
        result = run(trace(8, 10, 20), hardware)
        assert result.compute_cycles == waves * 16
        # What moves does not depend on who asks for it.
        assert result.layer.folds == 10
        assert result.layer.counts == run(trace(8, 10, 20), machine()).layer.counts


def test_the_time_of_a_mac_is_that_of_the_accumulator_s_format() -> None:
    array = {"cycles_per_mac": {"fp32": 3}}
    mask = np.zeros((4, 4), np.bool_)
    mask[0, 0] = True
    for layer, compute, redo in (
        (trace(4, 10, 4), 16, 0),
        (trace(4, 10, 4, accumulator=Accumulator("fp32")), 36, 0),
        (trace(4, 10, 4, mask), 16, 36),
    ):
        result = run(layer, machine(dram=FAST_DRAM, array=array))
        assert result.compute_cycles == compute
        assert result.stall_cycles["recompute"] == redo


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
    cut = {"m": 6, "k": 4, "n": 4, "order": "mnk"}
    small = {"a": {"capacity_bytes": 48}, "b": {"capacity_bytes": 32}}
    hardware = machine(dataflow="ws", dram=dram, scratchpads=small, tiling=cut)
    again = run(trace(6, 12, 4, mask), hardware).timeline
    fetch = [i for i in again.intervals if i.label == "fetch again for tile 2"]
    redo = [i for i in again.intervals if i.label == "redo tile 2"]
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


@up_to(100)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 40),
    st.integers(1, 9), st.integers(1, 9), st.booleans(), st.sampled_from(["os", "ws", "is"]),
)  # fmt: skip
def test_without_stalls_the_closed_form_is_exact(
    m: int, k: int, n: int, rows: int, cols: int, overlap: bool, dataflow: str
) -> None:
    hardware = machine(rows, cols, overlap, dataflow=dataflow, dram=FAST_DRAM)
    layer = lower(trace(m, k, n), hardware)
    result = simulate(layer, hardware)
    # A transfer takes a cycle even so: those of a tile hide behind its work if there is as much.
    if min(visit.busy_cycles for visit in layer.visits) >= 3:
        # Two cycles to load the first operands, one to store the last outputs.
        assert result.total_cycles == result.compute_cycles + 3
    tiling = {"m": 999, "k": 999, "n": 999}
    whole = machine(rows, cols, overlap, dataflow=dataflow, dram=FAST_DRAM, tiling=tiling)
    once = run(trace(m, k, n), whole)
    assert once.total_cycles == once.compute_cycles + 3 == result.compute_cycles + 3


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_no_unit_does_two_things_at_once(hardware: Hardware, layer: LayerTrace) -> None:
    intervals = run(layer, hardware).timeline.intervals
    for unit in ("array", "dram", "gather", "recompute"):
        spans = sorted((i.start_cycles, i.end_cycles) for i in intervals if i.unit == unit)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_the_same_input_gives_the_same_timeline(hardware: Hardware, layer: LayerTrace) -> None:
    first, second = run(layer, hardware), run(layer, hardware)
    assert first == second
    assert first.timeline == second.timeline


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_every_output_is_loaded_for_computed_and_stored(
    hardware: Hardware, layer: LayerTrace
) -> None:
    found = lowered(layer, hardware)
    labels = Counter(i.label for i in simulate(found, hardware).timeline.intervals)
    for number, visit in enumerate(found.visits):
        worked = sum(labels[f"tile {number}{part}"] for part in ["", *PARTS[: len(visit.parts)]])
        assert len(visit.parts) <= worked <= 2 * len(visit.parts)
        assert labels[f"store tile {number}"] == (visit.store_bytes > 0)
        again = sum(part.refetch_bytes > 0 for part in visit.parts)
        assert labels[f"fetch again for tile {number}"] == again
        for key, size_bytes in visit.loads.items():
            assert labels[f"load {key} of tile {number}"] == (size_bytes > 0)
    for number, visit in enumerate(found.deferred.visits if found.deferred else []):
        assert labels[f"deferred redo {number}"] in range(1, 3)
        assert labels[f"store deferred redo {number}"] == (visit.store_bytes > 0)
        for key, size_bytes in visit.loads.items():
            assert labels[f"load {key} of deferred redo {number}"] == (size_bytes > 0)
