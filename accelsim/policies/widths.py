"""How wide an accumulator has to be, from the length of its sums and what is added up.

* A variance retention ratio, after Sakr et al., Accumulation bit-width scaling for ultra-low
  precision training of deep networks, ICLR 2019 (arXiv:1901.06588): a statistical rule.
* The l1 bound of integer accumulators: Colbert et al., A2Q+, arXiv:2401.10432. Rigorous.
* The path norm: |ẑ - z| ≤ [Π(1+γ) - 1]·|W_L|…|W_1||x|, by one pass with absolute values, and with
  more terms for biases and operands. Rigorous. Layer by layer: N. J. Higham, Accuracy and Stability
  of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.conditioning import gamma
from accelsim.policies.base import LayerFacts

Array = NDArray[np.float64]
_MOST_BITS = 32
_SLACK = 1e-6
"""Relative: what binary64 and the fp32 of biases and activations may round away of a bound."""


def variance_retention(mantissa_bits: int, terms: int) -> float:
    """Return the share of the variance of a sum of so many terms that an accumulator keeps.

    Terms are independent with mean zero and variance 1, so that after i of them the sum is normal
    with variance i, and does not move any more once it exceeds 2^mantissa_bits: the terms are
    swamped. It does so first at step i with a probability near q_i = P(|s_i| ≥ 2^m)·P(|s_(i-1)| <
    2^m), and keeps the variance i; with P(|s_n| < 2^m) it never does. The ratio is the mean of
    what is kept over n, these weights normalised. What is lost of terms that are swamped in part,
    which the source counts too, is left out.
    """
    if terms < 2:
        return 1.0
    steps = np.arange(1, terms + 1, dtype=np.float64)
    beyond = np.array([math.erfc(x) for x in 2.0**mantissa_bits / np.sqrt(2.0 * steps)])
    first = beyond[1:-1] * (1.0 - beyond[:-2])
    never = float(1.0 - beyond[-1])
    kept = float(np.sum(first * steps[1:-1])) + never * terms
    return kept / (terms * (float(np.sum(first)) + never))


def mantissa_for_variance(terms: int, cutoff: float) -> int:
    """Return the fewest mantissa bits with exp(n·(1 - retention)) below `cutoff`."""
    for bits in range(24):
        if terms * (1.0 - variance_retention(bits, terms)) < math.log(cutoff):
            return bits
    raise AssertionError(f"{terms} terms are more than any layer has")


def a2q_plus_limit(accumulator_bits: int, input_bits: int) -> float:
    """Return the largest ‖q‖₁ of integer weights with sum zero whose products with unsigned
    inputs never overflow a two's complement accumulator.
    """
    return (2.0**accumulator_bits - 2.0) / (2.0**input_bits - 1.0)


class Range(NamedTuple):
    """Least and largest values of a vector."""

    least: Array
    largest: Array


def partial_sums(weight: Array, inputs: Range) -> Range:
    """Return between what all partial sums of each column of weights (k,n) lie, in any order.

    The l1 bound when the signs of inputs and weights are taken into account: for inputs from 0 to
    x the larger end is x times the sum of the positive weights, ‖w‖₁/2 for those with sum zero.
    """
    ends = weight * inputs.least[:, None], weight * inputs.largest[:, None]
    lower, upper = np.minimum(*ends), np.maximum(*ends)
    return Range(np.minimum(lower, 0.0).sum(axis=0), np.maximum(upper, 0.0).sum(axis=0))


def integer_accumulators(
    layers: Sequence[LayerFacts], input_range: tuple[float, float], most_bits: int = _MOST_BITS
) -> tuple[FixedFormat, ...]:
    """Return for each layer the narrowest fixed-point accumulator that never overflows and, if
    `most_bits` are enough, never rounds; for all inputs in a range.

    Ranges are propagated from layer to layer by interval arithmetic: activations are monotone,
    and so is the rounding of operands.
    """
    found = []
    first = layers[0]
    reach = Range(*(np.full(first.k, end) for end in input_range))
    for layer in layers:
        weight, bias = layer.require_weights()
        sums = partial_sums(weight, reach)
        fmt = fixed_format(sums, layer.k, -2 * layer.operand_format.lowest_bit, most_bits)
        found.append(fmt)
        lost = _rounded_away(fmt, layer)
        v = Range(sums.least - lost + bias, sums.largest + lost + bias)
        reach = Range(*(_operands(layer, end, sign) for end, sign in zip(v, (-1, 1), strict=True)))
    return tuple(found)


def fixed_format(sums: Range, terms: int, fraction_bits: int, most_bits: int) -> FixedFormat:
    """Return the narrowest format that holds all sums, with that many fraction bits if they fit.

    With fewer, each of so many steps loses half a unit at most, and those count as well.
    Raises ValueError where these alone are too many for `most_bits`.
    """
    fewest = math.inf
    for fraction in range(fraction_bits, fraction_bits - 64, -1):
        unit = 2.0**-fraction
        lost = 0.0 if fraction == fraction_bits else terms * unit / 2
        least = math.floor((float(sums.least.min()) - lost) / unit)
        largest = math.ceil((float(sums.largest.max()) + lost) / unit)
        bits = 1 + max(largest.bit_length(), (-least - 1).bit_length() if least < 0 else 0)
        if bits <= most_bits:
            return FixedFormat(bits, fraction)
        fewest = min(fewest, bits)
    raise ValueError(f"rounded sums of {terms} terms take at least {fewest:g}")


def _rounded_away(fmt: FixedFormat, layer: LayerFacts) -> float:
    exact = fmt.fraction_bits >= -2 * layer.operand_format.lowest_bit
    return 0.0 if exact else layer.k * 2.0**-fmt.fraction_bits / 2


def _operands(layer: LayerFacts, v: Array, sign: int) -> Array:
    """Return the operands that v become, a little further in the direction of `sign`."""
    h = _activated(layer.activation, v + sign * _SLACK * (np.abs(v) + 1.0))
    return numerics.round_to(layer.operand_format, h, overflow="saturate").astype(np.float64)


def _activated(activation: str, v: Array) -> Array:
    if activation == "relu":
        return np.maximum(v, 0.0)
    return np.asarray(np.tanh(v)) if activation == "tanh" else v


def growth(terms: Sequence[int], units: Sequence[float]) -> float:
    """Return Π(1+γ) - 1 over layers with sums of so many terms and units roundoff."""
    product = math.prod(1.0 + gamma(n, u) for n, u in zip(terms, units, strict=True))
    return product - 1.0


def mantissas_for_growth(terms: Sequence[int], tolerance: float) -> tuple[int, ...]:
    """Return the fewest mantissa bits with which each layer takes an equal part in a growth of
    at most `tolerance`: γ_n ≤ (1 + tolerance)^(1/L) - 1 for each of L layers.
    """
    share = math.expm1(math.log1p(tolerance) / len(terms))
    found = []
    for n in terms:
        bits = max(math.ceil(math.log2(n * (1.0 + share) / share)) - 1, 0)
        while gamma(n, 2.0 ** -(bits + 1)) > share:  # the logarithm may be a hair too small
            bits += 1
        found.append(bits)
    return tuple(found)


def path_bound(
    layers: Sequence[LayerFacts], accumulators: Sequence[Accumulator], inputs: Array
) -> Array:
    """Return what |ẑ - z| is at most for each output (samples, classes): z of the network with
    these weights in exact arithmetic, ẑ as it is run, operands rounded.

    One pass with absolute values. Accumulators are floating-point ones that round to nearest, and
    neither they nor operands overflow; activations are 0 at 0 and have slopes of at most 1.
    """
    size, error = np.abs(inputs), np.zeros_like(inputs)
    for layer, acc in zip(layers, accumulators, strict=True):
        weight, bias = (np.abs(part) for part in layer.require_weights())
        fmt, kept = layer.operand_format, acc.format
        assert isinstance(kept, FloatFormat)
        rounding = fmt.unit_roundoff * (size + error) + fmt.min_subnormal / 2
        wrong = error + rounding
        factor = gamma(layer.k, kept.unit_roundoff)
        lost = (1.0 + factor) * layer.k * kept.min_subnormal / 2
        grown = size @ weight
        error = wrong @ weight + factor * ((size + wrong) @ weight) + lost
        size = grown + bias
        error += _SLACK * (size + error)
    return np.asarray(error)
