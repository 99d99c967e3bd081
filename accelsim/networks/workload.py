"""What a workload file says: layers as shapes, or layers with weights and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from accelsim.networks.datasets import Dataset
from accelsim.networks.network import Activation, Network
from accelsim.networks.vector import Function, Operations, VectorWork
from accelsim.numerics import FloatFormat
from accelsim.schema import Strict


def _format(value: object) -> FloatFormat:
    if not isinstance(value, str | FloatFormat):
        raise ValueError("expected the name of a format, such as e4m3fn")
    return FloatFormat.parse(value)


def _given(value: object) -> object:
    if value is None:
        raise ValueError("expected a value; without one, leave the key out")
    return value


Format = Annotated[FloatFormat, BeforeValidator(_format)]
Optional = BeforeValidator(_given)
"""For a key that may be left out, but not left empty."""
Size = Annotated[int, Field(ge=1, le=2**31)]
Extent = Annotated[int, Field(ge=1, le=2**16)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class GemmSpec(Strict):
    """A matrix product of shape m×k by k×n: m samples or pixels, n output features."""

    name: Name
    kind: Literal["gemm"]
    m: Size
    k: Size
    n: Size


class BatchedGemmSpec(Strict):
    """`batch` matrix products m×k by k×n, each with operands of its own, as in attention."""

    name: Name
    kind: Literal["batched_gemm"]
    batch: Size
    m: Size
    k: Size
    n: Size


class Conv2dSpec(Strict):
    """A convolution of an image height×width×channels with `filters` kernels.

    Input and output channels are split into `groups`; groups = channels is a depthwise one.
    """

    name: Name
    kind: Literal["conv2d"]
    height: Extent
    width: Extent
    channels: Extent
    filters: Extent
    kernel_height: Extent
    kernel_width: Extent
    stride: Extent = 1
    padding: Annotated[int, Field(ge=0, le=2**16)] = 0
    dilation: Extent = 1
    groups: Extent = 1
    batch: Extent = 1


class DenseSpec(Strict):
    """A layer h' = φ(W h + b) whose weights lie in the workload's archive."""

    name: Name
    kind: Literal["dense"]
    inputs: Size
    outputs: Size
    activation: Activation


class RecurrentSpec(Strict):
    """A recurrent layer over `sequence` steps of `batch` samples.

    Every step is a product with the inputs and one with the hidden state of the step before.
    """

    name: Name
    kind: Literal["lstm", "gru", "rnn"]
    inputs: Size
    hidden: Size
    sequence: Extent
    batch: Extent = 1


class OperationsSpec(Strict):
    """Operations in fp32 for each element."""

    add: Annotated[int, Field(ge=0, le=2**16)] = 0
    multiply: Annotated[int, Field(ge=0, le=2**16)] = 0
    compare: Annotated[int, Field(ge=0, le=2**16)] = 0

    @property
    def counts(self) -> Operations:
        """The same as a value to calculate with."""
        return Operations(self.add, self.multiply, self.compare)


class ActivationSpec(Strict):
    """A function of each of `elements` values; `operations` replace the usual ones."""

    name: Name
    kind: Literal["activation"]
    function: Function
    elements: Size
    operations: Annotated[OperationsSpec | None, Optional] = None
    fused: bool = False


class RowsSpec(Strict):
    """A softmax or a normalization of `elements` values in rows of `row`."""

    name: Name
    kind: Literal["softmax", "normalization"]
    elements: Size
    row: Size
    operations: Annotated[OperationsSpec | None, Optional] = None


class ElementwiseSpec(Strict):
    """Any other vector work: `elements` results, each of `inputs` values fetched for it."""

    name: Name
    kind: Literal["elementwise"]
    elements: Size
    operations: OperationsSpec
    inputs: Extent = 1
    fused: bool = False


LayerSpec = Annotated[
    GemmSpec
    | DenseSpec
    | BatchedGemmSpec
    | Conv2dSpec
    | RecurrentSpec
    | ActivationSpec
    | RowsSpec
    | ElementwiseSpec,
    Field(discriminator="kind"),
]
ShapeSpec = (
    GemmSpec
    | BatchedGemmSpec
    | Conv2dSpec
    | RecurrentSpec
    | ActivationSpec
    | RowsSpec
    | ElementwiseSpec
)


class WorkloadSpec(Strict):
    """The keys of a workload file.

    With `weights` (an npz archive beside the file) and `dataset`, every layer is `dense` and the
    network is run; without, no layer is, and only shapes are known.
    """

    name: Name
    layers: Annotated[list[LayerSpec], Field(min_length=1)]
    operand_format: Format = FloatFormat.parse("e4m3fn")
    weights: Annotated[Annotated[str, Field(min_length=1)] | None, Optional] = None
    dataset: Annotated[Literal["digits", "mnist", "fashion-mnist"] | None, Optional] = None


@dataclass(frozen=True)
class Gemm:
    """A matrix product known by its shape alone, or `repeats` of them.

    Those of a `recurrent` layer are its steps: each takes what the one before gave, and all have
    the same right operand.
    """

    name: str
    m: int
    k: int
    n: int
    repeats: int = 1
    recurrent: bool = False

    @property
    def outputs(self) -> int:
        """Inner products."""
        return self.repeats * self.m * self.n

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.outputs * self.k


@dataclass(frozen=True)
class Workload:
    """What is asked of a machine: a network with data, or a list of layers known by shape."""

    name: str
    operand_format: FloatFormat
    shapes: tuple[Gemm | VectorWork, ...] = ()
    network: Network | None = None
    dataset: Dataset | None = None

    def __post_init__(self) -> None:
        if (self.network is None) != (self.dataset is None) or bool(self.shapes) == bool(
            self.network
        ):
            raise ValueError(
                f"workload {self.name}: expected either a network and a dataset, or shapes"
            )

    @property
    def gemms(self) -> tuple[Gemm, ...]:
        """The matrix products among the shapes."""
        return tuple(shape for shape in self.shapes if isinstance(shape, Gemm))
