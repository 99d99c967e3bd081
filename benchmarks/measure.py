"""What is timed, and how: operands, interleaved repetitions, ratios with their spread."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, round_to

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Size = tuple[int, int, int]

E4M3, FP16, BF16 = "e4m3fn", "fp16", "bf16"
Case = tuple[str, str, Accumulator, float]
CASES: list[Case] = [
    ("e4m3fn, saturating", E4M3, Accumulator("e4m3fn", overflow="saturate"), 0.30),
    ("fp16", E4M3, Accumulator("fp16"), 0.30),
    ("bf16", E4M3, Accumulator("bf16"), 0.30),
    ("e4m3fn, NaN on overflow", E4M3, Accumulator("e4m3fn"), 0.15),
    ("fp16", FP16, Accumulator("fp16"), 0.15),
    ("bf16", BF16, Accumulator("bf16"), 0.15),
    ("e5m2", E4M3, Accumulator("e5m2"), 0.15),
    ("e4m3fn in chunks of 32, outer fp16", E4M3, Accumulator(E4M3, chunk=32, outer=FP16), 0.15),
    ("e4m3fn toward zero", E4M3, Accumulator("e4m3fn", "toward-zero"), 0.05),
    ("bf16 downward", BF16, Accumulator("bf16", "downward"), 0.05),
    ("e5m2 stochastic", E4M3, Accumulator("e5m2", "stochastic"), 0.05),
    ("h100-fp16", FP16, Accumulator.preset("h100-fp16"), 0.05),
    ("h100-e4m3", E4M3, Accumulator.preset("h100-e4m3"), 0.05),
]
"""Name, format of the operands, accumulator, and the ratio to NumPy that is to be reached."""


REFERENCE = 2.3e6
"""Bare SimPy timeouts a second on the machine that budgets in seconds are for. There SCALE-Sim
takes 308 s of a core for ResNet-50 on a 32x32 array, and ZigZag 96 s.
"""


def operands(size: Size, fmt: str) -> tuple[F32, F32]:
    """Return standard normal operands rounded to a format."""
    m, k, n = size
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
    return np.asarray(round_to(fmt, a), np.float32), np.asarray(round_to(fmt, b), np.float32)


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: Sequence[Callable[[], Any]], rounds: int) -> F64:
    """Return the seconds of every call (columns) in every round (rows)."""
    for call in calls:
        call()
    return np.array([[seconds(call) for call in calls] for _ in range(rounds)])


def bare_timeouts_per_s(timeouts: int = 50_000) -> float:
    """Return how many timeouts of SimPy, and nothing else, this core does in a second now."""
    env = simpy.Environment()

    def tick() -> Generator[simpy.Event, None, None]:
        for _ in range(timeouts):
            yield env.timeout(1)

    env.process(tick())
    start = time.process_time()
    env.run()
    return timeouts / (time.process_time() - start)


def slowdown() -> float:
    """Return how many times as slow as `REFERENCE` this core is now.

    Budgets in seconds hold for that machine, and machines are shared: what a process takes varies
    by a factor of two within minutes, and bare SimPy with it.
    """
    return REFERENCE / statistics.median(bare_timeouts_per_s() for _ in range(3))


def worth_of_two_cores() -> float:
    """Return how many times as much bare SimPy two processes do as one does alone, now.

    Two where both cores are free, and less where others work on them.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(_timeouts_per_wall_s, [1_000] * 2))  # both are there
        alone = pool.submit(_timeouts_per_wall_s, 1_000_000).result()
        both = sum(pool.map(_timeouts_per_wall_s, [1_000_000] * 2))
    return both / alone


def _timeouts_per_wall_s(timeouts: int) -> float:
    start = time.perf_counter()
    bare_timeouts_per_s(timeouts)
    return timeouts / (time.perf_counter() - start)


def cell(ratios: F64) -> str:
    """Return the median with the range."""
    return f"{np.median(ratios):.3g} ({ratios.min():.2g} to {ratios.max():.2g})"


def cpu() -> str:
    """Name the processor."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    family = f"family {fields.get('cpu family')}, model {fields.get('model')}"
    wide = "AVX-512" if "avx512f" in fields.get("flags", "") else "no AVX-512"
    return f"{fields['model name']} ({family}, {wide}), {os.cpu_count()} cores"
