"""All that passes from values to time: per layer the GEMM, its formats, what was recomputed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, FloatFormat

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Detector:
    """The work of deciding which outputs are recomputed, which the machine charges.

    `numerator_format`: if given, every MAC also adds |w·h| to a second accumulator in it.
    `multiplies_per_output`, `compares_per_output`: fp32 multiplications and comparisons.
    """

    name: str
    numerator_format: FloatFormat | None
    multiplies_per_output: int
    compares_per_output: int


@dataclass(frozen=True)
class LayerTrace:
    """One GEMM (m×k by k×n) as a policy ran it, or `repeats` of them with operands of their own.

    Those of a `recurrent` layer are its steps: each takes what the one before gave, and all have
    the same right operand.

    `accumulator` does the first pass and `recompute_accumulator` redoes the outputs where
    `recomputed` (repeats·m, n) is True; both of the latter and `detector` are None if nothing
    can be.
    `operand_format` and `output_format` decide the bytes moved.
    """

    name: str
    m: int
    k: int
    n: int
    operand_format: FloatFormat
    output_format: FloatFormat
    accumulator: Accumulator
    recompute_accumulator: Accumulator | None = None
    detector: Detector | None = None
    recomputed: Mask | None = None
    repeats: int = 1
    recurrent: bool = False

    def __post_init__(self) -> None:
        if (self.recomputed is None) != (self.recompute_accumulator is None):
            raise ValueError(f"layer {self.name}: a mask and a second accumulator go together")
        rows = self.repeats * self.m
        if self.recomputed is not None and self.recomputed.shape != (rows, self.n):
            raise ValueError(
                f"layer {self.name}: the mask has shape {self.recomputed.shape},"
                f" expected {(rows, self.n)}"
            )

    def step(self, index: int) -> LayerTrace:
        """Return one of the `repeats` as a layer of its own."""
        mask = self.recomputed
        if mask is not None:
            mask = mask[index * self.m : (index + 1) * self.m]
        return replace(self, repeats=1, recurrent=False, recomputed=mask)

    @property
    def static(self) -> bool:
        """Say whether the outputs that take the second accumulator are known before the run."""
        return self.recomputed is not None and self.detector is None

    @property
    def outputs(self) -> int:
        """Number of inner products."""
        return self.repeats * self.m * self.n

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the first pass."""
        return self.outputs * self.k

    @property
    def recomputed_outputs(self) -> int:
        """Number of inner products done a second time."""
        return 0 if self.recomputed is None else int(np.count_nonzero(self.recomputed))

    def __str__(self) -> str:
        times = f"{self.repeats} times " if self.repeats > 1 else ""
        text = (
            f"{self.name}: {times}{self.m}x{self.k} by {self.k}x{self.n},"
            f" {self.operand_format} operands, accumulated in {self.accumulator}"
        )
        if self.recompute_accumulator is not None:
            text += (
                f"; {self.recomputed_outputs} of {self.outputs} outputs again in"
                f" {self.recompute_accumulator}"
            )
        return text


@dataclass(frozen=True)
class VectorTrace:
    """Work beside the products, on whole rows: `row_outputs` values made of `row_inputs`.

    `adds`, `multiplies` and `compares` are fp32 operations a row. Work that is `fused` is done on
    the outputs of the layer before on their way out. It is done `repeats` times, one after the
    other. Every value is as wide as `value_format`.
    """

    name: str
    kind: str
    rows: int
    row_inputs: int
    row_outputs: int
    adds: int
    multiplies: int
    compares: int
    value_format: FloatFormat
    fused: bool = False
    repeats: int = 1

    @property
    def row_operations(self) -> int:
        """Operations a row."""
        return self.adds + self.multiplies + self.compares

    @property
    def fetched_inputs(self) -> int:
        """Values a row that come from memory."""
        return self.row_inputs - self.row_outputs if self.fused else self.row_inputs

    def __str__(self) -> str:
        times = f"{self.repeats} times " if self.repeats > 1 else ""
        where = ", on the outputs of the layer before" if self.fused else ""
        return (
            f"{self.name}: {times}{self.kind} of {self.rows} rows, each {self.row_outputs} values"
            f" of {self.row_inputs} in {self.row_operations} operations{where}"
        )


@dataclass(frozen=True)
class Trace:
    """The layers of one run, in order. `samples` is the number of inferences in it."""

    layers: tuple[LayerTrace | VectorTrace, ...]
    samples: int

    @property
    def products(self) -> tuple[LayerTrace, ...]:
        """The layers that are matrix products."""
        return tuple(layer for layer in self.layers if isinstance(layer, LayerTrace))

    @property
    def outputs(self) -> int:
        """Inner products of all layers."""
        return sum(layer.outputs for layer in self.products)

    @property
    def recompute_rate(self) -> float:
        """Recomputed inner products as a fraction of all; 0 if there are none."""
        redone = sum(layer.recomputed_outputs for layer in self.products)
        return redone / self.outputs if redone else 0.0

    @property
    def layer_rates(self) -> tuple[float, ...]:
        """Recomputed inner products as a fraction of all, product by product."""
        return tuple(layer.recomputed_outputs / layer.outputs for layer in self.products)

    def __str__(self) -> str:
        return "\n".join(str(layer) for layer in self.layers)
