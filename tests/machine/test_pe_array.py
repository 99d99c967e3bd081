"""The closed form of a fold against an array of PEs and registers that computes real products."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from machines import machine, trace
from pe_array import ARRAYS, HazardError, Pace

from accelsim.machine import lower

SHAPES = list(itertools.product(range(1, 7), repeat=2))
EDGES = [(1, 1, 1), (9, 9, 9), (1, 9, 1), (9, 1, 9), (1, 1, 9), (9, 1, 1)]
PACES = [Pace(), Pace(latency=3), Pace(mac=2), Pace(mac=2, latency=3), Pace(mac=3, latency=2)]


def agrees(
    dataflow: str,
    rows: int,
    cols: int,
    shape: tuple[int, int, int],
    overlap: bool,
    pace: Pace,
    tile_k: int | None = None,
) -> None:
    m, k, n = shape
    generator = np.random.default_rng([rows, cols, *shape])
    a, b = generator.integers(-9, 10, (m, k)), generator.integers(-9, 10, (k, n))
    product, cycles = ARRAYS[dataflow](a, b, rows, cols, overlap, pace, tile_k or k)
    assert np.array_equal(product, a @ b), (rows, cols, shape)
    array = {"cycles_per_mac": {"e4m3fn": pace.mac}, "adder_latency_cycles": pace.latency}
    parts: dict[str, Any] = {"array": array, "dataflow": dataflow}
    if tile_k is not None:
        parts["tiling"] = {"k": tile_k}
    lowered = lower(trace(m, k, n), machine(rows, cols, overlap, **parts))
    assert cycles == lowered.compute_cycles, (rows, cols, shape, pace)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
def test_a_few_arrays_take_the_closed_form_s_cycles(
    dataflow: str, overlap: bool, pace: Pace
) -> None:
    for rows, cols in [(1, 1), (2, 3), (4, 2)]:
        for shape in [(1, 1, 1), (5, 7, 3), (2, 5, 6)]:
            agrees(dataflow, rows, cols, shape, overlap, pace)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("tile_k", [1, 2, 3, 7])
def test_sums_that_return_to_an_output_stationary_array_take_the_closed_form_s_cycles(
    tile_k: int, overlap: bool, pace: Pace
) -> None:
    for shape in [(1, 7, 1), (5, 7, 3)]:
        agrees("os", 2, 3, shape, overlap, pace, tile_k)


@pytest.mark.parametrize(
    ("dataflow", "pace"),
    [
        ("os", Pace(latency=3, slack=-1)),
        ("os", Pace(mac=2, slack=-1)),
        ("ws", Pace(slack=-1)),
        ("ws", Pace(latency=3, slack=-1)),
        ("is", Pace(latency=3, slack=-1)),
    ],
)
def test_no_array_can_go_faster(dataflow: str, pace: Pace) -> None:
    # A cycle earlier, a PE would need a sum that is not there, or be busy: 4 rows, 2 steps.
    a = np.ones((2, 9), np.int64)
    with pytest.raises(HazardError):
        ARRAYS[dataflow](a, np.ones((9, 2), np.int64), 4, 3, True, pace, 9)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
def test_a_spread_of_shapes_on_every_array_takes_the_closed_form_s_cycles(
    dataflow: str, overlap: bool
) -> None:
    # Each array has other shapes, which between them have every size along every axis.
    drawn = np.random.default_rng(overlap).integers(1, 10, (3 * len(SHAPES), 3)).tolist()
    assert all(len({shape[axis] for shape in drawn}) == 9 for axis in range(3))
    for number, (m, k, n) in enumerate(drawn):
        rows, cols = SHAPES[number % len(SHAPES)]
        agrees(dataflow, rows, cols, (m, k, n), overlap, PACES[number % len(PACES)])


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_every_array_up_to_6x6_takes_the_closed_form_s_cycles_for_every_shape_up_to_9x9x9(
    rows: int, cols: int, dataflow: str, overlap: bool
) -> None:
    for m, k, n in itertools.product(range(1, 10), repeat=3):
        agrees(dataflow, rows, cols, (m, k, n), overlap, Pace())


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_every_array_up_to_6x6_takes_the_closed_form_s_cycles_at_every_pace(
    rows: int, cols: int, dataflow: str, overlap: bool
) -> None:
    drawn = np.random.default_rng([rows, cols]).integers(1, 10, (30, 3)).tolist()
    for number, (m, k, n) in enumerate([*EDGES, *drawn]):
        agrees(dataflow, rows, cols, (m, k, n), overlap, PACES[number % len(PACES)])
