"""The laws of time, on random machines and layers.

Every unit goes through a list that is fixed before, and waits for the others: times are sums and
maxima of delays, so that a shorter delay, or more room, makes nothing later. The exceptions are at
the end, with examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from examples import up_to
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import (
    FAST_DRAM,
    FP32,
    LAYERS,
    MACHINES,
    REDOING_UNITS,
    THRESHOLD,
    TIGHT_MACHINES,
    array,
    changed,
    fixed,
    lanes,
    lowered,
    machine,
    trace,
    with_unit,
)

from accelsim.config import load_energy_table
from accelsim.energy import Estimator, charge, total_pj
from accelsim.machine import (
    Arithmetic,
    DramAccess,
    Dual,
    Hardware,
    Lanes,
    Rerun,
    Simulation,
    Sram,
    simulate,
)
from accelsim.numerics import Accumulator
from accelsim.trace import LayerTrace

ANY_MACHINE = st.one_of(MACHINES, TIGHT_MACHINES)


TABLES = tuple(load_energy_table(name) for name in ("45nm", "40nm", "7nm"))
LARGE = {key: {"capacity_bytes": 2**20} for key in "abc"}


def run(layer: LayerTrace, hardware: Hardware) -> Simulation:
    return simulate(lowered(layer, hardware), hardware)


def energy_pj(result: Simulation, table: Estimator) -> float:
    """What is done takes, without what leaks meanwhile."""
    return total_pj(charge(result.layer.by_cause, table))


@up_to(200)
@given(ANY_MACHINE, LAYERS)
def test_the_total_lies_between_the_busiest_unit_and_all_of_them(
    hardware: Hardware, layer: LayerTrace
) -> None:
    result = run(layer, hardware)
    visits = [visit for work in result.layer.passes for visit in work.visits]
    timeline = result.timeline
    units = ("array", "dram", "gather", "recompute")
    busy = {unit: timeline.busy_cycles(unit) for unit in units}
    assert result.total_cycles == result.compute_cycles + sum(result.stall_cycles.values())
    assert min(result.stall_cycles.values()) >= 0
    assert max(*busy.values(), result.compute_cycles) <= result.total_cycles
    parts = [part for visit in visits for part in visit.parts]
    fetches = sum(visit.transfers for visit in visits) + sum(p.refetch_bytes > 0 for p in parts)
    waits = hardware.dram_latency_cycles * fetches
    drains = sum(part.time.drain for part in parts)
    assert result.total_cycles <= sum(busy.values()) + waits + drains


def copied_bytes(result: Simulation, key: str) -> int:
    """What a copy engine puts in dense order: what enters a scratchpad and is not from DRAM."""
    unit, counts = result.hardware.recompute, result.layer.counts
    if not isinstance(unit, Rerun) or unit.granularity != {"a": "row", "b": "column"}[key]:
        return 0
    pads = result.hardware.scratchpads
    filled = sum(
        counts.number(f"scratchpad_{each}", Sram("write", getattr(pads, each).capacity_bytes))
        for each in "ab"
    )
    sums = sum(visit.load_c_bytes for visit in result.layer.visits)
    return filled + sums - counts.number("dram", DramAccess("read", "lpddr4"))


@up_to(200)
@given(ANY_MACHINE, LAYERS)
def test_nothing_is_below_the_roofline(hardware: Hardware, layer: LayerTrace) -> None:
    result = run(layer, hardware)
    moved = result.layer.counts.bytes_moved("dram")
    assert result.total_cycles >= moved * hardware.cycles_per_byte * (1 - 1e-12)
    each = hardware.array.cycles_per_mac.get(layer.accumulator.format.name, 1)
    assert result.total_cycles * hardware.array.macs_per_cycle >= layer.macs * each
    for key in "abc":
        pad = getattr(hardware.scratchpads, key)
        if pad.bandwidth_bytes_per_cycle is None or key == "c":
            continue
        read = result.layer.counts.number(f"scratchpad_{key}", Sram("read", pad.capacity_bytes))
        read -= copied_bytes(result, key)  # the copy engine has bandwidth of its own
        # The bytes of many lines are packed together where they are counted.
        assert result.total_cycles >= (read - 1) / pad.bandwidth_bytes_per_cycle - 1e-6


@up_to(200)
@given(ANY_MACHINE, LAYERS)
def test_bytes_and_macs_are_conserved(hardware: Hardware, layer: LayerTrace) -> None:
    found = lowered(layer, hardware)
    counts, visits = found.counts, found.visits
    multiply = Arithmetic("multiply", layer.operand_format.name)
    flagged, redone = layer.recomputed_outputs, found.redone_outputs
    dual = isinstance(hardware.recompute, Dual)
    # What is masked before the run takes no part in the first pass, unless both are in one PE.
    masked = flagged if layer.static and not dual else 0
    assert counts.number("array", multiply) == layer.macs - masked * layer.k
    assert counts.number("recompute", multiply) == redone * layer.k
    assert redone == 0 if dual else redone >= flagged
    inline = not dual and not hardware.defers
    assert sum(visit.flagged for visit in visits) == (flagged if inline else 0)
    # What leaves DRAM enters a scratchpad, and what enters DRAM has left scratchpad c.
    refetched = sum(part.refetch_bytes for visit in visits for part in visit.parts)
    visits = [visit for work in found.passes for visit in work.visits]
    loaded = {key: sum(visit.loads[key] for visit in visits) for key in "abc"}
    read = counts.number("dram", DramAccess("read", "lpddr4"))
    written = counts.number("dram", DramAccess("write", "lpddr4"))
    assert read == sum(loaded.values()) + refetched
    assert written == sum(visit.store_bytes for visit in visits)
    pads = hardware.scratchpads
    filled = sum(
        counts.number(f"scratchpad_{key}", Sram("write", getattr(pads, key).capacity_bytes))
        for key in "ab"
    )
    if not isinstance(hardware.recompute, Rerun) or not hardware.recompute.packs:
        assert filled == read - loaded["c"]
    # Scratchpad c: all that is read was written, and outputs that are redone were written twice,
    # unless those that were written first had left.
    inside = counts.number("scratchpad_c", Sram("write", pads.c.capacity_bytes))
    outside = counts.number("scratchpad_c", Sram("read", pads.c.capacity_bytes))
    twice = 0 if hardware.defers else redone * layer.output_format.bits // 8
    assert inside == outside + twice


FASTER = st.sampled_from(
    [
        ("dram", {"bandwidth_gbytes_per_s": 1.1}),
        ("dram", {"bandwidth_gbytes_per_s": 7.0}),
        ("dram", {"latency_ns": 0.5}),
        ("a", {"capacity_bytes": 1.3}),
        ("b", {"capacity_bytes": 1.3}),
        ("c", {"capacity_bytes": 1.3}),
        ("a", {"capacity_bytes": 9.0}),
        ("c", {"capacity_bytes": 9.0}),
        ("a", {"bandwidth_bytes_per_cycle": 1.7}),
        ("b", {"bandwidth_bytes_per_cycle": 1.7}),
        ("c", {"bandwidth_bytes_per_cycle": 1.7}),
        ("recompute", {"lanes": 1.4}),
        ("recompute", {"lanes": 5.0}),
        ("recompute", {"queue_capacity": 1.4}),
        ("recompute", {"queue_capacity": 5.0}),
        ("recompute", {"gather_bytes_per_cycle": 1.4}),
        ("recompute", {"gather_bytes_per_cycle": 50.0}),
    ]
)


def better(hardware: Hardware, part: str, keys: dict[str, float]) -> Hardware:
    """The machine with some quantity of a part multiplied."""
    content = hardware.model_dump(exclude_none=True)
    owner = content["scratchpads"] if part in ("a", "b", "c") else content
    for key, factor in keys.items():
        assume(key in owner[part])
        value = owner[part][key]
        more = value * factor
        owner[part][key] = -int(-more // 1) if isinstance(value, int) else more
    return Hardware.model_validate(content)


def unlimited(hardware: Hardware) -> Hardware:
    """The machine, with operands read from scratchpads at any rate."""
    pads = hardware.scratchpads.model_dump(exclude_none=True)
    for key in "ab":
        pads[key].pop("bandwidth_bytes_per_cycle", None)
    return Hardware.model_validate(hardware.model_dump(exclude_none=True) | {"scratchpads": pads})


@up_to(500)
@given(ANY_MACHINE, LAYERS, FASTER)
def test_more_bandwidth_lanes_queue_or_capacity_never_makes_a_tiling_slower(
    hardware: Hardware, layer: LayerTrace, change: tuple[str, dict[str, float]]
) -> None:
    if change[0] == "recompute":  # rounds of more outputs may share fewer lines: see below
        hardware = unlimited(hardware)
    before = fixed(layer, hardware)
    after = better(before, *change)
    assert run(layer, after).total_cycles <= run(layer, before).total_cycles


@up_to(100)
@given(ANY_MACHINE, LAYERS, st.sampled_from(["a", "b", "c"]))
def test_a_second_buffer_never_makes_a_tiling_slower(
    hardware: Hardware, layer: LayerTrace, key: str
) -> None:
    before = fixed(layer, hardware)
    pads = before.scratchpads.model_dump(exclude_none=True)
    pads[key] |= {"double_buffered": True, "capacity_bytes": 2 * pads[key]["capacity_bytes"]}
    after = changed(before, scratchpads=pads)
    assert run(layer, after).total_cycles <= run(layer, before).total_cycles


@up_to(150)
@given(ANY_MACHINE, LAYERS, REDOING_UNITS)
def test_a_recompute_rate_of_zero_costs_what_uniform_and_the_detector_do(
    hardware: Hardware, layer: LayerTrace, unit: Lanes | Rerun
) -> None:
    hardware = with_unit(hardware, unit)
    plain = {"recomputed": None, "recompute_accumulator": None}
    none = {"recomputed": np.zeros((layer.repeats * layer.m, layer.n), np.bool_)}
    flagged = LayerTrace(**{**vars(layer), **none})
    unflagged = run(flagged, hardware)
    uniform = run(LayerTrace(**{**vars(layer), **plain}), hardware)
    assert unflagged.layer.tiling == uniform.layer.tiling
    assert unflagged == uniform
    assert unflagged.timeline == uniform.timeline
    assert uniform.stall_cycles["recompute"] == 0
    assert unflagged.layer.counts == uniform.layer.counts


@up_to(100)
@given(
    ANY_MACHINE,
    LAYERS,
    st.sampled_from([array(), array("tile"), array("row", gather=1e12), array("column")]),
)
def test_redoing_everything_on_the_array_costs_at_least_uniform_high(
    hardware: Hardware, layer: LayerTrace, unit: Rerun
) -> None:
    hardware = with_unit(hardware, unit)
    everything = {
        "recomputed": np.ones((layer.repeats * layer.m, layer.n), np.bool_),
        "detector": THRESHOLD,
    }
    high = {
        "recomputed": None,
        "recompute_accumulator": None,
        "accumulator": Accumulator(FP32),
    }
    redone = LayerTrace(**{**vars(layer), **everything})
    uniform = LayerTrace(**{**vars(layer), **high})
    # Both have room for partial sums in fp32, and so the same tiling suits both.
    machine_ = fixed(redone, hardware)
    first, second = run(redone, machine_), run(uniform, machine_)
    add = Arithmetic("add", "fp32")
    assert first.layer.counts.number("recompute", add) == second.layer.counts.number("array", add)
    assume(first.layer.tiling == second.layer.tiling and "c" in first.layer.tiling.keeps)
    assert first.total_cycles >= second.total_cycles
    if hardware.array.dataflow == "os" and first.layer.tiling.k >= layer.k:
        assert all(energy_pj(first, table) >= energy_pj(second, table) for table in TABLES)


def test_lanes_that_redo_everything_can_take_less_energy_than_wide_sums_that_come_and_go() -> None:
    # Not a law: of 64 terms, 4 at a time, sums in fp32 are put in scratchpad c and taken back, four
    # times as many bytes as those in e4m3fn, while a lane keeps its sum.
    hardware = machine(dataflow="ws", unit=lanes(8, 8), scratchpads=LARGE)
    high = run(trace(64, 64, 64, accumulator=Accumulator(FP32)), hardware)
    everything = run(trace(64, 64, 64, np.ones((64, 64), np.bool_)), hardware)
    assert energy_pj(everything, TABLES[0]) < energy_pj(high, TABLES[0])


def test_redoing_everything_saves_nothing_where_visits_are_shorter_than_a_drain() -> None:
    # Flagged outputs are stored in their own round; others might make room for loads of later ones.
    pads = {key: {"capacity_bytes": 16} for key in "abc"}
    slow = {"type": "lpddr4", "bandwidth_gbytes_per_s": 0.5, "latency_ns": 0.0}
    hardware = machine(1, 4, overlap_folds=True, unit=array(), dram=slow, scratchpads=pads)
    redone = trace(1, 1, 8, np.ones((1, 8), np.bool_))
    uniform = trace(1, 1, 8, accumulator=Accumulator(FP32))
    assert run(redone, hardware).total_cycles >= run(uniform, hardware).total_cycles


def test_redoing_everything_can_be_faster_where_wide_sums_go_through_dram() -> None:
    # Not a law: with the loop over terms outside, partial sums of 32 bits come and go with every
    # tile, and those of 8 bits take a quarter of that. What is redone keeps its sums in the PEs.
    pads = {"a": {"capacity_bytes": 64}, "b": {"capacity_bytes": 64}, "c": {"capacity_bytes": 128}}
    tiling = {"m": 4, "k": 4, "n": 4, "order": "kmn"}
    slow = {"type": "lpddr4", "bandwidth_gbytes_per_s": 1.0, "latency_ns": 0.0}
    hardware = machine(unit=array(), dram=slow, scratchpads=pads, tiling=tiling)
    redone = run(trace(16, 16, 16, np.ones((16, 16), np.bool_)), hardware)
    high = run(trace(16, 16, 16, accumulator=Accumulator(FP32)), hardware)
    assert redone.total_cycles < high.total_cycles


def test_stores_wait_for_loads_only_where_that_is_faster() -> None:
    # Visits of a cycle drain for nine: by their work, loads of nine rounds could pass a store. But
    # a load is 200 cycles away, in which the stores that it passed would stand still: 1,676 cycles.
    sizes = {"a": 678, "b": 87, "c": 44}
    pads = {key: {"capacity_bytes": size} for key, size in sizes.items()}
    tiling = {"m": 9, "k": 1, "n": 2, "order": "mnk"}
    far = {"bandwidth_gbytes_per_s": 0.2, "latency_ns": 200.0}
    parts: dict[str, Any] = {"scratchpads": pads, "tiling": tiling, "dram": far}
    hardware = machine(9, 2, overlap_folds=True, unit=array(), **parts)
    redone = run(trace(14, 1, 11, np.ones((14, 11), np.bool_)), hardware)
    high = run(trace(14, 1, 11, accumulator=Accumulator(FP32)), hardware)
    low = run(trace(14, 1, 11), hardware)
    assert low.total_cycles == high.total_cycles <= redone.total_cycles == 1255


@up_to(60)
@given(ANY_MACHINE, LAYERS)
def test_the_same_input_gives_the_same_timeline(hardware: Hardware, layer: LayerTrace) -> None:
    first, second = run(layer, hardware), run(layer, hardware)
    assert first == second
    assert first.timeline == second.timeline


def test_lanes_that_redo_everything_can_be_faster_than_a_slow_wide_array() -> None:
    # Not a law: an array that takes four cycles for a MAC in fp32 is slower than one that does all
    # in one cycle, beside lanes that do all again.
    dram = {"bandwidth_gbytes_per_s": 1e9, "latency_ns": 0.0}
    slow = {"cycles_per_mac": {"fp32": 4}}
    hardware = machine(array=slow, dram=dram, unit=lanes(64, 64))
    high = run(trace(16, 40, 16, accumulator=Accumulator(FP32)), hardware)
    everything = run(trace(16, 40, 16, np.ones((16, 16), np.bool_)), hardware)
    assert everything.total_cycles < high.total_cycles


def test_lanes_that_redo_everything_can_be_faster_than_wide_sums_through_a_slow_scratchpad() -> (
    None
):
    # Not a law: sums in fp32 go to scratchpad c and back in four times as many bytes as those in
    # e4m3fn, while a lane keeps its sum.
    pads = {"c": {"bandwidth_bytes_per_cycle": 1.0}}
    hardware = machine(dataflow="ws", dram=FAST_DRAM, unit=lanes(64, 64), scratchpads=pads)
    high = run(trace(16, 40, 16, accumulator=Accumulator(FP32)), hardware)
    everything = run(trace(16, 40, 16, np.ones((16, 16), np.bool_)), hardware)
    assert everything.total_cycles < high.total_cycles / 3


def test_lanes_that_find_no_room_in_the_queue_stay_idle_unless_there_is_a_list() -> None:
    mask = np.ones((16, 16), np.bool_)
    times = {
        (schedule, capacity): run(
            trace(16, 40, 16, mask), machine(unit=lanes(8, capacity, schedule))
        ).total_cycles
        for schedule in ("inline", "deferred")
        for capacity in (1, 8)
    }
    one = run(trace(16, 40, 16, mask), machine(unit=lanes(1, 1))).total_cycles
    assert times["inline", 1] == one > times["inline", 8]
    assert times["deferred", 1] == times["deferred", 8] < one


def test_more_lanes_can_be_slower_where_the_scratchpads_cannot_feed_them() -> None:
    # Not a law: of 4x4 outputs, four lanes do a row in each round and read its line of A once; five
    # cut rows in two and read seven lines. At a byte every four cycles that takes 7·4·10 cycles.
    pads = {"a": {"bandwidth_bytes_per_cycle": 0.25}}
    layer = trace(4, 10, 4, np.ones((4, 4), np.bool_))
    four, five = (
        run(layer, machine(unit=lanes(count, 16), dram=FAST_DRAM, scratchpads=pads)).total_cycles
        for count in (4, 5)
    )
    assert five - four == 7 * 4 * 10 - 4 * 4 * 10


def test_a_faster_array_can_be_slower_where_visits_are_shorter_than_a_drain() -> None:
    # Not a law: how far loads may go before stores is fixed by the work of visits against their
    # drain. An adder of four cycles holds them back, which here suits a far and slow memory.
    pads = {key: {"capacity_bytes": 2**25, "double_buffered": key != "c"} for key in "abc"}
    tiling = {"m": 5, "k": 12, "n": 27, "order": "mnk"}
    dram = {"bandwidth_gbytes_per_s": 0.5, "latency_ns": 100.0}
    parts: dict[str, Any] = {"scratchpads": pads, "tiling": tiling, "dram": dram}
    times = []
    for cycles in (1, 4):
        array = {"dataflow": "is", "count": 3, "adder_latency_cycles": cycles}
        times.append(run(trace(24, 12, 27), machine(5, 5, True, array=array, **parts)))
    assert times[0].total_cycles > times[1].total_cycles
