"""Jumps over folds that repeat give the integers of simulating every fold."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import machine, random_mask, trace
from test_simulate import LAYERS, MACHINES, UNITS

from accelsim.machine import Hardware, Lanes, Rerun, lower, simulate, simulate_every_fold
from accelsim.machine.lower import Fold
from accelsim.machine.steady import Jump, Moment, SteadyState
from accelsim.trace import LayerTrace

Item = TypeVar("Item")


def agree(layer: LayerTrace, hardware: Hardware) -> None:
    lowered = lower(layer, hardware)
    assert simulate(lowered, hardware) == simulate_every_fold(lowered, hardware)[0]


@settings(max_examples=300, deadline=None)
@given(MACHINES, LAYERS)
def test_a_jump_gives_the_same_integers(hardware: Hardware, layer: LayerTrace) -> None:
    agree(layer, hardware)


@settings(max_examples=400, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 40), st.integers(1, 60), st.integers(1, 4),
    st.integers(1, 3), st.integers(1, 3), st.sampled_from(["os", "ws", "is"]), st.booleans(), UNITS,
    st.sampled_from([0.0, 0.0, 0.003]), st.sampled_from([0.3, 1.0, 2.7, 16.0, 1e9]),
    st.sampled_from([0.0, 7.0, 100.0]), st.sampled_from([512, 2**21]),
)  # fmt: skip
def test_long_runs_of_folds_give_the_same_integers(
    m: int, k: int, n: int, repeats: int, rows: int, cols: int, dataflow: str, overlap: bool,
    unit: Lanes | Rerun, rate: float, bandwidth: float, latency: float, capacity: int,
) -> None:  # fmt: skip
    pads = {key: {"capacity_bytes": capacity} for key in ("a", "b")}
    dram = {"bandwidth_gbytes_per_s": bandwidth, "latency_ns": latency}
    hardware = machine(rows, cols, overlap, unit, dataflow, dram=dram, scratchpads=pads)
    mask = random_mask(repeats * m, n, rate) if rate else None
    agree(trace(m, k, n, mask, repeats=repeats), hardware)


def test_time_grows_with_distinct_folds_and_not_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = machine(dram={"bandwidth_gbytes_per_s": 3.0, "latency_ns": 100.0})
    visits: list[Moment] = []

    class Counted(SteadyState):
        def visit(self, state: Hashable, now: Moment) -> Jump | None:
            visits.append(now)
            return super().visit(state, now)

    module = sys.modules["accelsim.machine.simulate"]  # the name is also a function's
    monkeypatch.setattr(module, "SteadyState", Counted)
    lowered = lower(trace(800, 16, 400), hardware)
    assert len(lowered.folds) == 20_000
    assert simulate(lowered, hardware) == simulate_every_fold(lowered, hardware)[0]
    assert len(visits) < 2_000


def test_progress_reaches_the_last_fold_over_all_jumps() -> None:
    passed: list[Fold] = []

    def counted(items: Sequence[Item], description: str) -> Iterator[Item]:
        for item in items:
            assert isinstance(item, Fold)
            passed.append(item)
            yield item

    lowered = lower(trace(400, 16, 40), machine())
    simulate(lowered, machine(), counted)
    assert tuple(passed) == lowered.folds
