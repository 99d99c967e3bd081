"""One threshold for all layers that keeps to a share of the network's outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import workload

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import Inference, Prepared, infer, prepare
from accelsim.infer.across import MOST_PASSES, UNUSED, search
from accelsim.networks import Workload
from accelsim.policies import least_threshold, parse_policy

WORKLOADS = Path(__file__).parents[2] / "workloads"
RULES = [
    *("selective:numerator=exact", "selective:numerator=constant", "absolute:numerator=exact"),
    *("next-layer:numerator=l2", "gauss-newton:numerator=exact", "gauss-newton:numerator=l2"),
    *("gauss-newton:numerator=l2,last=fp32", "gauss-newton:numerator=exact,chunk=8"),
]


def on_training_set(given: Workload, **changes: Any) -> Prepared:
    """Return the network, tested on what it was trained on."""
    data = given.dataset
    assert data is not None
    same = dataclasses.replace(data, test_inputs=data.train_inputs, test_labels=data.train_labels)
    return prepare(dataclasses.replace(given, dataset=same), **changes)


def threshold(found: Inference) -> float:
    """Return the one threshold of all layers that have any."""
    taus = {one.threshold for one in found.calibrations if one is not None}
    (tau,) = taus
    assert tau is not None
    return tau


def redone(found: Inference) -> int:
    return sum(layer.recomputed_outputs for layer in found.trace.products)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("name", ["digits-relu", "digits-tanh"])
def test_a_budget_of_the_network_is_met_on_the_training_set(name: str, text: str) -> None:
    prepared = on_training_set(load_workload(WORKLOADS / f"{name}.yaml"))
    found = infer(prepared, parse_policy(f"{text},rate=0.1,across=network"))
    budget = round(0.1 * found.trace.outputs)
    assert (1 - UNUSED) * budget <= redone(found) <= budget
    assert len({*found.trace.layer_rates}) == len(found.trace.layer_rates)
    same = infer(prepared, parse_policy(f"{text},tau={threshold(found)!r}"))
    assert found.outputs is not None
    np.testing.assert_array_equal(same.outputs, found.outputs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.8])
def test_a_budget_finds_a_threshold_that_cannot_be_lowered(seed: int, rate: float) -> None:
    prepared = on_training_set(workload(seed, (6, 9, 8, 3), "tanh"))
    found = infer(prepared, parse_policy(f"absolute:rate={rate},across=network"))
    tau, budget = threshold(found), round(rate * found.trace.outputs)
    assert redone(found) <= budget
    lower = [*(tau * np.linspace(1e-3, 0.999, 40)).tolist(), tau * (1 - 1e-9)]
    numbers = [redone(infer(prepared, parse_policy(f"absolute:tau={t!r}"))) for t in lower]
    assert min(numbers) > budget


def test_outputs_of_a_layer_that_redoes_nothing_count_in_the_budget() -> None:
    prepared = on_training_set(workload(3, (6, 9, 8, 3), "relu", samples=50))
    found = infer(prepared, parse_policy("absolute:rate=0.5,across=network,last=fp32"))
    assert redone(found) == 50 * (9 + 8 + 3) / 2
    assert found.calibrations[2] is None
    whole = infer(prepared, parse_policy("absolute:rate=0.9,across=network,last=fp32"))
    assert redone(whole) == 50 * (9 + 8)  # all that can be
    assert threshold(whole) == -1.0


def test_neither_batches_nor_the_test_set_change_the_threshold() -> None:
    drawn = workload(5, (6, 9, 8, 3), "relu", samples=40)
    data = drawn.dataset
    assert data is not None
    fewer = dataclasses.replace(
        data, test_inputs=data.test_inputs[:3], test_labels=data.test_labels[:3]
    )
    policy = parse_policy("gauss-newton:rate=0.2,across=network")
    taus = {
        threshold(infer(prepare(dataclasses.replace(drawn, dataset=one), batch=batch), policy))
        for one in (data, fewer)
        for batch in (1, 7, None)
    }
    assert len(taus) == 1


def test_the_search_takes_the_score_that_leads_to_itself() -> None:
    # Ten outputs; whatever is redone in the first layer halves the scores of the second.
    def scores_under(tau: float) -> Any:
        first = np.array([8.0, 6.0, 4.0, 2.0, 1.0])
        second = np.array([9.0, 7.0, 5.0, 3.0, 1.0])
        return np.concatenate([first, second / 2 if (first > tau).any() else second])

    def used(tau: float) -> int:
        return int(np.count_nonzero(scores_under(tau) > tau))

    for allowed in range(1, 10):
        tau = search(scores_under, allowed, 10)
        assert used(tau) <= allowed
        assert tau == least_threshold(scores_under(tau), allowed / 10)
    assert search(scores_under, 10, 10) == -1.0


def test_what_always_exceeds_the_budget_leaves_an_infinite_threshold() -> None:
    assert search(lambda _: np.array([np.inf, np.inf, 1.0]), 1, 3) == np.inf


def test_the_search_ends_where_scores_run_away_from_their_threshold() -> None:
    passes = []

    def scores_under(tau: float) -> Any:
        passes.append(tau)
        base = 1.0 if not np.isfinite(tau) else tau
        return base * (np.linspace(2.0, 3.0, 100) if tau < 5.0 else np.linspace(0.1, 0.9, 100))

    tau = search(scores_under, 50, 100)
    assert tau >= 5.0  # more than that keeps to the budget, with nothing redone
    assert len(passes) <= MOST_PASSES


def test_a_budget_of_the_network_needs_a_rate() -> None:
    with pytest.raises(AccelsimError, match=r"across is network, which needs a rate, as in rate="):
        parse_policy("selective:tau=4,across=network")
    with pytest.raises(AccelsimError, match=r"across is 'each', expected: 'layer' or 'network'"):
        parse_policy("selective:rate=0.1,across=each")
