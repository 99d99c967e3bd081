"""What a wait of the array is booked to."""

from __future__ import annotations

import pytest
import simpy

from accelsim.machine.watch import Watch


@pytest.mark.parametrize(
    ("unit", "port", "ended", "recompute"),
    [
        # Memory waited for recomputation, and then moved what the array waited for.
        ("memory", False, 9, 4),
        ("memory", True, 9, 4),
        # Until this very cycle, it has not moved anything since.
        ("memory", False, 10, 0),
        ("memory", True, 10, 0),
        # The port takes outputs in the cycle in which it is free.
        ("port", True, 9, 4),
        ("port", True, 10, 5),
        # Operands do not go through it.
        ("port", False, 9, 0),
    ],
)
def test_a_wait_is_for_recomputation_while_that_blocked_what_was_waited_for(
    unit: str, port: bool, ended: int, recompute: int
) -> None:
    env = simpy.Environment()
    watch = Watch(env, recording=True)
    env.run(until=ended)
    watch.blocked(unit, since=2)  # two to five the array still worked
    if ended < 10:
        env.run(until=10)
    watch.attribute(since=5, port=port)
    assert watch.stall_cycles == {
        "dram": 5 - recompute,
        "scratchpad": 0,
        "recompute": recompute,
    }
