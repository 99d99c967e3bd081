"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from accelsim.errors import AccelsimError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    A link is followed, and what is not a regular file (a terminal, a pipe) is written to directly.
    Raises AccelsimError if the place cannot be written to; an old file is then left as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        target = path.resolve()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".accelsim.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be written: {error.strerror}") from None


def check_writable(path: Path) -> None:
    """Raise AccelsimError if `path` cannot be a file to write, before any work is done."""
    try:
        if path.is_dir():
            raise AccelsimError(f"{path}: is a directory, expected a file to write")
        target = path.resolve()
        if not target.parent.is_dir():
            raise AccelsimError(f"{path}: cannot be written: {path.parent} is not a directory")
        place = target.parent if target.is_file() or not target.exists() else target
        if not os.access(place, os.W_OK):
            raise AccelsimError(f"{path}: cannot be written: {place} is read-only")
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be written: {error.strerror}") from None
    except RuntimeError:
        raise AccelsimError(f"{path}: cannot be written: it is a link to itself") from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises AccelsimError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be made: {error.strerror}") from None
