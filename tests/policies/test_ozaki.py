"""High precision without a wide adder: products of slices in the low format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import workload

from accelsim.config import load_hardware, load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.machine import lower_layer
from accelsim.machine.counts import Arithmetic
from accelsim.networks import Gemm, Workload
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.slices import Slices, matmul_sliced
from accelsim.policies import POLICIES, RecomputingPolicy, parse_policy

HARDWARE = Path(__file__).parents[2] / "hwconfigs"
WORKLOADS = Path(__file__).parents[2] / "workloads"
E4M3, FP16 = FloatFormat.parse("e4m3fn"), FloatFormat.parse("fp16")


def test_every_rule_that_recomputes_can_do_so_from_slices() -> None:
    for name, cls in POLICIES.items():
        if issubclass(cls, RecomputingPolicy):
            assert parse_policy(name).slices("layer", E4M3, 30) is None
            policy = parse_policy(f"{name}:low=fp16,redo=ozaki")
            assert policy.second == Accumulator("fp16", overflow="saturate")
            assert policy.slices("layer", E4M3, 30) == Slices(bits=3, number=6, lowest_bit=-9)
            assert parse_policy(str(policy)) == policy


@pytest.mark.parametrize("rate", ["0.5", "0.02"])
def test_what_is_selected_is_made_of_slices(rate: str) -> None:
    prepared = prepare(workload(1, (30, 9, 4), "relu"))
    text = "random:low=fp16,redo=ozaki"
    found = infer(prepared, parse_policy(f"{text},layer_rates={rate}/0"))
    data, trace = prepared.workload.dataset, found.trace.products[0]
    assert data is not None
    assert trace.recomputed is not None
    assert str(trace).startswith(
        "layer0: 12x30 by 30x9, e4m3fn operands, accumulated in fp16, saturating;"
        f" {round(float(rate) * 108)} of 108 outputs again in fp16, saturating, of 36 products of"
        " slices of 3 bits"
    )
    one = prepare(workload(1, (30, 4), "relu"))
    data = one.workload.dataset
    assert data is not None
    slices = Slices.of(E4M3, FP16, 30)
    sums = matmul_sliced(one.operands(data.test_inputs), one.weights[0], slices)
    whole = infer(one, parse_policy("selective:tau=0,low=fp16,redo=ozaki")).outputs
    np.testing.assert_array_equal(whole, sums + one.layers[0].bias)
    none = infer(one, parse_policy("random:rate=0,low=fp16,redo=ozaki")).outputs
    some = infer(one, parse_policy(f"random:rate={rate},low=fp16,redo=ozaki"))
    mask = some.trace.products[0].recomputed
    assert mask is not None
    assert whole is not None
    assert none is not None
    np.testing.assert_array_equal(some.outputs, np.where(mask, whole, none))


def test_redoing_all_of_the_digits_is_as_good_as_a_wide_accumulator() -> None:
    prepared = prepare(load_workload(WORKLOADS / "digits-relu.yaml"))
    wide, low, slices = (
        infer(prepared, parse_policy(text)).kl_divergence
        for text in ("uniform-high", "uniform:format=fp16", "random:rate=1,low=fp16,redo=ozaki")
    )
    assert wide is not None
    assert low is not None
    assert slices == pytest.approx(wide, rel=1e-6)
    assert low > 1.02 * wide


def test_an_oracle_knows_what_slices_would_give() -> None:
    one = prepare(workload(1, (30, 4), "relu"))
    found = infer(one, parse_policy("oracle:rate=1,low=fp16,redo=ozaki")).outputs
    again = infer(one, parse_policy("selective:tau=0,low=fp16,redo=ozaki")).outputs
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("machine", ["edge-16x16", "mid-32x32"])
def test_every_product_of_slices_is_charged(machine: str) -> None:
    prepared = prepare(workload(1, (30, 40, 4), "relu"))
    hardware = load_hardware(HARDWARE / f"{machine}.yaml")
    policy = parse_policy("random:rate=0.25,low=fp16,redo=ozaki")
    counts = lower_layer(infer(prepared, policy).trace.products[0], hardware).counts
    outputs = round(0.25 * 12 * 40)
    for operation in ("add", "register"):
        assert counts.number("recompute", Arithmetic(operation, "fp16")) == 36 * 30 * outputs
    assert counts.number("recompute", Arithmetic("multiply", "e4m3fn")) == 36 * 30 * outputs
    assert counts.number("recompute", Arithmetic("add", "fp32")) == 0
    # 35 additions of passes and a bias, beside those of the first pass
    assert counts.number("vector", Arithmetic("add", "fp32")) == 12 * 40 + 36 * outputs


def test_a_layer_whose_sums_cannot_be_exact_is_refused() -> None:
    expected = (
        "layer {}: redo is ozaki, but sums of 30 products of single bits are not exact in e4m3fn:"
        " allowed are at most 16 terms"
    )
    shapes = Workload("shapes", E4M3, shapes=(Gemm("big", m=2, k=30, n=3),))
    for load, layer in ((workload(1, (30, 9, 4), "relu"), "layer0"), (shapes, "big")):
        with pytest.raises(AccelsimError) as caught:
            infer(prepare(load), parse_policy("random:rate=0.1,redo=ozaki"))
        assert str(caught.value) == expected.format(layer)
    kept = prepare(workload(1, (16, 9, 4), "relu"))  # up to 16 terms there are
    assert infer(kept, parse_policy("random:rate=0.1,redo=ozaki")).outputs is not None


def test_chunks_would_be_undone() -> None:
    with pytest.raises(AccelsimError, match=r"chunk is 16 and redo is ozaki, .* one of them"):
        parse_policy("random:rate=0.1,chunk=16,low=fp16,redo=ozaki")
