"""What determines a result, as one number: SHA-256 over a canonical form of its content."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

import accelsim

# These say how results are asked for, kept and shown, and not what they are.
_ELSEWHERE = {"cli", "report", "study", "demo.py", "progress.py"}
_HERE = {"keys.py", "work.py"}
_PACKAGES = ("numba", "numpy", "simpy")


def digest(*values: object) -> bytes:
    """Return 32 bytes that differ if any of `values` differs in its content or its kind.

    Takes numbers, text, arrays, lists, maps, dataclasses and pydantic models. Raises TypeError for
    anything else, as what it is could not be told from its fields.
    """
    found = hashlib.sha256()
    for value in values:
        _feed(found, value)
    return found.digest()


@functools.cache
def code_digest() -> bytes:
    """Return the digest of the code that computes results, and of the packages it computes with.

    What only asks for results or shows them (`cli`, `report`, most of `study`) has no part in it.
    """
    root = Path(accelsim.__file__).parent
    sources = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*.py")
        if _computes(path.relative_to(root))
    }
    return digest(sources, versions())


def versions() -> dict[str, str]:
    """Return the versions of what results are computed with."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


def _computes(path: Path) -> bool:
    first = path.parts[0]
    return first not in _ELSEWHERE or (first == "study" and path.name in _HERE)


def _feed(found: Any, value: object) -> None:
    """Add a value: its kind, how long it is, and what it holds, so that no two read alike."""
    match value:
        case None | bool() | int():
            _text(found, type(value).__name__, str(value))
        case float():
            _text(found, "float", value.hex())
        case str():
            _text(found, "str", value)
        case bytes():
            _head(found, "bytes", len(value))
            found.update(value)
        case np.ndarray():
            _array(found, value)
        case np.generic():
            _feed(found, value.item())
        case dict():
            _head(found, "dict", len(value))
            for key in sorted(value):
                _feed(found, key)
                _feed(found, value[key])
        case list() | tuple():
            _head(found, "list", len(value))
            for item in value:
                _feed(found, item)
        case type():
            _text(found, "type", value.__qualname__)
        case BaseModel():
            _text(found, "model", type(value).__qualname__)
            _feed(found, {name: getattr(value, name) for name in type(value).model_fields})
        case _ if dataclasses.is_dataclass(value):
            _text(found, "data", type(value).__qualname__)
            fields = dataclasses.fields(value)
            _feed(found, {field.name: getattr(value, field.name) for field in fields})
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


def _array(found: Any, value: np.ndarray[Any, Any]) -> None:
    if value.dtype.hasobject:
        raise TypeError("an array of objects has no canonical form")
    _text(found, "array", f"{value.dtype.str} {value.shape}")
    data = np.packbits(value) if value.dtype == np.bool_ else np.ascontiguousarray(value)
    found.update(data.tobytes())


def _text(found: Any, kind: str, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    _head(found, kind, len(data))
    found.update(data)


def _head(found: Any, kind: str, length: int) -> None:
    found.update(f"{kind}:{length}:".encode())
