"""What each recompute unit redoes, against a slow definition, and the laws that tell them apart."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
from examples import up_to
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import (
    DUAL,
    LAYERS,
    MACHINES,
    THRESHOLD,
    TIGHT_MACHINES,
    array,
    fixed,
    lanes,
    lowered,
    with_unit,
)

from accelsim.machine import (
    Arithmetic,
    Counts,
    DramAccess,
    Hardware,
    Lanes,
    Rerun,
    Simulation,
    Sram,
    simulate,
)
from accelsim.machine.mapping import Mapping
from accelsim.trace import LayerTrace

ANY_MACHINE = st.one_of(MACHINES, TIGHT_MACHINES)
ADD_HIGH = Arithmetic("add", "fp32")
MULTIPLY = Arithmetic("multiply", "e4m3fn")


def run(layer: LayerTrace, hardware: Hardware) -> Simulation:
    return simulate(lowered(layer, hardware), hardware)


def unflagged(layer: LayerTrace) -> LayerTrace:
    """The same layer, of which nothing is redone."""
    assert layer.recomputed is not None
    return replace(layer, recomputed=np.zeros_like(layer.recomputed))


def cut(size: int, step: int) -> list[range]:
    return [range(start, min(start + step, size)) for start in range(0, size, step)]


def within(span: range, step: int) -> list[range]:
    return [span[part.start : part.stop] for part in cut(len(span), step)]


def folds_again(layer: LayerTrace, hardware: Hardware) -> Counter[str]:
    """The definition: wave after wave, the outputs that are redone and the words they read."""
    tiling, noted = lowered(layer, hardware).tiling, Counter[str]()
    rows, cols = Mapping(hardware.array).unit(tiling.extents)
    assert isinstance(hardware.recompute, Rerun)
    assert layer.recomputed is not None
    for flagged in np.split(layer.recomputed, layer.repeats):
        for tile in itertools.product(cut(layer.m, tiling.m), cut(layer.n, tiling.n)):
            units = list(itertools.product(within(tile[0], rows), within(tile[1], cols)))
            for wave in within(range(len(units)), hardware.array.count):
                hits = [flagged[np.ix_(*units[unit])] for unit in wave]
                for hit in hits:
                    if hardware.recompute.granularity == "tile" and any(h.any() for h in hits):
                        hit = np.ones_like(hit)
                    noted["outputs"] += int(hit.sum())
                    noted["words a"] += int(hit.any(axis=1).sum()) * layer.k
                    noted["words b"] += int(hit.any(axis=0).sum()) * layer.k
    return noted


def gathered(layer: LayerTrace, hardware: Hardware) -> Counter[str]:
    """The definition: block after block, the lines that are packed, and what they are done with."""
    tiling, noted = lowered(layer, hardware).tiling, Counter[str]()
    rows, cols = Mapping(hardware.array).unit(tiling.extents)
    lines, breadth, tile_lines = rows, cols, tiling.m
    packed, other, redo = "a", "b", hardware.recompute
    assert isinstance(redo, Rerun)
    assert layer.recomputed is not None
    for flagged in np.split(layer.recomputed, layer.repeats):
        if redo.granularity == "column":
            flagged, packed, other = flagged.T, "b", "a"
            lines, breadth, tile_lines = cols, rows, tiling.n
        size, across = flagged.shape
        for block in cut(across, breadth):
            for part in cut(size, size if redo.schedule == "deferred" else tile_lines):
                hits = [line for line in part if flagged[line, block].any()]
                noted["lines"] += len(hits)
                noted["outputs"] += len(hits) * len(block)
                noted[f"words {packed}"] += 2 * len(hits) * layer.k  # copied, then used
                noted[f"copied {packed}"] += len(hits) * layer.k
                for piece in within(range(len(hits)), tile_lines):
                    for _ in within(piece, lines):
                        noted[f"words {other}"] += len(block) * layer.k
    return noted


def number(counts: Counts, component: str, operation: str) -> int:
    """Bytes read or written at a memory, whatever its size."""
    return sum(
        many
        for name, action, many in counts
        if name == component
        and isinstance(action, Sram | DramAccess)
        and action.operation == operation
    )


GATHERS = st.builds(
    array,
    st.sampled_from(["row", "column"]),
    st.sampled_from(["inline", "deferred"]),
    st.sampled_from([0.5, 3.0, 1e12]),
)
FOLDS = st.builds(
    array, st.sampled_from(["element", "tile"]), st.sampled_from(["inline", "deferred"])
)


DEFERRED = [
    lanes(3, 4, "deferred"),
    *(array(granularity, "deferred") for granularity in ("element", "tile", "row", "column")),
]


@up_to(200)
@given(ANY_MACHINE, LAYERS, st.one_of(GATHERS, FOLDS))
def test_what_is_redone_is_that_of_the_definition(
    hardware: Hardware, layer: LayerTrace, unit: Rerun
) -> None:
    hardware = fixed(layer, with_unit(hardware, unit))
    found, without = lowered(layer, hardware), lowered(unflagged(layer), hardware)
    noted = (gathered if unit.packs else folds_again)(layer, hardware)
    assert found.redone_outputs == noted["outputs"]
    assert found.counts.number("recompute", MULTIPLY) == noted["outputs"] * layer.k
    assert found.counts.number("recompute", ADD_HIGH) == noted["outputs"] * layer.k
    for key in "ab":
        pad = f"scratchpad_{key}"
        read, written = (
            number(found.counts, pad, operation) - number(without.counts, pad, operation)
            for operation in ("read", "write")
        )
        assert read == noted[f"words {key}"]
        fetched = sum(
            getattr(visit, f"load_{key}_bytes")
            for visit in (found.deferred.visits if found.deferred else [])
        )
        if found.deferred or found.tiling.k == layer.k:
            assert written == noted[f"copied {key}"] + fetched
    entries = noted["lines"] + (layer.recomputed_outputs if hardware.defers else 0)
    assert number(found.counts, "queue", "write") == 8 * entries
    assert number(found.counts, "queue", "read") == 8 * entries


@up_to(150)
@given(ANY_MACHINE, LAYERS, st.sampled_from(["inline", "deferred"]))
def test_elements_are_in_lines_and_lines_in_waves(
    hardware: Hardware, layer: LayerTrace, schedule: str
) -> None:
    macs: dict[str, int] = {}
    for granularity in ("element", "row", "column", "tile"):
        found = lowered(layer, with_unit(hardware, array(granularity, schedule)))
        macs[granularity] = found.counts.number("recompute", MULTIPLY)
    assert macs["element"] == layer.recomputed_outputs * layer.k
    assert macs["element"] <= macs["row"] <= macs["tile"]
    assert macs["element"] <= macs["column"] <= macs["tile"]


@up_to(150)
@given(ANY_MACHINE, LAYERS, st.sampled_from(["row", "column"]))
def test_gathered_lines_never_take_more_folds_than_the_waves_that_left_them(
    hardware: Hardware, layer: LayerTrace, granularity: str
) -> None:
    redo: dict[str, int] = {}
    for unit in (array(), array("tile"), array(granularity)):
        visits = lowered(layer, with_unit(hardware, unit)).visits
        redo[unit.granularity] = sum(part.redo_cycles for v in visits for part in v.parts)
    assert redo[granularity] <= redo["element"] == redo["tile"]


@up_to(200)
@given(
    ANY_MACHINE,
    LAYERS,
    st.one_of(
        st.builds(lanes, st.integers(1, 20), st.integers(1, 20), st.just("deferred")),
        GATHERS.filter(lambda unit: unit.schedule == "deferred"),
        FOLDS.filter(lambda unit: unit.schedule == "deferred"),
    ),
)
def test_what_is_deferred_never_disturbs_the_first_pass(
    hardware: Hardware, layer: LayerTrace, unit: Lanes | Rerun
) -> None:
    hardware = fixed(layer, with_unit(hardware, unit))
    result, without = run(layer, hardware), run(unflagged(layer), hardware)
    # Room for the sums of what is redone may be what keeps other sums from staying.
    assume(result.layer.tiling == without.layer.tiling)
    before = result.stall_cycles | {
        "recompute": result.stall_cycles["recompute"] - result.deferred_cycles
    }
    assert before == without.stall_cycles
    assert result.compute_cycles == without.compute_cycles
    assert result.total_cycles - result.deferred_cycles == without.total_cycles
    assert without.deferred_cycles == 0
    assert (result.deferred_cycles > 0) == (layer.recomputed_outputs > 0)


def whole_at_the_end(layer: LayerTrace, hardware: Hardware, key: str) -> bool:
    """The definition: whether the blocks that the last tiles touch, as long as they are kept, are
    all of an operand.
    """
    tiling, sizes = lowered(layer, hardware).tiling, {"m": layer.m, "k": layer.k, "n": layer.n}
    trips = {axis: -(-size // getattr(tiling, axis)) for axis, size in sizes.items()}
    axes, foreign = {"a": ("mk", "n"), "b": ("kn", "m")}[key]
    outside = tiling.order[: tiling.order.index(foreign)]
    places = [
        dict(zip(tiling.order, place, strict=True))
        for place in itertools.product(*(range(trips[axis]) for axis in tiling.order))
    ]
    since = [place for place in places if all(place[x] == places[-1][x] for x in outside)]
    held = since if key in tiling.keeps else places[-1:]
    blocks = {tuple(place[axis] for axis in axes) for place in held}
    return layer.repeats == 1 and len(blocks) == trips[axes[0]] * trips[axes[1]]


@up_to(80)
@given(TIGHT_MACHINES, LAYERS, st.sampled_from(DEFERRED))
def test_what_is_deferred_fetches_an_operand_unless_all_of_it_is_still_there(
    hardware: Hardware, layer: LayerTrace, unit: Lanes | Rerun
) -> None:
    hardware = with_unit(hardware, unit)
    found = lowered(layer, hardware)
    for key in "ab":
        there = whole_at_the_end(layer, hardware, key)
        for visit in found.deferred.kinds if found.deferred else []:
            assert (visit.loads[key] == 0) == there


@up_to(150)
@given(ANY_MACHINE, LAYERS, st.sampled_from(["row", "column"]))
def test_deferred_lines_are_packed_at_least_as_densely(
    hardware: Hardware, layer: LayerTrace, granularity: str
) -> None:
    inline, deferred = (
        lowered(layer, with_unit(hardware, array(granularity, schedule)))
        for schedule in ("inline", "deferred")
    )
    assert inline.redone_outputs == deferred.redone_outputs
    assert inline.deferred is None
    if deferred.deferred is not None and hardware.array.count == 1:
        stops = [part for visit in inline.visits for part in visit.parts if part.flagged]
        assert deferred.deferred.stream_cycles <= sum(part.redo_cycles for part in stops)


@up_to(150)
@given(ANY_MACHINE, LAYERS)
def test_two_accumulators_in_every_pe_never_redo_anything(
    hardware: Hardware, layer: LayerTrace
) -> None:
    hardware = with_unit(hardware, DUAL)
    result = run(layer, hardware)
    counts, flagged = result.layer.counts, layer.recomputed_outputs
    assert result.stall_cycles["recompute"] == result.layer.redone_outputs == 0
    assert counts.number("array", MULTIPLY) == layer.macs
    low = counts.number("array", Arithmetic("add", "e4m3fn"))
    high = counts.number("recompute", ADD_HIGH)
    if layer.static:
        assert (low, high) == (layer.macs - flagged * layer.k, flagged * layer.k)
    else:
        assert (low, high) == (layer.macs, layer.macs)
        # After a rule both are clocked whatever it says, so that its rate makes no difference.
        assert replace(result, layer=run(unflagged(layer), hardware).layer) == result


@up_to(100)
@given(ANY_MACHINE, LAYERS)
def test_two_accumulators_take_the_time_of_the_slower(
    hardware: Hardware, layer: LayerTrace
) -> None:
    hardware = with_unit(hardware, DUAL)
    layer = replace(layer, detector=None)
    everything = replace(layer, recomputed=np.ones_like(layer.recomputed))
    ruled = replace(layer, detector=THRESHOLD)
    found = [lowered(each, hardware) for each in (unflagged(layer), layer, everything)]
    assume(len({each.tiling for each in found}) == 1)  # wider sums may not fit as they were
    cycles = [each.compute_cycles for each in found]
    assert cycles == sorted(cycles)
    if lowered(ruled, hardware).tiling == lowered(everything, hardware).tiling:
        pads = hardware.scratchpads
        if all(getattr(pads, key).bandwidth_bytes_per_cycle is None for key in "abc"):
            assert lowered(ruled, hardware).compute_cycles == cycles[2]


@up_to(100)
@given(ANY_MACHINE, LAYERS)
def test_a_mask_known_before_the_run_spares_the_first_pass(
    hardware: Hardware, layer: LayerTrace
) -> None:
    assume(layer.recomputed is not None)
    if hardware.recompute == DUAL:
        hardware = with_unit(hardware, array())
    known, found = replace(layer, detector=None), replace(layer, detector=THRESHOLD)
    first, second = run(known, hardware), run(found, hardware)
    assert first.total_cycles == second.total_cycles
    spared = layer.recomputed_outputs * layer.k
    for action in (MULTIPLY, Arithmetic("add", "e4m3fn")):
        counts = (each.layer.counts.number("array", action) for each in (first, second))
        assert next(counts) == next(counts) - spared
    assert first.layer.counts.bytes_moved("dram") == second.layer.counts.bytes_moved("dram")
    compared = Arithmetic("compare", "fp32")
    assert first.layer.counts.number("detector", compared) == 0
    assert second.layer.counts.number("detector", compared) == layer.outputs
