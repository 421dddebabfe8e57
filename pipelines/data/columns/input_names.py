"""Names of a table's columns as inputs of the exported model."""

from __future__ import annotations

import keyword
import re


def make_input_names(columns: list[str]) -> dict[str, str]:
    """Return each column's name in the exported model.

    TensorFlow's signatures accept letters, digits and underscores after a first letter, ignore case, and refuse
    `self` and Python's keywords; Keras refuses slashes.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    # Plain names first: they stay as they are, whatever a cleaned name turns into.
    for column in sorted(columns, key=lambda name: (not _is_plain(name), columns.index(name))):
        plain = column if _is_plain(column) else re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", column)).strip("_")
        if not plain or not plain[0].isalpha() or _is_reserved(plain):
            plain = f"column_{plain}" if plain else "column"
        name, count = plain, 2
        # By lower case: TensorFlow's signatures do not distinguish the case.
        while name.lower() in taken:
            name, count = f"{plain}_{count}", count + 1
        taken.add(name.lower())
        names[column] = name
    return names


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and not _is_reserved(name)


def _is_reserved(name: str) -> bool:
    # The inputs of a signature are parameters of a Python function.
    return name == "self" or keyword.iskeyword(name)
