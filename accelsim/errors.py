"""The errors a user can cause, each with one line that says how to mend it."""

from __future__ import annotations

from collections.abc import Iterable


def one_line(text: str) -> str:
    """Return text with everything a terminal would not print as itself escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


class AccelsimError(ValueError):
    """Bad input, described in one line per problem; the command line exits with status 2."""


class InputError(AccelsimError):
    """One or more problems in input files, all reported at once.

    `problems` holds one line each: file, line, key, what was given, what is allowed.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        given = (problems,) if isinstance(problems, str) else problems
        self.problems = tuple(one_line(problem) for problem in given)
        super().__init__("\n".join(self.problems))
