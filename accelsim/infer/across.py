"""One threshold for all layers, found on the training set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.infer.layer import Stage, finish, first_pass
from accelsim.infer.learn import rows_together
from accelsim.infer.prepared import Prepared
from accelsim.policies import Calibration, Policy, least_threshold
from accelsim.policies.base import Score
from accelsim.progress import Progress

MOST_PASSES = 12
"""Over the training set, in search of a threshold."""
UNUSED = 1e-3
"""The share of a budget that may be left, where no threshold is known to use more."""


def learn_across(
    prepared: Prepared,
    rules: Sequence[Policy],
    learning: Sequence[int],
    inputs: NDArray[np.float32],
    progress: Progress,
) -> list[Calibration | None]:
    """Find one threshold for the layers `learning`, whose rules have one rate for the network.

    No more than this share of the outputs of all layers exceeds it on these inputs, those of
    layers that redo nothing counted in. Each layer comes behind those before it as this very
    threshold leaves them, so that it takes several passes. All scores are kept, eight bytes an
    output.
    """
    found: list[Calibration | None] = [None] * len(rules)
    if not learning:
        return found
    outputs = len(inputs) * sum(layer.outputs for layer in prepared.layers)
    rate = rules[learning[0]].rate_across
    assert rate is not None
    widths = [prepared.layers[index].outputs for index in learning]
    scores = np.empty((len(inputs), sum(widths)))

    def scores_under(threshold: float) -> Score:
        stages = [
            Stage(index, rule, Calibration(threshold) if index in learning else None)
            for index, rule in enumerate(rules)
        ]
        _pass(prepared, stages, learning, inputs, scores, progress)
        return scores

    threshold = search(scores_under, round(rate * outputs), scores.size)
    for index in learning:
        found[index] = Calibration(threshold)
    return found


def _pass(
    prepared: Prepared,
    stages: Sequence[Stage],
    learning: Sequence[int],
    inputs: NDArray[np.float32],
    scores: Score,
    progress: Progress,
) -> None:
    """Write the scores of all outputs, the layers `learning` side by side, under a threshold."""
    name = stages[learning[0]].rule.name
    batches = prepared.batches(len(inputs), rows_together([stage.rule for stage in stages]))
    for rows in progress(batches, f"calibrate {name} across the network"):
        h, column = inputs[rows], 0
        for stage in stages[: learning[-1] + 1]:
            scored = stage.index in learning
            view = first_pass(prepared, stage, prepared.operands(h), watched=scored)
            mask = None
            if scored:
                mine = stage.rule.scores(view)
                scores[rows, column : column + view.n] = mine
                column += view.n
                mask = stage.rule.select_by(view, mine)
            h = finish(prepared, stage, view, mask)


def search(scores_under: Callable[[float], Score], allowed: int, outputs: int) -> float:
    """Return a threshold that at most `allowed` of `outputs` scores exceed under itself.

    `scores_under` gives the scores that a threshold leads to; they are reordered. The threshold is
    the least that keeps to the budget among the scores that it leads to itself; or leaves at most a
    share `UNUSED` of it; or is the least of those that keep to it and were met in `MOST_PASSES`
    passes. -1 is for everything, and infinity where the outputs that are redone whatever the
    threshold are too many.
    """
    if allowed >= outputs:
        return -1.0
    exceeding, keeping = -1.0, np.inf
    found = scores_under(np.inf)
    threshold = least_threshold(found, allowed / outputs)
    for _ in range(MOST_PASSES - 1):
        if not exceeding < threshold < keeping:
            between = found[(found > exceeding) & (found < keeping)]
            if not between.size:
                break
            threshold = float(np.partition(between, between.size // 2)[between.size // 2])
        found = scores_under(threshold)
        used = int(np.count_nonzero(found > threshold))
        least = least_threshold(found, allowed / outputs)
        if used > allowed:
            exceeding = threshold
        elif np.count_nonzero(found > least) == used:
            return least  # the same outputs exceed it, so that it leads to the same scores
        else:
            keeping = threshold
            if used >= (1.0 - UNUSED) * allowed:
                break
        threshold = least
    return float(keeping)
