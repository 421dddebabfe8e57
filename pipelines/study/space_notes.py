"""Notes on a space: lists of two numbers, which are two choices and no range; points that are not tried as written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from search_spaces.errors import Problem
from search_spaces.parameters import Categorical
from search_spaces.space import Space
from search_spaces.values import Value, format_value, is_number
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


def note_unused_points(space: Space, document: Document) -> Iterator[Problem]:
    """Yield a note for defaults and initial values that the first trials do not have as they are written."""
    defaults = space.make_defaults()
    if broken := space.find_violations(defaults):
        message = f"the defaults together break the constraint {broken[0]}: no trial begins with them"
        yield document.make_problem(("space", "constraints"), message)
    for place, point in enumerate(space.start_from):
        whole, path = space.complete_point(point), ("space", "start_from", place)
        for name in point:
            if name not in whole:
                yield document.make_problem((*path, name), _explain_unused(space, name, whole))
        if broken := space.find_violations(whole):
            message = f"with the defaults of what it leaves out, it breaks the constraint {broken[0]}: it is not tried"
            yield document.make_problem(path, message)


def _explain_unused(space: Space, name: str, whole: Mapping[str, Value]) -> str:
    """Return why a point, completed with defaults, has no value of a parameter."""
    when = space.parameters[name].when
    test = next(each for each in when if each.parent not in whole or not each.holds(whole[each.parent]))
    has = f"is {format_value(whole[test.parent])} there" if test.parent in whole else "does not exist there"
    return f"is left out: it needs {test}, and {test.parent} {has}; give {test.parent} in this point"
