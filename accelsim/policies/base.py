"""What a policy is: two accumulators and a rule that says which outputs need the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from accelsim.errors import AccelsimError
from accelsim.networks.workload import Format
from accelsim.numerics import Accumulator, FloatFormat
from accelsim.numerics.slices import Slices
from accelsim.trace import Detector, Mask

Overflow = Literal["inf", "saturate"]
Score = NDArray[np.float64]


def _accumulates(fmt: FloatFormat) -> FloatFormat:
    Accumulator(fmt)
    return fmt


def _split(value: object) -> object:
    return tuple(value.split("/")) if isinstance(value, str) else value


AccumulatorFormat = Annotated[Format, AfterValidator(_accumulates)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Threshold = Annotated[float, Field(ge=0.0)]
Chunk = Annotated[int, Field(ge=1, le=2**31)]
ByLayer = BeforeValidator(_split)
"""For a tuple with a value for each matrix product, written `0.1/0.5/0.9`."""

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
    mean_abs_sum: float | None
    """Mean of S = |W||h| over the training set, known before the run; only for a rule that
    `needs_mean_abs_sum`."""
    wide_additions: int | None = None
    """How often a first accumulator that spills added to its wide sum, over all outputs."""
    running: NDArray[np.float64] | None = None
    """Σ|ŝ| over every step of the first accumulator (m,n); only for a rule that `needs_running`."""
    next_column_norms: NDArray[np.float64] | None = None
    """What the next layer makes of an error in each output (n,): the 2-norm of the weights that
    it goes to; 1 for the last layer."""
    sensitivities: NDArray[np.float64] | None = None
    """What an error in each output (n,) of the layer makes of the class probabilities: squared and
    halved, times the error squared, the KL divergence on average over the training set, to second
    order; only for a rule that `needs_sensitivities`."""
    exact: NDArray[np.float32] | None = None
    """What the second accumulator would give for all outputs, plus bias (m,n); only for a rule
    that `needs_exact`."""
    effects: NDArray[np.float64] | None = None
    """The KL divergence that correcting each output (m,n) alone, to `exact`, makes between class
    probabilities; only for a rule that `needs_effects`."""


@dataclass(frozen=True)
class Calibration:
    """What a rule found out on the training set about one layer."""

    threshold: float | None = None
    """The score above which an output is recomputed."""
    columns: Mask | None = None
    """The outputs that are recomputed for every sample (n,)."""
    outputs: Mask | None = None
    """The very outputs that are recomputed (m,n), for a rule that `needs_exact`."""


@dataclass(frozen=True)
class LayerView:
    """One layer as a rule sees it, on m samples: a batch of them, or all.

    `values` is None where only shapes are known, and where a rule selects beforehand.
    """

    index: int
    m: int
    k: int
    n: int
    values: LayerValues | None = None
    calibration: Calibration | None = None

    def require_values(self) -> LayerValues:
        """Return the values. Raises TypeError without them."""
        if self.values is None:
            raise TypeError("the rule needs the values of the layer")
        return self.values


@dataclass(frozen=True)
class LayerFacts:
    """What is known of a layer before it runs; of one without weights, only shapes are."""

    k: int
    n: int
    operand_format: FloatFormat
    weight: NDArray[np.float32] | None = None
    """Operands (k,n)."""
    bias: NDArray[np.float32] | None = None
    activation: str = "identity"

    def require_weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and bias. Raises TypeError without them."""
        if self.weight is None or self.bias is None:
            raise TypeError("the rule needs the weights of the layer")
        return self.weight.astype(np.float64), self.bias.astype(np.float64)


class Facts(Protocol):
    """What is known of a network before it runs."""

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The matrix products, in order."""

    @property
    def input_range(self) -> tuple[float, float]:
        """Least and largest operand of the first layer on the training set."""

    def curvatures(
        self,
        by: Literal["trace", "eigenvalue", "mean-deviation"],
        samples: int,
        probes: int,
        seed: int,
    ) -> tuple[float, ...]:
        """Return for each layer a measure of the Hessian of the training loss with regard to its
        pre-activations, over so many samples: the mean trace; the largest eigenvalue of the mean;
        or the mean of that over ten parts of the samples plus its deviation.
        """

    def squared_errors(
        self, accumulators: Sequence[Accumulator], samples: int
    ) -> list[list[float]]:
        """Return for each layer and accumulator the mean of ‖v̂ - v‖² over training samples, v
        from fp32 and with the inputs that fp32 gives.
        """


class Policy(BaseModel):
    """Which accumulator each output gets. Parameters are fields; a rule overrides `select`.

    With `last`, the last matrix product is accumulated in that format, and nothing of it is
    recomputed: see `policy_at`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_values: ClassVar[bool] = False
    """Whether the rule looks at more than shapes."""
    needs_exact: ClassVar[bool] = False
    """Whether the rule looks at what no machine knows: it is calibrated on the test set itself."""
    selects_by_values: ClassVar[bool] = False
    """Whether `select` looks at values. It is then asked about a batch of samples at a time, and
    each sample must be judged by itself, or with those of its `rows_together`; else about all
    samples of a layer, before the run."""
    always_shown: ClassVar[tuple[str, ...]] = ()
    by_layer: ClassVar[tuple[str, ...]] = ()
    """Parameters with a value for each matrix product."""
    one_of: ClassVar[tuple[str, ...]] = ()
    """Parameters of which at most one may be given, the one with a default first."""
    shared: ClassVar[tuple[str, ...]] = ("low", "high", "redo", "overflow", "last")
    """Parameters that rules share, which come after their own."""

    overflow: Overflow = "saturate"
    last: AccumulatorFormat | None = None

    @model_validator(mode="after")
    def _not_two(self) -> Self:
        given = [
            key
            for key in self.one_of
            if key in self.model_fields_set and getattr(self, key) is not None
        ]
        if len(given) > 1:
            values = " and ".join(f"{key} is {_plain(getattr(self, key))}" for key in given)
            raise ValueError(f"{values}, allowed is one of {', '.join(self.one_of)}")
        return self

    @property
    def first(self) -> Accumulator:
        """The accumulator of the first pass, over all outputs."""
        raise NotImplementedError

    @property
    def second(self) -> Accumulator | None:
        """The accumulator that selected outputs are recomputed in, if any can be."""
        return None

    def slices(self, layer: str, operands: FloatFormat, terms: int) -> Slices | None:
        """Return how operands of a layer are cut to be multiplied once more; None if they are not.

        Raises AccelsimError if they have to be, and cannot.
        """
        return None

    @property
    def calibrates(self) -> bool:
        """Whether the rule learns something from the training set."""
        return False

    @property
    def needs_mean_abs_sum(self) -> bool:
        """Whether the rule looks at the mean of S over the training set."""
        return False

    @property
    def needs_running(self) -> bool:
        """Whether the rule looks at the running error, which takes a slower first pass."""
        return False

    @property
    def has_needs(self) -> bool:
        """Whether the rule has an idea of what is `needed`."""
        return False

    @property
    def needs_sensitivities(self) -> bool:
        """Whether the rule looks at the Gauss-Newton diagonal over the training set."""
        return False

    @property
    def needs_effects(self) -> Literal["exact", "first-order"] | None:
        """How the effects that the rule looks at are found, if it looks at them."""
        return None

    @property
    def rows_together(self) -> int:
        """How many samples, from the first on, are judged together."""
        return 1

    @property
    def rate_across(self) -> float | None:
        """The share of the network's outputs that one threshold for all layers is to keep to."""
        return None

    def scores(self, layer: LayerView) -> Score:
        """Return the score of each output (m,n) of a batch, for a rule that learns."""
        raise NotImplementedError

    def select_by(self, layer: LayerView, scores: Score) -> Mask:
        """Return what `select` does, of these scores."""
        raise NotImplementedError

    def calibrate(self, layer: LayerView, scores: Score) -> Calibration | None:
        """Return what the rule learns from the scores (m,n) of all samples, and reorder them."""
        return None

    def detector(self, layer: LayerView) -> Detector | None:
        """Return what selecting costs a machine; None if it is done before the run, or never."""
        return None

    def select(self, layer: LayerView) -> Mask | None:
        """Return which outputs (m,n) of the layer are recomputed; None if none ever is."""
        return None

    def needed(self, layer: LayerView) -> Mask | None:
        """Return what the rule would select (m,n) if it saw exact values; None if it has no such
        idea. `layer` holds the values of an exact first pass.
        """
        return None

    def settled(self, facts: Facts) -> Policy:
        """Return the policy as it is for a network, of which these facts are known."""
        return self

    def at(self, index: int, number: int) -> Policy:
        """Return the rule for matrix product `index` of `number`, none of which is in `last`."""
        return self

    @classmethod
    def parameters(cls) -> list[str]:
        """Return the names of the parameters: those of `one_of`, others of the rule's own, and
        those that rules share.
        """
        shared = [key for key in cls.shared if key in cls.model_fields]
        first = [*cls.one_of, *shared]
        own = [key for key in cls.model_fields if key not in first]
        return [*cls.one_of, *own, *shared]

    def check_layers(self, number: int) -> None:
        """Raise AccelsimError unless parameters by layer have a value for each of `number`."""
        for key in self.by_layer:
            values = getattr(self, key)
            if values is not None and len(values) != number:
                raise AccelsimError(
                    f"policy {self.name}: {key} has {len(values)} values, expected {number}: one"
                    " for each matrix product of the workload"
                )

    def __str__(self) -> str:
        given = ",".join(f"{key}={_plain(getattr(self, key))}" for key in self._shown())
        return f"{self.name}:{given}" if given else self.name

    def _shown(self) -> list[str]:
        """Names of the parameters that make the policy what it is, or differ from the default."""
        fields = type(self).model_fields
        given = [key for key in self.one_of if getattr(self, key) is not None]
        hidden = set(self.one_of) - set(given[-1:])  # the first has a default, the others none
        return [
            key
            for key in self.parameters()
            if (key in self.always_shown or getattr(self, key) != fields[key].default)
            and key not in hidden
        ]


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(_plain(item) for item in value)
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
