"""How fast folds are simulated, against bare SimPy timeouts in the same run."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import simpy

from accelsim.machine import Hardware, Lanes, Rerun, lower, simulate, simulate_every_visit
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.run import run
from accelsim.trace import LayerTrace

TIMEOUTS = 200_000
REPEATS = 5
WORKLOADS = Path(__file__).parents[1] / "workloads"
NETWORKS = ("resnet-50", "bert-base")


def main() -> None:
    """Print folds a second, and the cost of a fold in bare SimPy timeouts."""
    e4m3, fp32 = FloatFormat.parse("e4m3fn"), FloatFormat.parse("fp32")
    mask = np.random.default_rng(0).random((4096, 512)) < 0.05
    layer = LayerTrace(
        "layer", 4096, 64, 512, e4m3, e4m3, Accumulator(e4m3), Accumulator(fp32), None, mask
    )
    hardware = Hardware.model_validate(
        {
            "name": "bench",
            "clock_mhz": 1000.0,
            "array": {"rows": 32, "cols": 32, "dataflow": "os", "overlap_folds": True},
            "recompute": Lanes(unit="lanes", lanes=64, queue_capacity=256),
        }
    )
    lowered = lower(layer, hardware)
    assert simulate(lowered, hardware) == simulate_every_visit(lowered, hardware)[0]
    bare = _seconds(_timeouts) / TIMEOUTS
    fold = _seconds(lambda: simulate(lowered, hardware)) / lowered.folds
    print(
        f"simulate: {1 / fold:,.0f} folds a second, 5 % flagged, lanes;"
        f" a fold takes the time of {fold / bare:.1f} bare SimPy timeouts"
    )
    _networks(hardware.model_copy(update={"recompute": Rerun(unit="array")}))


def _networks(hardware: Hardware) -> None:
    """Print how long whole networks take, from file to numbers, against simulating every fold."""
    for name in NETWORKS:
        path = WORKLOADS / f"{name}.yaml"
        result = run(hardware, path, "uniform-low")
        every = 0.0
        for layer in result.layers:
            start = time.perf_counter()
            slow, _ = simulate_every_visit(layer.lowered, hardware)
            every += time.perf_counter() - start
            assert slow == layer.simulation
        taken = _seconds(functools.partial(run, hardware, path, "uniform-low"))
        folds = sum(layer.lowered.folds for layer in result.layers)
        print(
            f"{name} on 32x32 os: {taken:.3f} s for {folds:,} folds, {every / taken:.0f} times as"
            " fast as every fold of every layer; the integers are the same"
        )


def _timeouts() -> None:
    env = simpy.Environment()

    def tick() -> Generator[simpy.Event, None, None]:
        for _ in range(TIMEOUTS):
            yield env.timeout(1)

    env.process(tick())
    env.run()


def _seconds(work: Callable[[], object]) -> float:
    """Return the median time of a few repeats, after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
