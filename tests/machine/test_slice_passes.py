"""What a machine is charged where outputs are redone from slices of their operands, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from examples import up_to
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import DUAL, E4M3, FAST_DRAM, LAYERS, MACHINES, Unit, array, lanes, machine, trace
from test_redo import FIRST, FOLD, WHOLE, flagged
from test_redo_laws import MULTIPLY, number, run

from accelsim.errors import AccelsimError
from accelsim.machine import Arithmetic, Dual, lower
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.slices import Slices
from accelsim.trace import LayerTrace

FP16 = FloatFormat.parse("fp16")
TWO = Slices(bits=9, number=2, lowest_bit=-9)
"""Two slices of each operand, and so four passes."""
ADD_LOW, ADD_SUMS = Arithmetic("add", "fp16"), Arithmetic("add", "fp32")


def layer(**changes: Any) -> LayerTrace:
    """8x10 by 10x8, of which three outputs are redone in fp16."""
    low = {"accumulator": Accumulator(FP16), "recompute_accumulator": Accumulator(FP16)}
    return trace(8, 10, 8, flagged(), **{**low, "recompute_slices": TWO, **changes})


@pytest.mark.parametrize(
    ("unit", "cycles", "outputs", "words"),
    [
        # Three folds hold flagged outputs; each is done four times, and reads its lines as often.
        (array(), 4 * 3 * FOLD, 3, (4 * 30, 4 * 30)),
        (array("tile"), 4 * 3 * FOLD, 48, (4 * 120, 4 * 120)),
        # Three rows are copied once, in six cycles, which reads them once more.
        (array("row", gather=5.0), 6 + 4 * 2 * FOLD, 12, (30 + 4 * 30, 4 * 80)),
        (array("element", "deferred"), 4 * 3 * FOLD + 1, 3, (4 * 30, 4 * 30)),
        (array("row", "deferred", 5.0), 20 // 5 + 4 * 2 * FOLD + 1, 12, (30 + 4 * 30, 4 * 80)),
        (lanes(2, 8, "deferred"), 4 * 2 * 10 + 1, 3, (4 * 30, 4 * 30)),
        # Folds leave an output each after 16, 32 and 48 cycles, and a lane takes 40 for one: the
        # last is begun after 96, 72 cycles after the array has done.
        (lanes(1, 8), 16 + 3 * 40 - 4 * FOLD, 3, (4 * 30, 4 * 30)),
    ],
)
def test_four_passes_by_hand(unit: Unit, cycles: int, outputs: int, words: tuple[int, int]) -> None:
    result = run(layer(), machine(unit=unit, dram=FAST_DRAM, tiling=WHOLE))
    counts = result.layer.counts
    assert result.total_cycles == FIRST + cycles
    assert counts.number("recompute", MULTIPLY) == 4 * outputs * 10
    assert counts.number("recompute", ADD_LOW) == 4 * outputs * 10
    assert counts.number("recompute", ADD_SUMS) == 0
    # A bias for each of 64 outputs; then four passes make three additions, and the bias again.
    assert counts.number("vector", ADD_SUMS) == 64 + 4 * outputs
    first = 8 * 10 * 2
    for key, again in zip("ab", words, strict=True):
        assert number(counts, f"scratchpad_{key}", "read") == first + again
    # The sum of the passes, four bytes, goes to scratchpad c and comes back between them.
    stored = outputs if "deferred" in str(unit) else 0
    assert number(counts, "scratchpad_c", "write") == 64 + outputs + 3 * 4 * outputs
    assert number(counts, "scratchpad_c", "read") == 64 + stored + 3 * 4 * outputs
    assert number(counts, "dram", "read") == 2 * 80  # slices are cut from what is there


@pytest.mark.parametrize("unit", [array("element", "deferred"), lanes(2, 8, "deferred")])
def test_terms_that_do_not_stay_are_fetched_for_every_pass(unit: Unit) -> None:
    pads = {key: {"capacity_bytes": 79} for key in "ab"}  # an operand takes 80
    parts: dict[str, Any] = {"scratchpads": pads, "tiling": WHOLE | {"k": 4}}
    found = lower(layer(), machine(unit=unit, **parts))
    assert found.deferred is not None
    # Ten terms in three tiles, four times: the three flagged rows and columns, and one result.
    assert [visit.load_a_bytes for visit in found.deferred.visits] == 4 * [12, 12, 6]
    assert [visit.load_b_bytes for visit in found.deferred.visits] == 4 * [12, 12, 6]
    assert [visit.store_bytes for visit in found.deferred.visits] == 11 * [0] + [3]
    # Two bytes of a pass come back twice in each, four bytes of the passes thrice; in the first
    # pass, two bytes of each output come back twice.
    read = 64 + 2 * 2 * 64 + 3 + 3 * (4 * 2 * 2 + 3 * 4)
    assert number(found.counts, "scratchpad_c", "read") == read


def test_inline_terms_that_have_left_are_fetched_for_every_pass() -> None:
    parts: dict[str, Any] = {"dram": FAST_DRAM, "tiling": WHOLE | {"k": 5, "order": "kmn"}}
    # Five terms of three rows and three columns have left, a byte each.
    found = lower(layer(), machine(unit=array(), **parts))
    assert number(found.counts, "dram", "read") == 2 * 80 + 4 * 5 * (3 + 3)
    # Three rows that are packed stay; four columns of two blocks pass by.
    packed = lower(layer(), machine(unit=array("row"), **parts))
    assert number(packed.counts, "dram", "read") == 2 * 80 + 5 * 3 + 4 * 5 * 8


def test_scratchpad_c_has_room_for_the_sum_of_the_passes() -> None:
    # A tile of 8x8 outputs at four bytes each, or at one where nothing is redone.
    for size, changes, rows in ((256, {}, 8), (255, {}, 4), (64, {"recomputed": flagged() & 0}, 8)):
        pads = {"c": {"capacity_bytes": size, "double_buffered": False}}
        changes = {key: value.astype(bool) for key, value in changes.items()}
        hardware = machine(scratchpads=pads, tiling={"n": 8, "k": 10})
        assert lower(layer(**changes), hardware).tiling.m == rows


def test_sums_of_passes_go_through_the_port_of_scratchpad_c() -> None:
    # 16 sums of four bytes, out and back, at a byte a cycle: 128 cycles, where terms enter in 10.
    pads = {"c": {"bandwidth_bytes_per_cycle": 1.0}}
    found = lower(layer(), machine(scratchpads=pads, tiling=WHOLE))
    (visit,) = found.visits
    assert [part.redo_cycles for part in visit.parts if part.flagged] == 3 * [4 * (FOLD + 118)]


def test_two_accumulators_cannot_multiply_slices() -> None:
    with pytest.raises(AccelsimError) as caught:
        lower(layer(), machine(unit=DUAL))
    assert str(caught.value) == (
        "layer layer on test: the policy recomputes from slices, but two accumulators in every PE"
        " add the same products: allowed are recompute.unit array and lanes"
    )


@up_to(40)
@given(MACHINES, LAYERS, st.integers(1, 3))
def test_passes_multiply_what_redoing_takes(hardware: Any, plain: LayerTrace, number_: int) -> None:
    assume(not isinstance(hardware.recompute, Dual) and plain.recomputed_outputs)
    slices = Slices(bits=18 // number_, number=number_, lowest_bit=E4M3.lowest_bit)
    cut = replace(plain, recompute_slices=slices)
    one, several = (run(each, hardware) for each in (plain, cut))
    for component, action, many in one.layer.by_cause["recomputation"]:
        if component in ("recompute", "wires"):
            found = several.layer.by_cause["recomputation"].number(component, action)
            assert found == slices.passes * many
    assert several.total_cycles >= one.total_cycles
    if number_ == 1:  # a single slice is the whole operand
        assert several.layer.counts == one.layer.counts
        assert several.total_cycles == one.total_cycles
