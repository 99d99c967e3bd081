"""Policies: which outputs get which accumulator. One small file each."""

from __future__ import annotations

import difflib

from pydantic import ValidationError

from accelsim.errors import AccelsimError
from accelsim.policies.base import LayerValues, LayerView, Policy, RecomputingPolicy
from accelsim.policies.chunked import Chunked
from accelsim.policies.random import Random
from accelsim.policies.selective import Selective
from accelsim.policies.uniform import Uniform, UniformHigh, UniformLow

POLICIES: dict[str, type[Policy]] = {
    cls.name: cls for cls in (UniformLow, UniformHigh, Uniform, Chunked, Selective, Random)
}


def parse_policy(text: str | Policy) -> Policy:
    """Return the policy that `name` or `name:key=value,key=value` describes.

    Raises AccelsimError with one line that names what was given and what is allowed.
    """
    if isinstance(text, Policy):
        return text
    name, _, rest = text.partition(":")
    if name not in POLICIES:
        raise AccelsimError(f"policy: unknown name {name!r}{_hint(name, list(POLICIES))}")
    cls = POLICIES[name]
    allowed = list(cls.model_fields)
    parameters: dict[str, str] = {}
    for item in rest.split(",") if rest else []:
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise AccelsimError(f"policy {name}: got {item!r}, expected key=value")
        if key not in cls.model_fields:
            raise AccelsimError(f"policy {name}: unknown parameter {key!r}{_hint(key, allowed)}")
        if key in parameters:
            raise AccelsimError(f"policy {name}: parameter {key!r} is given twice")
        parameters[key] = value
    try:
        return cls(**parameters)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "missing":
            raise AccelsimError(
                f"policy {name}: parameter {key!r} is missing, as in {name}:{key}=fp16"
            ) from None
        if first["type"] == "value_error":
            raise AccelsimError(f"policy {name}: {key}: {first['ctx']['error']}") from None
        reason = first["msg"].removeprefix("Input should be ")
        raise AccelsimError(
            f"policy {name}: {key} is {first['input']!r}, expected: {reason}"
        ) from None


def _hint(given: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{suggestion} allowed are {', '.join(allowed)}"


__all__ = [
    "POLICIES",
    "Chunked",
    "LayerValues",
    "LayerView",
    "Policy",
    "Random",
    "RecomputingPolicy",
    "Selective",
    "Uniform",
    "UniformHigh",
    "UniformLow",
    "parse_policy",
]
