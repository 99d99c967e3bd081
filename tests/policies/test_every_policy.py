"""What holds for every policy, whatever its rule. Batches and threads: tests/test_batches.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import workload
from numpy.typing import NDArray

from accelsim.config import load_workload
from accelsim.infer import Inference, Prepared, infer, prepare
from accelsim.infer.layer import Stage, first_pass
from accelsim.networks import Workload
from accelsim.policies import POLICIES, OracleEffect, RecomputingPolicy, parse_policy
from accelsim.trace import Mask

WORKLOADS = Path(__file__).parents[2] / "workloads"
TABLES = [
    *("uniform-low", "uniform-high", "uniform:format=fp16", "chunked:chunk=4"),
    *("per-layer:formats=e4m3fn/fp16/bf16", "spill:low=fixed8.6"),
    *("variance-retention", "l1-bound:bits=20", "path-norm", "hessian:samples=10"),
]
BUDGETS = [
    *("selective:rate=0.2,numerator=exact", "selective:rate=0.2,numerator=constant"),
    *("absolute:rate=0.2", "next-layer:rate=0.2", "gauss-newton:rate=0.2"),
    *("look-ahead:rate=0.2", "random:rate=0.2", "oracle:rate=0.2", "oracle-effect:rate=0.2"),
]
STATIC = ["static:rate=0.2", "static:rate=0.2,by=gauss-newton"]
EVERY = [*TABLES, *BUDGETS, *STATIC]
# A constant of the layer, absolute errors, and a norm over the neurons of the next layer.
CHANGED_BY_SCALE = [
    *("selective:rate=0.2,numerator=constant", "absolute:rate=0.2"),
    *("next-layer:rate=0.2", "oracle:rate=0.2"),
]


def digits(name: str) -> Workload:
    return load_workload(WORKLOADS / f"{name}.yaml")


@pytest.fixture(scope="module", params=["digits-relu", "digits-tanh"])
def prepared(request: pytest.FixtureRequest) -> Prepared:
    return prepare(digits(request.param))


@pytest.fixture(scope="module")
def on_training_set(prepared: Prepared) -> Prepared:
    """The same network, tested on what it was trained on."""
    data = prepared.workload.dataset
    assert data is not None
    same = dataclasses.replace(data, test_inputs=data.train_inputs, test_labels=data.train_labels)
    return prepare(dataclasses.replace(prepared.workload, dataset=same))


def masks(found: Inference) -> list[Mask]:
    return [
        np.zeros((layer.m, layer.n), np.bool_) if layer.recomputed is None else layer.recomputed
        for layer in found.trace.products
    ]


def test_every_policy_is_among_these() -> None:
    assert {text.partition(":")[0] for text in EVERY} == set(POLICIES)


@pytest.mark.parametrize("text", EVERY)
def test_a_high_last_layer_goes_with_every_policy(prepared: Prepared, text: str) -> None:
    joint = "," if ":" in text else ":"
    plain, high = (
        infer(prepared, parse_policy(given)) for given in (text, f"{text}{joint}last=fp32")
    )
    end = high.trace.products[-1]
    assert (str(end.accumulator), end.recomputed, end.detector, end.wide_additions) == (
        *("fp32, saturating", None, None),
        0,
    )
    if text.startswith("hessian"):
        return  # the budget is as it was, but the samples are these: nothing else changes
    for before, after in zip(plain.trace.products[:-1], high.trace.products[:-1], strict=True):
        assert (before.accumulator, before.recompute_accumulator) == (
            after.accumulator,
            after.recompute_accumulator,
        )
        np.testing.assert_array_equal(before.recomputed, after.recomputed)


@pytest.mark.parametrize("text", BUDGETS)
def test_no_layer_exceeds_its_budget_on_the_training_set(
    on_training_set: Prepared, text: str
) -> None:
    found = infer(on_training_set, parse_policy(text))
    last = len(found.trace.products) - 1
    for index, trace in enumerate(found.trace.products):
        assert trace.recomputed_outputs <= round(0.2 * trace.outputs)
        if not text.startswith("look-ahead") or index == last:
            assert trace.recomputed_outputs > 0


@pytest.mark.parametrize("text", [*BUDGETS, *STATIC])
def test_an_oracle_leaves_no_more_error_than_any_rule_at_its_rate(
    prepared: Prepared, text: str
) -> None:
    # Of the first layer, whose inputs are the same for all.
    found = infer(prepared, parse_policy(text))
    rates = "/".join(repr(rate) for rate in found.trace.layer_rates)
    oracle = infer(prepared, parse_policy(f"oracle:layer_rates={rates}"))
    ours, best = masks(found)[0], masks(oracle)[0]
    assert np.count_nonzero(ours) == np.count_nonzero(best)
    error = errors(prepared, "error")
    assert error[~best].sum() <= error[~ours].sum() * (1 + 1e-12)
    if text.startswith(("random", "static", "selective")):
        assert error[~best].sum() < error[~ours].sum()


@pytest.mark.parametrize("effect", ["exact", "first-order"])
def test_an_oracle_of_effects_leaves_less_effect_than_chance(
    prepared: Prepared, effect: Any
) -> None:
    best, lot = (
        masks(infer(prepared, parse_policy(text)))[0]
        for text in (f"oracle-effect:rate=0.2,effect={effect}", "random:rate=0.2")
    )
    effects = errors(prepared, effect)
    assert effects[~best].sum() < effects[~lot].sum()
    assert effects[best].min() >= effects[~best].max()


def errors(prepared: Prepared, kind: Any) -> NDArray[np.float64]:
    """Return the error of each output of the first layer, or the effect of correcting it."""
    data = prepared.workload.dataset
    assert data is not None
    rule = OracleEffect(effect="exact" if kind == "error" else kind)
    h = prepared.operands(data.test_inputs)
    values = first_pass(prepared, Stage(0, rule), h, watched=True).require_values()
    assert values.exact is not None
    assert values.effects is not None
    if kind == "error":
        return np.abs(values.pre_activation.astype(np.float64) - values.exact)
    return values.effects


def rescaled(drawn: Workload, seed: int) -> Workload:
    """Scale every hidden neuron by a power of two, and the weights that it meets back again."""
    network = drawn.network
    assert network is not None
    generator, layers = np.random.default_rng(seed), list(network.layers)
    for index in range(len(layers) - 1):
        factors = (2.0 ** generator.integers(-6, 7, layers[index].outputs)).astype(np.float32)
        here, behind = layers[index], layers[index + 1]
        layers[index] = dataclasses.replace(
            here, weight=here.weight * factors[:, None], bias=here.bias * factors
        )
        layers[index + 1] = dataclasses.replace(behind, weight=behind.weight / factors)
    return dataclasses.replace(drawn, network=dataclasses.replace(network, layers=tuple(layers)))


@pytest.mark.parametrize("text", [*BUDGETS, *STATIC])
@pytest.mark.parametrize("seed", range(3))
def test_scaling_neurons_by_powers_of_two_changes_no_choice(text: str, seed: int) -> None:
    # Exponents of eight bits, so that nothing is out of range at either end.
    drawn = workload(seed, (8, 24, 16, 5), "relu", "bf16", samples=40)
    policy = parse_policy(f"{text},low=e8m3")
    plain, scaled = (infer(prepare(w), policy) for w in (drawn, rescaled(drawn, seed)))
    same = all(np.array_equal(a, b) for a, b in zip(masks(plain), masks(scaled), strict=True))
    assert same == (text not in CHANGED_BY_SCALE)
    if same:
        np.testing.assert_array_equal(plain.outputs, scaled.outputs)


@pytest.mark.parametrize("text", EVERY)
def test_a_detector_is_charged_where_outputs_are_chosen_in_the_run(
    prepared: Prepared, text: str
) -> None:
    policy = parse_policy(text)
    for trace in infer(prepared, policy).trace.products:
        redone = trace.recomputed is not None
        assert redone == (trace.recompute_accumulator is not None)
        assert (trace.detector is not None) == (redone and not text.startswith("static"))
    assert isinstance(policy, RecomputingPolicy) == (text not in TABLES)
