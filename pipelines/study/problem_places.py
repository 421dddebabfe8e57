"""Places of problems in a study file: which line and column a key is at, and the order of the file."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.spec.error_messages import split_keys
from search_spaces.errors import Problem
from search_spaces.yaml_document import Document


def locate_problem(document: Document, problem: Problem) -> Problem:
    """Return a problem with the place of its key; one without such a key stays as it is."""
    return document.make_problem(split_keys(document.data, problem.path), problem.message)


def sort_problems(document: Document, problems: Sequence[Problem]) -> list[Problem]:
    """Return problems from top to bottom: of the file first, then of other files and of the command line."""

    def order(problem: Problem) -> tuple[bool, int, int]:
        place = problem.place
        return (place is None or place.file != document.file, *((place.line, place.column) if place else (0, 0)))

    # One cause may be found by two checks.
    return sorted(dict.fromkeys(problems), key=order)
