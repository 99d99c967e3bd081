"""The width laws against the figures that they were fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.energy.entries import AreaLaw, ArithmeticCost, WidthLaw
from accelsim.energy.table import EnergyTable
from accelsim.numerics import FloatFormat
from accelsim.numerics.formats import parse_format


@dataclass(frozen=True)
class Residual:
    """A published figure and what the law says there."""

    law: WidthLaw | AreaLaw
    format: str
    published: float
    fitted: float

    @property
    def relative(self) -> float:
        """How far the law is from the figure."""
        return self.fitted / self.published - 1.0


def residuals(table: EnergyTable) -> list[Residual]:
    """Return every figure of a table that one of its laws speaks of, law by law."""
    laws: list[WidthLaw | AreaLaw] = [*table.width_laws, *table.area_laws]
    return [
        Residual(law, entry.format, published, law.at(parse_format(entry.format))[0])
        for law in laws
        for entry in table.arithmetic
        if _speaks_of(law, entry)
        and (published := entry.energy_pj if isinstance(law, WidthLaw) else entry.area_um2)
    ]


def fit_power(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return coefficient and exponent of the least squares line through the logarithms."""
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    x0, y0 = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    exponent = math.fsum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True)) / math.fsum(
        (x - x0) ** 2 for x in xs
    )
    return math.exp(y0 - exponent * x0), exponent


def _speaks_of(law: WidthLaw | AreaLaw, entry: ArithmeticCost) -> bool:
    floating = isinstance(parse_format(entry.format), FloatFormat)
    return law.operation == entry.operation and (law.numbers == "float") == floating
