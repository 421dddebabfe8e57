"""Errors that kerastudy raises for a person to read.

::

    KerastudyError            exit code 1: a study or an export failed
    ├── InputError            exit code 2: one or more Problems in the input
    │   ├── UnknownError           a study, trial or token that does not exist
    │   └── ConflictError          a study whose state does not allow the request, or that is another one
    ├── ModelChangedError          a model's files are not those that were registered
    └── StudyFailedError           a study ended without a usable trial

An `InputError` carries all problems found, not only the first, so that a study file is corrected in one go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

_MOST_COMPARED = 100
# difflib takes a time that grows with the square of the length, and a got name may be any text.
_LONGEST_COMPARED = 100
# Chosen: one wrong letter of three is close, and so are two of seven.
_CLOSE, _CLOSE_OF_SHORT, _SHORT = 0.7, 0.6, 4
_MOST_LISTED = 20
_MOST_NAMED = 100  # where none is close


class KerastudyError(Exception):
    """Root of these errors; the interfaces print it without a traceback."""

    exit_code = 1


@dataclass(frozen=True)
class Place:
    """A place in a file; `line` and `column` count from 1, and are 0 on the command line."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return `file:line:column`, the form editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One problem: where it is (`place`, and the dotted `path` of the key), and what to do about it."""

    message: str
    path: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        """Return `file:line:column: space.l2: message`, leaving out what is not known."""
        return ": ".join(str(part) for part in (self.place, self.path, self.message) if part)


class Fault(NamedTuple):
    """A problem with an object made in Python or read from a file, before its place is known.

    Attributes:
        keys: the path from the object to the faulty part; empty for the object as a whole.
    """

    keys: tuple[str | int, ...]
    message: str


class InputError(KerastudyError):
    """Input that cannot be used; nothing has been written.

    Attributes:
        problems: every problem found, in the order of the file.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownError(InputError):
    """A name of something that does not exist."""


class ConflictError(InputError):
    """A request that does not fit the state of a study."""


class ModelChangedError(KerastudyError):
    """A model's files are not those that were registered; nothing of it was loaded."""


class StudyFailedError(KerastudyError):
    """A study that ended without a usable model."""


def suggest_choice(got: str, choices: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest choice, and the list of choices if it is short.

    Case does not count, and the beginning or the initials of a name are close to it.

    >>> suggest_choice("lerning_rate", ["learning_rate", "l2"])
    'did you mean "learning_rate"? The choices are: l2, learning_rate'
    >>> suggest_choice("val_rmse", ["val_loss", "val_root_mean_squared_error"]).partition("?")[0]
    'did you mean "val_root_mean_squared_error"'
    """
    known = sorted(choices)
    if not known:
        return "there are no choices here"
    listed = ", ".join(known)
    close = find_closest(got, known)
    if close is None:
        more = f" and {len(known) - _MOST_NAMED:,} more" if len(known) > _MOST_NAMED else ""
        return f"the choices are: {', '.join(known[:_MOST_NAMED])}{more}"
    return f'did you mean "{close}"?' + (f" The choices are: {listed}" if len(known) <= _MOST_LISTED else "")


def find_closest(got: str, choices: Iterable[str]) -> str | None:
    """Return the choice that an unknown name is closest to; None where none is close."""
    got, by_lower = got.lower()[:_LONGEST_COMPARED], {name.lower(): name for name in sorted(choices)}
    # A comparison is slow; of very many names those of another length are the least likely.
    likely = sorted(by_lower, key=lambda name: abs(len(name) - len(got)))[:_MOST_COMPARED]
    # The most certain first: another case or initials, then a slip of the pen, then a beginning.
    close = [name for name in by_lower if name == got or _is_abbreviation(got, name)]
    slips = difflib.get_close_matches(got, likely, n=5, cutoff=_CLOSE if len(got) > _SHORT else _CLOSE_OF_SHORT)
    close += [name for name in slips if _has_close_words(got, name)]
    close += [name for name in by_lower if len(got) > 1 and name.startswith(got)]
    close += [name for name in by_lower if len(name) > 2 and got.startswith(name)]
    return by_lower[close[0]] if close else None


def _has_close_words(got: str, name: str) -> bool:
    """Return whether each word is close to the other's: missing_target is not meant for missing_values."""
    pairs = list(zip(got.split("_"), name.split("_"), strict=False))
    if len(pairs) < 2 or got.count("_") != name.count("_"):
        return True
    return all(difflib.SequenceMatcher(None, *pair).ratio() >= _CLOSE_OF_SHORT for pair in pairs)


def _is_abbreviation(got: str, name: str) -> bool:
    """Return whether the initials of the name's words, after words that both begin with, are equal to `got`."""
    words, short = name.split("_"), got.split("_")
    while len(words) > 1 and len(short) > 1 and words[0] == short[0]:
        words, short = words[1:], short[1:]
    return len(words) > 1 and "".join(word[:1] for word in words) == "".join(short)
