"""The loop nest: its traffic against a walk that tracks what is resident, and the search."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import FP32, LAYERS, MACHINES, TIGHT_MACHINES, lowered, machine, trace

from accelsim.config import load_hardware, load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.machine import (
    DramAccess,
    Hardware,
    LoweredLayer,
    Sram,
    Tiling,
    lower,
    lower_layer,
    simulate,
)
from accelsim.machine.hardware import GivenTiling, Scratchpad
from accelsim.machine.mapping import Extents
from accelsim.machine.recurrent import lower_steps
from accelsim.machine.tiling import ORDERS, TIED_PERCENT, Nest, choose_tiling, search
from accelsim.numerics import Accumulator
from accelsim.policies import parse_policy
from accelsim.trace import LayerTrace

ROOT = Path(__file__).parents[2]
READ, WRITE = DramAccess("read", "lpddr4"), DramAccess("write", "lpddr4")
AXES = {"a": ("m", "k"), "b": ("k", "n"), "c": ("m", "n")}
Block = tuple[str, int, int, int]


def of(elements: int, bits: int) -> int:
    return -(-elements * bits // 8)


def walk(found: LoweredLayer, hardware: Hardware) -> Counter[str]:
    """The definition of traffic: visit tile after tile, and move every block that has to.

    What is kept never leaves a scratchpad while a later tile needs it; of the rest, a scratchpad
    holds the block in use and nothing else. Neither may exceed the capacity, together with the
    block of the tile before where the next comes in beside it.
    """
    layer, tiling = found.trace, found.tiling
    nest, size = Nest(layer, hardware), {"m": layer.m, "k": layer.k, "n": layer.n}
    widths = nest.widths(tiling.extents)
    step = {"m": tiling.m, "k": tiling.k, "n": tiling.n}
    trips = {axis: -(-size[axis] // step[axis]) for axis in "mkn"}
    visits = []
    for product in range(layer.repeats):
        for place in itertools.product(*(range(trips[axis]) for axis in tiling.order)):
            index = dict(zip(tiling.order, place, strict=True))
            extent = {axis: min(step[axis], size[axis] - index[axis] * step[axis]) for axis in size}
            visits.append((product, index, extent))
    blocks = {
        key: [(key, product, index[x], index[y]) for product, index, _ in visits]
        for key, (x, y) in AXES.items()
    }
    last_use = {block: at for key in "abc" for at, block in enumerate(blocks[key])}
    moved: Counter[str] = Counter()
    held: dict[Block, int] = {}
    for at, (_, index, extent) in enumerate(visits):
        for key, (x, y) in AXES.items():
            block, elements = blocks[key][at], extent[x] * extent[y]
            before = blocks[key][at - 1] if at else None
            mine = [other for other in held if other[0] == key]
            # What is not kept and only lies beside the block in use has to come again.
            if block not in held or (key not in tiling.keeps and block != before):
                if key != "c":
                    moved[f"read {key}"] += of(elements, widths.operand)
                elif index["k"]:
                    moved["read c"] += of(elements, int(widths.partial))
            for other in mine:
                needed = last_use[other] >= at if key in tiling.keeps else other == block
                beside = other == before and getattr(hardware.scratchpads, key).double_buffered
                if not needed and not beside:
                    del held[other]
            held[block] = of(elements, int(nest.held_bits(key, tiling.extents)))
            inside = sum(bytes_ for other, bytes_ in held.items() if other[0] == key)
            assert inside <= getattr(hardware.scratchpads, key).capacity_bytes
            if key != "c":
                continue
            if index["k"] == trips["k"] - 1:
                moved["write c"] += of(elements, widths.output)
            elif key not in tiling.keeps:
                moved["write c"] += of(elements, int(widths.partial))
            if key not in tiling.keeps and at + 1 < len(visits) and blocks[key][at + 1] == block:
                pytest.fail("one block at a time is kept if the next tile needs it")
    return moved


WIDE = st.sampled_from(
    [
        {},
        {"accumulator": Accumulator(FP32)},
        {"output_format": FP32},
        {"accumulator": Accumulator("e4m3fn", chunk=4, outer="fp32")},
        {"operand_format": FP32, "accumulator": Accumulator("e5m6")},
    ]
)


def changed_layer(layer: LayerTrace, changes: dict[str, Any]) -> LayerTrace:
    return LayerTrace(**{**vars(layer), **changes})


@up_to(300)
@given(TIGHT_MACHINES, LAYERS, WIDE)
def test_dram_traffic_is_that_of_a_walk_that_tracks_what_is_resident(
    hardware: Hardware, layer: LayerTrace, changes: dict[str, Any]
) -> None:
    # Recomputation fetches more, which is not part of the loop nest.
    plain = {"recomputed": None, "recompute_accumulator": None}
    found = lowered(changed_layer(layer, changes | plain), hardware)
    moved = walk(found, hardware)
    for key in "abc":
        capacity = getattr(hardware.scratchpads, key).capacity_bytes
        if key != "c":
            written = found.counts.number(f"scratchpad_{key}", Sram("write", capacity))
            assert written == moved[f"read {key}"]
    assert found.counts.number("dram", READ) == sum(moved[f"read {key}"] for key in "abc")
    assert found.counts.number("dram", WRITE) == moved["write c"]


@up_to(100)
@given(TIGHT_MACHINES, LAYERS)
def test_no_tile_of_whole_folds_moves_less_than_the_one_found_by_more_than_a_tie(
    hardware: Hardware, layer: LayerTrace
) -> None:
    free = hardware.model_copy(update={"tiling": machine().tiling})
    nest, tiling = Nest(layer, free), lowered(layer, free).tiling

    def traffic(tile: Extents, keeps: str) -> int:
        return sum(int(nest.traffic_bytes(key, tile, key in keeps)) for key in "abc")

    found = traffic(tiling.extents, tiling.keeps)
    steps = [
        range(step, size + step, step)
        for size, step in zip(nest.shape, nest.mapping.granule, strict=True)
    ]
    capacity = {key: getattr(free.scratchpads, key).capacity_bytes for key in "abc"}

    def fits(tile: Extents, order: str, key: str, keep: bool) -> bool:
        return bool(nest.room_bytes(key, tile, order, keep) <= capacity[key])

    for sizes in itertools.product(*steps):
        tile = Extents(*(min(size, most) for size, most in zip(sizes, nest.shape, strict=True)))
        if not all(fits(tile, "mnk", key, keep=False) for key in "abc"):  # whatever the order
            continue
        kept = {"".join(key for key in "abc" if fits(tile, order, key, keep=True))
                for order in ORDERS}  # fmt: skip
        for keeps in kept:
            least = traffic(tile, keeps)
            assert found <= least + least * TIED_PERCENT // 100, (tile, keeps)


def test_a_tiling_by_hand() -> None:
    # Scratchpads a and b hold 80 bytes. An A of 8x10 stays, and B comes once, strip by strip.
    small = {"capacity_bytes": 80}
    hardware = machine(scratchpads={"a": small, "b": small})
    wide = lower(trace(8, 10, 40), hardware)
    assert "a" in wide.tiling.keeps
    assert wide.counts.number("dram", READ) == 8 * 10 + 10 * 40
    assert "b" in lower(trace(40, 10, 8), hardware).tiling.keeps
    # Of 16x10 by 10x16 neither stays: but all partial sums do, and so the terms go outermost.
    both = lower(trace(16, 10, 16), hardware)
    assert both.tiling.order[0] == "k"
    assert both.counts.number("dram", READ) == 16 * 10 + 10 * 16
    # With room for the outputs of two folds only, B comes for each of four strips of A.
    pads = {"a": small, "b": small, "c": {"capacity_bytes": 32}}
    tight = lower(trace(16, 10, 16), machine(scratchpads=pads))
    assert tight.counts.number("dram", READ) == 16 * 10 + 4 * 10 * 16


def first_of_those_tied(layer: LayerTrace, hardware: Hardware) -> Tiling:
    """The definition of the search: list every tiling with its merits, and take the least."""
    nest, sizes = Nest(layer, hardware), []
    for axis, size, step in zip("mkn", nest.shape, nest.mapping.granule, strict=True):
        given = getattr(hardware.tiling, axis)
        steps = [min(whole, size) for whole in range(step, size + step, step)]
        smallest = {-(-size // each): each for each in reversed(steps)}
        sizes.append(sorted(smallest.values()) if given is None else [min(given, size)])
    tile = Extents(*(each.ravel() for each in np.meshgrid(*sizes, indexing="ij")))
    capacity = {key: getattr(hardware.scratchpads, key).capacity_bytes for key in "abc"}
    visits = nest.trips(tile).m * nest.trips(tile).k * nest.trips(tile).n
    ranked = []
    for rank, order in enumerate(ORDERS):
        if hardware.tiling.order not in (None, order):
            continue
        once, kept = (
            {key: nest.room_bytes(key, tile, order, keep) <= capacity[key] for key in "abc"}
            for keep in (False, True)
        )
        traffic = sum(nest.traffic_bytes(key, tile, kept[key]) for key in "abc")
        time = np.broadcast_to(nest.estimate(tile, kept), visits.shape)
        fits = once["a"] & once["b"] & once["c"]
        keeps = ["".join(k for k in "abc" if kept[k][at]) for at in range(visits.size)]
        merits = zip(nest.folds(tile), time, traffic, visits, strict=True)
        ranked += [
            (*merit, rank, *(int(each[at]) for each in tile), order, keeps[at])
            for at, merit in enumerate(merits)
            if fits[at]
        ]
    least = min(traffic for _, _, traffic, *_ in ranked)
    tied = [each for each in ranked if each[2] <= least + least * TIED_PERCENT // 100]
    return Tiling(*min(tied)[5:])


def alike(nest: Nest, tile: Extents, *_: object) -> Any:
    return np.zeros(np.shape(tile.m), np.int64)


@up_to(150)
@given(
    st.one_of(MACHINES, TIGHT_MACHINES),
    LAYERS,
    st.sampled_from([(), (), ("estimate",), ("folds", "estimate"), ("folds",)]),
)
def test_the_tiling_that_is_found_is_the_first_of_those_tied(
    hardware: Hardware, layer: LayerTrace, blind: tuple[str, ...]
) -> None:
    lowered(layer, hardware)
    # Few tilings tie in all that comes first: where it is the same for all, the rest decides.
    with pytest.MonkeyPatch.context() as patched:
        for name in blind:
            patched.setattr(Nest, name, alike)
        assert search(layer, hardware) == first_of_those_tied(layer, hardware)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_the_tiling_of_a_larger_layer_is_the_first_of_those_tied(
    dataflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pads = {key: {"capacity_bytes": 700} for key in "abc"}
    hardware = machine(dataflow=dataflow, scratchpads=pads)
    layers = trace(72, 60, 90), trace(40, 12, 40), trace(48, 48, 48)
    for blind in ("", "estimate", "folds"):
        if blind:
            monkeypatch.setattr(Nest, blind, alike)
        for layer in layers:
            assert search(layer, hardware) == first_of_those_tied(layer, hardware)


def test_ties_are_broken_by_folds_then_time_then_tiles_then_order() -> None:
    # Everything fits, so that all tilings move the same bytes: K stays whole, and of the tilings
    # that leave it so, the one estimated to be fastest is taken, always the same.
    hardware = machine(dram={"bandwidth_gbytes_per_s": 4.0, "latency_ns": 0.0})
    assert choose_tiling(trace(8, 10, 8), hardware) == Tiling(4, 10, 4, "mnk", "abc")
    fast = machine(dram={"bandwidth_gbytes_per_s": 1e9, "latency_ns": 0.0})
    assert choose_tiling(trace(8, 10, 8), fast) == Tiling(4, 10, 4, "mnk", "abc")
    far = machine(dram={"bandwidth_gbytes_per_s": 4.0, "latency_ns": 1000.0})
    assert choose_tiling(trace(8, 10, 8), far) == Tiling(8, 10, 8, "mnk", "abc")


def test_a_few_per_cent_of_bytes_are_not_worth_several_times_the_cycles() -> None:
    # The input layer of the shipped LSTM. Tiles of one row move 3.7 % less, and take 35
    # times as many folds.
    hardware = load_hardware(ROOT / "hwconfigs" / "eyeriss-like.yaml")
    layer = trace(35, 1500, 6000)
    found = lower(layer, hardware)
    given = GivenTiling(m=1, k=12, n=1008, order="nkm")
    least = lower(layer, hardware.model_copy(update={"tiling": given}))
    assert str(found.tiling) == "35x12x462 mnk"
    moved, saved = (each.counts.bytes_moved("dram") for each in (found, least))
    assert 1.02 < moved / saved <= 1 + TIED_PERCENT / 100
    assert least.folds == 35 * found.folds
    assert simulate(least, hardware).total_cycles > 8 * simulate(found, hardware).total_cycles


@up_to(60)
@given(TIGHT_MACHINES, LAYERS)
def test_a_tiling_that_is_remembered_is_the_one_that_is_searched_for(
    hardware: Hardware, layer: LayerTrace
) -> None:
    found = lowered(layer, hardware).tiling
    assert found == choose_tiling(layer, hardware) == search(layer, hardware)
    again = Hardware.model_validate(hardware.model_dump(exclude_none=True))
    assert hash(again) == hash(hardware)


def test_a_tiling_can_be_given_in_part_or_whole() -> None:
    for part, found in (
        ({"m": 8, "k": 5, "n": 4, "order": "knm"}, (8, 5, 4, "knm")),
        ({"m": 800, "k": 800, "n": 800, "order": "nmk"}, (8, 10, 8, "nmk")),
    ):
        tiling = choose_tiling(trace(8, 10, 8), machine(tiling=part))
        assert (tiling.m, tiling.k, tiling.n, tiling.order) == found
    assert choose_tiling(trace(8, 10, 8), machine(tiling={"m": 8})).m == 8
    assert choose_tiling(trace(8, 10, 8), machine(tiling={"order": "nmk"})).order == "nmk"


def test_a_wider_accumulator_moves_more_bytes_where_partial_sums_spill() -> None:
    # K outermost: partial sums of 12 tiles of outputs, of which c holds two.
    given = {"m": 4, "k": 5, "n": 4, "order": "kmn"}
    read = {}
    for name in ("e4m3fn", "fp16", "fp32"):
        layer = trace(12, 10, 16, accumulator=Accumulator(name))
        hardware = machine(scratchpads={"c": {"capacity_bytes": 128}}, tiling=given)
        counts = lower(layer, hardware).counts
        read[name] = counts.number("dram", READ) - 120 - 160
        assert counts.number("dram", WRITE) == 12 * 16 + read[name]
    assert read == {"e4m3fn": 192, "fp16": 384, "fp32": 768}


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_cutting_the_terms_counts_the_sums_that_go_to_scratchpad_c_and_back(dataflow: str) -> None:
    hardware = machine(dataflow=dataflow, tiling={"m": 8, "k": 8, "n": 8})
    counts = lower(trace(8, 16, 8), hardware).counts
    returns = {"os": 1, "ws": 3, "is": 3}[dataflow]  # two tiles of one fold, or of two
    read = counts.number("scratchpad_c", Sram("read", hardware.scratchpads.c.capacity_bytes))
    assert read == 64 + returns * 64


@pytest.mark.parametrize(
    ("pads", "said"),
    [
        (
            {"a": {"capacity_bytes": 7}},
            "twice 4x1 values of 8 bits take 8 bytes of scratchpads.a, which holds 7;"
            " scratchpads.a.capacity_bytes of at least 8 would fit",
        ),
        (
            {"b": {"capacity_bytes": 3, "double_buffered": False}},
            "1x4 values of 8 bits take 4 bytes of scratchpads.b, which holds 3;"
            " scratchpads.b.capacity_bytes of at least 4 would fit",
        ),
        (
            {"c": {"capacity_bytes": 31}},
            "twice 4x4 values of 8 bits take 32 bytes of scratchpads.c, which holds 31;"
            " scratchpads.c.capacity_bytes of at least 32 would fit",
        ),
        (
            {"a": {"capacity_bytes": 7}, "c": {"capacity_bytes": 30}},
            "twice 4x1 values of 8 bits take 8 bytes of scratchpads.a, which holds 7;"
            " twice 4x4 values of 8 bits take 32 bytes of scratchpads.c, which holds 30;"
            " scratchpads.a.capacity_bytes of at least 8 and scratchpads.c.capacity_bytes of at"
            " least 32 would fit",
        ),
    ],
)
def test_a_tile_that_fits_nowhere_is_refused(pads: dict[str, Any], said: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        lower(trace(8, 10, 8), machine(scratchpads=pads))
    expected = f"layer layer on test: no tiling fits: for a tile of 4x1x4, {said}"
    assert str(caught.value) == expected


def test_a_tiling_that_is_given_and_does_not_suit_is_refused() -> None:
    for part, said in (
        ({"m": 6}, "tiling.m is 6, expected a multiple of 4, which fills the array, or at least"
         " the layer's 8"),
        ({"k": 10, "m": 8}, "no tiling fits: for a tile of 8x10x4, 8x10 values of 8 bits take 80"
         " bytes of scratchpads.a, which holds 79; scratchpads.a.capacity_bytes of at least 80"
         " would fit"),
    ):  # fmt: skip
        hardware = machine(scratchpads={"a": {"capacity_bytes": 79}}, tiling=part)
        with pytest.raises(AccelsimError) as caught:
            lower(trace(8, 10, 8), hardware)
        assert str(caught.value) == f"layer layer on test: {said}"
    lower(trace(6, 10, 8), machine(tiling={"m": 6}))  # the whole layer is no multiple either


def test_a_layer_larger_than_memory_is_refused() -> None:
    lower(trace(8, 10, 8), machine(dram={"capacity_bytes": 224}))
    with pytest.raises(AccelsimError) as caught:
        lower(trace(8, 10, 8), machine(dram={"capacity_bytes": 223}))
    assert str(caught.value) == (
        "layer layer on test: operands of 80 and 80 bytes and outputs of 64 make 224, but"
        " dram.capacity_bytes is 223; at least 224 would fit"
    )


def test_all_steps_of_a_recurrent_layer_must_fit_memory() -> None:
    # Three steps of 2x4 by 4x5: 24 bytes of inputs, 20 of weights, which all share, 30 of outputs.
    steps = replace(trace(2, 4, 5), repeats=3, recurrent=True)
    lower_steps(steps, machine(dram={"capacity_bytes": 74}))
    with pytest.raises(AccelsimError) as caught:
        lower_steps(steps, machine(dram={"capacity_bytes": 73}))
    assert str(caught.value) == (
        "layer layer on test: operands of 24 and 20 bytes and outputs of 30 make 74, but"
        " dram.capacity_bytes is 73; at least 74 would fit"
    )


def test_a_transfer_takes_no_cycle_for_what_a_float_is_off() -> None:
    # 1.005 GB/s at 1,005 MHz is a byte a cycle, of which 7000·1005/(1.005·1e3) is a bit more.
    hardware = machine(clock_mhz=1005.0, dram={"bandwidth_gbytes_per_s": 1.005})
    assert [hardware.transfer_cycles(size) for size in (0, 1, 7000)] == [0, 1, 7000]
    pad = Scratchpad(bandwidth_bytes_per_cycle=0.7)
    assert pad.port_cycles(21) == 30  # 21 / 0.7 is 30.000000000000004
    assert pad.port_cycles(np.array([0, 21, 22])).tolist() == [0, 30, 32]
    many = np.array([0, 10**9, 10**12])
    odd = Scratchpad(bandwidth_bytes_per_cycle=0.1234567890123456).port_cycles(many)
    exact = [math.ceil(Fraction(int(n)) / Fraction("0.1234567890123456")) for n in many]
    assert odd.tolist() == exact


def test_more_tiles_or_products_than_can_be_simulated_are_refused() -> None:
    with pytest.raises(AccelsimError, match="into at least 4000000 tiles, and at most 2000000 can"):
        lower(trace(8000, 1, 8000), machine(tiling={"m": 4, "n": 4}))
    with pytest.raises(AccelsimError, match="140737488355328 multiply-accumulates, and at most"):
        lower(trace(2**17, 2**14, 2**16), machine())


@pytest.mark.parametrize("path", sorted((ROOT / "hwconfigs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_workload_fits_every_shipped_machine(path: Path) -> None:
    hardware = load_hardware(path)
    for file in sorted((ROOT / "workloads").glob("*.yaml")):
        workload = load_workload(file)
        if workload.network is None:
            layers = infer(prepare(workload), parse_policy("uniform-high")).trace.layers
            for layer in {str(layer).split(": ")[1]: layer for layer in layers}.values():
                small = hardware.name.startswith("edge-16x16")
                if small and (file.stem, layer.name) == ("lstm-ptb-large", "softmax"):
                    # Its rows of 10,000 values are longer than half of an 8 KiB scratchpad.
                    with pytest.raises(AccelsimError, match="of at least 20000 would fit"):
                        lower_layer(layer, hardware)
                    continue
                lower_layer(layer, hardware)


def test_the_manual_lists_every_key_of_a_hardware_file() -> None:
    manual = (ROOT / "docs" / "machine.md").read_text(encoding="utf-8")
    table = manual.split("## Keys")[1].split("## ")[0]
    for name, field in Hardware.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        assert f"`{name}" in table, name
        for key in inner:
            assert f"`{name}.{key}`" in table or f"`.{key}`" in table, (name, key)
    for key in Scratchpad.model_fields:
        assert f"`{key}`" in table, key
