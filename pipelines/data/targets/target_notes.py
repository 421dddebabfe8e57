"""Notes on a target: what its numbers were taken for, and classes that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pipelines.data.columns.text_types import PANDAS_MISSING, find_gap_word
from pipelines.data.prepared import TaskKind
from pipelines.data.targets.multi_label import MARKS
from pipelines.data.targets.target_cells import TargetCells
from pipelines.spec.data_spec import DataSpec

_MOST_SCORES = 30
_MOST_PAIRS = 3
_FEWEST_JOINED = 2
_AT_ENDS = ".,;:!\"'"


def note_target(
    name: str, column: TargetCells, kind: TaskKind, classes: Sequence[str], spec: DataSpec
) -> Iterator[str]:
    """Yield the notes on a target.

    Args:
        name: its name.
        column: its cells.
        kind: the task.
        classes: its classes; empty for a regression.
        spec: the study file's `data`.
    """
    if spec.task == "auto" and column.numbers is not None:
        yield from _note_numbers(name, column, kind, spec)
    gap = find_gap_word(classes) or next((word for word in classes if word in PANDAS_MISSING), "")
    if gap:
        yield (
            f'"{gap}" is a class of the target "{name}"; if it means "missing", set data.missing_values: '
            f"{{{show_word(name)}: [{show_word(gap)}]}} and data.drop_unlabelled: true"
        )
    if spec.task == "auto" and classes:
        yield from _note_joined_labels(name, classes, spec)
    # The commonest first: it is the one to keep.
    common = pd.Series(column.text).value_counts().index if classes else ()
    pairs = list(find_lookalikes([str(word) for word in common]))
    if pairs:
        shown = ", ".join(f"{show_word(one)} and {show_word(other)}" for one, other in pairs[:_MOST_PAIRS])
        more = f" and {len(pairs) - _MOST_PAIRS} more pairs" if len(pairs) > _MOST_PAIRS else ""
        rule = ", ".join(f"{show_word(other)}: {show_word(one)}" for one, other in pairs[:_MOST_PAIRS])
        advice = f"to join them, set data.columns.{name}.replace: {{{rule}}}"
        yield f"classes that look alike are different ones: {shown}{more}; {advice}"


def _note_joined_labels(name: str, classes: Sequence[str], spec: DataSpec) -> Iterator[str]:
    """Yield a note where classes are others put together, such as a;b beside a and b."""
    for mark in MARKS:
        joined = [each for each in classes if mark in each]
        labels = {label.strip() for each in classes for label in each.split(mark)}
        if (
            len(joined) >= _FEWEST_JOINED
            and len(labels) < len(classes)
            and len(labels & set(classes)) * 2 >= len(labels)
        ):
            yield (
                f'{len(joined)} of the {len(classes)} classes of the target "{name}" are several labels each, such as '
                f"{show_word(joined[0])}; to learn the {len(labels)} labels, set {spec.name_task(name, 'multi_label')}"
            )
            return


def find_lookalikes(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of words that differ in case, blanks, invisible signs or punctuation at their ends alone.

    Args:
        words: the distinct words, the commonest first.

    Yields:
        The word to keep, and another one. It is the commonest, but for one without punctuation at its end: otherwise
        one class of several would keep a dot that the others lose.
    """
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(simplify(word), []).append(word)
    for plain, group in groups.items():
        if plain:
            kept = next((word for word in group if _is_plain(word)), group[0])
            yield from ((kept, other) for other in group if other != kept)


def show_word(word: str) -> str:
    """Return a word in double quotes as YAML takes it, with escapes for what cannot be seen."""
    shown = "".join(f"\\u{ord(letter):04x}" if _is_unseen(letter) else letter for letter in word)
    return '"' + shown.replace('"', '\\"') + '"'


def _is_plain(word: str) -> bool:
    return word == word.strip(_AT_ENDS) and not any(map(_is_unseen, word))


def _is_unseen(letter: str) -> bool:
    """Return whether a letter looks like nothing, or like a blank that it is none."""
    return letter != " " and unicodedata.category(letter) in ("Cf", "Zs", "Cc")


def simplify(word: str) -> str:
    """Return a word in lower case without blanks, dashes and punctuation at its ends.

    >>> simplify("<=50K."), simplify("New-York "), simplify("new york")
    ('<=50k', 'newyork', 'newyork')
    """
    seen = "".join(letter for letter in word.casefold() if unicodedata.category(letter) != "Cf")
    # A dash at the end is none between words: A- and A are two grades.
    plain = re.sub(r"(?<=\w)[\s_-]+(?=\w)|[\s_]+", "", seen).strip(_AT_ENDS)
    # -1 and 1 are no pair.
    return word if re.fullmatch(r"[-+]?[\d.,]+", word.strip()) else plain


def _note_numbers(name: str, column: TargetCells, kind: TaskKind, spec: DataSpec) -> Iterator[str]:
    assert column.numbers is not None
    values = np.unique(column.numbers)
    if not np.equal(np.mod(values, 1), 0).all() or not 2 < len(values) <= _MOST_SCORES:
        return
    if len(values) * 5 > len(column.numbers):
        return
    listed = ", ".join(f"{value:g}" for value in values) if len(values) <= 10 else f"{values[0]:g} to {values[-1]:g}"
    found = f'the target "{name}" has {len(values)} whole numbers ({listed})'
    if kind == "multiclass":
        yield f"{found}, which are taken for classes; if they are amounts, set {spec.name_task(name, 'regression')}"
    elif kind == "regression":
        yield f"{found}, which are taken for amounts; if they are classes, set {spec.name_task(name, 'multiclass')}"
