"""All that passes from values to time: per layer the GEMM, its formats, what was recomputed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.slices import Slices

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Detector:
    """The work of deciding which outputs are recomputed, which the machine charges.

    `numerator_format`: if given, every MAC also adds to a second accumulator in it. All else is
    in fp32, but that a word is multiplied as the operand that it is: what is done with each word
    of the left operand, once for all columns; once for each of its rows; and with each output.
    """

    name: str
    numerator_format: FloatFormat | None
    multiplies_per_output: int
    compares_per_output: int
    adds_per_output: int = 0
    multiplies_per_word: int = 0
    adds_per_word: int = 0
    compares_per_word: int = 0
    multiplies_per_row: int = 0
    adds_per_row: int = 0
    compares_per_row: int = 0

    def __str__(self) -> str:
        fmt = self.numerator_format
        parts = [] if fmt is None else [f"1 {fmt} addition a MAC"]
        for place in ("a word", "a row", "an output"):
            for key, noun in _OPERATIONS.items():
                number = getattr(self, f"{key}_per_{place.split()[1]}")
                if number:
                    parts.append(f"{number} {noun}{'s' * (number > 1)} {place}")
        return f"{self.name}: {', '.join(parts)}"


_OPERATIONS = {"multiplies": "multiplication", "adds": "addition", "compares": "comparison"}


@dataclass(frozen=True)
class VectorOperations:
    """What a vector unit does: fp32 operations, and values that it takes from a table."""

    adds: int = 0
    multiplies: int = 0
    compares: int = 0
    lookups: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.adds + self.multiplies + self.compares + self.lookups


@dataclass(frozen=True)
class Function:
    """A function of every output, as operations alone and on a unit with tables."""

    name: str
    operations: VectorOperations
    by_table: VectorOperations


@dataclass(frozen=True)
class LayerTrace:
    """One GEMM (m×k by k×n) as a policy ran it, or `repeats` of them with operands of their own.

    Those of a `recurrent` layer are its steps: each takes what the one before gave, and all have
    the same right operand.

    `accumulator` does the first pass and `recompute_accumulator` redoes the outputs where
    `recomputed` (repeats·m, n) is True; both of the latter are None if nothing can be. With
    `recompute_slices` it does so once for each pair of slices of the operands. `detector`
    finds them while the layer runs; without one, they were chosen before: the layer is `static`.
    `operand_format` and `output_format` decide the bytes moved. `function` is done with every
    output on its way out. `wide_additions` counts those to the wide sum of an accumulator that
    spills, over all outputs.
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
    wide_additions: int = 0
    function: Function | None = None
    recompute_slices: Slices | None = None

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

    @property
    def recompute_passes(self) -> int:
        """How often the terms of an output are multiplied and added when it is done again."""
        return 1 if self.recompute_slices is None else self.recompute_slices.passes

    @property
    def static(self) -> bool:
        """Whether the outputs to redo were known before the layer ran."""
        return self.recomputed is not None and self.detector is None

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
        if self.recompute_slices is not None:
            text += f", of {self.recompute_slices}"
        if self.wide_additions:
            text += f"; {self.wide_additions} additions in {self.accumulator.outer}"
        if self.detector is not None:
            text += f", found by {self.detector}"
        if self.function is not None:
            text += f"; then {self.function.name}"
        return text


@dataclass(frozen=True)
class VectorTrace:
    """Work beside the products, on whole rows: `row_outputs` values made of `row_inputs`.

    `adds`, `multiplies` and `compares` are fp32 operations a row; `by_table` takes their place on
    a unit with tables. Work that is `fused` is done on
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
    by_table: VectorOperations | None = None

    def operations(self, tables: bool) -> VectorOperations:
        """Return the operations a row on a unit with or without tables."""
        if tables and self.by_table is not None:
            return self.by_table
        return VectorOperations(self.adds, self.multiplies, self.compares)

    @property
    def row_operations(self) -> int:
        """Operations a row, on a unit without tables."""
        return self.operations(tables=False).total

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
