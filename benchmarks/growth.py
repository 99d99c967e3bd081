"""How the time of a product grows with its size, and what the first call costs.

Run as `python -m benchmarks.growth CASE FOLDER` it times one call on the operands in the folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from accelsim.numerics import Accumulator, matmul
from benchmarks.measure import CASES, E4M3, F64, FP16, Size, cell, interleaved, operands

BASE: Size = (256, 512, 256)
SMALL_BASE: Size = (16, 128, 32)
DOUBLINGS = 3
ROUNDS = 15
COLD_STARTS = 3
LINEAR = (
    f"M, K and N are doubled {DOUBLINGS} times each, from {BASE} on ({SMALL_BASE} for the orders"
    " that are computed one output at a time), on one thread. The exponent is the slope of the line"
    " through log time against log size, fitted anew in every repetition: 1 is linear."
)
FIRST = (
    "The first product of a process, one thread, without the import: compiled with nothing on disk"
    f" (median and range of {COLD_STARTS}), and found on disk by a later process. To reach: 5 s."
)
GROWING = [
    *((name, fmt, acc, BASE) for name, fmt, acc, _ in CASES),
    ("fp16, pairwise", E4M3, Accumulator(FP16, order="pairwise"), SMALL_BASE),
    ("fp16, Kahan", E4M3, Accumulator(FP16, order="kahan"), SMALL_BASE),
    ("fp16, sorted", E4M3, Accumulator(FP16, order="sorted"), SMALL_BASE),
]


def linear_table() -> list[str]:
    """Fit the exponent of each dimension for every accumulator."""
    lines = ["| accumulator | operands | M | K | N |", "|---|---|---|---|---|"]
    for name, fmt, acc, base in GROWING:
        slopes = [cell(_exponents(acc, fmt, base, axis)) for axis in range(3)]
        lines.append("| " + " | ".join([name, fmt, *slopes]) + " |")
    return lines


def _exponents(acc: Accumulator, fmt: str, base: Size, axis: int) -> F64:
    factors = 2 ** np.arange(DOUBLINGS + 1)
    calls = []
    for factor in factors:
        size = list(base)
        size[axis] *= int(factor)
        a, b = operands((size[0], size[1], size[2]), fmt)
        calls.append(partial(matmul, a, b, acc, threads=1))
    times = interleaved(calls, ROUNDS)
    slopes: F64 = np.polyfit(np.log(factors), np.log(times.T), 1)[0]
    return slopes


def first_call_table() -> list[str]:
    """Time the first call of every accumulator in new processes."""
    lines = ["| accumulator | operands | first call, s | on disk, s |", "|---|---|---|---|"]
    for case, (name, fmt, _, _) in enumerate(CASES):
        cold = []
        for _ in range(COLD_STARTS):
            with tempfile.TemporaryDirectory() as folder:
                for argument, x in zip("ab", operands(BASE, fmt), strict=True):
                    np.save(Path(folder, argument), x)
                cold.append(_process(case, folder))
                warm = _process(case, folder)
        lines.append(f"| {name} | {fmt} | {cell(np.array(cold))} | {warm:.2g} |")
    return lines


def _process(case: int, folder: str) -> float:
    command = [sys.executable, "-m", "benchmarks.growth", str(case), folder]
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
    root = Path(__file__).parents[1]
    done = subprocess.run(  # noqa: S603
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Print the seconds of one call."""
    case, folder = int(sys.argv[1]), Path(sys.argv[2])
    a, b = np.load(folder / "a.npy"), np.load(folder / "b.npy")
    start = time.perf_counter()
    matmul(a, b, CASES[case][2], threads=1)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
