"""Keys without which a source cannot be read, added where its error leaves one way to do so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from search_spaces.errors import InputError

_SIZE = re.compile(r"such as \[(\d+), (\d+)\]")
_LAST_COLUMN = re.compile(r"column_1 to (column_\d+)")
_LONGEST_SIDE = 96  # chosen: photos train in minutes, and details of a hand's breadth stay


def add_missing_key(data: dict[str, Any], reasons: dict[str, str], error: InputError) -> bool:
    """Add the key that an error requests to the section `data`; return whether there was one to add.

    Args:
        data: the section.
        reasons: per key the reason for its value.
        error: the error of reading the data.
    """
    text = str(error)
    for key, (mark, value, reason) in _KEYS.items():
        if mark in text and key not in data:
            data[key], reasons[key] = value(text), reason
            return True
    return False


def _choose_size(text: str) -> list[int]:
    found = _SIZE.search(text)
    height, width = (int(found[1]), int(found[2])) if found else (64, 64)
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    return [max(1, round(height * shrink)), max(1, round(width * shrink))]


_KEYS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "header": (
        "looks like a row, not like names",
        lambda text: "none",
        "the first line looks like a row; `first` if it holds names",
    ),
    # Without a header a target has to be named.
    "target": (
        "expected one of these as the target",
        lambda text: found[1] if (found := _LAST_COLUMN.search(text)) else "column_1",
        "a guess, since it is the last column",
    ),
    "image_size": ("data.image_size", _choose_size, "height and width, since the pictures differ in size"),
    "drop_unlabelled": ("drop_unlabelled", lambda text: True, "rows without a target are left out"),
    "skip_broken": ("skip_broken", lambda text: True, "lines or pictures that cannot be read are left out"),
}
"""Per key: a part of its error, the value, and the reason for it."""
