"""Vector work: what it counts, and how long it takes beside a slow account of every piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples import up_to
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, random_mask, trace, vector_work

from accelsim.errors import AccelsimError
from accelsim.machine import Arithmetic, Hardware, Sram, lower, lower_layer, simulate_layer
from accelsim.machine.vector import LoweredVector, VectorSimulation, lower_vector
from accelsim.trace import Function, VectorOperations, VectorTrace


def vector_machine(
    operations_per_cycle: int | None, capacity_bytes: int, gbytes_per_s: float, latency_ns: float
) -> Hardware:
    return machine(
        vector={"operations_per_cycle": operations_per_cycle},
        scratchpads={"c": {"capacity_bytes": capacity_bytes}},
        dram={"bandwidth_gbytes_per_s": gbytes_per_s, "latency_ns": latency_ns},
    )


def run(trace: VectorTrace, hardware: Hardware) -> tuple[LoweredVector, VectorSimulation]:
    lowered = lower_layer(trace, hardware)
    assert isinstance(lowered, LoweredVector)
    simulation = simulate_layer(lowered, hardware)
    assert isinstance(simulation, VectorSimulation)
    return lowered, simulation


TRACES = st.builds(
    vector_work,
    rows=st.integers(1, 300),
    row_inputs=st.integers(2, 6),
    row_outputs=st.integers(1, 2),
    adds=st.integers(0, 20),
    fused=st.booleans(),
    repeats=st.integers(1, 3),
)
MACHINES = st.builds(
    vector_machine,
    st.integers(1, 64),
    st.integers(40, 2000),
    st.sampled_from([0.5, 1.0, 7.0, 1e6]),
    st.sampled_from([0.0, 3.0, 50.0]),
)


def slow_cycles(layer: LoweredVector, hardware: Hardware) -> int:
    """One repeat, cycle by cycle: a channel, a unit, two halves, and what each waits for."""
    pieces = layer.pieces
    moves = [("load", 0)]
    for number in range(len(pieces)):
        moves += [("load", number + 1)] if number + 1 < len(pieces) else []
        moves += [("store", number)]
    worked: dict[int, int] = {}
    stored: dict[int, int] = {}
    arrived: dict[int, int] = {}
    now = channel = unit = 0
    while len(stored) < len(pieces):
        progress = True
        while progress:
            progress = False
            if moves and channel <= now:
                what, number = moves[0]
                size = pieces[number].load_bytes if what == "load" else pieces[number].store_bytes
                ready = (
                    number < 2 or stored.get(number - 2, now + 1) <= now
                    if what == "load"
                    else worked.get(number, now + 1) <= now
                )
                if ready:
                    channel = now + hardware.transfer_cycles(size)
                    if what == "load":
                        late = hardware.dram_latency_cycles if size else 0
                        arrived[number] = max(channel + late, arrived.get(number - 1, 0))
                    else:
                        stored[number] = channel
                    moves.pop(0)
                    progress = True
            following = len(worked)
            if following < len(pieces) and unit <= now and arrived.get(following, now + 1) <= now:
                worked[following] = unit = now + pieces[following].work_cycles
                progress = True
        now += 1
    return max(stored.values())


@up_to(150)
@given(TRACES, MACHINES)
def test_a_layer_takes_what_a_slow_account_of_every_cycle_says(
    trace: VectorTrace, hardware: Hardware
) -> None:
    lowered, simulation = run(trace, hardware)
    assert simulation.total_cycles == trace.repeats * slow_cycles(lowered, hardware)


@up_to(100)
@given(TRACES, MACHINES)
def test_bytes_and_cycles_are_conserved(trace: VectorTrace, hardware: Hardware) -> None:
    lowered, simulation = run(trace, hardware)
    times, bits = trace.repeats, trace.value_format.bits
    loaded = sum(piece.load_bytes for piece in lowered.pieces)
    stored = sum(piece.store_bytes for piece in lowered.pieces)
    assert loaded == -(-trace.rows * trace.fetched_inputs * bits // 8)
    assert stored == (0 if trace.fused else -(-trace.rows * trace.row_outputs * bits // 8))
    assert lowered.counts.bytes_moved("dram") == times * (loaded + stored)
    numbers = {str(action): number for name, action, number in lowered.counts if name == "vector"}
    assert sum(numbers.values()) == times * trace.rows * trace.row_operations
    busy = simulation.timeline.busy_cycles
    assert busy("vector") == simulation.compute_cycles
    assert simulation.total_cycles == simulation.compute_cycles + simulation.stall_cycles["dram"]
    assert simulation.stall_cycles["dram"] == sum(
        stall.end_cycles - stall.start_cycles for stall in simulation.timeline.stalls
    )
    assert max(busy("vector"), busy("dram")) <= simulation.total_cycles
    latency = hardware.dram_latency_cycles * len(lowered.pieces) * times
    assert simulation.total_cycles <= busy("vector") + busy("dram") + latency
    levels = simulation.timeline.levels
    assert all(0 <= level.value <= 2 for level in levels)
    assert levels[-1].value == 0


@up_to(100)
@given(TRACES, st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 2, 8]))
def test_a_faster_unit_or_memory_never_makes_it_slower(
    trace: VectorTrace, rate: int, more: int, factor: int
) -> None:
    slow = run(trace, vector_machine(rate, 200, 1.0, 10.0))[1].total_cycles
    assert run(trace, vector_machine(rate + more, 200, 1.0, 10.0))[1].total_cycles <= slow
    assert run(trace, vector_machine(rate, 200, 1.0 * factor, 10.0))[1].total_cycles <= slow


def test_fused_work_that_takes_nothing_else_never_waits() -> None:
    trace = vector_work(row_inputs=1, fused=True)
    lowered, simulation = run(trace, vector_machine(4, 64, 0.1, 1000.0))
    assert lowered.counts.bytes_moved("dram") == 0
    assert simulation.stall_cycles["dram"] == 0
    # 16 values fit half of scratchpad c: six pieces of 16 rows and one of 4, six operations a row.
    assert simulation.total_cycles == 6 * 24 + 6


def test_the_vector_unit_has_a_lane_for_each_column_unless_told_otherwise() -> None:
    assert machine(cols=7).vector_operations_per_cycle == 7
    assert vector_machine(3, 64, 1.0, 0.0).vector_operations_per_cycle == 3
    assert "7 vector operations a cycle (default)" in str(machine(cols=7))


def test_a_row_that_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(AccelsimError) as caught:
        run(vector_work(row_inputs=40), vector_machine(1, 100, 1.0, 0.0))
    assert str(caught.value) == (
        "layer v on test: a row of 40 values takes 80 bytes, but half of scratchpads.c holds 50;"
        " capacity_bytes of at least 160 would fit"
    )


def test_vector_work_on_more_than_memory_holds_is_refused() -> None:
    work = vector_work(rows=3, row_inputs=40, repeats=2)
    run(work, machine(dram={"capacity_bytes": 480}))
    with pytest.raises(AccelsimError) as caught:
        run(work, machine(dram={"capacity_bytes": 479}))
    assert str(caught.value) == (
        "layer v on test: 240 values take 480 bytes, but dram.capacity_bytes is 479; at least 480"
        " would fit"
    )


def test_too_many_pieces_are_refused() -> None:
    with pytest.raises(AccelsimError, match="8000000 rows are 8000000 pieces of half"):
        run(vector_work(rows=8_000_000), vector_machine(1, 8, 1.0, 0.0))


def test_functions_come_from_tables_where_the_unit_has_them() -> None:
    work = vector_work(by_table=VectorOperations(adds=1, lookups=2))
    plain = machine(vector={"operations_per_cycle": 1})
    tabled = machine(vector={"operations_per_cycle": 1, "functions": "table", "table_entries": 64})
    first, second = lower_vector(work, plain), lower_vector(work, tabled)
    assert (first.compute_cycles, second.compute_cycles) == (600, 300)
    counts = second.by_cause["useful_low_work"]
    assert [*counts] == [
        ("vector", Arithmetic("add", "fp32"), 100),
        ("vector", Sram("read", 256), 100 * 2 * 4),
    ]
    # Without functions, tables make no difference.
    assert lower_vector(vector_work(), plain).counts == lower_vector(vector_work(), tabled).counts
    assert str(tabled).count("functions from tables of 64") == 1


def test_the_function_of_every_output_is_done_once_and_takes_no_time() -> None:
    tanh = Function("tanh", VectorOperations(adds=10, multiplies=11), VectorOperations(lookups=1))
    mask = random_mask(6, 8, 0.5)
    layer = trace(6, 5, 8, mask)
    for unit, expected in (
        ({}, {"add fp32": 10 * 48, "multiply fp32": 11 * 48}),
        ({"functions": "table"}, {"read 1024 B SRAM": 4 * 48}),
    ):
        hardware = machine(vector=unit)
        bare, found = lower(layer, hardware), lower(replace(layer, function=tanh), hardware)
        added = {
            str(action): number - bare.counts.number(name, action)
            for name, action, number in found.counts
            if name == "vector" and number != bare.counts.number(name, action)
        }
        assert added == expected
        assert found.compute_cycles == bare.compute_cycles
