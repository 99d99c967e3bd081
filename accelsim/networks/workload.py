"""What a workload file says: layers as shapes, or layers with weights and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from accelsim.networks.datasets import Dataset
from accelsim.networks.network import Activation, Network
from accelsim.numerics import FloatFormat


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


class GemmSpec(BaseModel):
    """A matrix product of shape m×k by k×n: m samples or pixels, n output features."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Name
    kind: Literal["gemm"]
    m: Size
    k: Size
    n: Size


class BatchedGemmSpec(BaseModel):
    """`batch` matrix products m×k by k×n, each with operands of its own, as in attention."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Name
    kind: Literal["batched_gemm"]
    batch: Size
    m: Size
    k: Size
    n: Size


class Conv2dSpec(BaseModel):
    """A convolution of an image height×width×channels with `filters` kernels.

    Input and output channels are split into `groups`; groups = channels is a depthwise one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
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


class DenseSpec(BaseModel):
    """A layer h' = φ(W h + b) whose weights lie in the workload's archive."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Name
    kind: Literal["dense"]
    inputs: Size
    outputs: Size
    activation: Activation


LayerSpec = Annotated[
    GemmSpec | DenseSpec | BatchedGemmSpec | Conv2dSpec, Field(discriminator="kind")
]


class WorkloadSpec(BaseModel):
    """The keys of a workload file.

    With `weights` (an npz archive beside the file) and `dataset`, every layer is `dense` and the
    network is run; without, no layer is, and only shapes are known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Name
    layers: Annotated[list[LayerSpec], Field(min_length=1)]
    operand_format: Format = FloatFormat.parse("e4m3fn")
    weights: Annotated[Annotated[str, Field(min_length=1)] | None, Optional] = None
    dataset: Annotated[Literal["digits"] | None, Optional] = None


@dataclass(frozen=True)
class Gemm:
    """A matrix product known by its shape alone, or `repeats` of them."""

    name: str
    m: int
    k: int
    n: int
    repeats: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.repeats * self.m * self.k * self.n


@dataclass(frozen=True)
class Workload:
    """What is asked of a machine: a network with data, or a list of matrix products."""

    name: str
    operand_format: FloatFormat
    gemms: tuple[Gemm, ...] = ()
    network: Network | None = None
    dataset: Dataset | None = None

    def __post_init__(self) -> None:
        if (self.network is None) != (self.dataset is None) or bool(self.gemms) == bool(
            self.network
        ):
            raise ValueError(
                f"workload {self.name}: expected either a network and a dataset, or gemms"
            )
