"""Longitudes of tables that cover much of the earth, found by their names and ranges.

A longitude of 179 is beside one of -179. Its sine and cosine show that to a network; its number alone does not. Columns
of a town or a country are left as they are: there it changes nothing (`benchmarks/places.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

DEGREES = 360.0
WIDE = 60.0
"""Degrees that longitudes span from which their circle is a feature; chosen."""
_LATITUDE = re.compile(r"(?<![a-z])(?:lat|latitude|breitengrad)(?![a-z])")
_LONGITUDE = re.compile(r"(?<![a-z])(?:lon|lng|long|longitude|l[äa]ngengrad|laengengrad)(?![a-z])")

Range = tuple[float, float]


def is_longitude(name: str) -> bool:
    """Return whether a column has the name of a longitude.

    >>> is_longitude("pickupLongitude"), is_longitude("lng"), is_longitude("belong")
    (True, True, False)
    """
    return _LONGITUDE.search(_split_words(name)) is not None


def is_latitude(name: str) -> bool:
    """Return whether a column has the name of a latitude."""
    return _LATITUDE.search(_split_words(name)) is not None


def find_longitudes(ranges: Mapping[str, Range]) -> dict[str, str]:
    """Return the longitudes that span much of the earth, each with the latitude of the same name but for that word.

    Args:
        ranges: the smallest and the largest value of columns of numbers.
    """
    latitudes = {_LATITUDE.sub("", _split_words(name)): name for name in ranges if is_latitude(name)}
    found = {}
    for name, (low, high) in ranges.items():
        latitude = latitudes.get(_LONGITUDE.sub("", _split_words(name))) if is_longitude(name) else None
        if latitude is None or not (low >= -180 and high <= 360 and high - low >= WIDE):
            continue
        if ranges[latitude][0] >= -90 and ranges[latitude][1] <= 90:
            found[name] = latitude
    return found


def _split_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
