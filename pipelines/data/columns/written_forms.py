"""Columns of numbers that are written in parts: 1 1/2, 52°31'N, 3 years 2 months, 5'11".

Found where every word is such a number and at least one shows it: 3/4 alone may be a score or a day, and is read as a
number only where another value has a whole number beside its fraction, or where the study file declares numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from pipelines.data.columns.places import is_latitude, is_longitude
from tracking.mlflow.cell_values import CellForm, read_words
from tracking.mlflow.written_numbers import (
    DEGREES,
    FEET,
    FRACTIONS,
    MONTHS,
    find_direction,
    has_feet_and_inches,
    has_months_and_years,
    is_mixed,
    read_written,
)

_FEWEST = 5  # distinct fractions that may be measurements
_PARTS = frozenset({2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 64})
_FRACTION = re.compile(r"(\d+)/(\d+)")
# Words that show by themselves how a column is written.
_SIGNS = {FRACTIONS: is_mixed, MONTHS: has_months_and_years, FEET: has_feet_and_inches}


def find_written_form(words: Sequence[str], name: str, *, is_number: bool) -> CellForm | None:
    """Return the form in which all words are numbers written in parts; None where there is none.

    Args:
        words: the distinct words, without missing ones.
        name: the column's name: 52.5 N without a sign of degrees is a latitude where the name shows it.
        is_number: whether the study file declares numbers.
    """
    for written in (FRACTIONS, DEGREES, MONTHS, FEET):
        form = CellForm(written=written)
        # A few first: most columns fail there.
        if words and _are_numbers(words[:50], form) and _are_numbers(words, form):
            return form if _is_shown(words, name, written, is_number=is_number) else None
    return None


def note_written(words: Sequence[str], form: CellForm, name: str) -> str:
    """Return the note on a column that is read as numbers written in parts."""
    example = next((word for word in words if any(shows(word) for shows in _SIGNS.values())), words[0])
    advice = f"if they are categories, set data.columns.{name}.type: string"
    return f'column "{name}" holds numbers such as {example!r}, read as {describe_written(example, form)}; {advice}'


def describe_written(word: str, form: CellForm) -> str:
    """Return the number that a word writes in parts, with its unit.

    >>> describe_written("3 years 2 months", CellForm(written=MONTHS))
    '38 months'
    """
    unit = {MONTHS: " months", FEET: " inches", DEGREES: " degrees, below 0 in the south or west"}.get(form.written, "")
    return f"{read_written(word, form.written):.6g}{unit}"


def note_fractions(words: Sequence[str], name: str) -> str:
    """Return a note on categories that may be fractions, such as 3/4; "" where they are few, or others."""
    parts = [_FRACTION.fullmatch(word) for word in words]
    if len(words) < _FEWEST or not all(parts):
        return ""
    pairs = [(int(each[1]), int(each[2])) for each in parts if each is not None]
    if not all(0 <= top <= bottom and bottom in _PARTS for top, bottom in pairs):
        return ""
    return (
        f'column "{name}" holds fractions such as {words[0]!r}, which are taken for categories; to read them as '
        f"numbers, set data.columns.{name}.type: numeric"
    )


def _are_numbers(words: Sequence[str], form: CellForm) -> bool:
    return bool(np.isfinite(read_words(words, "numeric", form)).all())


def _is_shown(words: Sequence[str], name: str, written: str, *, is_number: bool) -> bool:
    if written == DEGREES:
        directions = {find_direction(word) for word in words}
        if not (is_number or is_latitude(name) or is_longitude(name) or all("°" in word for word in words)):
            return False
        return directions <= set("NS") or directions <= set("EW")
    if is_number:
        return True
    return any(map(_SIGNS[written], words))
