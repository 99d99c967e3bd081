"""What rules learn of a layer from all samples at once, before they run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.infer.layer import Stage, advance, first_pass
from accelsim.infer.prepared import Prepared
from accelsim.policies import Calibration, LayerView, Policy
from accelsim.progress import Progress


def learn(
    prepared: Prepared,
    rules: Sequence[Policy],
    learning: Sequence[int],
    inputs: NDArray[np.float32],
    progress: Progress,
) -> list[Calibration | None]:
    """Let the rules of the layers `learning` learn from these inputs of the network.

    Each layer comes behind those before it as their rules leave them. All scores of one layer are
    kept at a time, eight bytes an output, and the layer's inputs and outputs, four bytes each.
    """
    found: list[Calibration | None] = [None] * len(rules)
    samples, h = len(inputs), inputs
    batches = prepared.batches(samples, rows_together(rules))
    for index in range(max(learning, default=-1) + 1):
        layer, rule = prepared.layers[index], rules[index]
        if index in learning:
            scores = np.empty((samples, layer.outputs))
            for rows in progress(batches, f"calibrate {rule.name} on {layer.name}"):
                operands = prepared.operands(h[rows])
                view = first_pass(prepared, Stage(index, rule), operands, watched=True)
                scores[rows] = rule.scores(view)
            whole = LayerView(index, samples, layer.inputs, layer.outputs)
            found[index] = rule.calibrate(whole, scores)
            del scores
        if index < max(learning):
            stage = stage_of(prepared, index, rule, found[index], samples)
            outputs = np.empty((samples, layer.outputs), np.float32)
            for rows in progress(batches, f"calibrate {rule.name}: pass {layer.name}"):
                outputs[rows] = advance(prepared, stage, h[rows], rows).outputs
            h = outputs
    return found


def rows_together(rules: Sequence[Policy]) -> int:
    """Return how many samples some rule judges together; all that judge several agree on it."""
    return max(rule.rows_together for rule in rules)


def stage_of(
    prepared: Prepared, index: int, rule: Policy, calibration: Calibration | None, samples: int
) -> Stage:
    """Return a layer as it will run on so many samples."""
    if rule.selects_by_values:
        return Stage(index, rule, calibration)
    layer = prepared.layers[index]
    whole = LayerView(index, samples, layer.inputs, layer.outputs, None, calibration)
    return Stage(index, rule, calibration, rule.select(whole))
