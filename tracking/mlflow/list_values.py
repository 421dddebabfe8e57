"""Cells that hold lists of numbers or of words: the one reading that training and a deployed model share.

A deployed model has a copy of this file beside its loader. Its input for a list of words is one string: the words with
a blank between, and a no-break space for a blank within a word. Keras's own layers split that and no other form.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cell_values import MISSING_WORDS, CellForm, clean_word, read_number, write_word

BLANKS = " "
"""The mark of entries with any blanks between."""
_WITHIN = "\u00a0"
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_QUOTES = "\"'"


def split_list(value: Any, mark: str) -> list[Any] | None:
    """Return the entries of a list, or of text with `mark` between them; None for a missing cell.

    >>> split_list("[1, 2]", ","), split_list("['a', 'b c']", ","), split_list("red  blue", " "), split_list("", ",")
    (['1', '2'], ['a', 'b c'], ['red', 'blue'], None)
    """
    if isinstance(value, list | tuple | np.ndarray):
        return list(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    if _BRACKETS.get(text[:1]) == text[-1:] and len(text) > 1:
        inner = text[1:-1].strip()
        return _split(inner, mark) if inner else []
    return _split(text, mark) if text and text.lower() not in MISSING_WORDS else None


def read_number_list(value: Any, form: CellForm, length: int) -> Any:
    """Return a cell as numbers, float64 [entry], NaN for missing ones; all NaN for a missing cell.

    Raises:
        ValueError: if it has another length, or an entry is no number.
    """
    entries = split_list(value, form.mark)
    if entries is None:
        return np.full(length, np.nan)
    if len(entries) != length:
        raise ValueError(f"expected {length} numbers, got {len(entries)}")
    return np.array([_read_entry(entry, form) for entry in entries], dtype=np.float64)


def join_words(value: Any, form: CellForm) -> str:
    """Return a list of words as the model's input; "" for a missing cell, and for one without a word.

    Raises:
        ValueError: if an entry is a list itself.
    """
    words = [_write_entry(entry, form) for entry in split_list(value, form.mark) or []]
    return " ".join(_WITHIN.join(word.split()) for word in words if word)


def split_words(joined: str) -> list[str]:
    """Return the words of a model's input, each as it stands in the vocabulary."""
    return joined.split(" ") if joined else []


def list_words(joined: str) -> list[str]:
    """Return the words of a model's input as their source has them."""
    return [word.replace(_WITHIN, " ") for word in split_words(joined)]


def _split(text: str, mark: str) -> list[str]:
    parts = text.split() if mark == BLANKS else text.split(mark)
    return [part.strip().strip(_QUOTES).strip() for part in parts]


def _read_entry(entry: Any, form: CellForm) -> float:
    if entry is None:
        return math.nan
    if isinstance(entry, int | float | np.number | np.bool_):
        return float(entry)
    word = str(entry).strip()
    if word in form.missing or word.lower() in {"", *MISSING_WORDS}:
        return math.nan
    number = read_number(word, form)
    if math.isnan(number):
        raise ValueError(f"expected a number, got {entry!r}")
    return number


def _write_entry(entry: Any, form: CellForm) -> str:
    if isinstance(entry, list | tuple | dict | np.ndarray):
        raise ValueError(f"expected words, got {type(entry).__name__}")
    return clean_word(entry, form) if isinstance(entry, str) else write_word(entry, form)
