"""Samples are computed in batches, and neither their size nor the threads change a bit."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim.config import load_workload
from accelsim.infer import Inference, Prepared, infer, prepare
from accelsim.networks import Dataset, DenseLayer, Network, Workload
from accelsim.numerics import FloatFormat, matmul, round_to
from accelsim.numerics.accumulator import Accumulator
from accelsim.policies import POLICIES, parse_policy
from accelsim.progress import Item, silent

WORKLOADS = Path(__file__).parents[1] / "workloads"
RULES = [
    *("uniform-low", "uniform-high", "uniform:format=fp16", "chunked:chunk=16"),
    "per-layer:formats=e4m3fn/fp16/fp32",
    *("uniform:format=e5m2,rounding=stochastic,random_bits=13,seed=3", "uniform:preset=h100-e4m3"),
    *("uniform:format=fixed10.6,rounding=stochastic,random_bits=8", "uniform:preset=lba"),
    "uniform:format=fixed8.6,overflow=wrap,last=fp32",
    *("spill:low=fixed8.6", "spill:low=e5m2,high=fp16,overflow=inf"),
    *("hessian:samples=60", "hessian:samples=60,by=mean-deviation,bits=18"),
    *("variance-retention", "l1-bound:bits=16", "path-norm:tolerance=1"),
    *("selective:tau=16,numerator=constant", "selective:tau=8,numerator=exact"),
    "selective:tau=16,numerator=low,low=e5m2,overflow=inf,last=fp32",
    *("selective:rate=0.1,numerator=constant", "selective:rate=0.2,numerator=running-error"),
    *("selective:rate=0,numerator=exact", "selective:rate=1,numerator=l2"),
    *("absolute:rate=0.05,numerator=l1-inf", "next-layer:rate=0.1,numerator=exact"),
    *("gauss-newton:rate=0.1", "gauss-newton:rate=0.1,numerator=running-error,last=fp16"),
    *("gauss-newton:rate=0.1,across=network", "selective:rate=0.2,across=network,last=fp32"),
    *("absolute:rate=0.1,cluster=5x3,chunk=8", "random:rate=0.1,chunk=16"),
    "gauss-newton:rate=0.1,across=network,cluster=1x*,numerator=l2,chunk=32,high=fp16",
    *(
        "look-ahead:rate=0.2",
        "look-ahead:numerator=l2,chunk=8",
        "look-ahead:numerator=l2,margin=2,hidden=fp16",
    ),
    *("static:rate=0.2", "static:rate=0.2,last=fp16"),
    *("random:rate=0.1,seed=2", "random:rate=0.1,cluster=8x1", "random:rate=0.03,cluster=*x1"),
    *("oracle:rate=0.1", "oracle:layer_rates=0/0.5/1,low=e5m2,high=fp16,overflow=inf"),
    *("oracle-effect:rate=0.1", "oracle-effect:rate=0.1,effect=exact,low=e5m2,overflow=inf"),
]


def samples(workload: Workload, train: int, test: int) -> Workload:
    data = workload.dataset
    assert data is not None
    few = Dataset(
        data.train_inputs[:train],
        data.train_labels[:train],
        data.test_inputs[:test],
        data.test_labels[:test],
    )
    return dataclasses.replace(workload, dataset=few)


@pytest.fixture(
    scope="module", params=["digits-relu", pytest.param("digits-tanh", marks=pytest.mark.slow)]
)
def workload(request: pytest.FixtureRequest) -> Workload:
    return samples(load_workload(WORKLOADS / f"{request.param}.yaml"), 60, 47)


def same(a: Any, b: Any) -> bool:
    """Whether two things that an inference gave are the same to the last bit."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.tobytes() == b.tobytes() and a.dtype == b.dtype
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return bool(a == b)


def everything(workload: Workload, policy: str, batch: int | None) -> tuple[Prepared, Inference]:
    prepared = prepare(workload, batch=batch)
    return prepared, infer(prepared, parse_policy(policy), audit=True)


def test_every_policy_is_among_these() -> None:
    assert {rule.partition(":")[0] for rule in RULES} == set(POLICIES)


@pytest.mark.parametrize("policy", RULES)
def test_the_size_of_batches_changes_nothing(workload: Workload, policy: str) -> None:
    whole, expected = everything(workload, policy, 60)
    assert whole.batches(47) == [slice(0, 47)]
    for batch in (1, 7, 32):
        part, found = everything(workload, policy, batch)
        assert same(part.reference, whole.reference)
        assert same(part.mean_abs_sums, whole.mean_abs_sums)
        assert same(found, expected)


@pytest.mark.parametrize("policy", RULES)
def test_the_number_of_threads_changes_nothing(
    workload: Workload, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        prepared, found = everything(workload, policy, None)
        results.append((prepared.reference, prepared.mean_abs_sums, found))
    assert same(*results)


def test_batches_are_of_the_size_that_was_asked_for(workload: Workload) -> None:
    prepared = prepare(workload, batch=50)
    assert prepared.batches(120) == [slice(0, 50), slice(50, 100), slice(100, 120)]
    assert prepared.batches(0) == []


def test_a_batch_is_smaller_for_a_wider_network() -> None:
    rows = {}
    for width in (64, 784, 2**20):
        layer = DenseLayer("a", np.zeros((1, width), np.float32), np.zeros(1, np.float32), "relu")
        data = np.zeros((2, width), np.float32)
        labels = np.zeros(2, np.int64)
        fmt = FloatFormat.parse("e4m3fn")
        dataset = Dataset(data, labels, data, labels)
        rows[width] = prepare(
            Workload("wide", fmt, network=Network((layer,), fmt), dataset=dataset)
        ).batch
    assert rows == {64: 8192, 784: 668, 2**20: 1}


@pytest.mark.parametrize("operand_format", ["e4m3fn", "fp32"])
def test_the_mean_of_s_is_that_of_all_its_elements(operand_format: str, workload: Workload) -> None:
    fmt = FloatFormat.parse(operand_format)
    network, data = workload.network, workload.dataset
    assert network is not None
    assert data is not None
    prepared = prepare(
        dataclasses.replace(
            workload, operand_format=fmt, network=dataclasses.replace(network, operand_format=fmt)
        ),
        batch=64,
    )
    h: NDArray[Any] = data.train_inputs
    for layer, found in zip(network.layers, prepared.mean_abs_sums, strict=True):
        operands, weight = round_to(fmt, h), round_to(fmt, layer.weight.T)
        direct = np.abs(operands).astype(np.float64) @ np.abs(weight).astype(np.float64)
        assert found == pytest.approx(direct.mean(), rel=1e-13)
        v = matmul(operands, weight, Accumulator("fp32")) + layer.bias
        h = (np.tanh(v.astype(np.float64)) if layer.activation == "tanh" else v).astype(np.float32)
        if layer.activation == "relu":
            h = np.maximum(h, 0)


def test_the_training_set_is_gone_through_only_for_rules_that_ask(workload: Workload) -> None:
    steps: list[str] = []

    def noting(items: Sequence[Item], description: str) -> Iterable[Item]:
        steps.append(description)
        return silent(items, description)

    name = workload.name
    expected = {
        "uniform-low": [f"infer {name}"],
        "selective:numerator=exact": [f"infer {name}"],
        "selective:numerator=constant": [f"infer {name}", f"prepare {name}"],
        "static:last=fp32": [
            "calibrate static on hidden1",
            "calibrate static: pass hidden1",
            "calibrate static on hidden2",
            f"infer {name}",
        ],
    }
    for policy, wanted in expected.items():
        prepared = prepare(workload, noting)
        infer(prepared, parse_policy(policy), progress=noting)
        assert steps == [f"{name} in float32", *wanted]
        steps.clear()
