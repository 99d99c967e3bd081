"""Vector work: what a network does beside its matrix products, as operations in fp32.

Operations are counted for each element, from the formulas below. An exponential is a range
reduction (one multiplication, two additions) and a polynomial of degree four by Horner's rule; a
division is two steps of Newton's iteration from a table and a product. What is done once a row of
a softmax or a normalization, its division or root, is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Function = Literal["relu", "tanh", "sigmoid", "silu", "gelu"]
VectorKind = Literal["activation", "softmax", "normalization", "elementwise", "gates"]


@dataclass(frozen=True)
class Operations:
    """Additions, multiplications and comparisons, all in fp32, and values taken from a table."""

    add: int = 0
    multiply: int = 0
    compare: int = 0
    lookup: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.add + self.multiply + self.compare + self.lookup

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.add + other.add,
            self.multiply + other.multiply,
            self.compare + other.compare,
            self.lookup + other.lookup,
        )

    def __mul__(self, times: int) -> Operations:
        return Operations(
            self.add * times, self.multiply * times, self.compare * times, self.lookup * times
        )


ADD, MULTIPLY, COMPARE = Operations(add=1), Operations(multiply=1), Operations(compare=1)
LOOKUP = Operations(lookup=1)
EXPONENTIAL = Operations(add=2 + 4, multiply=1 + 4)
DIVISION = Operations(add=2, multiply=4 + 1)
SIGMOID = EXPONENTIAL + ADD + DIVISION
"""1 / (1 + exp(-x))."""

FUNCTIONS: dict[Function, Operations] = {
    "relu": COMPARE,
    "sigmoid": SIGMOID,
    # 2·sigmoid(2x) - 1, the first factor being part of the exponential's.
    "tanh": SIGMOID + MULTIPLY + ADD,
    "silu": SIGMOID + MULTIPLY,
    # x·sigmoid(2c·(x + 0.044715·x³)): the form with tanh, after Hendrycks and Gimpel.
    "gelu": SIGMOID + MULTIPLY * 5 + ADD,
}
BY_TABLE: dict[Function, Operations] = dict.fromkeys(FUNCTIONS, LOOKUP) | {"relu": COMPARE}
"""The same on a unit with tables: each is a function of one value, and a ReLU needs none."""
SOFTMAX = COMPARE + ADD + EXPONENTIAL + ADD + MULTIPLY
"""The largest of the row, the difference from it, its exponential, their sum, and the scaling."""
SOFTMAX_BY_TABLE = COMPARE + ADD + LOOKUP + ADD + MULTIPLY
NORMALIZATION = ADD * 4 + MULTIPLY * 3
"""The sum, the difference from the mean, its square and their sum, and two scalings and a shift."""


@dataclass(frozen=True)
class Cell:
    """What a step of a recurrent layer does for each element of its hidden state.

    The products of a step have `gates` columns an element. `state` values an element are carried
    from step to step: the hidden state, and the cell's if there is one. Beside `arithmetic` it
    takes so many sigmoids and hyperbolic tangents.
    """

    gates: int
    state: int
    arithmetic: Operations
    sigmoids: int
    tanhs: int

    def operations(self, functions: dict[Function, Operations]) -> Operations:
        """Return all operations, given those of each function."""
        taken = functions["sigmoid"] * self.sigmoids + functions["tanh"] * self.tanhs
        return self.arithmetic + taken


CELLS: dict[Literal["lstm", "gru", "rnn"], Cell] = {
    # Input and recurrent parts of four gates added; i, f, o sigmoid and g tanh;
    # c' = f·c + i·g; h' = o·tanh(c').
    "lstm": Cell(4, 2, ADD * 4 + MULTIPLY * 2 + ADD + MULTIPLY, sigmoids=3, tanhs=2),
    # r and z sigmoid; n = tanh(x + r·h), the reset after the product; h' = n + z·(h - n).
    "gru": Cell(3, 1, ADD * 2 + MULTIPLY + ADD + ADD * 2 + MULTIPLY, sigmoids=2, tanhs=1),
    "rnn": Cell(1, 1, ADD, sigmoids=0, tanhs=1),
}


@dataclass(frozen=True)
class VectorWork:
    """A layer of vector work known by its shape: `rows` that are never taken apart.

    A row makes `row_outputs` values of `row_inputs`, in `operations`, or in those `by_table` on a
    unit with tables, if it is different there. `fused` work is done on the
    outputs of the layer before on their way out, so that only what it takes beside them is
    fetched. It is done `repeats` times, one after the other.
    """

    name: str
    kind: VectorKind
    rows: int
    row_inputs: int
    row_outputs: int
    operations: Operations
    fused: bool = False
    repeats: int = 1
    by_table: Operations | None = None

    @property
    def outputs(self) -> int:
        """Values made."""
        return self.repeats * self.rows * self.row_outputs
