"""What is found out on the training set: thresholds that meet a budget, and static masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from views import layer

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import Prepared, infer, prepare
from accelsim.numerics import Accumulator
from accelsim.policies import Calibration, LayerView, Selective, Static, parse_policy
from accelsim.policies.threshold import least_threshold

WORKLOADS = Path(__file__).parents[2] / "workloads"
BUDGETS = [
    *("selective:numerator=exact", "selective:numerator=l1-inf", "selective:numerator=low"),
    *("absolute:numerator=l2", "absolute:numerator=exact"),
    *("next-layer:numerator=low", "next-layer:numerator=running-error"),
]


@pytest.fixture(scope="module", params=["digits-relu", "digits-tanh"])
def prepared(request: pytest.FixtureRequest) -> Prepared:
    return prepare(load_workload(WORKLOADS / f"{request.param}.yaml"))


@pytest.fixture(scope="module")
def on_training_set(prepared: Prepared) -> Prepared:
    """The same network, tested on what it was trained on."""
    data = prepared.workload.dataset
    assert data is not None
    same = replace(data, test_inputs=data.train_inputs, test_labels=data.train_labels)
    return prepare(replace(prepared.workload, dataset=same))


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, np.inf]), min_size=1, max_size=30),
    rate=st.floats(0, 1),
)
def test_a_threshold_is_the_least_that_keeps_the_budget(scores: list[float], rate: float) -> None:
    values, allowed = np.array(scores), round(rate * len(scores))
    threshold = least_threshold(values, rate)
    assert np.count_nonzero(values > threshold) <= allowed
    assert threshold in {-1.0, *scores}
    for lower in {-1.0, *scores}:
        if lower < threshold:
            assert np.count_nonzero(values > lower) > allowed


def test_a_budget_finds_the_tau_of_a_layer() -> None:
    view = layer([[1.0, -2.0, 4.0, 8.0]], mean=8.0)  # κ = 8, 4, 2, 1
    taus = {}
    for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
        policy = Selective(rate=rate)
        calibration = policy.calibrate(view, policy.scores(view))
        assert calibration is not None
        taus[rate] = calibration.threshold
        mask = policy.select(replace(view, calibration=calibration))
        assert np.mean(mask) == rate
    assert taus == {0.0: 8.0, 0.25: 4.0, 0.5: 2.0, 0.75: 1.0, 1.0: -1.0}


def test_a_budget_has_no_threshold_before_the_training_set_was_seen() -> None:
    with pytest.raises(TypeError, match="needs the training set first"):
        Selective(rate=0.5).select(layer([[1.0]]))
    with pytest.raises(TypeError, match="needs the training set first"):
        Static().select(layer([[1.0]]))


@pytest.mark.parametrize("text", BUDGETS)
def test_a_budget_is_met_on_the_training_set(on_training_set: Prepared, text: str) -> None:
    found = infer(on_training_set, parse_policy(f"{text},rate=0.1"))
    for trace, calibration in zip(found.trace.products, found.calibrations, strict=True):
        assert calibration is not None
        assert calibration.threshold is not None
        budget = round(0.1 * trace.outputs)
        assert 0 < trace.recomputed_outputs <= budget
        if text.endswith(("exact", "running-error")):
            # The others take so few values that many outputs share the one at the threshold.
            assert trace.recomputed_outputs >= budget - trace.outputs / 1000


def test_a_budget_is_kept_about_on_other_data(prepared: Prepared) -> None:
    rates = infer(prepared, parse_policy("selective:rate=0.1,numerator=exact")).trace.layer_rates
    assert all(0.07 < rate < 0.13 for rate in rates)


def test_a_budget_is_the_layer_taus_that_it_found(prepared: Prepared) -> None:
    budget = infer(prepared, parse_policy("selective:rate=0.1,numerator=l2"))
    taus = [calibration.threshold for calibration in budget.calibrations if calibration]
    given_taus = Selective(layer_taus=tuple(tau for tau in taus if tau), numerator="l2")
    same = infer(prepared, given_taus)
    assert same.outputs is not None
    np.testing.assert_array_equal(same.outputs, budget.outputs)
    assert same.trace.layer_rates == budget.trace.layer_rates


def test_a_calibration_never_sees_the_test_set(prepared: Prepared) -> None:
    data = prepared.workload.dataset
    assert data is not None
    fewer = replace(data, test_inputs=data.test_inputs[:7] * 3, test_labels=data.test_labels[:7])
    other = prepare(replace(prepared.workload, dataset=fewer))
    for text in ("selective:rate=0.2", "static:rate=0.2"):
        one, two = (infer(p, parse_policy(text)).calibrations for p in (prepared, other))
        for first, second in zip(one, two, strict=True):
            assert first is not None
            assert second is not None
            assert first.threshold == second.threshold
            np.testing.assert_array_equal(first.columns, second.columns)


def calibrated(policy: Static, view: LayerView) -> Calibration:
    return policy.calibrate(view, policy.scores(view))


def test_a_static_mask_holds_the_columns_that_exceed_tau_most_often() -> None:
    # S = 1 everywhere: κ is 1/|v|. At τ = 4 columns exceed it in 0, 2, 1 and 2 of 2 rows.
    v = [[1.0, 0.2, 1.0, 0.1], [1.0, 0.2, 0.1, 0.2]]
    view = layer(v, inputs=[[1.0], [1.0]], weight=[[1.0] * 4])
    chosen = []
    for rate in (0.0, 0.25, 0.5, 0.75, 1.0):
        calibration = calibrated(Static(rate=rate, tau=4.0), view)
        assert calibration.columns is not None
        chosen.append(np.flatnonzero(calibration.columns).tolist())
        mask = Static(rate=rate).select(replace(view, calibration=calibration))
        assert mask.tolist() == [calibration.columns.tolist()] * 2
    # Of columns 1 and 3 the latter has the larger median.
    assert chosen == [[], [3], [1, 3], [1, 2, 3], [0, 1, 2, 3]]


def test_a_static_mask_counts_what_overflows_as_worst() -> None:
    view = layer([[448.0, 1.0], [448.0, 1.0]], inputs=[[1.0], [1.0]], weight=[[1.0] * 2])
    found = calibrated(Static(rate=0.5, tau=4.0), view).columns
    np.testing.assert_array_equal(found, [True, False])


def test_a_static_mask_by_gauss_newton_holds_the_columns_of_the_largest_mean_square() -> None:
    # With the identity the bound is S, here |h|·|w|: the scores are 1, 2, 2 and 6, then 3, 6, 6
    # and 18, times g = 3, 2, 1 and 0. Column 1 comes before 0 before 2: 4, 3 and 2 for |h| = 1.
    weight = [[1.0, -2.0, 2.0, 6.0]]
    view = layer([[1.0] * 4, [3.0] * 4], inputs=[[1.0], [-3.0]], weight=weight)
    assert view.values is not None
    given = replace(view.values, sensitivities=np.array([3.0, 2.0, 1.0, 0.0]))
    view = replace(view, values=given)
    assert Static(by="gauss-newton").needs_sensitivities
    assert not Static().needs_sensitivities
    chosen = []
    for rate in (0.25, 0.5, 0.75):
        found = calibrated(Static(rate=rate, by="gauss-newton"), view).columns
        assert found is not None
        chosen.append(np.flatnonzero(found).tolist())
    assert chosen == [[1], [0, 1], [0, 1, 2]]


def gauss_newton_mask(sums: Any, inputs: Any, weight: Any) -> Any:
    view = layer(sums, inputs=inputs, weight=weight)
    assert view.values is not None
    view = replace(view, values=replace(view.values, sensitivities=np.ones(view.n)))
    return calibrated(Static(rate=1 / view.n, by="gauss-newton"), view).columns


def test_in_a_static_mask_by_gauss_newton_one_large_score_outweighs_many() -> None:
    # Scores 1, 1, 1 and 9 of column 0 add up to 12 and 84 squared; 4.5, 4.5, 4.5 and 0 of column 1
    # to 13.5 and 60.75.
    inputs, weight = [[1.0, 0.0]] * 3 + [[0.0, 9.0]], [[1.0, 4.5], [1.0, 0.0]]
    found = gauss_newton_mask(np.ones((4, 2)), inputs, weight)
    np.testing.assert_array_equal(found, [True, False])


def test_in_a_static_mask_by_gauss_newton_overflow_counts_most_and_then_the_rest() -> None:
    # Columns 0, 1 and 2 overflow once, twice and twice; of the last two, the latter has more left.
    sums = [[448.0, 448.0, 448.0, 1.0], [1.0, 448.0, 448.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    found = gauss_newton_mask(sums, [[1.0]] * 3, [[9.0, 1.0, 2.0, 9.0]])
    np.testing.assert_array_equal(found, [False, False, True, False])


def test_a_static_mask_by_gauss_newton_knows_no_tau(prepared: Prepared) -> None:
    found = infer(prepared, parse_policy("static:rate=0.5,by=gauss-newton"), audit=True)
    assert found.false_negative_rate is None
    assert parse_policy("static:rate=0.1,tau=16,by=gauss-newton") == parse_policy(
        "static:rate=0.1,by=gauss-newton"
    )
    with pytest.raises(AccelsimError, match="tau is 3, but columns are chosen by gauss-newton"):
        parse_policy("static:tau=3,by=gauss-newton")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.33, 1.0])
def test_the_rate_of_a_static_mask_is_what_was_calibrated(prepared: Prepared, rate: float) -> None:
    found = infer(prepared, parse_policy(f"static:rate={rate},tau=8"), audit=True)
    for trace in found.trace.products:
        assert abs(trace.recomputed_outputs / trace.outputs - rate) <= 0.5 / trace.n
        assert trace.static
        assert trace.detector is None
        assert trace.recomputed is not None
        assert (trace.recomputed == trace.recomputed[0]).all()
    assert found.false_negative_rate is not None
    if rate == 1.0:
        assert found.false_negative_rate == 0.0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), columns=st.integers(1, 30))
def test_a_static_mask_is_half_a_column_from_its_rate(seed: int, rate: float, columns: int) -> None:
    view = layer(np.random.default_rng(seed).standard_normal((3, columns)))
    found = calibrated(Static(rate=rate), view)
    assert found.columns is not None
    assert abs(np.mean(found.columns) - rate) <= 0.5 / columns


def test_a_static_rule_redoes_columns_in_high(prepared: Prepared) -> None:
    policy = Static(rate=0.5, last="fp16")
    found = infer(prepared, policy)
    first, _, end = found.trace.products
    assert str(first.recompute_accumulator) == "fp32, saturating"
    assert (end.accumulator, end.recomputed) == (Accumulator("fp16", overflow="saturate"), None)
    assert not end.static
    assert found.calibrations[2] is None
    assert isinstance(found.calibrations[0], Calibration)
