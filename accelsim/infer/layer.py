"""One batch of samples through one layer, as a rule has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import accelsim.numerics as numerics
from accelsim.infer.effects import exact_effects, first_order_effects
from accelsim.infer.prepared import FP32_ACCUMULATOR, Prepared, add_bias
from accelsim.networks import activate
from accelsim.numerics.slices import matmul_sliced, matmul_sliced_at
from accelsim.policies import Calibration, LayerValues, LayerView, Policy
from accelsim.trace import Mask

Floats = NDArray[np.float32]
ROWS_OF_A_LAYER = 2**40
"""Layers draw their random bits as if they were so many rows apart, and so never the same."""

_FEW = 20
"""Up to one output in so many is quicker computed alone: 12 to 30, as measured for some formats."""


@dataclass(frozen=True)
class Stage:
    """A layer with its rule, and what is known before it runs.

    `chosen` holds the outputs of all samples that will be redone, if the rule selects beforehand.
    """

    index: int
    rule: Policy
    calibration: Calibration | None = None
    chosen: Mask | None = None


@dataclass(frozen=True)
class Step:
    """What became of a batch: what the rule saw, what it selected, and the layer's outputs."""

    view: LayerView
    mask: Mask | None
    outputs: NDArray[np.float32]


def advance(prepared: Prepared, stage: Stage, h: NDArray[np.float32], rows: slice) -> Step:
    """Take the samples `rows`, whose inputs are h, through a layer."""
    rule = stage.rule
    operands, watched = prepared.operands(h), rule.selects_by_values
    view = first_pass(prepared, stage, operands, watched=watched, first_row=rows.start)
    if rule.selects_by_values:
        mask = rule.select(view)
    else:
        mask = None if stage.chosen is None else stage.chosen[rows]
    return Step(view, mask, finish(prepared, stage, view, mask))


def finish(
    prepared: Prepared, stage: Stage, view: LayerView, mask: Mask | None
) -> NDArray[np.float32]:
    """Return the outputs of a layer, those in `mask` done again."""
    layer, values = prepared.layers[stage.index], view.require_values()
    v = values.pre_activation
    if mask is not None and stage.rule.second is not None:
        v = _redone(prepared, stage, values, mask)
    return activate(layer.activation, v)


def _redone(prepared: Prepared, stage: Stage, values: LayerValues, mask: Mask) -> Floats:
    """Return v, with the outputs in `mask` done again."""
    bias, v = prepared.layers[stage.index].bias, values.pre_activation
    touched = np.any(mask, axis=1), np.any(mask, axis=0)
    if _FEW * np.count_nonzero(mask) > math.prod(map(np.count_nonzero, touched)):
        # So many of those in their rows and columns that it is quicker not to list them.
        rows, columns = (_where(one) for one in touched)
        again = add_bias(_again(prepared, stage, values.inputs[rows], columns), bias[columns])
        if again.shape == v.shape:
            return np.where(mask, again, v)
        place = (rows, columns) if touched[0].all() or touched[1].all() else np.ix_(*touched)
        redone = v.copy()
        redone[place] = np.where(mask[place], again, v[place])
        return redone
    i, j = np.nonzero(mask)
    redone = v.copy()
    redone[i, j] = add_bias(_again(prepared, stage, values.inputs, places=(i, j)), bias[j])
    return redone


def _where(which: Mask) -> slice | NDArray[np.int64]:
    """Return where it is true; of all places a slice, which copies nothing."""
    return slice(None) if which.all() else np.flatnonzero(which)


def _again(
    prepared: Prepared,
    stage: Stage,
    inputs: Floats,
    columns: slice | NDArray[np.int64] = slice(None),
    places: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Floats:
    """Return all sums of some columns as they are redone, or those at `places`: rows, columns."""
    rule, weight = stage.rule, prepared.weights[stage.index][:, columns]
    layer, operands = prepared.layers[stage.index], prepared.workload.operand_format
    slices = rule.slices(layer.name, operands, layer.inputs)
    if slices is not None:
        if places is None:
            return matmul_sliced(inputs, weight, slices)
        return matmul_sliced_at(inputs, weight, *places, slices)
    assert rule.second is not None
    if places is None:
        return numerics.matmul(inputs, weight, rule.second)
    return numerics.matmul_at(inputs, weight, *places, rule.second)


def first_pass(
    prepared: Prepared,
    stage: Stage,
    inputs: NDArray[np.float32],
    *,
    watched: bool,
    first_row: int = 0,
) -> LayerView:
    """Return what a rule sees after the first pass over a layer.

    Overflows are looked for if it is `watched`, and what else the rule asks for comes with them.
    Random bits are those of the samples' own rows, from `first_row` on, and of the layer.
    """
    rule, weight, running = stage.rule, prepared.weights[stage.index], None
    overflowed: Mask
    wide_additions = None
    if rule.first.order == "spill":
        spilled = numerics.matmul_spilling(inputs, weight, rule.first)
        sums, overflowed = spilled.values, spilled.overflowed
        wide_additions = int(spilled.spills.sum())
    elif watched and rule.needs_running:
        sums, overflowed, running = numerics.matmul_running(inputs, weight, rule.first)
    elif watched:
        sums, overflowed = numerics.matmul_watched(inputs, weight, rule.first)
    else:
        row = stage.index * ROWS_OF_A_LAYER + first_row
        sums = numerics.matmul(inputs, weight, rule.first, first_row=row)
        overflowed = np.zeros(sums.shape, np.bool_)
    exact = None
    if watched and rule.needs_exact and rule.second is not None:
        bias = prepared.layers[stage.index].bias
        exact = add_bias(_again(prepared, stage, inputs), bias)
    sums = sums.astype(np.float32, copy=False)
    view = _view(prepared, stage, inputs, (sums, overflowed, running), exact, wide_additions)
    if exact is None or rule.needs_effects is None:
        return view
    return _with_effects(prepared, view, rule)


def _with_effects(prepared: Prepared, view: LayerView, rule: Policy) -> LayerView:
    """Return the view with what correcting each output does.

    An output that is not finite would leave no probabilities, and is taken as corrected already.
    """
    values, layer = view.require_values(), prepared.layers[view.index]
    assert values.exact is not None
    after = np.nan_to_num(values.exact, posinf=0.0, neginf=0.0)
    before = np.where(np.isfinite(values.pre_activation), values.pre_activation, after)
    effects = exact_effects if rule.needs_effects == "exact" else first_order_effects
    found = effects(
        prepared.layers[view.index + 1 :],
        activate(layer.activation, before),
        activate(layer.activation, after),
    )
    return replace(view, values=replace(values, effects=found))


def exact_view(prepared: Prepared, stage: Stage, inputs: NDArray[np.float32]) -> LayerView:
    """Return the layer as a rule would see it after a pass in fp32."""
    weight, running = prepared.weights[stage.index], None
    if stage.rule.needs_running:
        counted = numerics.matmul_sums(inputs, weight, FP32_ACCUMULATOR)
        sums, running = counted.values, counted.running
    else:
        sums = numerics.matmul(inputs, weight, FP32_ACCUMULATOR)
    found = (sums.astype(np.float32, copy=False), np.zeros(sums.shape, np.bool_), running)
    return _view(prepared, stage, inputs, found, None)


def _view(
    prepared: Prepared,
    stage: Stage,
    inputs: NDArray[np.float32],
    found: tuple[NDArray[np.float32], Mask, NDArray[np.float64] | None],
    exact: NDArray[np.float32] | None,
    wide_additions: int | None = None,
) -> LayerView:
    index = stage.index
    layer = prepared.layers[index]
    sums, overflowed, running = found
    values = LayerValues(
        inputs=inputs,
        weight=prepared.weights[index],
        sums=sums,
        overflowed=overflowed,
        pre_activation=add_bias(sums, layer.bias),
        activation=layer.activation,
        mean_abs_sum=prepared.mean_abs_sums[index] if stage.rule.needs_mean_abs_sum else None,
        wide_additions=wide_additions,
        running=running,
        next_column_norms=prepared.next_column_norms[index],
        sensitivities=prepared.sensitivities[index] if stage.rule.needs_sensitivities else None,
        exact=exact,
    )
    return LayerView(index, len(inputs), layer.inputs, layer.outputs, values, stage.calibration)
