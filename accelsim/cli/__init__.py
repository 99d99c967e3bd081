"""The command line: the only print, the only exit.

Importing all that the commands need takes a second. This module needs nothing, so that an
interrupt in that second also ends in one line.
"""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = "interrupted; nothing half done was kept"
INTERRUPTED_STATUS = 130


def main() -> None:
    """Run the command line. Exit status 0, or 2 with a line per problem for bad input."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        # An exception could be caught, or turned into another, by whatever is being imported.
        signal.signal(signal.SIGINT, _leave)
    from accelsim.cli.commands import main as run_commands

    signal.signal(signal.SIGINT, before)
    run_commands()


def _leave(*_: object) -> None:
    """End the process at once: nothing has been begun that would have to be undone."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_STATUS)
