"""Operands on their way through an array: registers written, hops of wire, and the clock."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accelsim.machine import Arithmetic, Counts, DramAccess, Sram, lower, parse_action
from accelsim.machine.hardware import Hardware
from accelsim.machine.tally import filling
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.trace import Detector, LayerTrace

E4M3, FP16, FP32 = (FloatFormat.parse(name) for name in ("e4m3fn", "fp16", "fp32"))
ROWS, COLS = 3, 4
SHAPES = [(7, 5, 9), (3, 6, 4), (1, 1, 1), (4, 10, 3)]


def machine(dataflow: str, **recompute: Any) -> Hardware:
    return Hardware.model_validate(
        {
            "name": "small",
            "clock_mhz": 100.0,
            "array": {"rows": ROWS, "cols": COLS, "dataflow": dataflow, "overlap_folds": True},
            "recompute": recompute or {"unit": "array"},
        }
    )


def layer(m: int, k: int, n: int, mask: Any = None, detector: bool = True) -> LayerTrace:
    return LayerTrace(
        "layer", m, k, n, E4M3, FP16, Accumulator("e5m2"),
        None if mask is None else Accumulator("fp32"),
        Detector("x", None, 0, 1) if mask is not None and detector else None, mask,
    )  # fmt: skip


def number(counts: Counts, component: str, operation: Any, fmt: str) -> int:
    return counts.number(component, Arithmetic(operation, fmt))


def walked(dataflow: str, rows: Any, terms: Any, cols: Any) -> int:
    """Write one word after the other into the registers of the PEs that it passes.

    A unit of outputs has these rows and columns (their numbers in the unit), and these terms.
    """
    written = 0
    high, wide = max(rows) + 1, max(cols) + 1
    streams = {"os": "ab", "ws": "a", "is": "b"}[dataflow]
    for key in streams:  # from one edge of the unit to the other
        for _ in terms:
            for _ in rows if key == "a" else cols:
                written += wide if key == "a" else high
    if dataflow != "os":  # down the column, until the word is where it stays
        for _ in cols if dataflow == "ws" else rows:
            for term in terms:
                for _ in range(term % ROWS + 1):
                    written += 1
    return written


def units(dataflow: str, m: int, n: int, tile: Any) -> list[tuple[range, range]]:
    height, width = {"os": (ROWS, COLS), "ws": (tile.m, COLS), "is": (COLS, tile.n)}[dataflow]
    return [
        (range(i, min(i + height, m)), range(j, min(j + width, n)))
        for i in range(0, m, height)
        for j in range(0, n, width)
    ]


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_word_is_written_into_every_register_that_it_passes(
    dataflow: str, shape: tuple[int, int, int]
) -> None:
    m, k, n = shape
    found = lower(layer(m, k, n), machine(dataflow))
    by_hand = sum(
        walked(dataflow, range(len(rows)), range(k), range(len(cols)))
        for rows, cols in units(dataflow, m, n, found.tiling)
    )
    counts = found.counts
    assert number(counts, "array", "operand", "e4m3fn") == by_hand
    assert number(counts, "wires", "hop", "e4m3fn") == by_hand
    # Where sums move, each goes to the next PE once a MAC.
    sums = 0 if dataflow == "os" else m * k * n
    assert number(counts, "wires", "hop", "e5m2") == sums


SPILLING = Accumulator("fixed8.6", order="spill", outer="fp16", overflow="saturate")


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize(
    ("acc", "moves"),
    [
        (SPILLING, True),
        (Accumulator("e5m2", chunk=2, outer="fp16"), True),
        (Accumulator("e5m2", chunk=4, outer="fp16"), True),  # ends in the middle of a column
        (Accumulator("e5m2", chunk=ROWS, outer="fp16"), False),  # ends where sums leave the array
        (Accumulator("e5m2", chunk=2 * ROWS, outer="fp16"), False),
        (Accumulator("e5m2", chunk=10, outer="fp16"), False),  # all terms
    ],
    ids=str,
)
def test_a_second_sum_moves_on_beside_the_first(
    acc: Accumulator, moves: bool, dataflow: str
) -> None:
    m, k, n, spills = 4, 10, 5, 63
    trace = dataclasses.replace(
        layer(m, k, n), accumulator=acc, wide_additions=spills if acc.order == "spill" else 0
    )
    counts = lower(trace, machine(dataflow)).counts
    passes, added = moves and dataflow != "os", m * n * -(-k // (acc.chunk or k))
    if acc.order == "spill":
        added = spills
    assert number(counts, "wires", "hop", str(acc.format)) == (dataflow != "os") * m * k * n
    assert number(counts, "wires", "hop", "fp16") == passes * m * k * n
    # Once a MAC, whether something is added to it in that PE or not.
    assert number(counts, "array", "register", "fp16") == (m * k * n if passes else added)
    assert number(counts, "array", "add", "fp16") == added
    assert number(counts, "clock", "clock", "fp16") == (m * k * n if passes else added)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_compensations_and_numerators_move_on_as_well(dataflow: str) -> None:
    macs, moves = 4 * 10 * 5, dataflow != "os"
    kahan = dataclasses.replace(layer(4, 10, 5), accumulator=Accumulator("e5m2", order="kahan"))
    counts = lower(kahan, machine(dataflow)).counts
    assert number(counts, "wires", "hop", "e5m2") == moves * 2 * macs
    assert number(counts, "array", "register", "e5m2") == 4 * macs
    mask = np.eye(4, 5, dtype=np.bool_)
    exact = dataclasses.replace(layer(4, 10, 5, mask), detector=Detector("x", FP32, 0, 1))
    found = lower(exact, machine(dataflow)).by_cause["detection"]
    assert number(found, "wires", "hop", "fp32") == moves * macs
    assert number(found, "detector", "register", "fp32") == macs


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("shape", SHAPES)
def test_lines_that_are_redone_pass_the_whole_unit(
    dataflow: str, shape: tuple[int, int, int]
) -> None:
    m, k, n = shape
    mask = np.random.default_rng(3).random((m, n)) < 0.3
    mask[0, 0] = True
    found = lower(layer(m, k, n, mask), machine(dataflow))
    by_hand = 0
    for rows, cols in units(dataflow, m, n, found.tiling):
        part = mask[rows.start : rows.stop, cols.start : cols.stop]
        high, wide = len(rows), len(cols)
        needed = int(part.any(axis=1).sum()), int(part.any(axis=0).sum())
        if dataflow != "is":
            by_hand += needed[0] * k * wide
        if dataflow != "ws":
            by_hand += needed[1] * k * high
        if dataflow != "os":
            by_hand += needed[dataflow == "ws"] * filling(ROWS, k)
    counts = found.by_cause["recomputation"]
    assert number(counts, "recompute", "operand", "e4m3fn") == by_hand
    assert number(counts, "wires", "hop", "e4m3fn") == by_hand
    sums = 0 if dataflow == "os" else int(mask.sum()) * k
    assert number(counts, "wires", "hop", "fp32") == sums


@pytest.mark.parametrize("granularity", ["row", "column"])
def test_packed_lines_are_written_once_a_mac(granularity: str) -> None:
    mask = np.zeros((7, 9), np.bool_)
    mask[::3, ::4] = True
    hardware = machine("os", unit="array", granularity=granularity, gather_bytes_per_cycle=4.0)
    counts = lower(layer(7, 5, 9, mask), hardware).by_cause["recomputation"]
    macs = number(counts, "recompute", "multiply", "e4m3fn")
    assert number(counts, "recompute", "operand", "e4m3fn") == 2 * macs > 0


def test_a_lane_writes_both_operands_and_passes_nothing_on() -> None:
    mask = np.eye(6, dtype=np.bool_)
    hardware = machine("os", unit="lanes", lanes=2, queue_capacity=4)
    counts = lower(layer(6, 5, 6, mask), hardware).by_cause["recomputation"]
    assert number(counts, "recompute", "operand", "e4m3fn") == 2 * 6 * 5
    assert not [entry for entry in counts if entry[0] == "wires"]


@pytest.mark.parametrize("recompute", [
    {"unit": "array"},
    {"unit": "array", "granularity": "tile"},
    {"unit": "array", "granularity": "row", "gather_bytes_per_cycle": 4.0, "schedule": "deferred"},
    {"unit": "lanes", "lanes": 2, "queue_capacity": 4, "schedule": "deferred"},
    {"unit": "dual"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("detector", [True, False])
def test_the_clock_reaches_every_register_that_is_written(
    recompute: dict[str, Any], dataflow: str, detector: bool
) -> None:
    mask = np.eye(6, dtype=np.bool_)
    found = lower(layer(6, 5, 6, mask, detector), machine(dataflow, **recompute))
    for counts in found.by_cause.values():
        for name in ("e4m3fn", "e5m2", "fp32"):
            writes = sum(
                times
                for _, action, times in counts
                if str(action) in {f"register {name}", f"operand {name}"}
            )
            assert number(counts, "clock", "clock", name) == writes


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_what_is_redone_was_done_for_nothing_in_the_first_pass(dataflow: str) -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[1, :3] = True
    found = lower(layer(6, 5, 8, mask), machine(dataflow)).by_cause
    plain = lower(layer(6, 5, 8), machine(dataflow)).by_cause
    assert (found["useful_low_work"] + found["discarded_low_work"]) == plain["useful_low_work"]
    assert number(found["discarded_low_work"], "array", "multiply", "e4m3fn") == 3 * 5
    assert number(found["discarded_low_work"], "array", "add", "e5m2") == 3 * 5
    assert found["memory_first_pass"] == plain["memory_first_pass"]
    assert {name for name, _, _ in found["memory_recomputation"]} <= {
        "scratchpad_a", "scratchpad_b", "scratchpad_c", "dram"
    }  # fmt: skip
    assert number(found["recomputation"], "recompute", "multiply", "e4m3fn") == 3 * 5


def test_both_sums_of_a_dual_unit_use_the_products() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[1, :3] = True
    found = lower(layer(6, 5, 8, mask), machine("ws", unit="dual")).by_cause
    assert number(found["useful_low_work"], "array", "multiply", "e4m3fn") == 6 * 5 * 8
    assert number(found["discarded_low_work"], "array", "multiply", "e4m3fn") == 0
    assert number(found["discarded_low_work"], "array", "add", "e5m2") == 3 * 5
    assert number(found["recomputation"], "recompute", "add", "fp32") == 6 * 5 * 8
    assert number(found["recomputation"], "wires", "hop", "fp32") == 6 * 5 * 8
    assert "memory_recomputation" not in found


@pytest.mark.parametrize("action", [
    Arithmetic("operand", "e4m3fn"), Sram("write", 8192), DramAccess("read", "hbm2"),
])  # fmt: skip
def test_an_action_is_told_by_its_name(action: Any) -> None:
    assert parse_action(str(action)) == action


@pytest.mark.parametrize("text", ["", "add", "divide fp32", "read x B SRAM"])
def test_what_no_action_is_called_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an action|invalid literal"):
        parse_action(text)
