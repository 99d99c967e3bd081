"""Policies: which outputs get which accumulator. One small file each."""

from __future__ import annotations

import difflib

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from accelsim.errors import AccelsimError, InputError
from accelsim.policies.absolute import Absolute
from accelsim.policies.base import (
    Calibration,
    Facts,
    LayerFacts,
    LayerValues,
    LayerView,
    Policy,
)
from accelsim.policies.chunked import Chunked
from accelsim.policies.control import Control
from accelsim.policies.gauss_newton import GaussNewton
from accelsim.policies.hessian import Hessian
from accelsim.policies.l1_bound import L1Bound
from accelsim.policies.layers import PerLayer, policy_at
from accelsim.policies.look_ahead import LookAhead
from accelsim.policies.next_layer import NextLayer
from accelsim.policies.oracle import Oracle
from accelsim.policies.oracle_effect import OracleEffect
from accelsim.policies.path_norm import PathNorm
from accelsim.policies.random import Random
from accelsim.policies.recomputing import RecomputingPolicy
from accelsim.policies.selective import Selective
from accelsim.policies.spill import Spill
from accelsim.policies.static import Static
from accelsim.policies.threshold import least_threshold
from accelsim.policies.uniform import Uniform, UniformHigh, UniformLow
from accelsim.policies.variance_retention import VarianceRetention

_ALL: tuple[type[Policy], ...] = (
    *(UniformLow, UniformHigh, Uniform, PerLayer, Chunked, Spill),
    *(VarianceRetention, L1Bound, PathNorm, Hessian),
    *(Selective, Absolute, NextLayer, GaussNewton, LookAhead, Static),
    *(Random, Oracle, OracleEffect),
)
POLICIES = {cls.name: cls for cls in _ALL}


def parse_policy(text: str | Policy) -> Policy:
    """Return the policy that `name` or `name:key=value,key=value` describes.

    Raises AccelsimError with a line for every problem: what was given and what is allowed.
    """
    if isinstance(text, Policy):
        return text
    name, _, rest = text.partition(":")
    if name not in POLICIES:
        raise AccelsimError(f"policy: unknown name {name!r}{_hint(name, list(POLICIES))}")
    cls = POLICIES[name]
    parameters, problems = _parameters(rest, cls.parameters())
    try:
        policy = cls(**parameters)
    except ValidationError as error:
        problems += [_problem(cls, detail) for detail in error.errors()]
    if problems:
        raise InputError(f"policy {name}: {problem}" for problem in problems)
    return policy


def _parameters(rest: str, allowed: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return what is written after a policy's name, and what is wrong with how it is written."""
    parameters: dict[str, str] = {}
    problems = []
    for item in rest.split(",") if rest else []:
        key, equals, value = item.partition("=")
        if not equals or not value:
            problems.append(f"got {item!r}, expected key=value")
        elif key not in allowed:
            problems.append(f"unknown parameter {key!r}{_hint(key, allowed)}")
        elif key in parameters:
            problems.append(f"parameter {key!r} is given twice")
        parameters.setdefault(key, value)
    return {key: value for key, value in parameters.items() if key in allowed and value}, problems


def _problem(cls: type[Policy], detail: ErrorDetails) -> str:
    """Say what is wrong with one parameter, or with several together."""
    if not detail["loc"]:
        return str(detail["ctx"]["error"])
    key = str(detail["loc"][0])
    if detail["type"] == "missing":
        (example,) = cls.model_fields[key].examples or ["fp16"]
        return f"parameter {key!r} is missing, as in {cls.name}:{key}={example}"
    if detail["type"] == "value_error":
        return f"{key}: {detail['ctx']['error']}"
    reason = detail["msg"].removeprefix("Input should be ")
    return f"{key} is {detail['input']!r}, expected: {reason}"


def _hint(given: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(given, allowed, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{suggestion} allowed are {', '.join(allowed)}"


__all__ = [
    "POLICIES",
    "Absolute",
    "Calibration",
    "Chunked",
    "Control",
    "Facts",
    "GaussNewton",
    "Hessian",
    "L1Bound",
    "LayerFacts",
    "LayerValues",
    "LayerView",
    "LookAhead",
    "NextLayer",
    "Oracle",
    "OracleEffect",
    "PathNorm",
    "PerLayer",
    "Policy",
    "Random",
    "RecomputingPolicy",
    "Selective",
    "Spill",
    "Static",
    "Uniform",
    "UniformHigh",
    "UniformLow",
    "VarianceRetention",
    "least_threshold",
    "parse_policy",
    "policy_at",
]
