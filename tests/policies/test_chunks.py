"""A chunked first pass under a rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim.config import load_workload
from accelsim.errors import AccelsimError
from accelsim.infer import Prepared, infer, prepare
from accelsim.numerics import Accumulator
from accelsim.policies import POLICIES, Control, Random, RecomputingPolicy, parse_policy

WORKLOADS = Path(__file__).parents[2] / "workloads"
CHUNKED = Accumulator("e4m3fn", overflow="saturate", chunk=16, outer="fp16")
RULES = [
    *("selective:rate=0.1", "absolute:rate=0.1", "next-layer:rate=0.1", "gauss-newton:rate=0.1"),
    *("static:rate=0.1", "random:rate=0.1", "oracle:rate=0.1", "oracle-effect:rate=0.1"),
    "look-ahead:rate=0.1,numerator=exact,margin=1",  # no bound is finite for so many terms
]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(load_workload(WORKLOADS / "digits-tanh.yaml"))


def test_every_rule_that_recomputes_is_here() -> None:
    kinds = {name for name, kind in POLICIES.items() if issubclass(kind, RecomputingPolicy)}
    assert {text.partition(":")[0] for text in RULES} == kinds


@pytest.mark.parametrize("text", RULES)
def test_all_sums_are_chunked_first_and_redone_in_high(prepared: Prepared, text: str) -> None:
    found = infer(prepared, parse_policy(f"{text},chunk=16,high=fp16"))
    products = found.trace.products
    assert {layer.accumulator for layer in products} == {CHUNKED}
    assert str(products[-1].recompute_accumulator) == "fp16, saturating"
    assert products[-1].recomputed_outputs > 0
    plain = infer(prepared, parse_policy("chunked:chunk=16,high=fp16"))
    assert found.kl_divergence is not None
    assert plain.kl_divergence is not None
    assert found.kl_divergence != plain.kl_divergence


@pytest.mark.parametrize("text", ["absolute:tau=inf", "random:rate=0", "look-ahead:rate=0"])
def test_with_nothing_redone_a_rule_is_the_chunked_accumulator(
    prepared: Prepared, text: str
) -> None:
    numerator = ",numerator=l2" if text.startswith("look") else ""
    ours = infer(prepared, parse_policy(f"{text},chunk=16,high=fp16{numerator}"))
    plain = infer(prepared, parse_policy("chunked:chunk=16,high=fp16"))
    assert ours.outputs is not None
    np.testing.assert_array_equal(ours.outputs, plain.outputs)


def test_a_control_by_lot_has_chunks_too() -> None:
    rule = parse_policy("selective:tau=8,chunk=16,high=fp16")
    assert isinstance(rule, RecomputingPolicy)
    drawn = Control(of=rule).drawn((0.1, 0.2))
    assert isinstance(drawn, Random)
    assert (drawn.first, drawn.second) == (rule.first, rule.second)


@pytest.mark.parametrize("numerator", ["low", "running-error"])
def test_estimates_of_one_sum_know_no_chunks(numerator: str) -> None:
    with pytest.raises(AccelsimError, match=rf"numerator is {numerator}, allowed are exact, const"):
        parse_policy(f"selective:tau=8,chunk=16,numerator={numerator}")


def test_chunks_are_not_redone_by_compensation() -> None:
    with pytest.raises(AccelsimError, match=r"chunk is 16 and redo is compensated, .* one of them"):
        parse_policy("random:rate=0.1,chunk=16,redo=compensated")
