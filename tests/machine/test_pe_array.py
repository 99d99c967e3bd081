"""The closed form of a fold against an array of PEs and registers that computes real products."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from machines import machine, trace
from pe_array import Matrix, input_stationary, output_stationary, weight_stationary

from accelsim.machine import lower

Multiply = Callable[[Matrix, Matrix, int, int, bool], tuple[Matrix, int]]
ARRAYS: dict[str, Multiply] = {
    "os": output_stationary,
    "ws": weight_stationary,
    "is": input_stationary,
}
SHAPES = list(itertools.product(range(1, 7), repeat=2))
EDGES = [(1, 1, 1), (9, 9, 9), (1, 9, 1), (9, 1, 9), (1, 1, 9), (9, 1, 1)]


def agrees(dataflow: str, rows: int, cols: int, shape: tuple[int, int, int], overlap: bool) -> None:
    m, k, n = shape
    generator = np.random.default_rng([rows, cols, *shape])
    a, b = generator.integers(-9, 10, (m, k)), generator.integers(-9, 10, (k, n))
    product, cycles = ARRAYS[dataflow](a, b, rows, cols, overlap)
    lowered = lower(trace(m, k, n), machine(rows, cols, overlap, dataflow=dataflow))
    assert cycles == lowered.compute_cycles, (rows, cols, shape)
    assert np.array_equal(product, a @ b), (rows, cols, shape)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
def test_a_few_arrays_take_the_closed_form_s_cycles(dataflow: str, overlap: bool) -> None:
    for rows, cols in [(1, 1), (2, 3), (4, 2)]:
        for shape in [(1, 1, 1), (5, 7, 3), (2, 5, 6)]:
            agrees(dataflow, rows, cols, shape, overlap)


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_every_array_up_to_6x6_takes_the_closed_form_s_cycles(
    rows: int, cols: int, dataflow: str, overlap: bool
) -> None:
    generator = np.random.default_rng([rows, cols])
    drawn = [tuple(int(size) for size in shape) for shape in generator.integers(1, 10, (30, 3))]
    for m, k, n in EDGES + drawn:
        agrees(dataflow, rows, cols, (m, k, n), overlap)
