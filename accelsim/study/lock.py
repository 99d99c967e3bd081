"""One process at a time on a study: a lock that ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from accelsim.errors import AccelsimError

FILE = ".lock"


class Lock:
    """A folder that this process has to itself until `close`."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def close(self) -> None:
        """Let others have the folder."""
        os.close(self._handle)


def lock(folder: Path, doing: str = "working on this study") -> Lock:
    """Have a folder to oneself. Raises AccelsimError if another process has it, `doing` the same.

    Where there is no `flock`, two processes may do a point both; it is still kept once.
    """
    path = folder / FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise AccelsimError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        import fcntl
    except ImportError:
        return Lock(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        who = "another"
        with contextlib.suppress(OSError):
            who = os.read(handle, 20).decode("ascii", "replace").strip()
        os.close(handle)
        raise AccelsimError(f"{folder}: process {who} is {doing}; wait for it, or end it") from None
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a number in it
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
    return Lock(handle)
