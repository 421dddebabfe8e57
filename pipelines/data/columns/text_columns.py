"""Columns of sentences: which they are, and how many of their words a model gets.

A column of strings is text if at least half of its values differ, half of them have five words or more, and fewer than
half of their words hold digits; the study
file's `data.columns.<name>.type` overrides it. The deployed model splits a value at blanks, without punctuation and in
lower case (Keras's `TextVectorization`). Words of the training rows are numbered from 2 by how often they occur; 1 is a
word unknown from training, and 0 stands after the last word.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pipelines.data.array_types import Array
from pipelines.spec.data_spec import ColumnSpec

TEXT_WORDS = 5
TEXT_ROWS = 20  # in fewer rows sentences and long names look alike
MOST_WORDS = 20_000  # size of a vocabulary; KerasTuner's and Keras's text examples take this number
MOST_LENGTH = 512
_SAMPLE = 1_000
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
LENGTH_SHARE = 0.95  # rows whose words are all kept


@dataclass(frozen=True)
class TextPlan:
    """One column of text.

    Attributes:
        column: its index among the columns.
        length: number of words kept, from the first.
        words: size of the vocabulary, 0 (no word) and 1 (unknown from training) included.
    """

    column: int
    length: int
    words: int


def is_text(values: Array) -> bool:
    """Return whether strings [row], "" where missing, are sentences.

    >>> is_text(np.array(["it rained all day in town"] * 15 + [f"a b c d {i}" for i in range(30)], object))
    True
    >>> is_text(np.array([f"street {i}" for i in range(30)], object))
    False
    """
    known = values[values != ""]
    if len(known) < TEXT_ROWS or len(set(known.tolist())) * 2 < len(known):
        return False
    if float(np.median(_count_words(known))) < TEXT_WORDS:
        return False
    # An account's number in groups is no sentence.
    words = [word for text in known[:_SAMPLE] for word in split_text(text)]
    return sum(any(map(str.isdigit, word)) for word in words) * 2 < len(words)


def plan_text(index: int, values: Array, training: Sequence[Array], chosen: ColumnSpec | None) -> TextPlan:
    """Return how a column of text is encoded, the same for all folds.

    Args:
        index: the column's index.
        values: strings [row].
        training: per fold the numbers of its training rows.
        chosen: the study file's settings of the column.
    """
    rows = reduce(np.union1d, training)
    usual = int(np.quantile(_count_words(values[rows]), LENGTH_SHARE, method="higher"))
    # The fold with most words decides: all folds share the shape of the model's input.
    found = max(len({word for text in values[fold] for word in split_text(text)}) for fold in training)
    return make_text_plan(index, usual, found, chosen)


def make_text_plan(index: int, usual: int, found: int, chosen: ColumnSpec | None) -> TextPlan:
    """Return the encoding of a column of text.

    Args:
        index: the column's index.
        usual: number of words that most rows have at most.
        found: number of distinct words.
        chosen: the study file's settings of the column.
    """
    length = (chosen and chosen.length) or max(1, min(usual, MOST_LENGTH))
    return TextPlan(index, length, min(get_most_words(chosen), found + 2))


def get_most_words(chosen: ColumnSpec | None) -> int:
    """Return the largest vocabulary of a column of text."""
    return (chosen and chosen.vocabulary) or MOST_WORDS


def _count_words(values: Array) -> Array:
    return np.array([len(split_text(text)) for text in values])


def split_text(text: str) -> list[str]:
    """Return the words of a text."""
    # As `TextVectorization` does by default.
    return text.lower().translate(_NO_PUNCTUATION).split()
