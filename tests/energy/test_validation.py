"""Totals against two public machines. docs/energy.md says what matches and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.config import load_energy_table, load_hardware, shipped
from accelsim.energy import area_um2, by_component, needs
from accelsim.energy.parts import access, energy, mac, step
from accelsim.machine import DramAccess
from accelsim.numerics import Accumulator, FixedFormat
from accelsim.trace import LayerTrace

INT8, INT16, INT32 = (FixedFormat.parse(name) for name in ("int8", "int16", "int32"))

# Chen, Krishna, Emer, Sze, JSSC 2017, abstract: AlexNet's convolutions at 35 frames/s and 278 mW,
# the chip without DRAM, at 65 nm; ISSCC 2016: 666 million MACs a frame.
EYERISS_W, EYERISS_FRAMES_PER_S, EYERISS_MACS = 0.278, 35.0, 666e6
EYERISS_PJ_PER_MAC = EYERISS_W / EYERISS_FRAMES_PER_S / EYERISS_MACS * 1e12
# Chen, Emer, Sze, ISCA 2016: 16-bit accesses against one 16-bit MAC (in public estimators).
EYERISS_BUFFER, EYERISS_DRAM = 6.0, 200.0
# Jouppi et al., ISCA 2017, table 2: 40 W busy, 92 tera-operations/s at peak; of the die 29 % are
# the unified buffer, 24 % the matrix unit and 6 % the accumulators.
TPU_BUSY_W, TPU_MACS_PER_S = 40.0, 92e12 / 2
TPU_BUFFER, TPU_MATRIX = 0.29, 0.24


@pytest.mark.parametrize("table", ["45nm", "40nm"])
def test_eyeriss_takes_within_three_times_what_was_published(table: str) -> None:
    run = accelsim.run(
        "eyeriss-like", Path(__file__).parent / "alexnet-conv.yaml", "uniform:format=fp16", table
    )
    macs = sum(layer.trace.macs for layer in run.layers if isinstance(layer.trace, LayerTrace))
    assert macs / 4 == pytest.approx(EYERISS_MACS, rel=1e-3)  # four images
    assert run.total_energy_pj is not None
    chip = (run.total_energy_pj - by_component(run.energy_lines)["dram"]) / macs
    assert pytest.approx(11.9, rel=0.01) == EYERISS_PJ_PER_MAC
    assert EYERISS_PJ_PER_MAC / 3 < chip < EYERISS_PJ_PER_MAC * 3
    # So is the time, though its dataflow is another one.
    assert run.latency_s / 4 == pytest.approx(1 / EYERISS_FRAMES_PER_S, rel=0.4)


def test_a_buffer_and_a_dram_cost_so_many_macs() -> None:
    table = load_energy_table("45nm")
    one = mac(energy(table), INT16, [INT32]).value
    buffer = access(table, 108 * 1024, 64).value / 4 / one
    assert buffer == pytest.approx(EYERISS_BUFFER, rel=0.3)
    lpddr4, ddr3 = (
        table.cost(DramAccess("read", kind)).energy_pj * 2 / one for kind in ("lpddr4", "ddr3")
    )
    assert lpddr4 < EYERISS_DRAM < ddr3
    assert EYERISS_DRAM / lpddr4 < 2


@pytest.mark.parametrize("table", ["45nm", "40nm"])
def test_the_macs_of_a_busy_tpu_take_within_twice_its_power(table: str) -> None:
    hardware = load_hardware(shipped("hwconfigs", "tpu-v1-like"))
    per_s = hardware.array.macs_per_cycle * hardware.clock_mhz * 1e6
    assert per_s == pytest.approx(TPU_MACS_PER_S, rel=0.01)
    pj = step(energy(load_energy_table(table)), INT8, INT32, hardware.array.dataflow).value
    watts = pj * 1e-12 * per_s
    assert TPU_BUSY_W / 2 < watts < TPU_BUSY_W * 2


def test_the_floor_plan_of_a_tpu_is_met_within_half() -> None:
    # A bare MAC leaves out what placement, pipelining and wires take: ours is too small against
    # its buffer.
    hardware = load_hardware(shipped("hwconfigs", "tpu-v1-like"))
    accumulator = Accumulator(INT32, overflow="saturate")
    found = area_um2(hardware, needs(INT8, accumulator), load_energy_table("45nm"))
    sizes = {part.name: part.value for part in found.parts}
    ratio = sizes["scratchpad_a"] / sizes["array"]
    assert 1 < ratio / (TPU_BUFFER / TPU_MATRIX) < 1.5
