"""Operands and accumulators for the tile kernels, what they must give, and one sweep of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim.numerics import (
    Accumulator,
    products,
    round_to,
)
from accelsim.numerics.haste import Plan
from accelsim.numerics.kernels import product, spec
from accelsim.numerics.lanes import plan
from accelsim.numerics.scratch import scratch_for

F32 = NDArray[np.float32]
SHAPE = (19, 70, 37)  # no tile divides any of these


def operands(kind: str) -> tuple[F32, F32]:
    rng = np.random.default_rng(11)
    (m, k, n) = SHAPE
    a: NDArray[Any] = rng.standard_normal((m, k))
    b: NDArray[Any] = rng.standard_normal((k, n))
    if kind == "e4m3":
        a, b = round_to("e4m3fn", a), round_to("e4m3fn", b)
    elif kind == "sparse":  # rows of zeros, zeros of both signs, tiny numbers
        a = round_to("e4m3fn", np.where(rng.random(a.shape) < 0.7, 0.0, a) / 64)
        b = np.where(rng.random(b.shape) < 0.5, -0.0, round_to("e4m3fn", b / 64))
        a[3] = 0.0
    elif kind == "large":  # sums that overflow e4m3 and fp16
        a, b = round_to("e4m3fn", a * 100), round_to("e4m3fn", b * 60)
    elif kind == "wide":  # exponents far apart, which no float64 sum holds
        a = round_to("bf16", np.ldexp(a, rng.integers(-40, 20, a.shape)))
        b = round_to("bf16", np.ldexp(b, rng.integers(-40, 20, b.shape)))
    elif kind == "fp16":
        a, b = round_to("fp16", a / 100), round_to("fp16", b / 100)
    else:
        a, b = rng.integers(-128, 128, a.shape), rng.integers(-128, 128, b.shape)
    return np.asarray(a, np.float32), np.asarray(b, np.float32)


def general(a: F32, b: F32, acc: Accumulator) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Compute every output one at a time."""
    row, column = (x.ravel() for x in np.indices((a.shape[0], b.shape[1])))
    out, stats = np.empty(row.size), np.empty((row.size, 4))
    turned = np.ascontiguousarray(b.T)
    products._general(a, turned, row, column, 0, acc, None, out, stats, 1)
    shape = (a.shape[0], b.shape[1])
    return out.reshape(shape), stats.reshape(*shape, 4)


COMMON = [
    (Accumulator("e4m3fn", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("e4m3fn"), ("e4m3", "large")),
    (Accumulator("e5m2"), ("large",)),
    (Accumulator("fp16"), ("e4m3", "fp16")),
    (Accumulator("bf16"), ("wide",)),
    (Accumulator("fp32"), ("wide",)),
    (Accumulator("e4m3fn", "toward-zero"), ("sparse",)),
    (Accumulator("e5m2", "stochastic", seed=3), ("e4m3",)),
    (Accumulator("bf16", "upward"), ("wide",)),
    (Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="fp16"), ("large",)),
    (Accumulator.preset("h100-fp16"), ("fp16",)),
    (Accumulator("int16", overflow="saturate"), ("int8",)),
]
RARE = [
    (Accumulator("e5m2"), ("sparse",)),
    (Accumulator("fp16"), ("large",)),
    (Accumulator("bf16"), ("e4m3",)),
    (Accumulator("fp16", "stochastic", product="bf16", chunk=9, outer="fp32"), ("fp16",)),
    (Accumulator("e4m3fn", "nearest-away"), ("e4m3", "sparse", "large")),
    (Accumulator("e4m3fn", "upward"), ("e4m3", "sparse", "large")),
    (Accumulator("e5m2", "downward", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", "downward"), ("wide", "sparse")),
    (Accumulator("bf16", "stochastic", seed=2**64 - 1), ("wide", "sparse")),
    (Accumulator("fp32", "nearest-away"), ("wide",)),
    (Accumulator("e4m3fn", product="e5m2", overflow="saturate"), ("e4m3", "sparse", "large")),
    (Accumulator("bf16", product="bf16"), ("e4m3", "wide")),
    (Accumulator("e4m3fn", chunk=8, outer="e4m3fn"), ("large", "sparse")),
    (Accumulator("e6m5ftz", chunk=70, outer="fp16"), ("e4m3", "sparse", "wide")),
    (Accumulator("e4m7b10ftz", "downward"), ("e4m3", "sparse", "large")),
    (Accumulator.preset("h100-e4m3"), ("e4m3", "sparse")),
    (Accumulator.preset("v100-fp16"), ("fp16", "e4m3")),
    (Accumulator("e5m2", "nearest-even", group=7, align_bits=5), ("e4m3", "wide", "large")),
    (Accumulator("fixed16.4", "toward-zero", overflow="saturate"), ("e4m3", "large", "int8")),
    (Accumulator("int8", overflow="saturate", chunk=16, outer="int32"), ("int8", "large")),
]


def each(table: list[tuple[Accumulator, tuple[str, ...]]]) -> list[Any]:
    return [pytest.param(a, k, id=f"{a!r}-{k}"[12:]) for a, kinds in table for k in kinds]


def lane(acc: Accumulator, a: F32, b: F32) -> str:
    chosen = plan(acc, a, b)
    assert chosen is not None
    return type(chosen.careful.lane).__name__


def sums_of(totals: list[float], terms: list[float]) -> tuple[F32, F32]:
    """Return operands whose outputs are total + term, in forty columns."""
    left = np.stack([np.array(totals), np.array(terms)], axis=1).astype(np.float32)
    return left, np.ones((2, 40), np.float32)


def forced(a: F32, b: F32, acc: Accumulator, kind: type) -> NDArray[Any]:
    """Compute in a lane that the rule has not chosen."""
    chosen = plan(acc, a, b)
    assert chosen is not None
    return swept(a, b, acc, chosen.careful._replace(lane=kind(0)), None)[0]


def swept(
    a: F32,
    b: F32,
    acc: Accumulator,
    compiled: Any,
    chosen: Plan | None,
    stats: NDArray[np.float64] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Compute by one spec alone; return the outputs, and which tiles are doubtful."""
    zeros = chosen is not None and chosen.zeros
    (rows, depth), columns = a.shape, b.shape[1]
    job = products._job(acc, compiled, chosen)
    out = np.empty((rows, columns), np.float64)
    doubts = np.zeros((-(-rows // spec.ROWS), -(-columns // compiled.width)), np.uint8)
    seed = products._seed(acc)
    flat = a.reshape(-1) if compiled.single else None
    scratch = scratch_for(compiled, acc.chunk is None, zeros, seed, depth, rows, columns)
    product.multiply(
        a, flat, b, (0, rows), (0, columns), 0, compiled, None, job, seed, scratch, out,
        stats, doubts, np.ones(doubts.shape, np.bool_),
    )  # fmt: skip
    return out, doubts > 0


DIRECTED = ("toward-zero", "upward", "downward")
