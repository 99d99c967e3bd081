"""Lowering: folds, transfers and counts, against hand-made numbers and slow definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import DUAL, E4M3, FP32, Unit, lanes, machine, random_mask, trace

from accelsim.machine import Arithmetic, DramAccess, Hardware, Lanes, Sram, Visit, lower
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.trace import Detector, LayerTrace

SIZES = st.integers(1, 40)
DATAFLOWS = st.sampled_from(["os", "ws", "is"])


def ceil(a: int, b: int) -> int:
    return -(-a // b)


@given(SIZES, SIZES, SIZES, st.integers(1, 9), st.integers(1, 9), st.booleans(), DATAFLOWS)
def test_folds_and_compute_cycles_are_the_closed_form(
    m: int, k: int, n: int, rows: int, cols: int, overlap: bool, dataflow: str
) -> None:
    found = lower(trace(m, k, n), machine(rows, cols, overlap, dataflow=dataflow))
    folds, terms, cycles, interval = {
        "os": (ceil(m, rows) * ceil(n, cols), k, rows + cols + k - 2, k),
        "ws": (ceil(k, rows) * ceil(n, cols), m, 2 * rows + cols + m - 2, max(m, rows)),
        "is": (ceil(k, rows) * ceil(m, cols), n, 2 * rows + cols + n - 2, max(n, rows)),
    }[dataflow]
    assert found.folds == found.waves == folds
    assert interval >= terms
    expected = (folds - 1) * interval + cycles if overlap else folds * cycles
    assert found.compute_cycles == expected


def redone_words(layer: LayerTrace, hardware: Hardware) -> tuple[int, int]:
    """The definition: rounds of a tile, output by output, and the rows and columns in each."""
    assert layer.recomputed is not None
    array, unit = hardware.array, hardware.recompute
    height, width = {
        "os": (array.rows, array.cols),
        "ws": (layer.m, array.cols),
        "is": (array.cols, layer.n),
    }[array.dataflow]
    words_a = words_b = 0
    for top in range(0, layer.m, height):
        for left in range(0, layer.n, width):
            flagged = [
                (i, j)
                for i in range(top, min(top + height, layer.m))
                for j in range(left, min(left + width, layer.n))
                if layer.recomputed[i, j]
            ]
            size = unit.width if isinstance(unit, Lanes) else max(len(flagged), 1)
            for start in range(0, len(flagged), size):
                together = flagged[start : start + size]
                words_a += len({i for i, _ in together}) * layer.k
                words_b += len({j for _, j in together}) * layer.k
    return words_a, words_b


@given(
    SIZES,
    st.integers(1, 8),
    SIZES,
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([None, (1, 1), (3, 2), (4, 64)]),
    DATAFLOWS,
)
def test_words_read_for_recomputation_are_those_of_the_definition(
    m: int,
    k: int,
    n: int,
    rows: int,
    cols: int,
    rate: float,
    unit: tuple[int, int] | None,
    dataflow: str,
) -> None:
    hardware = machine(rows, cols, unit=None if unit is None else lanes(*unit), dataflow=dataflow)
    layer = trace(m, k, n, random_mask(m, n, rate))
    with_redoing, without = lower(layer, hardware).counts, lower(trace(m, k, n), hardware).counts
    read = Sram("read", hardware.scratchpads.a.capacity_bytes)
    extra = tuple(
        with_redoing.number(pad, read) - without.number(pad, read)
        for pad in ("scratchpad_a", "scratchpad_b")
    )
    assert extra == redone_words(layer, hardware)


@given(SIZES, SIZES, SIZES, st.sampled_from([0.0, 0.3, 1.0]), DATAFLOWS)
def test_counts_are_conserved(m: int, k: int, n: int, rate: float, dataflow: str) -> None:
    mask = random_mask(m, n, rate)
    hardware = machine(unit=lanes(2, 4), dataflow=dataflow)
    found = lower(trace(m, k, n, mask), hardware)
    counts, redone = found.counts, int(mask.sum())
    multiply = Arithmetic("multiply", "e4m3fn")
    assert counts.number("array", multiply) == m * n * k
    assert counts.number("recompute", multiply) == redone * k
    assert counts.number("recompute", Arithmetic("add", "fp32")) == redone * k
    assert sum(visit.flagged for visit in found.visits) == redone
    capacity = hardware.scratchpads.a.capacity_bytes
    filled = sum(
        counts.number(pad, Sram("write", capacity)) for pad in ("scratchpad_a", "scratchpad_b")
    )
    dram_read = counts.number("dram", DramAccess("read", "lpddr4"))
    dram_written = counts.number("dram", DramAccess("write", "lpddr4"))
    assert filled == dram_read
    assert dram_read == sum(sum(visit.loads.values()) for visit in found.visits)
    assert dram_written == sum(visit.store_bytes for visit in found.visits) == m * n
    # Partial sums, of one byte here, are written and taken back between the folds of a tile.
    partial = 0 if dataflow == "os" else m * n * (ceil(k, hardware.array.rows) - 1)
    assert counts.number("scratchpad_c", Sram("read", capacity)) == dram_written + partial
    assert counts.number("scratchpad_c", Sram("write", capacity)) == m * n + redone + partial


@given(SIZES, SIZES, SIZES, st.integers(1, 9), st.integers(1, 9), DATAFLOWS)
def test_scratchpad_words_of_the_first_pass_are_the_closed_form(
    m: int, k: int, n: int, rows: int, cols: int, dataflow: str
) -> None:
    hardware = machine(rows, cols, dataflow=dataflow)
    counts = lower(trace(m, k, n), hardware).counts
    capacity = hardware.scratchpads.a.capacity_bytes
    words_a, words_b, words_c = {
        "os": (m * k * ceil(n, cols), k * n * ceil(m, rows), m * n),
        "ws": (m * k * ceil(n, cols), k * n, m * n * ceil(k, rows)),
        "is": (m * k, k * n * ceil(m, cols), m * n * ceil(k, rows)),
    }[dataflow]
    assert counts.number("scratchpad_a", Sram("read", capacity)) == words_a
    assert counts.number("scratchpad_b", Sram("read", capacity)) == words_b
    assert counts.number("scratchpad_c", Sram("write", capacity)) == words_c


def test_a_wider_accumulator_moves_more_bytes_of_partial_sums() -> None:
    hardware = machine(dataflow="ws")  # K = 10 takes three folds of four terms
    capacity = hardware.scratchpads.c.capacity_bytes
    exact = Detector("exact", FP32, multiplies_per_output=0, compares_per_output=1)
    inner = Accumulator("e4m3fn", chunk=8, outer="fp32")
    whole = Accumulator("e4m3fn", chunk=2, outer="fp32")
    for changes, widths in (
        ({"accumulator": Accumulator(E4M3)}, (1, 1)),
        ({"accumulator": Accumulator(FP32)}, (4, 4)),
        ({"accumulator": inner}, (1, 4)),  # the first fold ends inside a chunk, the second with it
        ({"accumulator": whole}, (4, 4)),
        ({"detector": exact}, (5, 5)),  # the numerator of the condition number is kept as well
    ):
        counts = lower(trace(6, 10, 5, **changes), hardware).counts
        assert counts.number("scratchpad_c", Sram("read", capacity)) == 30 + 30 * sum(widths)


def waves_and_flags(visit: Visit) -> list[tuple[int, int]]:
    return [(part.waves, part.flagged) for part in visit.parts]


def test_an_output_is_known_after_the_last_fold_over_its_terms() -> None:
    mask = np.zeros((6, 10), np.bool_)
    mask[3, 1] = mask[5, 9] = True
    whole = {"m": 6, "k": 12, "n": 10}
    # Three chains of three folds over the terms, for four columns each, all in one tile.
    (visit,) = lower(trace(6, 12, 10, mask), machine(dataflow="ws", tiling=whole)).visits
    assert waves_and_flags(visit) == [(3, 1), (6, 1)]
    # Two chains, for four rows each, and an output of either is flagged.
    (turned,) = lower(trace(6, 12, 10, mask), machine(dataflow="is", tiling=whole)).visits
    assert waves_and_flags(turned) == [(3, 1), (3, 1)]
    # Cut after eight terms, outputs are known in every second tile.
    cut = machine(dataflow="ws", tiling={"m": 6, "k": 8, "n": 4, "order": "mnk"})
    visits = lower(trace(6, 12, 10, mask), cut).visits
    assert [visit.flagged for visit in visits] == [0, 1, 0, 0, 0, 1]
    assert [visit.store_bytes for visit in visits] == [0, 24, 0, 24, 0, 12]
    assert [visit.waves for visit in visits] == [2, 1, 2, 1, 2, 1]


def test_outputs_of_several_arrays_drain_together() -> None:
    mask = np.zeros((4, 20), np.bool_)
    mask[0, 1] = mask[3, 5] = mask[2, 19] = True
    hardware = machine(array={"count": 2}, tiling={"n": 20})
    (visit,) = lower(trace(4, 10, 20, mask), hardware).visits
    # Five folds on two arrays are three waves: the first leaves two flagged outputs.
    assert waves_and_flags(visit) == [(1, 2), (2, 1)]


def test_redoing_fetches_again_what_has_left_the_scratchpads() -> None:
    mask = np.zeros((6, 10), np.bool_)
    mask[3, 1] = mask[3, 2] = True
    cut = {"m": 6, "k": 8, "n": 4, "order": "mnk"}
    small = {"a": {"capacity_bytes": 71, "double_buffered": False}, "b": {"capacity_bytes": 64}}
    hardware = machine(dataflow="ws", scratchpads=small, tiling=cut)
    found = lower(trace(6, 12, 10, mask), hardware)
    # One row of A and two columns of B, for the eight terms of the tile before.
    assert [visit.parts[0].refetch_bytes for visit in found.visits[:2]] == [0, 8 + 16]
    # Where both are kept whole, nothing has left; where terms are outermost, all but the last have.
    roomy = lower(trace(6, 12, 10, mask), machine(dataflow="ws", tiling=cut))
    assert not any(part.refetch_bytes for visit in roomy.visits for part in visit.parts)
    outer = lower(trace(6, 12, 10, mask), machine(dataflow="ws", tiling=cut | {"order": "kmn"}))
    assert [visit.parts[0].refetch_bytes for visit in outer.visits] == [0, 0, 0, 8 + 16, 0, 0]


def test_operands_that_fit_are_fetched_once() -> None:
    counts = lower(trace(12, 5, 20), machine()).counts
    assert counts.number("dram", DramAccess("read", "lpddr4")) == 12 * 5 + 5 * 20


def test_each_policy_is_charged_for_the_work_it_causes() -> None:
    detector = Detector("exact", FP32, multiplies_per_output=1, compares_per_output=1)
    mask = np.zeros((6, 5), np.bool_)
    mask[0, 0] = mask[5, 4] = True
    counts = lower(trace(6, 7, 5, mask, detector), machine(unit=lanes(1, 1))).counts
    assert counts.number("detector", Arithmetic("add", "fp32")) == 6 * 7 * 5
    assert counts.number("detector", Arithmetic("compare", "fp32")) == 30
    assert counts.number("detector", Arithmetic("multiply", "fp32")) == 30
    assert counts.number("vector", Arithmetic("add", "fp32")) == 32
    assert counts.number("queue", Sram("write", 8)) == 16  # a queue of one entry
    assert counts.number("queue", Sram("read", 8)) == 16


def test_a_detector_is_charged_by_mac_word_row_and_output() -> None:
    places = [
        f"{operation}_per_{place}"
        for operation in ("multiplies", "adds", "compares")
        for place in ("word", "row", "output")
    ]
    work = {key: 10**power for power, key in enumerate(places)}
    detector = Detector("all", FloatFormat.parse("fp16"), **work)
    layer = trace(3, 7, 5, np.zeros((2 * 3, 5), np.bool_), detector, repeats=2)
    counts = lower(layer, machine()).counts
    words, rows, outputs, macs = 2 * 3 * 7, 2 * 3, 2 * 3 * 5, 2 * 3 * 7 * 5
    found = {str(action): number for component, action, number in counts if component == "detector"}
    assert found == {
        "multiply e4m3fn": words,
        "multiply fp32": 10 * rows + 100 * outputs,
        "add fp32": 1000 * (words + 10 * rows + 100 * outputs),
        "compare fp32": 1000000 * (words + 10 * rows + 100 * outputs),
        "register fp32": 1000 * words,
        "add fp16": macs,
        "register fp16": macs,
    }


def test_a_chunked_accumulator_adds_once_a_chunk_in_the_outer_format() -> None:
    acc = Accumulator("e4m3fn", chunk=4, outer="fp32")
    counts = lower(trace(3, 10, 2, accumulator=acc), machine()).counts
    assert counts.number("array", Arithmetic("add", "e4m3fn")) == 60
    assert counts.number("array", Arithmetic("add", "fp32")) == 6 * 3


def shifts(acc: Accumulator) -> dict[tuple[str, str], int]:
    counts = lower(trace(3, 10, 2, accumulator=acc), machine()).counts
    return {
        (component, action.format): number
        for component, action, number in counts
        if isinstance(action, Arithmetic) and action.operation == "shift"
    }


def test_every_term_of_a_fixed_point_sum_is_shifted_to_its_place() -> None:
    fixed, wide = FixedFormat.parse("fixed10.7"), FixedFormat.parse("fixed20.7")
    saturating: dict[str, Any] = {"overflow": "saturate"}
    assert shifts(Accumulator(FP32)) == {}
    assert shifts(Accumulator(fixed, **saturating)) == {("array", "fixed10.7"): 60}
    # Chunks of fixed point are moved into a wider sum of it by wires; those of floats are not.
    chunked = Accumulator(fixed, chunk=4, outer=wide, **saturating)
    assert shifts(chunked) == {("array", "fixed10.7"): 60}
    floats = Accumulator(E4M3, chunk=4, outer=wide, **saturating)
    assert shifts(floats) == {("array", "fixed20.7"): 6 * 3}
    # A compensated sum takes four additions a term, of which one is of the product.
    kahan = Accumulator(fixed, order="kahan", **saturating)
    assert shifts(kahan) == {("array", "fixed10.7"): 60}


# The second adder of a dual unit sees every product.
@pytest.mark.parametrize(("unit", "outputs"), [(None, 1), (lanes(2, 4), 1), (DUAL, 6)])
def test_what_is_redone_in_fixed_point_is_shifted_as_well(unit: Unit | None, outputs: int) -> None:
    mask = np.zeros((3, 2), np.bool_)
    mask[1, 1] = True
    again = Accumulator("int32", overflow="saturate")
    layer = trace(3, 10, 2, mask, recompute_accumulator=again)
    counts = lower(layer, machine(unit=unit)).counts
    assert counts.number("recompute", Arithmetic("shift", "int32")) == 10 * outputs
    assert counts.number("array", Arithmetic("shift", "int32")) == 0


def test_wider_outputs_move_more_bytes() -> None:
    counts = lower(trace(3, 10, 2, output_format=FP32), machine()).counts
    assert counts.number("dram", DramAccess("write", "lpddr4")) == 24


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), DATAFLOWS, st.booleans())
def test_products_that_repeat_are_the_folds_and_counts_of_each(
    m: int, k: int, n: int, dataflow: str, by_lanes: bool
) -> None:
    mask = random_mask(3 * m, n, 0.3)
    hardware = machine(unit=lanes(2, 4) if by_lanes else None, dataflow=dataflow)
    together = lower(trace(m, k, n, mask, repeats=3), hardware)
    apart = [lower(trace(m, k, n, part), hardware) for part in np.split(mask, 3)]
    assert together.visits == [visit for product in apart for visit in product.visits]
    assert together.counts == apart[0].counts + apart[1].counts + apart[2].counts


def test_a_trace_prints_itself() -> None:
    layer = trace(6, 7, 5, np.eye(6, 5, dtype=np.bool_), static=True)
    assert str(layer) == (
        "layer: 6x7 by 7x5, e4m3fn operands, accumulated in e4m3fn; 5 of 30 outputs again in fp32"
    )
    detector = Detector("l1", FP32, 1, 2, adds_per_word=1, compares_per_row=3)
    found = trace(6, 7, 5, np.eye(6, 5, dtype=np.bool_), detector)
    assert str(found) == (
        f"{layer}, found by l1: 1 fp32 addition a MAC, 1 addition a word, 3 comparisons a row,"
        " 1 multiplication an output, 2 comparisons an output"
    )
    assert layer.static
    assert not found.static
    assert not trace(6, 7, 5).static
    assert E4M3.bits == 8
