"""IDX files, the form in which MNIST and its successors are distributed, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import AccelsimError
from accelsim.files import open_file

_UNSIGNED_BYTES = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, item_shape: tuple[int, ...], most_items: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, at most `most_items` of `item_shape`.

    Returns an array (items, *item_shape). Raises AccelsimError if the file is not what it says, or
    holds something else. No more is unpacked than its header announces, and what that may be is
    known beforehand. The format is that of http://yann.lecun.com/exdb/mnist.
    """
    try:
        with open_file(path) as stream:
            packed = stream.read(2) == _GZIP_MAGIC
            stream.seek(0)
            # It is a stream of bytes like any other, whatever its class says.
            source = cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if packed else stream
            return _read(source, path, item_shape, most_items)
    except (gzip.BadGzipFile, zlib.error):
        raise AccelsimError(f"{path}: is damaged: it does not unpack to what was packed") from None
    except EOFError:
        raise AccelsimError(f"{path}: is cut short") from None
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, AccelsimError):
            raise
        raise AccelsimError(f"{path}: {error}") from None


def _read(
    stream: IO[bytes], path: Path, item_shape: tuple[int, ...], most_items: int
) -> NDArray[np.uint8]:
    dimensions = 1 + len(item_shape)
    header = stream.read(4 + 4 * dimensions)
    magic = bytes((0, 0, _UNSIGNED_BYTES, dimensions))
    if header[:4] != magic:
        raise AccelsimError(
            f"{path}: is no IDX file of bytes in {dimensions} dimensions: it begins with"
            f" {header[:4].hex() or 'nothing'}, expected {magic.hex()}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise AccelsimError(f"{path}: is cut short")
    items, *given = (int(size) for size in np.frombuffer(header, ">u4", offset=4))
    if tuple(given) != item_shape:
        raise AccelsimError(f"{path}: holds items of shape {tuple(given)}, expected {item_shape}")
    if not 1 <= items <= most_items:
        raise AccelsimError(f"{path}: announces {items} items, expected 1 to {most_items}")
    size = items * math.prod(item_shape)
    data = stream.read(size)
    if len(data) < size:
        raise AccelsimError(f"{path}: is cut short: {len(data)} of {size} bytes")
    if stream.read(1):  # at the end a gzipped file's checksum is compared, too
        raise AccelsimError(f"{path}: has more data than the {items} items that it announces")
    return np.frombuffer(data, np.uint8).reshape(items, *item_shape)
