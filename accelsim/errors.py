"""The errors a user can cause, each with one line that says how to mend it."""

from __future__ import annotations

from collections.abc import Iterable


class AccelsimError(ValueError):
    """Bad input, described in one line per problem; the command line exits with status 2."""


class InputError(AccelsimError):
    """One or more problems in input files, all reported at once.

    `problems` holds one line each: file, line, key, what was given, what is allowed.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))
