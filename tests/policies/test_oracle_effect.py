"""What correcting one output does to the class probabilities, and the control that knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import perceptron
from views import product

from accelsim.config import load_workload
from accelsim.infer import effects as module
from accelsim.infer import infer, prepare
from accelsim.infer.derivatives import forward, value
from accelsim.infer.effects import exact_effects, first_order_effects
from accelsim.infer.measures import divergences
from accelsim.networks import DenseLayer
from accelsim.policies import OracleEffect, parse_policy

WORKLOADS = Path(__file__).parents[2] / "workloads"


def outputs_from(layers: tuple[DenseLayer, ...], h: Any) -> Any:
    for layer in layers:
        h = value(layer.activation, forward((layer,), h)[0])
    return h


def test_the_effect_on_a_logit_is_a_divergence_by_hand() -> None:
    # From p = (1/2, 1/2) to (3/4, 1/4): ¾ ln(3/2) + ¼ ln(1/2)
    before, after = np.zeros((1, 2), np.float32), np.array([[np.log(3.0), 0.0]], np.float32)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(exact_effects((), before, after), [[expected, 0.0]], atol=1e-7)
    # p(1 - p)/2·(ln 3)²
    expected = 0.125 * np.log(3.0) ** 2
    np.testing.assert_allclose(first_order_effects((), before, after), [[expected, 0.0]], atol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("values", [1, 2**22])
def test_exact_effects_are_those_of_passes_of_their_own(
    activation: Any, depth: int, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VALUES", values)
    layers = perceptron(7, (5, 6, 4)[-depth - 1 :], activation) if depth else ()
    generator = np.random.default_rng(8)
    width = layers[0].inputs if layers else 4
    before, after = generator.standard_normal((2, 3, width)).astype(np.float32)
    found = exact_effects(layers, before, after)
    for column in range(width):
        corrected = before.copy()
        corrected[:, column] = after[:, column]
        expected = divergences(outputs_from(layers, corrected), outputs_from(layers, before))
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_small_corrections_have_effects_of_first_order(activation: Any, depth: int) -> None:
    layers = perceptron(9, (5, 6, 4)[-depth - 1 :], activation) if depth else ()
    generator = np.random.default_rng(8)
    width = layers[0].inputs if layers else 4
    before = generator.standard_normal((3, width)).astype(np.float32)
    after = before + 0.02 * generator.standard_normal((3, width)).astype(np.float32)
    exact, estimated = (f(layers, before, after) for f in (exact_effects, first_order_effects))
    np.testing.assert_allclose(estimated, exact, rtol=0.1, atol=1e-8)


def test_an_error_that_is_not_finite_has_the_largest_effect() -> None:
    view = product([[1.0, 1.0]], [[1.0, 2.0, 4.0]] * 2, effects=np.array([[3.0, 2.0, 0.0]]))
    assert view.values is not None
    with pytest.raises(AssertionError):
        OracleEffect().scores(view)
    exact = view.values.pre_activation + np.array([[1.0, 1.0, np.nan]], np.float32)
    view = product(
        [[1.0, 1.0]], [[1.0, 2.0, 4.0]] * 2, effects=np.array([[3.0, 2.0, 0.0]]), exact=exact
    )
    assert OracleEffect().scores(view).tolist() == [[3.0, 2.0, np.inf]]
    found = OracleEffect(rate=0.67).calibrate(view, OracleEffect().scores(view)).outputs
    assert found is not None
    assert found.tolist() == [[True, False, True]]


@pytest.mark.parametrize("name", ["digits-relu", "digits-tanh"])
@pytest.mark.parametrize("effect", ["exact", "first-order"])
def test_knowing_the_effect_beats_knowing_the_error(name: str, effect: str) -> None:
    prepared = prepare(load_workload(WORKLOADS / f"{name}.yaml"))
    known, error = (
        infer(prepared, parse_policy(text))
        for text in (f"oracle-effect:rate=0.1,effect={effect}", "oracle:rate=0.1")
    )
    assert known.trace.layer_rates == error.trace.layer_rates
    assert known.kl_divergence is not None
    assert error.kl_divergence is not None
    assert 2 * known.kl_divergence < error.kl_divergence
