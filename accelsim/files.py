"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from accelsim.errors import AccelsimError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    Raises AccelsimError if the place cannot be written to; an old file is then left as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be written: {error.strerror}") from None


def check_writable(path: Path) -> None:
    """Raise AccelsimError if `path` cannot be a file to write, before any work is done."""
    if path.is_dir():
        raise AccelsimError(f"{path}: is a directory, expected a file to write")
    if not path.absolute().parent.is_dir():
        raise AccelsimError(f"{path}: no such directory: {path.parent}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise AccelsimError(f"{path}: cannot be written: {path.parent} is read-only")
