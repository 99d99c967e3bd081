"""Time `accelsim.numerics.matmul` beside NumPy's float32 product and other emulations.

Run `python -m benchmarks.numerics [REPORT]`: it prints a Markdown report, or writes it to the file.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, matmul, round_to
from benchmarks.peers import PEERS

SIZES = ((256, 1024, 256), (64, 784, 256))
METHOD = (
    "Answers are compared first. A time is the median of interleaved repetitions after one that"
    " warms up, so that another load on the machine meets all alike; after a ratio follow its"
    " lowest and highest value within one repetition. Other programs ran on the machine: two"
    " threads show their true gain only where both cores were free."
)
ROUNDS = 25
PEER_ROUNDS = 3
F32 = NDArray[np.float32]

E4M3, FP16, BF16 = "e4m3fn", "fp16", "bf16"
CASES: list[tuple[str, str, Accumulator, float]] = [
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
PEER_CASES = CASES[:3]


def operands(size: tuple[int, int, int], fmt: str) -> tuple[F32, F32]:
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


def interleaved(calls: list[Callable[[], Any]], rounds: int) -> NDArray[np.float64]:
    """Return the seconds of every call (columns) in every round (rows)."""
    for call in calls:
        call()
    return np.array([[seconds(call) for call in calls] for _ in range(rounds)])


def cell(ratios: NDArray[np.float64]) -> str:
    """Return the median with the range."""
    return f"{np.median(ratios):.3g} ({ratios.min():.2g} to {ratios.max():.2g})"


def own_table(size: tuple[int, int, int]) -> list[str]:
    """Compare every case with NumPy's product, and two threads with one."""
    lines = [
        "| accumulator | operands | million MAC/s | × NumPy, one thread | to reach"
        " | two threads × one |",
        "|---|---|---|---|---|---|",
    ]
    for name, fmt, acc, goal in CASES:
        a, b = operands(size, fmt)
        expected = matmul(a, b, acc, threads=1)
        if not np.array_equal(expected, matmul(a, b, acc, threads=2), equal_nan=True):
            raise SystemExit(f"{name}: two threads give another answer than one")
        calls: list[Callable[[], Any]] = [
            partial(np.matmul, a, b),
            partial(matmul, a, b, acc, threads=1),
            partial(matmul, a, b, acc, threads=2),
        ]
        numpy_s, one, two = interleaved(calls, ROUNDS).T
        rate = np.prod(size) / np.median(one) / 1e6
        row = [name, fmt, f"{rate:,.0f}", cell(numpy_s / one), f"{goal:.2f}", cell(one / two)]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def peer_table(size: tuple[int, int, int]) -> list[str]:
    """Compare the three accumulators that other libraries have with those libraries."""
    lines = ["| accumulator | peer | same answers | times faster |", "|---|---|---|---|"]
    for name, fmt, acc, _ in PEER_CASES:
        a, b = operands(size, fmt)
        ours = matmul(a, b, acc, threads=1)
        for peer, make in PEERS.items():
            try:
                theirs = make(a, b, acc.format.name)
            except ImportError:
                lines.append(f"| {name} | {peer} | not installed | |")
                continue
            wrong = int((ours != theirs()).sum())
            answers = "all" if wrong == 0 else f"{wrong} of {ours.size} differ"
            calls: list[Callable[[], Any]] = [partial(matmul, a, b, acc, threads=1), theirs]
            own_s, their_s = interleaved(calls, PEER_ROUNDS).T
            lines.append(f"| {name} | {peer} | {answers} | {cell(their_s / own_s)} |")
    return lines


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


def report() -> str:
    """Return the whole report."""
    lines = [
        "# How fast accumulators are emulated",
        "",
        f"Made by `python -m benchmarks.numerics` on {cpu()}, Python {platform.python_version()},"
        f" NumPy {np.__version__}.",
        "",
        METHOD,
        "",
        "Operands are standard normal numbers rounded to the format named. NumPy's product is"
        " `a @ b` in float32 on one thread, without rounding.",
    ]
    for size in SIZES:
        lines += ["", f"## (M, K, N) = {size}", "", *own_table(size)]
    lines += ["", f"## Other emulations, one thread, (M, K, N) = {SIZES[0]}", ""]
    lines += peer_table(SIZES[0])
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report, or write it to the file that is named."""
    text = report()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
