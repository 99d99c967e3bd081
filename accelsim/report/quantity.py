"""Columns of results as quantities: a name, a unit, and numbers in the prefix that suits them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_SUFFIXES = (
    ("_pj_s", "J s", 1e-12),
    ("_pj", "J", 1e-12),
    ("_nj", "J", 1e-9),
    ("_mw", "W", 1e-3),
    ("_s", "s", 1.0),
)
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"),
             (1e-9, "n"), (1e-12, "p"), (1e-15, "f"), (1e-18, "a"))  # fmt: skip
_PLAIN = {"_um2": ("mm²", 1e-6), "_nats": ("nats", 1.0), "_cycles": ("cycles", 1.0)}
SHARES = {
    "accuracy": "share of test samples",
    "recompute_rate": "share of outputs",
    "false_negative_rate": "share of what should be redone",
}


@dataclass(frozen=True)
class Quantity:
    """A column: its label, and the unit of `factor` times its numbers."""

    column: str
    label: str
    unit: str
    factor: float

    @property
    def axis(self) -> str:
        """The label of an axis, unit included."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float | None) -> str:
        """Return a value with its unit, as in a sentence."""
        if value is None or math.isnan(value):
            return "unknown"
        if self.column in SHARES:
            return f"{value:.2%}"
        number = f"{value * self.factor:.4g}"
        return f"{number} {self.unit}" if self.unit else number

    def cell(self, value: float | None) -> str:
        """Return a value without its unit, as in a table whose header has it."""
        if value is None:
            return ""
        if isinstance(value, int) and self.factor == 1.0:
            return str(value)
        return f"{value * self.factor:.5g}"


def quantity(column: str, values: Iterable[float] = ()) -> Quantity:
    """Return a column as a quantity, in the prefix in which the median of `values` is 1 to 999."""
    if column in SHARES:
        return Quantity(column, column.replace("_", " "), SHARES[column], 1.0)
    for suffix, (unit, factor) in _PLAIN.items():
        if column.endswith(suffix):
            return Quantity(column, _words(column, suffix), unit, factor)
    for suffix, unit, factor in _SUFFIXES:
        if column.endswith(suffix):
            prefix, letter = _prefix([abs(value) * factor for value in values])
            return Quantity(column, _words(column, suffix), f"{letter}{unit}", factor / prefix)
    return Quantity(column, column, "", 1.0)


def _words(column: str, suffix: str) -> str:
    words = column.removesuffix(suffix).replace("_", " ")
    return f"KL{words[2:]}" if words.startswith("kl ") else words


def _prefix(values: list[float]) -> tuple[float, str]:
    finite = [value for value in values if math.isfinite(value) and value > 0.0]
    middle = float(np.median(finite)) if finite else 1.0
    for size, letter in _PREFIXES:
        if middle >= size:
            return size, letter
    return _PREFIXES[-1]
