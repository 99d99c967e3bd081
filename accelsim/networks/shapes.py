"""From layers known by their shapes to matrix products and vector work."""

from __future__ import annotations

from accelsim.networks.vector import (
    BY_TABLE,
    CELLS,
    FUNCTIONS,
    NORMALIZATION,
    SOFTMAX,
    SOFTMAX_BY_TABLE,
    Operations,
    VectorWork,
)
from accelsim.networks.workload import (
    ActivationSpec,
    BatchedGemmSpec,
    Conv2dSpec,
    ElementwiseSpec,
    Gemm,
    GemmSpec,
    RecurrentSpec,
    RowsSpec,
    ShapeSpec,
)


def as_shapes(layer: ShapeSpec) -> tuple[Gemm | VectorWork, ...]:
    """Return what a layer is made of. Raises ShapeError if it is not possible."""
    if isinstance(layer, RecurrentSpec):
        return _recurrent(layer)
    if isinstance(layer, ActivationSpec | RowsSpec | ElementwiseSpec):
        return (_vector(layer),)
    return (as_gemm(layer),)


def as_gemm(layer: GemmSpec | BatchedGemmSpec | Conv2dSpec) -> Gemm:
    """Return the matrix products that a layer is: a convolution is one for each group.

    Rows are the pixels of all images, terms the elements of a kernel, columns the filters of a
    group. Raises ShapeError if the convolution is not possible.
    """
    if isinstance(layer, GemmSpec):
        return Gemm(layer.name, layer.m, layer.k, layer.n)
    if isinstance(layer, BatchedGemmSpec):
        return Gemm(layer.name, layer.m, layer.k, layer.n, layer.batch)
    for key in ("channels", "filters"):
        if getattr(layer, key) % layer.groups:
            raise ShapeError(
                "groups", f"got {layer.groups}, expected a divisor of {key} {getattr(layer, key)}"
            )
    height = _outputs(layer, "height")
    width = _outputs(layer, "width")
    return Gemm(
        layer.name,
        m=layer.batch * height * width,
        k=layer.kernel_height * layer.kernel_width * (layer.channels // layer.groups),
        n=layer.filters // layer.groups,
        repeats=layer.groups,
    )


class ShapeError(ValueError):
    """A layer that is not possible, and the key that says so."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _recurrent(layer: RecurrentSpec) -> tuple[Gemm | VectorWork, ...]:
    """Return the products with all inputs at once, those of the steps, and the gates.

    The gates of a step take both products and the state, and leave the state.
    """
    cell = CELLS[layer.kind]
    columns, steps = cell.gates * layer.hidden, layer.sequence
    return (
        Gemm(f"{layer.name}_inputs", steps * layer.batch, layer.inputs, columns),
        Gemm(f"{layer.name}_steps", layer.batch, layer.hidden, columns, steps, recurrent=True),
        VectorWork(
            f"{layer.name}_gates",
            "gates",
            rows=layer.batch * layer.hidden,
            row_inputs=2 * cell.gates + cell.state,
            row_outputs=cell.state,
            operations=cell.operations(FUNCTIONS),
            repeats=steps,
            by_table=cell.operations(BY_TABLE),
        ),
    )


def _vector(layer: ActivationSpec | RowsSpec | ElementwiseSpec) -> VectorWork:
    """Return a layer of vector work, with the usual operations where none are given: those that
    are given hold for every unit.
    """
    tabled = None
    if isinstance(layer, ActivationSpec):
        usual, inputs, row, fused = FUNCTIONS[layer.function], 1, 1, layer.fused
        tabled = BY_TABLE[layer.function]
    elif isinstance(layer, RowsSpec):
        usual = SOFTMAX if layer.kind == "softmax" else NORMALIZATION
        tabled = SOFTMAX_BY_TABLE if layer.kind == "softmax" else None
        inputs, row, fused = layer.row, layer.row, False
        if layer.elements % row:
            raise ShapeError("row", f"got {row}, expected a divisor of elements {layer.elements}")
    else:
        usual, inputs, row, fused = Operations(), layer.inputs, 1, layer.fused
    operations = layer.operations.counts if layer.operations is not None else usual
    if operations.total == 0:
        raise ShapeError("operations", "expected at least one operation for an element")
    return VectorWork(
        layer.name,
        layer.kind,
        layer.elements // row,
        inputs,
        row,
        operations * row,
        fused,
        by_table=None if tabled is None or layer.operations is not None else tabled * row,
    )


def _outputs(layer: Conv2dSpec, side: str) -> int:
    """Return how many times the kernel fits along a side of the padded image."""
    kernel: int = getattr(layer, f"kernel_{side}")
    reach = layer.dilation * (kernel - 1) + 1
    image = getattr(layer, side) + 2 * layer.padding
    if reach > image:
        raise ShapeError(
            f"kernel_{side}",
            f"got {kernel}, which reaches over {reach} pixels with dilation {layer.dilation},"
            f" expected at most the {image} of the padded image",
        )
    return int((image - reach) // layer.stride + 1)
