"""Reading files that are files, and writing them whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from accelsim.errors import AccelsimError


class NotAFileError(ValueError):
    """What is no regular file, and not handed over by a shell either."""

    def __init__(self) -> None:
        super().__init__("is not a regular file")


_HANDED_OVER = (Path("/dev/stdin"), Path("/dev/fd"), Path("/proc/self/fd"))


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe only where a shell hands one over, as /dev/stdin.

    A pipe in a folder might never be written to, and a terminal is no file. Raises OSError, or
    NotAFileError.
    """
    handed_over = path in _HANDED_OVER or path.parent in _HANDED_OVER
    # Without this flag, opening a pipe waits until something writes to it.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if handed_over else os.O_NONBLOCK))
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        os.close(handle)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode) and not (handed_over and stat.S_ISFIFO(mode)):
        os.close(handle)
        raise NotAFileError
    return os.fdopen(handle, "rb")


def same_file(path: Path, other: Path) -> bool:
    """Return whether both are names of one file that exists."""
    try:
        return path.samefile(other)
    except (OSError, RuntimeError):
        return False


def write_whole(path: Path, content: bytes | str, follow: bool = True) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    With `follow`, a link is followed, and what is not a regular file (a terminal, a pipe) is
    written to directly. Raises AccelsimError if the place cannot be written to; an old file is
    then left as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if follow and path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        target = path.resolve() if follow else path
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


def check_own(path: Path) -> None:
    """Raise AccelsimError if `path` is there and no regular file: a link may lead anywhere."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise AccelsimError(f"{path}: is not a regular file, and would be written over; move it")


def write_own(path: Path, content: str) -> None:
    """Write a file of a folder that is accelsim's, whole and never through a link.

    Raises AccelsimError as `check_own` and `write_whole` do.
    """
    check_own(path)
    # A link that was made since is replaced.
    write_whole(path, content, follow=False)


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
