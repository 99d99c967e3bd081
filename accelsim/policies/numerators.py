"""Estimates of S = |W||h|, which bounds the error of an inner product: what each knows and costs.

After n terms |v̂ - v| ≤ γ_n S + what underflow adds, see `accelsim.numerics.conditioning`. The
running error is another such bound: a step of an accumulator that rounds to nearest errs by at
most u·max(|ŝ_k|, smallest normal number), so that |v̂ - v| ≤ u R with
R = Σ_k |ŝ_k| + n·(smallest normal number), for exact products and without overflow.
Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections
3.1 (γ_n) and 3.3 (running error analysis).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.conditioning import chunked_gamma, gamma
from accelsim.policies.base import HIGH, LayerValues, LayerView
from accelsim.trace import Detector

Numerator = Literal["exact", "constant", "l2", "l1-inf", "low", "running-error"]
Estimate = NDArray[np.floating[Any]]
_WIDE = Accumulator(HIGH)


def estimate(kind: Numerator, layer: LayerView, low: FloatFormat) -> Estimate:
    """Return the estimate for each output, or an array that broadcasts to (m,n).

    Infinite where the estimate itself overflowed, so that nothing is known.
    """
    values = layer.require_values()
    match kind:
        case "exact":
            return numerics.matmul(np.abs(values.inputs), np.abs(values.weight), _WIDE)
        case "constant":
            assert values.mean_abs_sum is not None
            return np.full((1, 1), values.mean_abs_sum, np.float32)
        case "l2":
            squares = numerics.dot(values.inputs, values.inputs, _WIDE)
            rows = np.sqrt(squares.astype(np.float64))
            columns = np.linalg.norm(values.weight.astype(np.float64), axis=0)
            return np.outer(rows, columns)
        case "l1-inf":
            rows = np.abs(values.inputs).max(axis=1).astype(np.float64)
            return np.outer(rows, np.abs(values.weight.astype(np.float64)).sum(axis=0))
        case "low":
            return _in_low(values, low)
        case "running-error":
            assert values.running is not None
            return values.running + layer.k * low.min_normal


class Chunks(NamedTuple):
    """How a chunked first pass goes on: terms of a chunk, and the format between chunks."""

    length: int
    outer: FloatFormat


def error_bound(
    kind: Numerator,
    numerator: Estimate,
    terms: int,
    low: FloatFormat,
    margin: float | None,
    chunks: Chunks | None = None,
) -> NDArray[np.float64]:
    """Return what |v̂ - v| is at most, if `numerator` is no less than what it estimates; one number
    where nothing is certain.

    `margin` replaces the factor of `error_factor`, in units of the roundoff of `low`; with 0 every
    sign is taken for certain, and what underflows is left out as well.
    """
    if margin == 0.0:
        return np.asarray(0.0)
    factor = error_factor(kind, terms, low, margin, chunks)
    if np.isinf(factor):
        return np.asarray(np.inf)
    # Rounding to a subnormal loses up to half of the smallest one at each step, whatever S is.
    lost = 0.0 if kind == "running-error" else terms * low.min_subnormal / 2
    if chunks is not None:
        lost += -(-terms // chunks.length) * chunks.outer.min_subnormal / 2
    return np.asarray(factor * numerator + (1.0 + factor) * lost, np.float64)


def error_factor(
    kind: Numerator,
    terms: int,
    low: FloatFormat,
    margin: float | None,
    chunks: Chunks | None = None,
) -> float:
    """Return what the numerator is multiplied by to bound the error: γ_n, or u for R."""
    u = low.unit_roundoff
    if margin is not None:
        return margin * u
    if chunks is not None:
        return chunked_gamma(terms, chunks.length, u, chunks.outer.unit_roundoff)
    return u if kind == "running-error" else gamma(terms, u)


def source(kind: Numerator, low: FloatFormat) -> Detector:
    """Return what the estimate costs by itself: nothing for each output yet.

    Norms of weights are known before the run, and thresholds are divided by them then. A square
    root is two steps of Newton's iteration for its reciprocal from a table (three multiplications
    and an addition each), half of its argument, and a product.
    """
    nothing = {"multiplies_per_output": 0, "compares_per_output": 0}
    match kind:
        case "exact":
            return Detector("exact numerator", HIGH, **nothing)
        case "constant":
            return Detector("threshold", None, **nothing)
        case "l2":
            root = {"multiplies_per_row": 8, "adds_per_row": 2}
            per_word = {"multiplies_per_word": 1, "adds_per_word": 1}
            return Detector("product of 2-norms", None, **nothing, **per_word, **root)
        case "l1-inf":
            return Detector("product of 1- and max-norm", None, **nothing, compares_per_word=1)
        case "low":
            return Detector(f"numerator in {low}", low, **nothing)
        case "running-error":
            return Detector("running error", HIGH, **nothing)


def _in_low(values: LayerValues, low: FloatFormat) -> NDArray[np.float32]:
    acc = Accumulator(low, overflow="saturate")
    found = numerics.matmul_watched(np.abs(values.inputs), np.abs(values.weight), acc)
    return np.where(found.overflowed, np.inf, found.values).astype(np.float32)
