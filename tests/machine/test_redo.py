"""Every recompute unit by hand, and gathered folds against an array of PEs and registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machines import DUAL, FAST_DRAM, Unit, array, lanes, machine, trace
from pe_array import ARRAYS, Pace
from test_redo_laws import ADD_HIGH, MULTIPLY, number, run

from accelsim.errors import AccelsimError
from accelsim.machine import Hardware, Simulation, Sram, lower
from accelsim.numerics import Accumulator

WHOLE = {"m": 8, "k": 10, "n": 8}
FLAGGED = ((0, 0), (1, 5), (5, 1))
"""Of 8x8 outputs. An array of 4x4 makes them in four folds, of which the last leaves none:

    row 0   X . . . | . . . .
    row 1   . . . . | . X . .      in the left columns rows 0 and 5 hold a flagged output,
            --------+--------      in the right ones row 1
    row 5   . X . . | . . . .
"""


def flagged(rows: int = 8, cols: int = 8, places: Any = FLAGGED) -> np.ndarray[Any, Any]:
    mask = np.zeros((rows, cols), np.bool_)
    mask[tuple(zip(*places, strict=True))] = True
    return mask


def redo(unit: Unit, **parts: Any) -> Simulation:
    hardware = machine(unit=unit, dram=FAST_DRAM, tiling=WHOLE, **parts)
    return run(trace(8, 10, 8, flagged()), hardware)


FOLD = 10 + 4 + 4 - 2
"""Cycles of a fold of ten terms on 4x4 PEs that is done alone."""
FIRST = 4 * FOLD + 3
"""Of the first pass: a cycle to load A, one to load B, one to store the outputs."""


@pytest.mark.parametrize(
    ("unit", "cycles", "outputs", "words"),
    [
        # Three folds leave flagged outputs and are done again. Those of each read one row and one
        # column, as long as K.
        (array(), 3 * FOLD, 3, (3 * 10, 3 * 10)),
        # All 16 outputs of each: four rows and four columns.
        (array("tile"), 3 * FOLD, 3 * 16, (3 * 4 * 10, 3 * 4 * 10)),
        # Two rows make a fold with the left columns, one row another with the right ones. First
        # three rows of ten bytes are copied, five bytes a cycle: read, written, and read again.
        (array("row", gather=5.0), 30 // 5 + 2 * FOLD, 3 * 4, (2 * 30, 2 * 4 * 10)),
        # Of columns, two are packed for the upper rows and one for the lower.
        (array("column", gather=5.0), 30 // 5 + 2 * FOLD, 3 * 4, (2 * 4 * 10, 2 * 30)),
        # At the end of the layer both operands are still there whole. The results are stored again.
        (array("element", "deferred"), 3 * FOLD + 1, 3, (3 * 10, 3 * 10)),
        (array("tile", "deferred"), 3 * FOLD + 1, 3 * 16, (120, 120)),
        # Two rows are copied in four cycles; the third one while the array works on them.
        (array("row", "deferred", 5.0), 20 // 5 + 2 * FOLD + 1, 3 * 4, (60, 80)),
        # The columns of a round may be the same: those of rows 0 and 1, then that of row 5.
        (lanes(2, 8, "deferred"), 2 * 10 + 1, 3, (2 * 10 + 10, 2 * 10 + 10)),
        # A fold leaves an output after 16, 32 and 48 cycles, and a lane takes ten for each.
        (lanes(2, 8), 0, 3, (3 * 10, 3 * 10)),
        (DUAL, 0, 0, (0, 0)),
    ],
)
def test_a_unit_by_hand(unit: Unit, cycles: int, outputs: int, words: tuple[int, int]) -> None:
    result = redo(unit)
    counts = result.layer.counts
    assert result.total_cycles == FIRST + cycles
    assert result.compute_cycles == 4 * FOLD
    assert result.stall_cycles == {"dram": 3, "scratchpad": 0, "recompute": cycles}
    assert result.layer.redone_outputs == outputs
    assert counts.number("recompute", MULTIPLY) == outputs * 10
    assert counts.number("recompute", ADD_HIGH) == (640 if unit == DUAL else outputs * 10)
    first = 8 * 10 * 2  # of either operand, for two units across it
    assert number(counts, "scratchpad_a", "read") == first + words[0]
    assert number(counts, "scratchpad_b", "read") == first + words[1]
    # Outputs of a byte each: those that are redone are written to scratchpad c once more, and if
    # they were deferred to DRAM as well.
    again = outputs if "deferred" in str(unit) else 0
    assert number(counts, "scratchpad_c", "write") == 64 + outputs
    assert number(counts, "scratchpad_c", "read") == 64 + again
    assert number(counts, "dram", "write") == 64 + again
    assert number(counts, "dram", "read") == 2 * 80


@pytest.mark.parametrize(
    ("unit", "entries"),
    [
        (array(), 0),
        (array("tile"), 0),
        (array("row"), 3),
        (lanes(2, 8), 3),
        (array("element", "deferred"), 3),
        (lanes(2, 8, "deferred"), 3),
        (array("column", "deferred"), 3 + 3),
        (DUAL, 0),
    ],
)
def test_a_queue_holds_lines_to_pack_and_outputs_that_wait(unit: Unit, entries: int) -> None:
    counts = redo(unit).layer.counts
    assert number(counts, "queue", "write") == number(counts, "queue", "read") == 8 * entries


def test_a_gather_and_what_is_deferred_by_the_clock() -> None:
    inline = str(redo(array("row", gather=5.0)).timeline).splitlines()
    assert "      66       72 gather    lines of tile 0" in inline
    assert "      72      104 recompute redo tile 0" in inline
    deferred = str(redo(array("row", "deferred", 5.0)).timeline).splitlines()
    assert deferred[-6:] == [
        "      67       71 gather    lines of deferred redo 0",
        "      71       73 gather    lines of deferred redo 1",
        "      71       87 recompute deferred redo 0",
        "      87       88 dram      store deferred redo 0",
        "      87      103 recompute deferred redo 1",
        "     103      104 dram      store deferred redo 1",
    ]


def test_what_is_deferred_fetches_the_lines_that_have_left() -> None:
    dram = {"bandwidth_gbytes_per_s": 1.0, "latency_ns": 7.0}
    pads = {"b": {"capacity_bytes": 79, "double_buffered": False}}
    parts: dict[str, Any] = {"dram": dram, "scratchpads": pads, "tiling": WHOLE | {"n": 4}}
    # Scratchpad b holds one of two strips; A stays. Two columns of the first are flagged.
    layer = trace(8, 10, 8, flagged(places=[(0, 0), (1, 1), (5, 1)]))
    first = run(trace(8, 10, 8), machine(**parts)).total_cycles
    element = run(layer, machine(unit=array("element", "deferred"), **parts))
    # Both in 20 cycles, seven until they are there, two folds, three outputs to store.
    assert element.total_cycles == first + 20 + 7 + 2 * FOLD + 3
    assert number(element.layer.counts, "dram", "read") == 2 * 80 + 20
    # Three rows are packed for all four columns of the strip.
    row = run(layer, machine(unit=array("row", "deferred", 5.0), **parts))
    assert row.total_cycles == first + 40 + 7 + 30 // 5 + FOLD + 12
    by_lanes = run(layer, machine(unit=lanes(2, 8, "deferred"), **parts))
    assert by_lanes.total_cycles == first + 20 + 7 + 2 * 10 + 3


def test_lanes_wait_for_the_scratchpads_that_feed_them() -> None:
    # 4x4 PEs take a row and a column of a byte each a cycle, and so do 16 lanes beside them.
    everything = np.ones((8, 8), np.bool_)
    slow = {"bandwidth_bytes_per_cycle": 1.0}
    fast = {key: {"bandwidth_bytes_per_cycle": 4.0} for key in "ab"}
    for pads, round_, stretched, held in (
        ({}, 10, 0, 0),
        # Either reads for ten cycles; a fold of 16 cycles leaves six of these to the lanes.
        (fast, 10, 0, 2 * 10 - FOLD),
        # At a byte a cycle either reads for 40, and terms enter in 40 instead of ten.
        (fast | {"a": slow}, 40, 30, 2 * 40 - (FOLD + 30)),
        (fast | {"b": slow}, 40, 30, 2 * 40 - (FOLD + 30)),
    ):
        parts: dict[str, Any] = {"dram": FAST_DRAM, "tiling": WHOLE, "scratchpads": pads}
        layer = trace(8, 10, 8, everything)
        inline = run(layer, machine(unit=lanes(16, 64), **parts))
        first = FIRST + 4 * stretched
        # After the last fold nothing is held, but the lanes have a round to do.
        assert inline.total_cycles == first + 3 * held + round_
        assert inline.stall_cycles["scratchpad"] == 4 * stretched + 3 * held
        # Deferred, four rounds of two rows by eight columns read two lines of A and eight of B.
        deferred = run(layer, machine(unit=lanes(16, 64, "deferred"), **parts))
        rate = {key: pad["bandwidth_bytes_per_cycle"] for key, pad in pads.items()}
        reads = [lines * 10 / rate[key] for key, lines in (("a", 2), ("b", 8)) if key in rate]
        assert deferred.total_cycles == first + 4 * max(10, *reads, 0) + 1


def test_a_round_of_lanes_takes_its_share_of_what_its_part_reads() -> None:
    # Row 0 holds three flagged outputs and row 1 one: two lanes read row 0, then 0 and 1. Three
    # lines of A in two rounds, at a byte every two cycles: 3·10·2/2 cycles each.
    mask = flagged(4, 4, [(0, 0), (0, 1), (0, 2), (1, 0)])
    pads = {"a": {"bandwidth_bytes_per_cycle": 0.5}}
    found = lower(trace(4, 10, 4, mask), machine(unit=lanes(2, 8), scratchpads=pads))
    (visit,) = found.visits
    assert visit.parts[0].redo_cycles == 30


@pytest.mark.parametrize(
    ("again", "cycles"),
    [
        (Accumulator("fp32"), 10),
        # Four additions a term, one after the other.
        (Accumulator("e4m3fn", order="kahan"), 40),
    ],
)
def test_a_lane_takes_a_cycle_for_each_addition_of_ten_terms(
    again: Accumulator, cycles: int
) -> None:
    layer = trace(8, 10, 8, flagged(), recompute_accumulator=again)
    parts: dict[str, Any] = {"dram": FAST_DRAM, "tiling": WHOLE}
    inline = lower(layer, machine(unit=lanes(2, 8), **parts))
    assert [part.redo_cycles for visit in inline.visits for part in visit.parts] == [cycles] * 3 + [
        0
    ]
    deferred = lower(layer, machine(unit=lanes(2, 8, "deferred"), **parts)).deferred
    assert deferred is not None
    assert [part.time.interval for visit in deferred.visits for part in visit.parts] == [cycles]


def test_deferred_sums_over_several_tiles_of_terms_go_to_scratchpad_c() -> None:
    parts: dict[str, Any] = {"dram": FAST_DRAM, "tiling": WHOLE | {"k": 4}}
    for unit in (array("element", "deferred"), lanes(2, 8, "deferred")):
        result = run(trace(8, 10, 8, flagged()), machine(unit=unit, **parts))
        # Ten terms in three tiles: sums in fp32 of three outputs go and come back twice.
        assert number(result.layer.counts, "scratchpad_c", "read") == 64 + 2 * 64 + 3 + 2 * 3 * 4
        assert result.layer.deferred is not None
        assert len(result.layer.deferred.visits) == 3


@pytest.mark.parametrize(
    ("granularity", "packed", "others", "fetched"),
    [
        # Of three packed rows, and of four columns for each of two blocks, five terms have left.
        ("row", 3, 2 * 4, (15, 40)),
        ("column", 3, 2 * 4, (40, 15)),
    ],
)
def test_gathered_inline_both_operands_are_fetched_again(
    granularity: str, packed: int, others: int, fetched: tuple[int, int]
) -> None:
    parts: dict[str, Any] = {"dram": FAST_DRAM, "tiling": WHOLE | {"k": 5, "order": "kmn"}}
    found = lower(trace(8, 10, 8, flagged()), machine(unit=array(granularity), **parts))
    assert [part.refetch_bytes for visit in found.visits for part in visit.parts] == [
        0,
        5 * (packed + others),
    ]
    assert number(found.counts, "dram", "read") == 2 * 80 + sum(fetched)
    copied = {"row": (30, 0), "column": (0, 30)}[granularity]
    for key, again, dense in zip("ab", fetched, copied, strict=True):
        assert number(found.counts, f"scratchpad_{key}", "write") == 80 + again + dense


def test_a_list_is_charged_as_a_memory_of_its_size() -> None:
    everything = np.ones((40, 40), np.bool_)
    for unit, entries, size in (
        # Of 1,600 outputs, deferred; and of the 40 rows of each of ten blocks of columns.
        (lanes(2, 8, "deferred"), 1600, 8 * 1600),
        (array("tile", "deferred"), 1600, 8 * 1600),
        (array("row", "deferred"), 1600 + 400, 8 * 2000),
        # A tile of 16 rows by 40 columns has 160 lines.
        (array("row"), 400, 8 * 160),
        # A queue is of its own size, however little waits in it.
        (lanes(2, 1_000_000), 1600, 8_000_000),
    ):
        tiling = {"m": 16, "k": 3, "n": 40, "order": "mnk"}
        found = lower(trace(40, 3, 40, everything), machine(unit=unit, tiling=tiling))
        assert found.list_bytes == (0 if size == 8_000_000 else size)
        for operation in ("read", "write"):
            assert found.counts.number("queue", Sram(operation, size)) == 8 * entries


def test_two_accumulators_by_hand() -> None:
    slow = {"cycles_per_mac": {"fp32": 3}}
    hardware = machine(unit=DUAL, dram=FAST_DRAM, tiling=WHOLE, array=slow)
    # Both sums run side by side, as fast as the slower one: (3·10 + 6) cycles a fold.
    ruled = run(trace(8, 10, 8, flagged()), hardware)
    assert ruled.total_cycles == 4 * (3 * 10 + 6) + 3
    # A mask known before clocks one of them. A fold with masked outputs is as slow, the last not.
    known = run(trace(8, 10, 8, flagged(), static=True), hardware)
    assert known.total_cycles == 3 * (3 * 10 + 6) + FOLD + 3
    counts = known.layer.counts
    assert counts.number("array", MULTIPLY) == 640
    assert counts.number("recompute", ADD_HIGH) == 3 * 10


def test_two_accumulators_leave_two_partial_sums() -> None:
    hardware = machine(unit=DUAL, tiling=WHOLE | {"k": 5})
    plain, ruled, known, nothing = (
        number(lower(layer, hardware).counts, "scratchpad_c", "read") - 64
        for layer in (
            trace(8, 10, 8),
            trace(8, 10, 8, flagged()),
            trace(8, 10, 8, flagged(), static=True),
            trace(8, 10, 8, flagged() & False, static=True),
        )
    )
    # An e4m3fn sum takes a byte and one in fp32 four; after a known mask the place of the wider.
    assert (plain, ruled, known, nothing) == (64, 64 * 5, 64 * 4, 64)


def test_products_that_repeat_are_packed_each_by_itself() -> None:
    # One row of each of two products: two folds, as their right operands differ.
    layer = trace(4, 10, 4, flagged(8, 4, [(0, 0), (4, 0)]), repeats=2)
    result = run(layer, machine(unit=array("row", "deferred", 1e12), dram=FAST_DRAM))
    assert result.layer.deferred is not None
    assert [visit.waves for visit in result.layer.deferred.visits] == [1, 1]


@pytest.mark.parametrize("granularity", ["row", "column"])
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dataflow", ARRAYS)
@pytest.mark.parametrize("pace", [Pace(), Pace(mac=2, latency=3)])
def test_a_gathered_fold_is_the_product_of_the_gathered_lines(
    dataflow: str, overlap: bool, granularity: str, pace: Pace
) -> None:
    rows, cols, terms = 3, 4, 5
    for seed in range(12):
        draw = np.random.default_rng(seed)
        # One block: as many columns as a unit has, or rows; and any number of lines of the other.
        breadth = {
            ("os", "row"): cols, ("ws", "row"): cols, ("is", "row"): 6,
            ("os", "column"): rows, ("ws", "column"): 6, ("is", "column"): cols,
        }[dataflow, granularity]  # fmt: skip
        size = int(draw.integers(1, 12))
        m, n = (size, breadth) if granularity == "row" else (breadth, size)
        mask = draw.random((m, n)) < 0.1
        mask[int(draw.integers(m)), int(draw.integers(n))] = True
        a, b = draw.integers(-9, 10, (m, terms)), draw.integers(-9, 10, (terms, n))
        packed = np.flatnonzero(mask.any(axis=1 if granularity == "row" else 0))
        dense_a, dense_b = (a[packed], b) if granularity == "row" else (a, b[:, packed])
        product, cycles = ARRAYS[dataflow](dense_a, dense_b, rows, cols, overlap, pace, terms)
        whole = a @ b
        gathered = whole[packed] if granularity == "row" else whole[:, packed]
        assert np.array_equal(product, gathered)
        array_keys = {
            "cycles_per_mac": {"fp32": pace.mac},
            "adder_latency_cycles": pace.latency,
        }
        hardware: Hardware = machine(
            rows, cols, overlap, array(granularity), dataflow, array_keys, tiling={"m": 99, "n": 99}
        )
        (visit,) = lower(trace(m, terms, n, mask), hardware).visits
        assert visit.parts[-1].redo_cycles == cycles


def test_blocks_are_dealt_to_several_arrays() -> None:
    # Packed, two folds for the left columns of a layer, one for the right: on two arrays two waves.
    places = [(row, 0) for row in range(5)] + [(0, 5)]
    layer = trace(8, 10, 8, flagged(places=places))
    for count, waves in ((1, 3), (2, 2), (3, 1)):
        hardware = machine(
            unit=array("row", gather=1e12),
            dram=FAST_DRAM,
            tiling=WHOLE,
            array={"count": count},
        )
        (visit,) = lower(layer, hardware).visits
        assert visit.parts[-1].redo_cycles == waves * FOLD


def test_a_unit_without_the_format_that_is_asked_for_is_refused() -> None:
    layer = trace(8, 10, 8, flagged())
    for content in (
        {"unit": "array"},
        {"unit": "lanes", "lanes": 2, "queue_capacity": 4},
        {"unit": "dual"},
    ):
        lower(layer, machine(recompute=content | {"formats": ["bf16", "e8m23"]}))
        with pytest.raises(AccelsimError) as caught:
            lower(layer, machine(recompute=content | {"formats": ["fp16", "bf16"]}))
        assert str(caught.value) == (
            "layer layer on test: the policy recomputes in fp32, but the formats of"
            " recompute.formats are fp16 and bf16"
        )
    # What is never redone asks for none.
    lower(trace(8, 10, 8), machine(recompute={"unit": "dual", "formats": ["fp16"]}))
