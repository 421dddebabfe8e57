"""Numbers that are written in parts: 1 1/2, 52°31'N, 3 years 2 months, 5'11".

A deployed model has a copy of this file beside its loader, so nothing of kerastudy is imported here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping

FRACTIONS, DEGREES, MONTHS, FEET = "fractions", "degrees", "months", "feet"
"""How a column of numbers is written: as fractions, degrees with their direction, years and months, feet and inches."""

_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_FRACTION = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<plain>\d+(?:\.\d+)?)|(?:(?P<whole>\d+)(?:[ -](?=\d)|\ ?(?=[{_VULGAR}])))?"
    rf"(?:(?P<top>\d+)[/\u2044](?P<bottom>0*[1-9]\d*)|(?P<glyph>[{_VULGAR}])))"
)
_NUMBER = r"\d+(?:[.,]\d+)?"
_DEGREES = re.compile(
    rf"(?P<before>[NSEW])? ?(?P<degrees>{_NUMBER})(?: ?°)?(?: ?(?P<minutes>{_NUMBER}) ?['\u2032\u2019])?"
    rf"(?: ?(?P<seconds>{_NUMBER}) ?(?:[\"\u2033\u201d]|''))? ?(?P<behind>[NSEW])?"
)
_YEAR = r"(?:years?|yrs?\.?|Years?|Jahre?|ans?|años?)"
_MONTH = r"(?:months?|mos?\.?|Months?|Monate?|mois|mes(?:es)?)"
_MONTHS = re.compile(
    rf"P(?=\d)(?:(?P<iso_years>\d+)Y)?(?:(?P<iso_months>\d+)M)?"
    rf"|(?:(?P<years>{_NUMBER}) ?{_YEAR})?(?:(?:,? (?:and |und |et |y )?)?(?P<months>{_NUMBER}) ?{_MONTH})?"
)
# Inches have no leading zero: 5'05" are minutes and seconds.
_FEET = re.compile(
    r"(?P<feet>\d+) ?(?:'|\u2032|\u2019|ft\.?|feet|foot)(?:[ ,-]{0,2}(?P<inches>(?:0|[1-9]\d?)(?:\.\d+)?)"
    r" ?(?:\"|''|\u2033|\u201d|in\.?|inch(?:es)?)?)?"
)


def read_written(word: str, written: str) -> float:
    """Return the number that a word writes in parts: degrees below zero are south or west; NaN if it writes none.

    Args:
        word: without blanks around.
        written: one of the ways above.

    >>> read_written("1 1/2", FRACTIONS), read_written("33°30'S", DEGREES), read_written("3 years 2 months", MONTHS)
    (1.5, -33.5, 38.0)
    >>> read_written("5'11", FEET), read_written("6 ft 2 in", FEET), read_written("5'30", FEET)
    (71.0, 74.0, nan)
    """
    return _READERS[written](word)


def is_mixed(word: str) -> bool:
    """Return whether a word is a number beside a fraction, such as 1 1/2, or has the sign of a fraction, such as ½."""
    found = _FRACTION.fullmatch(word)
    return found is not None and bool(found["glyph"] or found["whole"])


def find_direction(word: str) -> str:
    """Return the direction of degrees: N, S, E or W; "" for none."""
    found = _DEGREES.fullmatch(word)
    return (found["before"] or found["behind"] or "") if found else ""


def has_months_and_years(word: str) -> bool:
    """Return whether a word has years beside months, or is ISO 8601's: numbers with a single unit may be anything."""
    found = _MONTHS.fullmatch(word)
    return found is not None and (word.startswith("P") or bool(found["years"] and found["months"]))


def has_feet_and_inches(word: str) -> bool:
    """Return whether a word has inches beside feet."""
    found = _FEET.fullmatch(word)
    return found is not None and found["inches"] is not None


def _read_fraction(word: str) -> float:
    found = _FRACTION.fullmatch(word)
    if found is None:
        return math.nan
    if found["plain"]:
        size = float(found["plain"])
    else:
        part = unicodedata.numeric(found["glyph"]) if found["glyph"] else int(found["top"]) / int(found["bottom"])
        size = int(found["whole"] or 0) + part
    return -size if found["sign"] == "-" else size


def _read_degrees(word: str) -> float:
    found = _DEGREES.fullmatch(word)
    # Either side, and one of them only.
    if found is None or bool(found["before"]) == bool(found["behind"]):
        return math.nan
    degrees, minutes, seconds = (_read(found[name]) for name in ("degrees", "minutes", "seconds"))
    direction = find_direction(word)
    size = degrees + minutes / 60 + seconds / 3600
    if minutes >= 60 or seconds >= 60 or size > (90 if direction in "NS" else 180):
        return math.nan
    return -size if direction in "SW" else size


def _read_months(word: str) -> float:
    found = _MONTHS.fullmatch(word)
    if found is None or not any(found.groups()):
        return math.nan
    if word.startswith("P"):
        return 12 * _read(found["iso_years"]) + _read(found["iso_months"])
    return 12 * _read(found["years"]) + _read(found["months"])


def _read_feet(word: str) -> float:
    found = _FEET.fullmatch(word)
    if found is None or _read(found["inches"]) >= 12:
        return math.nan
    return 12 * _read(found["feet"]) + _read(found["inches"])


def _read(number: str | None) -> float:
    return float(number.replace(",", ".")) if number else 0.0


_READERS: Mapping[str, Callable[[str], float]] = {
    FRACTIONS: _read_fraction,
    DEGREES: _read_degrees,
    MONTHS: _read_months,
    FEET: _read_feet,
}
