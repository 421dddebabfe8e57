"""Every error that kerastudy raises for a person to read.

::

    KerastudyError            exit code 1: a study or an export failed
    ├── InputError            exit code 2: one or more Problems in what was handed in
    └── StudyFailedError           a study ended without a usable trial

An `InputError` carries all problems found, not only the first, so that a study file is mended in one go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class KerastudyError(Exception):
    """Root of our errors; the doors print it without a traceback."""

    exit_code = 1


@dataclass(frozen=True)
class Place:
    """Where in a file a thing stands; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return `file:line:column`, the form editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (`place`, and the dotted `path` of the key), and what to do about it."""

    message: str
    path: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        """Return `file:line:column: space.l2: message`, leaving out what is not known."""
        return ": ".join(str(part) for part in (self.place, self.path, self.message) if part)


class InputError(KerastudyError):
    """What was handed in cannot be used; nothing has been written.

    Attributes:
        problems: everything found wrong, in the order of the file.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StudyFailedError(KerastudyError):
    """A study ended and no trial gave a usable model."""


def nearest(got: str, choices: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest choice, if one is close, and all choices.

    >>> nearest("lerning_rate", ["learning_rate", "l2"])
    'did you mean "learning_rate"? The choices are: l2, learning_rate'
    """
    known = sorted(choices)
    close = difflib.get_close_matches(got, known, n=1, cutoff=0.6)
    listed = f"The choices are: {', '.join(known)}" if known else "There are no choices here"
    return f'did you mean "{close[0]}"? {listed}' if close else listed
