"""Weights in NumPy archives: `<layer>.weight` (outputs, inputs) and `<layer>.bias` (outputs,)."""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.files import open_file

_MAX_HEADER_BYTES = 10_000


def read_weights(
    path: Path, shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Read the arrays named by `shapes` from the archive at `path`, as float32.

    Returns the arrays, and for each array that could not be taken one line saying why. Headers
    are compared with `shapes` before anything is unpacked, so that an archive cannot claim more
    memory than the network needs. Raises OSError or ValueError if there is no such archive.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    problems: dict[str, str] = {}
    stream = open_file(path)
    try:
        archive = zipfile.ZipFile(stream)
    except Exception as error:  # a damaged directory makes zipfile fail in many ways
        stream.close()
        if isinstance(error, OSError):
            raise
        raise ValueError("not a NumPy archive (npz)") from None
    with stream, archive:
        members = set(archive.namelist())
        for name, shape in shapes.items():
            if f"{name}.npy" not in members:
                problems[name] = f"no array {name!r} in it, expected one of shape {shape}"
                continue
            try:
                arrays[name] = _read_array(archive, name, shape)
            except AccelsimError as error:
                problems[name] = f"array {name!r} {error}"
            except Exception:  # so do damaged contents, and NumPy's reader of headers
                problems[name] = f"array {name!r} is damaged"
    return arrays, problems


def _read_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise AccelsimError("is compressed in a way that NumPy does not use")
    with archive.open(member) as stream:
        if npy.read_magic(stream) != (1, 0):
            raise AccelsimError("has a header that is not of version 1.0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that old versions of NumPy wrote
            given, fortran, dtype = npy.read_array_header_1_0(
                stream, max_header_size=_MAX_HEADER_BYTES
            )
        if dtype.kind != "f" or dtype.itemsize > 8:
            raise AccelsimError(f"holds {dtype}, expected float16, float32 or float64")
        if given != shape:
            raise AccelsimError(f"has shape {given}, expected {shape}")
        size = math.prod(shape) * dtype.itemsize
        data = stream.read(size)
        if len(data) < size:
            raise AccelsimError("is cut short")
        if stream.read(1):  # the end of the member is where its checksum is compared
            raise AccelsimError("has more data than its shape")
    values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    if not np.isfinite(values).all():
        raise AccelsimError("holds NaN or infinite values")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(array).all():
        raise AccelsimError("holds values beyond float32")
    return array
