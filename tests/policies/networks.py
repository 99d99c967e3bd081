"""Small networks with weights drawn from a seed."""

from __future__ import annotations

import itertools

import numpy as np

from accelsim.networks import Dataset, DenseLayer, Network, Workload
from accelsim.networks.network import Activation
from accelsim.numerics import FloatFormat


def perceptron(seed: int, sizes: tuple[int, ...], activation: Activation) -> tuple[DenseLayer, ...]:
    """Return layers of these sizes, the last of them linear."""
    generator = np.random.default_rng(seed)
    layers = []
    for index, (k, n) in enumerate(itertools.pairwise(sizes)):
        weight = (generator.standard_normal((n, k)) / np.sqrt(k)).astype(np.float32)
        bias = (generator.standard_normal(n) / 4).astype(np.float32)
        last = index == len(sizes) - 2
        layers.append(DenseLayer(f"layer{index}", weight, bias, "identity" if last else activation))
    return tuple(layers)


def workload(
    seed: int,
    sizes: tuple[int, ...],
    activation: Activation,
    operand_format: str = "e4m3fn",
    samples: int = 12,
) -> Workload:
    """Return such a network on data drawn from the seed."""
    generator = np.random.default_rng(seed + 1)
    inputs = generator.random((2 * samples, sizes[0])).astype(np.float32)
    labels = generator.integers(0, sizes[-1], 2 * samples)
    half = slice(None, samples), slice(samples, None)
    data = Dataset(inputs[half[0]], labels[half[0]], inputs[half[1]], labels[half[1]])
    fmt = FloatFormat.parse(operand_format)
    layers = perceptron(seed, sizes, activation)
    return Workload("drawn", fmt, network=Network(layers, fmt), dataset=data)
