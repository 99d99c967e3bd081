"""The bottleneck is the unit with the largest claim on a layer's cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    FAST_DRAM,
    UNITS,
    Unit,
    lanes,
    machine,
    random_mask,
    trace,
    vector_work,
)

from accelsim.machine import (
    Bottleneck,
    Hardware,
    find_bottleneck,
    lower_layer,
    simulate_layer,
)
from accelsim.trace import LayerTrace, VectorTrace

SLOW_DRAM = {"bandwidth_gbytes_per_s": 0.1, "latency_ns": 0.0}
FAR_DRAM = {"bandwidth_gbytes_per_s": 1e6, "latency_ns": 5000.0}


def bottleneck(layer: LayerTrace | VectorTrace, **parts: Any) -> Bottleneck:
    hardware = machine(**parts)
    lowered = lower_layer(layer, hardware)
    return find_bottleneck(lowered, simulate_layer(lowered, hardware), hardware)


def test_long_sums_on_a_small_array_are_bound_by_compute() -> None:
    found = bottleneck(trace(8, 400, 8), dram=FAST_DRAM)
    assert (found.name, found.mac_cycles, found.fill_drain_cycles) == ("compute", 1600, 4 * 6)
    assert found.why == "terms stream in 98% of the cycles, 100% of the PEs at work"


def test_short_sums_are_bound_by_filling_and_draining() -> None:
    found = bottleneck(trace(64, 2, 64), dram=FAST_DRAM)
    assert found.name == "fill/drain"
    assert found.why == "the array fills or drains in 75% of the cycles"


def test_a_narrow_memory_and_a_far_one_are_both_dram() -> None:
    narrow = bottleneck(trace(16, 16, 16), dram=SLOW_DRAM)
    assert narrow.name == "dram"
    assert narrow.why.startswith("transfers take 100% of the cycles, the array waits in 9")
    far = bottleneck(trace(4, 4, 4), dram=FAR_DRAM)
    assert far.name == "dram"
    assert far.why == "transfers take 0% of the cycles, the array waits in 100%"


def test_an_array_whose_memory_is_never_idle_is_bound_by_it_even_if_it_seldom_waits() -> None:
    # Folds of 16 cycles overlap, and each fetches 4 columns of 16 bytes and stores 16.
    for bandwidth, expected in ((5.2, "compute"), (4.8, "dram")):
        dram = {"bandwidth_gbytes_per_s": bandwidth, "latency_ns": 0.0}
        found = bottleneck(trace(4, 16, 4000), overlap_folds=True, dram=dram)
        assert found.name == expected


def test_redoing_on_the_array_or_on_few_lanes_is_recompute() -> None:
    mask = np.ones((16, 16), np.bool_)
    layer = trace(16, 50, 16, mask)
    found = bottleneck(layer, dram=FAST_DRAM, overlap_folds=True)
    assert found.name == "recompute"
    assert found.why.startswith("the array redoes outputs in 5")
    found = bottleneck(layer, dram=FAST_DRAM, unit=lanes(1, 4))
    assert found.name == "recompute"
    assert found.why.startswith("the lanes are busy in 100% of the cycles, the array waits in 9")
    found = bottleneck(layer, dram=FAST_DRAM, unit=lanes(256, 256))
    assert found.name == "compute"


def test_what_is_deferred_is_recompute_if_it_takes_the_most() -> None:
    layer = trace(16, 50, 16, np.ones((16, 16), np.bool_))
    found = bottleneck(layer, dram=FAST_DRAM, unit=lanes(1, 4, "deferred"))
    assert found.name == "recompute"
    assert found.why.startswith("what was deferred takes 9")
    found = bottleneck(layer, dram=FAST_DRAM, unit=lanes(256, 256, "deferred"))
    assert found.name == "compute"


def test_vector_work_is_bound_by_its_unit_or_by_memory() -> None:
    found = bottleneck(vector_work(), dram=FAST_DRAM, vector={"operations_per_cycle": 1})
    assert (found.name, found.why) == ("vector", "the vector unit works in 100% of the cycles")
    assert found.vector_cycles == 600
    found = bottleneck(vector_work(), dram=SLOW_DRAM, vector={"operations_per_cycle": 100})
    assert found.name == "dram"


@up_to(80)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 9), st.integers(1, 3)),
    st.sampled_from(["os", "ws", "is"]),
    st.booleans(),
    UNITS,
    st.sampled_from([FAST_DRAM, SLOW_DRAM, FAR_DRAM]),
    st.booleans(),
)
def test_the_parts_of_the_cycles_leave_no_gap(
    shape: tuple[int, int, int, int], dataflow: str, overlap: bool, unit: Unit,
    dram: dict[str, float], recurrent: bool,
) -> None:  # fmt: skip
    m, k, n, repeats = shape
    mask = random_mask(m * repeats, n, 0.2)
    layer = trace(m, k, n, mask, repeats=repeats, recurrent=recurrent)
    hardware: Hardware = machine(dataflow=dataflow, overlap_folds=overlap, unit=unit, dram=dram)
    lowered = lower_layer(layer, hardware)
    simulation = simulate_layer(lowered, hardware)
    found = find_bottleneck(lowered, simulation, hardware)
    parts = found.mac_cycles, found.fill_drain_cycles, *simulation.stall_cycles.values()
    assert all(part >= 0 for part in parts)
    assert simulation.total_cycles == sum(parts)
    assert layer.macs <= found.mac_cycles * hardware.array.rows * hardware.array.cols
    assert found.name in {"compute", "fill/drain", "dram", "recompute"}
