"""High precision without a wide adder: compensated sums in the low format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import workload

from accelsim.config import load_hardware
from accelsim.infer import infer, prepare
from accelsim.machine import lower_layer
from accelsim.machine.counts import Arithmetic
from accelsim.numerics import Accumulator, matmul
from accelsim.policies import POLICIES, RecomputingPolicy, parse_policy

HARDWARE = Path(__file__).parents[2] / "hwconfigs"


def test_every_rule_that_recomputes_can_do_so_in_low() -> None:
    for name, cls in POLICIES.items():
        if issubclass(cls, RecomputingPolicy):
            policy = parse_policy(f"{name}:redo=compensated,low=e5m3,high=fp16")
            expected = Accumulator("e5m3", order="kahan", overflow="saturate")
            assert policy.second == expected
            assert str(policy).endswith("low=e5m3,high=fp16,redo=compensated")
            assert parse_policy(str(policy)) == policy


def test_what_is_selected_is_a_compensated_sum() -> None:
    prepared = prepare(workload(1, (30, 9, 4), "relu"))
    found = infer(prepared, parse_policy("random:rate=0.5,redo=compensated"))
    data, mask = prepared.workload.dataset, found.trace.products[1].recomputed
    assert data is not None
    assert mask is not None
    first = infer(prepared, parse_policy("random:layer_rates=0.5/0,redo=compensated"))
    again = infer(prepared, parse_policy("random:layer_rates=0.5/1,redo=compensated"))
    assert first.outputs is not None
    assert again.outputs is not None
    np.testing.assert_array_equal(found.outputs, np.where(mask, again.outputs, first.outputs))
    one = prepare(workload(1, (30, 4), "relu"))
    data = one.workload.dataset
    assert data is not None
    sums = matmul(
        one.operands(data.test_inputs),
        one.weights[0],
        Accumulator("e4m3fn", order="kahan", overflow="saturate"),
    )
    whole = infer(one, parse_policy("selective:tau=0,redo=compensated")).outputs
    np.testing.assert_array_equal(whole, sums + one.layers[0].bias)


@pytest.mark.parametrize("machine", ["edge-16x16", "mid-32x32"])
def test_four_additions_of_each_term_are_charged(machine: str) -> None:
    prepared = prepare(workload(1, (30, 40, 4), "relu"))
    hardware = load_hardware(HARDWARE / f"{machine}.yaml")
    lowered = []
    for redo in ("high", "compensated"):
        policy = parse_policy(f"random:rate=0.25,redo={redo}")
        lowered.append(lower_layer(infer(prepared, policy).trace.products[0], hardware))
    number = round(0.25 * 12 * 40) * 30
    wide, narrow = (layer.counts for layer in lowered)
    assert wide.number("recompute", Arithmetic("add", "fp32")) == number
    assert narrow.number("recompute", Arithmetic("add", "fp32")) == 0
    for operation in ("add", "register"):
        assert narrow.number("recompute", Arithmetic(operation, "e4m3fn")) == 4 * number
    assert narrow.number("recompute", Arithmetic("multiply", "e4m3fn")) == number


def test_four_additions_take_four_times_as_long() -> None:
    array = load_hardware(HARDWARE / "edge-16x16.yaml").array
    plain, compensated = Accumulator("e4m3fn"), Accumulator("e4m3fn", order="kahan")
    assert array.mac_cycles(plain) == 1
    assert array.mac_cycles(plain, compensated) == 4
    assert (plain.kept_bits, compensated.kept_bits) == (8, 16)
