"""What a machine is told of the layers."""

from __future__ import annotations

from accelsim.errors import AccelsimError
from accelsim.infer.facts import ShapeFacts
from accelsim.networks import BY_TABLE, FUNCTIONS, Activation, Operations, VectorWork, Workload
from accelsim.numerics import FloatFormat
from accelsim.policies import LayerView, Policy, policy_at
from accelsim.progress import Progress
from accelsim.trace import Function, LayerTrace, Mask, Trace, VectorOperations, VectorTrace

MAX_MASKED_OUTPUTS = 2**26
"""A mask takes a byte an output, and drawing it five times that."""


def trace_of_shapes(workload: Workload, policy: Policy, progress: Progress) -> Trace:
    """Return the trace of a workload without values.

    Raises AccelsimError if the policy needs them.
    """
    if policy.needs_values:
        does = "is calibrated on training data" if policy.calibrates else "looks at values"
        raise AccelsimError(
            f"policy {policy.name} {does}, but workload {workload.name} has no weights:"
            " use a uniform or chunked policy, or random:rate=R"
        )
    policy = policy.settled(ShapeFacts(workload))
    operand_format = workload.operand_format
    layers: list[LayerTrace | VectorTrace] = []
    index, number = 0, len(workload.gemms)  # products alone have outputs to choose from
    for gemm in progress(workload.shapes, f"choose outputs of {workload.name}"):
        if isinstance(gemm, VectorWork):
            layers.append(_vector_trace(gemm, operand_format))
            continue
        rule = policy_at(policy, index, number)
        rows = gemm.repeats * gemm.m
        if rule.second is not None and rows * gemm.n > MAX_MASKED_OUTPUTS:
            raise AccelsimError(
                f"layer {gemm.name}: {rows}x{gemm.n} outputs, and recomputation can be drawn for"
                f" at most {MAX_MASKED_OUTPUTS}"
            )
        view = LayerView(index, rows, gemm.k, gemm.n)
        index += 1
        trace = layer_trace(
            gemm.name,
            operand_format,
            operand_format,
            rule,
            view,
            rule.select(view),
            repeats=gemm.repeats,
            recurrent=gemm.recurrent,
        )
        layers.append(trace)
    return Trace(tuple(layers), samples=1)


def layer_trace(
    name: str,
    operand_format: FloatFormat,
    output_format: FloatFormat,
    rule: Policy,
    view: LayerView,
    mask: Mask | None,
    *,
    repeats: int = 1,
    recurrent: bool = False,
    function: Function | None = None,
) -> LayerTrace:
    """Return the trace of the layer that `view` is of."""
    return LayerTrace(
        name=name,
        m=view.m // repeats,
        k=view.k,
        n=view.n,
        operand_format=operand_format,
        output_format=output_format,
        accumulator=rule.first,
        recompute_accumulator=rule.second,
        recompute_slices=None if mask is None else rule.slices(name, operand_format, view.k),
        detector=rule.detector(view),
        recomputed=mask,
        repeats=repeats,
        recurrent=recurrent,
        function=function,
    )


def function_of(activation: Activation) -> Function | None:
    """Return what a vector unit does for an activation; None if that is nothing."""
    if activation == "identity":
        return None
    return Function(
        activation, _operations(FUNCTIONS[activation]), _operations(BY_TABLE[activation])
    )


def _operations(given: Operations) -> VectorOperations:
    return VectorOperations(given.add, given.multiply, given.compare, given.lookup)


def _vector_trace(work: VectorWork, value_format: FloatFormat) -> VectorTrace:
    return VectorTrace(
        name=work.name,
        kind=work.kind,
        rows=work.rows,
        row_inputs=work.row_inputs,
        row_outputs=work.row_outputs,
        adds=work.operations.add,
        multiplies=work.operations.multiply,
        compares=work.operations.compare,
        value_format=value_format,
        fused=work.fused,
        repeats=work.repeats,
        by_table=None if work.by_table is None else _operations(work.by_table),
    )
