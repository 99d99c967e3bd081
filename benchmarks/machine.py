"""How fast the machine is simulated, against bare SimPy timeouts in the same run."""

from __future__ import annotations

import functools
import itertools
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from accelsim.config import load_energy_table, load_hardware, load_workload
from accelsim.energy import Estimator
from accelsim.infer import Inference, infer, prepare
from accelsim.machine import (
    Hardware,
    Lanes,
    LoweredLayer,
    Rerun,
    lower,
    simulate,
    simulate_every_visit,
)
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.point import measure, run
from accelsim.policies import Policy, parse_policy
from accelsim.trace import LayerTrace
from benchmarks.measure import bare_timeouts_per_s, slowdown

REPEATS = 5
WORKLOADS = Path(__file__).parents[1] / "workloads"
NETWORKS = ("resnet-50", "bert-base")
MACHINE = Path(__file__).parents[1] / "hwconfigs" / "mid-32x32.yaml"
PROCESSES = (("resnet-50", 1.0, 200), ("gpt2-small", 3.0, 200))
"""Networks, with the seconds and megabytes that a whole process may take, nothing redone."""
REDOING = "random:rate=0.01"
"""Makes nearly every tile a case of its own: measured for all of them, and held to nothing."""
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
POINT_S = 0.05
"""What a point on a small network may take."""


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
    bare = 1 / bare_timeouts_per_s()
    fold = _seconds(lambda: simulate(lowered, hardware)) / lowered.folds
    print(
        f"simulate: {1 / fold:,.0f} folds a second, 5 % flagged, lanes;"
        f" a fold takes the time of {fold / bare:.1f} bare SimPy timeouts"
    )
    _networks(hardware.model_copy(update={"recompute": Rerun(unit="array")}))
    _processes()
    _points()


def _networks(hardware: Hardware) -> None:
    """Print how long whole networks take, from file to numbers, against simulating every tile."""
    for name in NETWORKS:
        path = WORKLOADS / f"{name}.yaml"
        result = run(hardware, path, "uniform-low")
        every = 0.0
        products = [
            (layer.lowered, layer.simulation)
            for layer in result.layers
            if isinstance(layer.lowered, LoweredLayer)
        ]
        for lowered, simulation in products:
            start = time.perf_counter()
            slow, _ = simulate_every_visit(lowered, hardware)
            every += time.perf_counter() - start
            assert slow == simulation
        taken = _seconds(functools.partial(run, hardware, path, "uniform-low"))
        tiles = sum(len(lowered.first.sequence) for lowered, _ in products)
        print(
            f"{name} on 32x32 os: {taken:.3f} s for {tiles:,} tiles, {every / taken:.1f} times as"
            " fast as every tile of every layer; the integers are the same"
        )


def _processes() -> None:
    """Print what whole processes take on one core, from start to exit, and hold them to their
    budgets. What was compiled to bytecode once is read, as wherever the package is installed.
    """
    environment = {key: value for key, value in os.environ.items() if key != NO_BYTECODE}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        _budgets(environment)
    finally:
        os.sched_setaffinity(0, cores)


def _budgets(environment: dict[str, str]) -> None:
    for name, budget_s, budget_mb in PROCESSES:
        there, megabytes = _process(environment, name, "uniform-low", REPEATS)
        print(f"  the budget is {budget_s:g} s and {budget_mb} MB")
        assert there < budget_s, f"the budget is {budget_s} s"
        assert megabytes < budget_mb, f"the budget is {budget_mb} MB"
    for name, _, _ in PROCESSES:  # last, as the largest process so far is what memory is read from
        _process(environment, name, REDOING, 1)


def _process(
    environment: dict[str, str], name: str, policy: str, repeats: int
) -> tuple[float, float]:
    """Print and return what a whole process takes: seconds of a core as fast as the budget's, and
    the megabytes of the largest one so far.
    """
    command = [sys.executable, "-m", "accelsim.cli", "run", str(MACHINE)]
    command += [str(WORKLOADS / f"{name}.yaml"), "--policy", policy]
    cpu, slow = [], []
    for _ in range(repeats):  # the median leaves out the first, which may fill caches
        slow.append(slowdown())
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    megabytes = after.ru_maxrss / 1024
    there = statistics.median(here / times for here, times in zip(cpu, slow, strict=True))
    print(
        f"{name} on {MACHINE.stem}, {policy}, whole process: {min(cpu):.2f} to {max(cpu):.2f} s of"
        f" the core, {there:.2f} s if it were as fast as that of the budget; at most"
        f" {megabytes:.0f} MB"
    )
    return there, megabytes


def _points() -> None:
    """Print what a point of a study takes when its inference is at hand, on a machine that was not
    simulated before: each has a clock of its own, and so searches for its tiling.

    The budget is for a core that is `slowdown` times as fast as this one is meanwhile.
    """
    workload = load_workload(WORKLOADS / "digits-relu.yaml")
    prepared = prepare(workload)
    for text in ("uniform-low", "selective:tau=8", "random:rate=0.01"):
        policy = parse_policy(text)
        inference, taken = infer(prepared, policy), dict[str, float]()
        for path in sorted(MACHINE.parent.glob("*.yaml")):
            hardware = load_hardware(path)
            table = load_energy_table(hardware.energy_table)
            clocks = (hardware.clock_mhz * (1 + step / 1000) for step in itertools.count())
            machines = (hardware.model_copy(update={"clock_mhz": clock}) for clock in clocks)
            point = functools.partial(_point, machines, policy, inference, table)
            here, times = _seconds(point, time.process_time), slowdown()
            taken[path.stem] = here / times
            print(
                f"digits-relu, {text}, {path.stem}: {here * 1e3:.0f} ms a point on a core"
                f" {times:.1f} times as slow as that of the budget"
            )
        mean, worst = statistics.mean(taken.values()), max(taken, key=lambda name: taken[name])
        print(
            f"digits-relu, {text}: a mean of {mean * 1e3:.0f} ms of that core a point, at most"
            f" {taken[worst] * 1e3:.0f} on {worst}"
        )
        assert taken[worst] < POINT_S, f"the budget is {POINT_S * 1e3:.0f} ms"


def _point(
    machines: Iterator[Hardware], policy: Policy, inference: Inference, table: Estimator
) -> None:
    measure(next(machines), "digits", policy, inference, table)


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of a few repeats, after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)
