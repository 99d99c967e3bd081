"""One accumulator for everything."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from accelsim.errors import AccelsimError
from accelsim.numerics import Accumulator, FixedFormat, FloatFormat
from accelsim.numerics.accumulator import PRESETS, added_in, check_choice
from accelsim.numerics.formats import parse_format
from accelsim.numerics.rounding import MAX_RANDOM_BITS
from accelsim.policies.base import HIGH, LOW, AccumulatorFormat, Facts, Policy

PUBLISHED: dict[str, Accumulator] = {
    **{name: Accumulator.preset(name) for name in PRESETS},
    # Liu et al., DeepSeek-V3, arXiv:2412.19437: Hopper's sums, promoted every 128 terms.
    "deepseek-v3": Accumulator(
        *("e8m13", "toward-zero"), group=32, align_bits=13, operands="e4m3fn",
        chunk=128, outer="fp32", outer_rounding="nearest-even",
    ),
    # Blumenfeld et al., arXiv:2401.14110: 12 bits, floor rounding; this bias is for sums below 32.
    "lba": Accumulator(
        *("e4m7b10", "downward"), overflow="saturate", chunk=16, outer="e4m7b10"
    ),
}  # fmt: skip
"""Accumulators that somebody has built, measured or proposed as a whole."""


def _any(value: object) -> FloatFormat | FixedFormat:
    if not isinstance(value, str | FloatFormat | FixedFormat):
        raise ValueError("expected the name of a format, such as fp16 or fixed16.10")
    fmt = parse_format(value)
    Accumulator(fmt, overflow="saturate")
    return fmt


def _known(name: str) -> str:
    check_choice("preset", name, tuple(PUBLISHED))
    return name


AnyFormat = Annotated[FloatFormat | FixedFormat, BeforeValidator(_any)]


class Uniform(Policy):
    """Accumulate all outputs in `format`, or as the accumulator called `preset` does.

    Products enter exactly. `rounding=stochastic` draws `random_bits` for each sum, which depend on
    `seed`, the layer, the sample, the output and the term alone. `order=kahan` compensates: four
    additions a term.
    """

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "every output in one accumulator, of a format or by name"
    one_of: ClassVar[tuple[str, ...]] = ("format", "preset")

    format: AnyFormat | None = None
    preset: Annotated[str, AfterValidator(_known)] | None = None
    rounding: Literal[
        "nearest-even", "nearest-away", "toward-zero", "upward", "downward", "stochastic"
    ] = "nearest-even"
    random_bits: Annotated[int, Field(ge=1, le=MAX_RANDOM_BITS)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0
    order: Literal["sequential", "kahan"] = "sequential"
    overflow: Literal["inf", "saturate", "wrap"] = "saturate"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.preset is not None:
            self._check_preset(self.preset)
        elif self.format is None:
            raise ValueError(
                "format and preset are missing, allowed is one of them, as in"
                " uniform:format=fp16 or uniform:preset=h100-e4m3"
            )
        else:
            self._check_random(self.format)
            _ = self.first  # what the accumulator itself refuses
        return self

    def _check_preset(self, preset: str) -> None:
        """Refuse what a preset settles by itself."""
        own = ("rounding", "random_bits", "seed", "order", "overflow")
        for key in own:
            if key in self.model_fields_set:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but preset {preset} has its own: allowed with"
                    " a preset is last alone"
                )

    def _check_random(self, fmt: FloatFormat | FixedFormat) -> None:
        """Refuse random bits that nothing draws, and drawing of nobody knows how many."""
        if self.rounding == "stochastic":
            if self.random_bits is None:
                raise ValueError(
                    "random_bits is missing with rounding stochastic: allowed are 1 to"
                    f" {MAX_RANDOM_BITS}, and what they add is charged"
                )
            added_in(fmt, self.rounding, self.random_bits)
            return
        for key in ("random_bits", "seed"):
            if getattr(self, key):
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but rounding {self.rounding} draws nothing:"
                    f" allowed is {key} with rounding=stochastic"
                )

    @property
    def first(self) -> Accumulator:
        """The only accumulator."""
        if self.preset is not None:
            return PUBLISHED[self.preset]
        assert self.format is not None
        rest: dict[str, Any] = {"overflow": self.overflow, "order": self.order}
        if self.random_bits is not None:
            rest |= {"random_bits": self.random_bits, "seed": self.seed}
        return Accumulator(self.format, self.rounding, **rest)

    def settled(self, facts: Facts) -> Policy:
        """Return the policy itself. Raises AccelsimError if its preset takes other operands."""
        wanted = self.first.operands
        if wanted is None:
            return self
        given = facts.layers[0].operand_format if facts.layers else wanted
        if given != wanted:
            takes = {name: acc.operands for name, acc in PUBLISHED.items()}
            allowed = [name for name, fmt in takes.items() if fmt in (None, given)]
            raise AccelsimError(
                f"policy {self.name}: preset {self.preset} takes operands in {wanted}, but the"
                f" workload's operand_format is {given}: allowed with it are {', '.join(allowed)}"
            )
        return self


class UniformLow(Policy):
    """Accumulate all outputs in the low format."""

    name: ClassVar[str] = "uniform-low"
    summary: ClassVar[str] = f"every output in {LOW}"

    format: AccumulatorFormat = LOW

    @property
    def first(self) -> Accumulator:
        """The only accumulator."""
        return Accumulator(self.format, overflow=self.overflow)


class UniformHigh(Policy):
    """Accumulate all outputs in the high format."""

    name: ClassVar[str] = "uniform-high"
    summary: ClassVar[str] = f"every output in {HIGH}"

    format: AccumulatorFormat = HIGH

    @property
    def first(self) -> Accumulator:
        """The only accumulator."""
        return Accumulator(self.format, overflow=self.overflow)
