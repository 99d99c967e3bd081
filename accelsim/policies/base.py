"""What a policy is: two accumulators and a rule that says which outputs need the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict

from accelsim.networks.workload import Format
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.trace import Detector, Mask

Overflow = Literal["inf", "saturate"]


def _accumulates(fmt: FloatFormat) -> FloatFormat:
    Accumulator(fmt)
    return fmt


AccumulatorFormat = Annotated[Format, AfterValidator(_accumulates)]

LOW = FloatFormat.parse("e4m3fn")
HIGH = FloatFormat.parse("fp32")

THRESHOLD = Detector("threshold", None, multiplies_per_output=0, compares_per_output=1)
"""One comparison an output: |v| against a constant known before the run."""


@dataclass(frozen=True)
class LayerValues:
    """What a rule may look at, once the first pass over a layer is done."""

    inputs: NDArray[np.float32]
    """Operands of the layer (m,k)."""
    weight: NDArray[np.float32]
    """Operands of the layer (k,n)."""
    sums: NDArray[np.float32]
    """What the first accumulator gave (m,n)."""
    overflowed: Mask
    """Where it overflowed on the way (m,n): a sticky bit beside each accumulator."""
    pre_activation: NDArray[np.float32]
    """`sums` plus bias."""
    activation: str
    mean_abs_sum: float
    """Mean of S = |W||h| over the training set: known before the run."""


@dataclass(frozen=True)
class LayerView:
    """One layer as a rule sees it; `values` is None where only shapes are known."""

    index: int
    m: int
    k: int
    n: int
    values: LayerValues | None = None


class Policy(BaseModel):
    """Which accumulator each output gets. Parameters are fields; a rule overrides `select`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_values: ClassVar[bool] = False
    always_shown: ClassVar[tuple[str, ...]] = ()

    @property
    def first(self) -> Accumulator:
        """The accumulator of the first pass, over all outputs."""
        raise NotImplementedError

    @property
    def second(self) -> Accumulator | None:
        """The accumulator that selected outputs are recomputed in, if any can be."""
        return None

    @property
    def detector(self) -> Detector | None:
        """What selecting costs a machine."""
        return None

    def select(self, layer: LayerView) -> Mask | None:
        """Return which outputs (m,n) of the layer are recomputed; None if none ever is."""
        return None

    def needed(self, layer: LayerView) -> Mask | None:
        """Return what the rule would select (m,n) if it saw exact values; None if it has no such
        idea. `layer` holds the values of an exact first pass.
        """
        return None

    def __str__(self) -> str:
        given = ",".join(f"{key}={_plain(getattr(self, key))}" for key in self._shown())
        return f"{self.name}:{given}" if given else self.name

    def _shown(self) -> list[str]:
        """Names of the parameters that make the policy what it is, or differ from the default."""
        fields = type(self).model_fields
        return [
            key
            for key in fields
            if key in self.always_shown or getattr(self, key) != fields[key].default
        ]


class RecomputingPolicy(Policy):
    """All in `low` first, then what the rule selects again in `high`."""

    low: AccumulatorFormat = LOW
    high: AccumulatorFormat = HIGH
    overflow: Overflow = "saturate"

    @property
    def first(self) -> Accumulator:
        """The low accumulator."""
        return Accumulator(self.low, overflow=self.overflow)

    @property
    def second(self) -> Accumulator:
        """The high accumulator."""
        return Accumulator(self.high, overflow=self.overflow)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(_plain(item) for item in value)
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
