"""Print how much memory products take beside operands and result, in copies of the operands.

Run as a program of its own, for the peak is that of the whole process: what Numba's code
allocates is seen too, which `tracemalloc` would miss.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.numerics import Accumulator, conv2d, matmul, matmul_at, matmul_sums

M, K, N = 128, 2**16, 128
MANY = 2048
"""Rows and columns of a product of short sums, of which there are many more than operands."""
SATURATING = Accumulator("e4m3fn", overflow="saturate")
H100 = Accumulator.preset("h100-e4m3")


def memory_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def copies(call: Callable[[Any, Any], Any], a: Any, b: Any) -> float:
    """Return the peak of a call, less its result, over the bytes of its operands."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc_pid_clear_refs(5)
    before = memory_bytes("VmRSS")
    result = call(a, b)
    return float((memory_bytes("VmHWM") - before - result.nbytes) / (a.nbytes + b.nbytes))


def operands(dtype: Any, order: Any, significand: float) -> list[Any]:
    rng = np.random.default_rng(0)
    return [
        (significand * rng.integers(-8, 9, shape)).astype(dtype, order=order)
        for shape in ((M, K), (K, N))
    ]


def product(acc: Accumulator, **options: Any) -> Callable[[Any, Any], Any]:
    return lambda a, b: matmul(a, b, acc, **options)


def three_copies(a: Any, b: Any) -> Any:
    return np.concatenate([a.ravel(), b.ravel()] * 3)[:1].copy()


def diagonal(a: Any, b: Any) -> Any:
    return matmul_at(a, b, np.arange(M), np.arange(M), SATURATING, threads=1)


def sums_beside(a: Any, b: Any) -> Any:
    return matmul_sums(a, b, SATURATING, threads=1).values


def convolve(images: Any, kernels: Any) -> Any:
    return conv2d(images, kernels, SATURATING, padding=1, threads=1)


def many_short_sums() -> float:
    """Return the copies of a product that is computed one output at a time.

    Its operands are small, and what is kept for some thousands of outputs is as much again: so
    copies of the result are counted.
    """
    one_by_one = product(Accumulator("fp16", order="pairwise"), threads=2)
    a, b = np.ones((MANY, 4), np.float32), np.ones((4, MANY), np.float32)
    one_by_one(a[:32], b[:, :32])
    return copies(one_by_one, a, b) * (a.nbytes + b.nbytes) / (4 * MANY * MANY)


def main() -> None:
    """Print a JSON map from what was called to copies."""
    one, two = product(SATURATING, threads=1), product(SATURATING, threads=2)
    double, checked = product(Accumulator("fp16"), threads=1), product(H100, threads=1)
    exact, wide = 1.0, 1 + 2.0**-10  # products of 2 and of 22 bits: lanes of float32 and float64
    cases: list[tuple[str, Callable[[Any, Any], Any], Any, Any, float]] = [
        ("three copies", three_copies, np.float32, "C", exact),
        ("float32 lanes", one, np.float32, "C", exact),
        ("two threads", two, np.float32, "C", exact),
        ("float64 lanes", double, np.float32, "C", wide),
        ("checked operands", checked, np.float32, "C", exact),
        ("float64, by columns", one, np.float64, "F", exact),
        ("some outputs", diagonal, np.float32, "C", exact),
        ("sums beside", sums_beside, np.float32, "C", exact),
    ]
    found = {}
    for name, call, dtype, order, significand in cases:
        a, b = operands(dtype, order, significand)
        call(np.asarray(a[:, :M], order=order), np.asarray(b[:M], order=order))  # compile
        found[name] = copies(call, a, b)
    x, weights = np.ones((16, 8, 256, 256), np.float32), np.ones((8, 8, 3, 3), np.float32)
    convolve(x[:1, :, :16, :16], weights)
    found["sixteen images"] = copies(convolve, x, weights)
    found["many short sums"] = many_short_sums()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
