"""Notes on a space: lists of two numbers, which are two choices and no range."""

from __future__ import annotations

from collections.abc import Iterator

from search_spaces.errors import Problem
from search_spaces.parameters import Categorical
from search_spaces.space import Space
from search_spaces.values import is_number
from search_spaces.yaml_document import Document

_APART = 8
"""Factor between two whole numbers from which a range is likelier than two sizes."""


def note_pairs_of_choices(space: Space, document: Document) -> Iterator[Problem]:
    """Yield a note for each hyperparameter that is a list of two numbers far apart."""
    for name, parameter in space.parameters.items():
        written = document.get(("space", name))
        if not isinstance(parameter, Categorical) or not isinstance(written, list) or len(written) != 2:
            continue
        low, high = written
        if not (is_number(low) and is_number(high)) or low >= high or (low > 0 and high / low < _APART):
            continue
        kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
        log = ", log: true" if low > 0 else ""
        message = (
            f"{name} is one of two values, {low} and {high}; to search all values between, write {name}: "
            f"{{type: {kind}, low: {low}, high: {high}{log}}}"
        )
        yield document.make_problem(("space", name), message)
