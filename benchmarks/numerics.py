"""Time `accelsim.numerics.matmul` beside NumPy's float32 product and other emulations.

Run `python -m benchmarks.numerics [REPORT]`: it prints a Markdown report, or writes it to the file.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.numerics import matmul
from benchmarks import growth
from benchmarks.measure import CASES, Size, cell, cpu, interleaved, operands
from benchmarks.peers import JAX, ML_DTYPES, MPTORCH, PEERS

SIZES: tuple[Size, Size] = ((256, 1024, 256), (64, 784, 256))
METHOD = (
    "Answers are compared first. A time is the median of interleaved repetitions after one that"
    " warms up, so that another load on the machine meets all alike; after a ratio follow its"
    " lowest and highest value within one repetition. Two threads gain no more than the machine"
    " has to give at the time: beside their gain is that of two products at once, each on a thread"
    " of its own, over one after the other. A second thread that waited for work began {:.0f} µs"
    " after it was called."
)
ROUNDS = 100
_SECOND_THREAD = ThreadPoolExecutor(1)
PEER_ROUNDS = 3
PEER_CASES = CASES[:3]
GOALS = {("", JAX): "1", ("e4m3fn", ML_DTYPES): "40", ("", MPTORCH): "250"}


def own_table(size: Size) -> list[str]:
    """Compare every case with NumPy's product, and two threads with one."""
    lines = [
        "| accumulator | operands | million MAC/s | × NumPy, one thread | to reach"
        " | two threads × one | two at once |",
        "|---|---|---|---|---|---|---|",
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
            partial(_two_at_once, partial(matmul, a, b, acc, threads=1)),
        ]
        numpy_s, one, two, both = interleaved(calls, ROUNDS).T
        rate = np.prod(size) / np.median(one) / 1e6
        row = [name, fmt, f"{rate:,.0f}", cell(numpy_s / one), f"{goal:.2f}", cell(one / two)]
        lines.append("| " + " | ".join([*row, cell(2 * one / both)]) + " |")
    return lines


def _two_at_once(call: Callable[[], Any]) -> None:
    other = _SECOND_THREAD.submit(call)
    call()
    other.result()


def _wake() -> float:
    """Return the seconds until a second thread begins, while this one multiplies."""
    a = np.ones((256, 256), np.float32)
    waits = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        begun = _SECOND_THREAD.submit(time.perf_counter)
        np.matmul(a, a)
        waits.append(begun.result() - start)
    return float(np.median(waits))


def peer_table(size: Size) -> list[str]:
    """Compare the three accumulators that other libraries have with those libraries."""
    lines = [
        "| accumulator | peer | same answers | times faster | to reach |",
        "|---|---|---|---|---|",
    ]
    for name, fmt, acc, _ in PEER_CASES:
        a, b = operands(size, fmt)
        ours = matmul(a, b, acc, threads=1)
        for peer, make in PEERS.items():
            try:
                theirs = make(a, b, acc.format.name)
            except ImportError as missing:
                lines.append(f"| {name} | {peer} | not to be had: {missing} | | |")
                continue
            wrong = int((ours != theirs()).sum())
            answers = "all" if wrong == 0 else f"{wrong} of {ours.size} differ"
            calls: list[Callable[[], Any]] = [partial(matmul, a, b, acc, threads=1), theirs]
            own_s, their_s = interleaved(calls, PEER_ROUNDS).T
            goal = GOALS.get((acc.format.name, peer), GOALS.get(("", peer), ""))
            lines.append(f"| {name} | {peer} | {answers} | {cell(their_s / own_s)} | {goal} |")
    return lines


def report() -> str:
    """Return the whole report."""
    lines = [
        "# How fast accumulators are emulated",
        "",
        f"Made by `python -m benchmarks.numerics` on {cpu()}, Python {platform.python_version()},"
        f" NumPy {np.__version__}.",
        "",
        METHOD.format(_wake() * 1e6),
        "",
        "Operands are standard normal numbers rounded to the format named. NumPy's product is"
        " `a @ b` in float32 on one thread, without rounding.",
    ]
    for size in SIZES:
        lines += ["", f"## (M, K, N) = {size}", "", *own_table(size)]
    lines += ["", f"## Other emulations, one thread, (M, K, N) = {SIZES[0]}", ""]
    lines += peer_table(SIZES[0])
    lines += ["", "## Time against M, K and N", "", growth.LINEAR, "", *growth.linear_table()]
    lines += ["", "## The first call", "", growth.FIRST, "", *growth.first_call_table()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report, or write it to the file that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numerics", description=__doc__)
    parser.add_argument("report", nargs="?", type=Path, help="the file to write")
    path = parser.parse_args().report
    text = report()
    if path is None:
        sys.stdout.write(text)
    else:
        path.write_text(text)


if __name__ == "__main__":
    main()
