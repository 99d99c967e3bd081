"""Which rule each layer gets: a table of formats, and a last layer in high precision."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.policies.base import AccumulatorFormat, ByLayer, Policy
from accelsim.policies.uniform import Uniform


class PerLayer(Policy):
    """Accumulate each layer in a format of its own; nothing is recomputed."""

    name: ClassVar[str] = "per-layer"
    summary: ClassVar[str] = "each layer in a format of its own"
    by_layer: ClassVar[tuple[str, ...]] = ("formats",)

    formats: Annotated[
        tuple[AccumulatorFormat, ...], ByLayer, Field(min_length=1, examples=["e4m3fn/fp16/fp32"])
    ]

    def at(self, index: int, number: int) -> Policy:
        """Return one format for the layer."""
        return Uniform(format=self.formats[index], overflow=self.overflow)


def policy_at(policy: Policy, index: int, number: int) -> Policy:
    """Return the rule that `policy` is for matrix product `index` of `number`.

    Raises AccelsimError if the policy names another number of layers.
    """
    policy.check_layers(number)
    if policy.last is not None and index == number - 1:
        wraps = isinstance(policy, Uniform) and policy.overflow == "wrap"  # floats cannot
        return Uniform(format=policy.last, overflow="saturate" if wraps else policy.overflow)
    return policy.at(index, number)
