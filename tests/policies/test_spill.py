"""Narrow sums that spill: what they give, and that every wide addition is charged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim.config import load_hardware, load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import infer, prepare
from accelsim.machine import lower_layer
from accelsim.machine.counts import Arithmetic
from accelsim.networks import Dataset, DenseLayer, Network, Workload
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.policies import parse_policy

ROOT = Path(__file__).parents[2]
FP32 = FloatFormat.parse("fp32")


def small() -> Workload:
    """Return one layer that adds three inputs, on samples that spill in different ways."""
    layer = DenseLayer("only", np.ones((1, 3), np.float32), np.zeros(1, np.float32), "identity")
    inputs = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [4.0, 1.0, 0.5]], np.float32)
    labels = np.zeros(3, np.int64)
    data = Dataset(inputs, labels, inputs, labels)
    return Workload("small", FP32, network=Network((layer,), FP32), dataset=data)


def test_a_sum_spills_before_it_overflows() -> None:
    # fixed4.2 holds -2 to 1.75: 1 | 1 | 1, then 1 | 1 - 1, and 0 | 4 | 1 + 0.5
    found = infer(prepare(small()), parse_policy("spill:low=fixed4.2"))
    assert found.outputs is not None
    assert found.outputs.tolist() == [[3.0], [1.0], [5.5]]
    (trace,) = found.trace.products
    assert trace.wide_additions == 3 + 2 + 3
    assert str(trace) == (
        "only: 3x3 by 3x1, fp32 operands, accumulated in fixed4.2, spill, outer fp32, saturating;"
        " 8 additions in fp32"
    )


def test_every_wide_addition_is_charged() -> None:
    (trace,) = infer(prepare(small()), parse_policy("spill:low=fixed4.2")).trace.products
    lowered = lower_layer(trace, load_hardware(ROOT / "hwconfigs" / "edge-16x16.yaml"))
    assert lowered.counts.number("array", Arithmetic("shift", "fixed4.2")) == 9
    for operation in ("add", "register"):
        assert lowered.counts.number("array", Arithmetic(operation, "fixed4.2")) == 9
        assert lowered.counts.number("array", Arithmetic(operation, "fp32")) == 8


def test_additions_of_all_batches_are_counted() -> None:
    workload = load_workload(ROOT / "workloads" / "digits-relu.yaml")
    policy = parse_policy("spill:low=fixed8.6")
    whole, parts = (
        infer(prepare(workload, batch=batch), policy).trace.products for batch in (899, 50)
    )
    wide = [layer.wide_additions for layer in whole]
    assert wide == [layer.wide_additions for layer in parts]
    # Sums of the first layer never leave ±2, but those of the others do.
    assert [number / layer.outputs for number, layer in zip(wide, whole, strict=True)] == [
        1.0,
        pytest.approx(1.228, abs=1e-3),
        pytest.approx(3.267, abs=1e-3),
    ]


def test_a_wide_narrow_sum_never_spills_and_is_exact() -> None:
    prepared = prepare(load_workload(ROOT / "workloads" / "digits-tanh.yaml"))
    found, exact = (
        infer(prepared, parse_policy(text)) for text in ("spill:low=fixed32.18", "l1-bound")
    )
    assert [layer.wide_additions for layer in found.trace.products] == [
        layer.outputs for layer in found.trace.products
    ]
    np.testing.assert_array_equal(found.outputs, exact.outputs)


def test_a_wide_integer_takes_a_shift_as_well() -> None:
    # 1 | 1 | 1, then 1 | 1 - 1, and 0 | 4 | 1 + 0.5, as above: what is wide is charged alike.
    policy = parse_policy("spill:low=fixed4.2,high=fixed7.2")
    found = infer(prepare(small()), policy)
    assert found.outputs is not None
    assert found.outputs.tolist() == [[3.0], [1.0], [5.5]]
    lowered = lower_layer(
        found.trace.products[0], load_hardware(ROOT / "hwconfigs" / "edge-16x16.yaml")
    )
    for operation in ("add", "register", "shift"):
        assert lowered.counts.number("array", Arithmetic(operation, "fixed4.2")) == 9
        assert lowered.counts.number("array", Arithmetic(operation, "fixed7.2")) == 8


@pytest.mark.parametrize("name", ["digits-relu", "digits-tanh"])
def test_a_wide_integer_gives_what_it_gives_alone_where_nothing_is_rounded(name: str) -> None:
    # Products of e4m3fn are multiples of 2^-18.
    prepared = prepare(load_workload(ROOT / "workloads" / f"{name}.yaml"))
    alone, both, rounded = (
        infer(prepared, parse_policy(text))
        for text in (
            "uniform:format=fixed32.18",
            "spill:low=fixed20.18,high=fixed32.18",
            "spill:low=fixed19.17,high=fixed32.18",
        )
    )
    assert alone.outputs is not None
    assert rounded.outputs is not None
    np.testing.assert_array_equal(both.outputs, alone.outputs)
    assert (rounded.outputs != alone.outputs).any()
    assert all(layer.wide_additions > layer.outputs for layer in both.trace.products[1:])


def test_what_is_refused() -> None:
    assert parse_policy("spill:low=int8,high=fp16").first == Accumulator(
        "int8", order="spill", outer="fp16", overflow="saturate"
    )
    assert parse_policy("spill:low=int8,high=int32").first == Accumulator(
        "int8", order="spill", outer="int32", overflow="saturate"
    )
    for text, said in (
        ("spill", "policy spill: parameter 'low' is missing, as in spill:low=fixed10.7"),
        (
            "spill:low=fixed8.6,overflow=inf",
            "policy spill: overflow is 'inf', allowed are saturate, wrap with format fixed8.6",
        ),
        (
            "spill:low=fixed8.6,high=fixed7.6",
            "policy spill: high is fixed7.6, which does not hold what fixed8.6, low, does: allowed"
            " are formats that reach from -2 to 1.98438",
        ),
    ):
        with pytest.raises(AccelsimError) as caught:
            parse_policy(text)
        assert str(caught.value) == said
