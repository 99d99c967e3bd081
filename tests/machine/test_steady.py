"""Jumps over folds that repeat give the integers of simulating every fold."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    LAYERS,
    MACHINES,
    TIGHT_MACHINES,
    UNITS,
    Unit,
    lanes,
    lowered,
    machine,
    random_mask,
    trace,
)

from accelsim.machine import Hardware, lower, simulate, simulate_every_visit
from accelsim.machine.steady import Jump, Moment, SteadyState
from accelsim.trace import LayerTrace

Item = TypeVar("Item")


def agree(layer: LayerTrace, hardware: Hardware) -> None:
    found = lowered(layer, hardware)
    assert simulate(found, hardware) == simulate_every_visit(found, hardware)[0]


@up_to(300)
@given(st.one_of(MACHINES, TIGHT_MACHINES), LAYERS)
def test_a_jump_gives_the_same_integers(hardware: Hardware, layer: LayerTrace) -> None:
    agree(layer, hardware)


@up_to(400)
@given(
    st.integers(1, 60), st.integers(1, 40), st.integers(1, 60), st.integers(1, 4),
    st.integers(1, 3), st.integers(1, 3), st.sampled_from(["os", "ws", "is"]), st.booleans(), UNITS,
    st.sampled_from([0.0, 0.0, 0.003, 0.003]), st.sampled_from([0.3, 1.0, 2.7, 16.0, 1e9]),
    st.sampled_from([0.0, 7.0, 100.0]), st.sampled_from([512, 2**21]),
    st.sampled_from([{}, {"count": 2}, {"adder_latency_cycles": 3}]),
    st.sampled_from(["", "a", "b", "c", "abc"]), st.sampled_from([None, 0.5, 2.0]),
    st.sampled_from([None, "mnk", "nmk", "kmn", "mkn"]), st.sampled_from([1, 1, 3]),
)  # fmt: skip
def test_long_runs_of_visits_give_the_same_integers(
    m: int, k: int, n: int, repeats: int, rows: int, cols: int, dataflow: str, overlap: bool,
    unit: Unit, rate: float, bandwidth: float, latency: float, capacity: int,
    array: dict[str, int], single: str, pad_rate: float | None, order: str | None, folds: int,
) -> None:  # fmt: skip
    pads: dict[str, dict[str, Any]] = {
        key: {"capacity_bytes": capacity, "double_buffered": key not in single} for key in "abc"
    }
    if pad_rate is not None:
        pads["a"]["bandwidth_bytes_per_cycle"] = pad_rate
    dram = {"bandwidth_gbytes_per_s": bandwidth, "latency_ns": latency}
    tiling: dict[str, Any] = {}
    if order is not None:  # many small tiles, some with sums that go to memory and come back
        tiling = {"order": order, "k": 6 * rows, "n" if dataflow != "is" else "m": folds * cols}
    hardware = machine(
        rows, cols, overlap, unit, dataflow, array, dram=dram, scratchpads=pads, tiling=tiling
    )
    mask = random_mask(repeats * m, n, rate) if rate else None
    agree(trace(m, k, n, mask, repeats=repeats), hardware)


def test_time_grows_with_distinct_visits_and_not_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    dram = {"bandwidth_gbytes_per_s": 3.0, "latency_ns": 100.0}
    hardware = machine(dram=dram, tiling={"m": 4, "n": 4, "order": "mnk"})
    visits: list[Moment] = []

    class Counted(SteadyState):
        def visit(self, state: Hashable, now: Moment) -> Jump | None:
            visits.append(now)
            return super().visit(state, now)

    module = sys.modules["accelsim.machine.simulate"]  # the name is also a function's
    monkeypatch.setattr(module, "SteadyState", Counted)
    layer = lower(trace(800, 16, 400), hardware)
    assert len(layer.first.sequence) == 20_000
    assert simulate(layer, hardware) == simulate_every_visit(layer, hardware)[0]
    assert len(visits) < 2_000


@up_to(150)
@given(
    st.integers(1, 40), st.integers(2, 6), st.integers(1, 40), st.integers(1, 6),
    st.integers(1, 6), st.sampled_from(["os", "ws", "is"]), st.integers(1, 3),
    st.sampled_from(["mkn", "nkm", "kmn", "knm"]), st.booleans(), st.integers(1, 12),
    st.integers(1, 20), st.sampled_from([0.02, 0.3, 1.0]), st.sampled_from([0.3, 2.7, 1e9]),
    st.sampled_from([0.0, 100.0]), st.integers(0, 3),
)  # fmt: skip
def test_lanes_that_fetch_again_take_the_same_time_by_part_as_round_by_round(
    m: int, tiles: int, n: int, rows: int, cols: int, dataflow: str, waves: int,
    order: str, overlap: bool, width: int, queue: int, rate: float, bandwidth: float,
    latency: float, seed: int,
) -> None:  # fmt: skip
    dram = {"bandwidth_gbytes_per_s": bandwidth, "latency_ns": latency}
    tiling = {"m": cols if dataflow == "is" else rows, "n": waves * cols, "k": rows, "order": order}
    unit = lanes(width, queue)
    hardware = machine(rows, cols, overlap, unit, dataflow, dram=dram, tiling=tiling)
    mask = random_mask(m, n, rate, seed)
    mask[0, 0] = True
    layer = lower(trace(m, tiles * rows, n, mask), hardware)
    assert any(part.refetch_bytes for kind in layer.first.kinds for part in kind.parts)
    assert simulate(layer, hardware) == simulate_every_visit(layer, hardware)[0]


def test_progress_reaches_the_last_visit_over_all_jumps() -> None:
    passed: list[object] = []

    def counted(items: Sequence[Item], description: str) -> Iterator[Item]:
        for item in items:
            passed.append(item)
            yield item

    hardware = machine(tiling={"m": 4, "n": 4})
    simulate(lower(trace(400, 16, 40), hardware), hardware, counted)
    assert passed == list(range(1000))
