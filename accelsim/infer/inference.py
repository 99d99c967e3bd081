"""Inference: a network, or shapes alone, under a policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.infer.across import learn_across
from accelsim.infer.clusters import Cluster, clusters
from accelsim.infer.facts import NetworkFacts
from accelsim.infer.layer import Stage, Step, advance, exact_view
from accelsim.infer.learn import learn, rows_together, stage_of
from accelsim.infer.measures import accuracy, flip_rate, kl_divergence
from accelsim.infer.prepared import FP32, Prepared
from accelsim.infer.traces import MAX_MASKED_OUTPUTS, function_of, layer_trace, trace_of_shapes
from accelsim.networks import Dataset
from accelsim.policies import Calibration, LayerView, Policy, policy_at
from accelsim.progress import Progress, silent
from accelsim.trace import Mask, Trace

__all__ = ["MAX_MASKED_OUTPUTS", "Inference", "infer"]


@dataclass(frozen=True)
class Inference:
    """What a policy gave.

    Accuracy and KL divergence (nats, mean over samples, from the float32 network's class
    probabilities to these) are None for a workload without weights, and so is `flip_rate`, the
    share of samples that are classified otherwise than by it. `false_negative_rate` is the share
    of the outputs that the rule would redo if it saw exact values, and did not; None unless it was
    asked for and the rule has such an idea. `calibrations` holds what the rule learned of each
    layer on the training set.
    """

    trace: Trace
    outputs: NDArray[np.float32] | None = None
    accuracy: float | None = None
    kl_divergence: float | None = None
    flip_rate: float | None = None
    false_negative_rate: float | None = None
    calibrations: tuple[Calibration | None, ...] = ()

    @cached_property
    def clusters(self) -> dict[str, Cluster]:
        """How flagged outputs lie together, by kind of block."""
        return clusters(self.trace)


def infer(
    prepared: Prepared, policy: Policy, *, audit: bool = False, progress: Progress = silent
) -> Inference:
    """Run the workload under `policy`; with `audit`, also find what its rule missed.

    Raises AccelsimError if the policy needs values that the workload lacks.
    """
    workload = prepared.workload
    dataset = workload.dataset
    if dataset is None:
        return Inference(trace_of_shapes(workload, policy, progress))
    number = len(prepared.layers)
    policy = policy.settled(NetworkFacts(prepared))
    rules = [policy_at(policy, index, number) for index in range(number)]
    for rule, layer in zip(rules, prepared.layers, strict=True):
        rule.slices(
            layer.name, workload.operand_format, layer.inputs
        )  # raises, where there are none
    calibrations, stages = _stages(prepared, rules, dataset, progress)
    samples = len(dataset.test_inputs)
    outputs = np.empty((samples, prepared.layers[-1].outputs), np.float32)
    masks = [_empty_mask(prepared, stage, samples) for stage in stages]
    views: list[LayerView | None] = [None] * number
    wide_additions = [0] * number
    needed = missed = 0
    batches = prepared.batches(samples, rows_together(rules))
    for rows in progress(batches, f"infer {workload.name}"):
        h = dataset.test_inputs[rows]
        for stage, mask in zip(stages, masks, strict=True):
            step = advance(prepared, stage, h, rows)
            if mask is not None and step.mask is not None:
                mask[rows] = step.mask
            if audit:
                wanted, unmet = _audit(prepared, stage, step)
                needed, missed = needed + wanted, missed + unmet
            views[stage.index] = step.view
            wide_additions[stage.index] += step.view.require_values().wide_additions or 0
            h = step.outputs
        outputs[rows] = h
    assert prepared.reference is not None
    return Inference(
        _trace(prepared, rules, views, masks, wide_additions),
        outputs=outputs,
        accuracy=accuracy(outputs, dataset.test_labels),
        kl_divergence=kl_divergence(prepared.reference, outputs),
        flip_rate=flip_rate(prepared.reference, outputs),
        false_negative_rate=missed / needed if needed else None,
        calibrations=calibrations,
    )


def _stages(
    prepared: Prepared, rules: list[Policy], dataset: Dataset, progress: Progress
) -> tuple[tuple[Calibration | None, ...], list[Stage]]:
    """Let the rules learn, and return what they did on the training set, and what comes of it."""
    calibrating = [index for index, rule in enumerate(rules) if rule.calibrates]
    across = any(rules[index].rate_across is not None for index in calibrating)
    calibrations = (learn_across if across else learn)(
        prepared, rules, calibrating, dataset.calibration_inputs, progress
    )
    knowing = [index for index, rule in enumerate(rules) if rule.needs_exact]
    known = learn(prepared, rules, knowing, dataset.test_inputs, progress)
    samples = len(dataset.test_inputs)
    stages = [
        stage_of(prepared, index, rule, known[index] or calibrations[index], samples)
        for index, rule in enumerate(rules)
    ]
    return tuple(calibrations), stages


def _empty_mask(prepared: Prepared, stage: Stage, samples: int) -> Mask | None:
    """Return where what is selected of a layer is kept; None where nothing ever is."""
    if stage.rule.selects_by_values:
        return np.empty((samples, prepared.layers[stage.index].outputs), np.bool_)
    return stage.chosen


def _audit(prepared: Prepared, stage: Stage, step: Step) -> tuple[int, int]:
    """Return how many outputs exact values would have redone, and how many of them were not."""
    if not stage.rule.has_needs or step.mask is None:
        return 0, 0
    inputs = step.view.require_values().inputs
    wanted = stage.rule.needed(exact_view(prepared, stage, inputs))
    if wanted is None:
        return 0, 0
    return int(np.count_nonzero(wanted)), int(np.count_nonzero(wanted & ~step.mask))


def _trace(
    prepared: Prepared,
    rules: list[Policy],
    views: list[LayerView | None],
    masks: list[Mask | None],
    wide_additions: list[int],
) -> Trace:
    dataset = prepared.workload.dataset
    assert dataset is not None
    samples = len(dataset.test_inputs)
    operand_format = prepared.workload.operand_format
    last = len(rules) - 1
    layers = []
    for index, (rule, view, mask) in enumerate(zip(rules, views, masks, strict=True)):
        assert view is not None
        output_format = FP32 if index == last else operand_format
        whole = replace(view, m=samples)  # a detector is the same for every batch
        name, function = prepared.layers[index].name, function_of(prepared.layers[index].activation)
        trace = layer_trace(
            name, operand_format, output_format, rule, whole, mask, function=function
        )
        if rule.first.order == "spill":
            trace = replace(trace, wide_additions=wide_additions[index])
        layers.append(trace)
    return Trace(tuple(layers), samples=samples)
