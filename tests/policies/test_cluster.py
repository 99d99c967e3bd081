"""Rules with a score that redo whole rectangles of outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import workload
from views import layer, product, selected

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import Prepared, infer, prepare
from accelsim.policies import parse_policy
from accelsim.policies.cluster import Cluster, together

WORKLOADS = Path(__file__).parents[2] / "workloads"
CLUSTERS = ["1x16", "1x*", "8x1", "5x3", "32x32"]


def on_training_set(name: str) -> Prepared:
    """Return a network, tested on what it was trained on."""
    drawn = load_workload(WORKLOADS / f"{name}.yaml")
    data = drawn.dataset
    assert data is not None
    same = dataclasses.replace(data, test_inputs=data.train_inputs, test_labels=data.train_labels)
    return prepare(dataclasses.replace(drawn, dataset=same))


def test_a_rectangle_has_the_root_of_the_mean_square_of_its_scores() -> None:
    scores = np.array([[3.0, 4.0, 5.0], [0.0, 0.0, 12.0], [7.0, 1.0, 2.0]])
    rows = np.sqrt([[50 / 3], [48.0], [18.0]])
    np.testing.assert_allclose(together(scores, Cluster(1, None)), np.repeat(rows, 3, axis=1))
    of_four = np.sqrt([[25 / 4, 25 / 4, 169 / 2]] * 2 + [[25.0, 25.0, 4.0]])  # cut off at the edges
    np.testing.assert_allclose(together(scores, Cluster(2, 2)), of_four)
    np.testing.assert_allclose(together(scores, Cluster()), scores)


def test_rectangles_are_redone_as_a_whole() -> None:
    # S is 2, 4 and 8 in the first row and half of that in the second.
    view = product([[1.0, 1.0], [0.5, 0.5]], [[1.0, 2.0, 4.0]] * 2)
    assert selected("absolute:tau=3.2,cluster=1x2", view) == [
        [False, False, True],
        [False] * 2 + [True],
    ]
    assert selected("absolute:tau=3.1,cluster=1x2", view) == [
        [True, True, True],
        [False] * 2 + [True],
    ]
    assert selected("absolute:tau=5,cluster=1x*", view) == [[True] * 3, [False] * 3]
    assert selected("absolute:tau=4,cluster=2x1", view) == [[False, False, True]] * 2


def test_one_overflow_has_its_rectangle_redone() -> None:
    view = layer([[1.0, 448.0, 1.0, 1.0]])
    assert selected("selective:tau=1e6,cluster=1x2", view) == [[True, True, False, False]]


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("across", ["layer", "network"])
def test_the_rate_is_the_share_of_outputs_that_are_redone(cluster: str, across: str) -> None:
    prepared = on_training_set("digits-tanh")
    text = f"gauss-newton:rate=0.1,numerator=l2,across={across},cluster={cluster}"
    trace = infer(prepared, parse_policy(text)).trace
    high, wide = (899, 256) if cluster == "1x*" else map(int, cluster.split("x"))
    largest = wide if cluster == "1x*" else high * wide
    if across == "network":
        budget = round(0.1 * trace.outputs)
        redone = round(trace.recompute_rate * trace.outputs)
        assert 0.99 * budget - largest < redone <= budget
    for one in trace.products:
        assert one.recomputed is not None
        if across == "layer":
            assert one.recomputed_outputs <= round(0.1 * one.outputs)
        for i in range(0, one.m, 1 if cluster == "1x*" else high):
            for j in range(0, one.n, wide):
                block = one.recomputed[i : i + (1 if cluster == "1x*" else high), j : j + wide]
                assert block.all() == block.any()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), cluster=st.sampled_from(CLUSTERS))
def test_batches_hold_whole_rectangles_and_change_no_bit(seed: int, cluster: str) -> None:
    drawn = workload(seed, (6, 40, 8, 3), "relu", samples=50)
    policy = parse_policy(f"absolute:rate=0.3,cluster={cluster}")
    found = [infer(prepare(drawn, batch=batch), policy, audit=True) for batch in (1, 7, None)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].outputs, other.outputs)
        assert found[0].calibrations == other.calibrations
        assert found[0].false_negative_rate == other.false_negative_rate


def test_adding_up_squares_is_charged() -> None:
    def costs(text: str, **kind: Any) -> tuple[int, int, int]:
        detector = parse_policy(text).detector(product([[1.0, 1.0]], [[1.0]] * 2, **kind))
        assert detector is not None
        return (
            detector.multiplies_per_output,
            detector.adds_per_output,
            detector.compares_per_output,
        )

    assert costs("gauss-newton:numerator=l2") == (0, 0, 1)
    assert costs("gauss-newton:numerator=l2,cluster=1x*") == (2, 1, 1)
    assert costs("gauss-newton:numerator=l2,cluster=1x*", activation="tanh") == (3, 1, 1)
    assert costs("selective:cluster=8x1") == (6, 3, 1)


def test_a_column_of_all_samples_is_refused() -> None:
    with pytest.raises(
        AccelsimError, match=r"cluster: \*x1 waits for all samples, allowed is a num"
    ):
        parse_policy("absolute:rate=0.1,cluster=*x1")
