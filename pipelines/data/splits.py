"""Splits of the rows into training, validation and test rows, the last for the winner alone.

Every row is in exactly one part, or with folds either in the test part or in the validation part of exactly one fold.
The split depends on the seed and the labels alone. A class's share of a part differs from its share of all rows
by less than one row: rows are put in random order within their class, classes one after the other, and a part takes
evenly spaced positions of that order. One row of every class of fewer than 10 rows is kept for training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.division import Division
from pipelines.data.raw import PARTS, RawData
from pipelines.data.tabular_files import select_column
from pipelines.data.targets import Labels
from pipelines.spec.data_spec import DataSpec, SplitSpec
from search_spaces.errors import InputError, Problem, suggest_choice

RARE_ROWS = 10  # chosen; smaller classes could lose all their rows to the other parts


@dataclass(frozen=True)
class Split:
    """The part and fold of each row.

    Attributes:
        part: [row] `train`, `validation` or `test`; with folds `train` for every row that is not `test`. `left out`
            is no part: see `Division.holds_out`.
        fold: [row] the fold that the row validates; -1 for test rows, and everywhere without folds.
        folds: number of folds; 1 without cross-validation.
        notes: measures for classes with too few rows.
        trains_on_all: whether training uses the validation rows too.
    """

    part: Array
    fold: Array
    folds: int
    notes: tuple[str, ...] = ()
    trains_on_all: bool = False

    def select_rows(self, part: str, fold: int = 0) -> Array:
        """Return the row numbers of a part, in the source's order."""
        if self.trains_on_all and part == "train":
            return np.flatnonzero((self.part == "train") | (self.part == "validation"))
        if self.folds == 1 or part == "test":
            return np.flatnonzero(self.part == part)
        # Test rows have the fold -1 and train nothing.
        chosen = (self.fold == fold) if part == "validation" else (self.fold != fold) & (self.fold >= 0)
        return np.flatnonzero(chosen)


def split_rows(raw: RawData, labels: Labels, spec: DataSpec) -> Split:
    """Return the split that the study file declares.

    Raises:
        InputError: if a part would be empty, a class has no training row, or there are more folds than rows.
    """
    if spec.split.column is not None:
        split = Split(_read_column(raw, spec.split.column), np.full(raw.rows, -1), 1)
    elif spec.split.folds is not None:
        split = _split_into_folds(raw, labels, spec.split, spec.split.folds)
    else:
        split = _split_by_shares(raw, labels, spec.split)
    _check_parts(split, labels)
    return split


def divide_again(split: Split, labels: Labels, spec: DataSpec, division: Division) -> Split:
    """Return another split of the rows.

    Args:
        split: the declared split.
        labels: the labels of all rows.
        spec: the study file's `data`.
        division: the other division.

    Raises:
        InputError: if there are too few rows for it.
    """
    if division.holds_out:
        split = _hold_out(split, labels, spec.split)
    if (folds := division.folds) is None:
        return split
    if folds == 1:
        # Trainers need some validation rows, even if these are trained on: the first fold's.
        first = split.select_rows("validation") if split.folds > 1 else ()
        part = split.part.copy()
        part[np.asarray(first, dtype=np.int64)] = "validation"
        return Split(part, np.full(len(part), -1), 1, split.notes, trains_on_all=True)
    part = np.where(split.part == "test", "test", "train").astype("<U10")
    fold = _assign_folds(np.flatnonzero(part == "train"), labels, spec.split, folds, "selection.folds")
    again = Split(part, fold, folds, split.notes)
    _check_parts(again, labels)
    return again


def _hold_out(split: Split, labels: Labels, spec: SplitSpec) -> Split:
    """Return the split with half of the validation rows, of the first fold with folds, in place of the test rows."""
    rows = split.select_rows("validation")
    if len(rows) < 2:
        raise InputError(Problem(f"2 validation rows are needed to hold one out, got {len(rows)}", "selection.refit"))
    strata = labels.y[rows] if spec.stratify and labels.classes else np.zeros(len(rows), dtype=np.int64)
    part = np.where(split.part == "test", "left out", "train").astype("<U10")
    part[rows] = "validation"
    part[_pick_rows(rows, strata, len(rows) // 2, np.random.default_rng(spec.seed))] = "test"
    return Split(part, np.full(len(part), -1), 1, split.notes)


def _read_column(raw: RawData, name: str) -> Array:
    key = "data.split.column"
    if raw.table is None:
        raise InputError(Problem("this source has no columns; use shares, folds or separate files", key))
    columns = [str(column) for column in raw.table.columns]
    if name not in columns:
        raise InputError(Problem(f'there is no column "{name}"; {suggest_choice(name, columns)}', key))
    words = pd.Series(select_column(raw.table, name).astype(object)).map(lambda cell: str(cell).strip().lower())
    wrong = np.flatnonzero(~words.isin(PARTS))
    if len(wrong):
        got = select_column(raw.table, name).iloc[wrong[0]]
        message = f'column "{name}": expected {", ".join(PARTS)}, got {got!r} at {raw.format_place(int(wrong[0]))}'
        raise InputError(Problem(message, key))
    return words.to_numpy(dtype=str)


def _split_by_shares(raw: RawData, labels: Labels, split: SplitSpec) -> Split:
    random = np.random.default_rng(split.seed)
    # <U10: NumPy would cut "validation" off at the longest word so far.
    part = np.where(raw.given == "", "train", raw.given).astype("<U10")
    free = np.flatnonzero(raw.given == "")
    strata, notes = _assign_strata(labels, free, split, random)
    wanted = {"test": split.test, "validation": split.validation}
    for word, share in wanted.items():
        if share == 0 or (raw.given == word).any():
            continue
        count = max(1, round(share * len(free)))
        left = np.flatnonzero((part == "train") & (raw.given == "") & (strata >= 0))
        if count >= len(left):
            message = f"{len(free)} rows are too few for a {word} share of {share:g}"
            raise InputError(Problem(message, f"data.split.{word}"))
        part[_pick_rows(left, strata[left], count, random)] = word
    return Split(part, np.full(raw.rows, -1), 1, notes)


def _split_into_folds(raw: RawData, labels: Labels, split: SplitSpec, folds: int) -> Split:
    given_test = bool((raw.given == "test").any())
    # `model_copy` does not validate: a share of 0 would be refused.
    whole = split.model_copy(update={"folds": None, "validation": 0.0, "test": 0.0 if given_test else split.test})
    part = _split_by_shares(raw, labels, whole).part
    return Split(part, _assign_folds(np.flatnonzero(part == "train"), labels, split, folds, "data.split.folds"), folds)


def _assign_folds(left: Array, labels: Labels, split: SplitSpec, folds: int, key: str) -> Array:
    """Return per row the fold that it validates, of the rows that are `left`; -1 for all others."""
    random = np.random.default_rng(split.seed)
    if folds > len(left):
        message = f"{folds} folds need at least {folds} rows that are not test rows, got {len(left)}"
        raise InputError(Problem(message, key))
    strata = np.zeros(len(labels.y), dtype=np.int64)
    if split.stratify and labels.classes:
        counts = np.bincount(labels.y[left], minlength=len(labels.classes))
        rarest = int(counts.argmin())
        if counts[rarest] < folds:
            message = (
                f"{folds} folds need {folds} rows of every class that are not test rows, but class "
                f'"{labels.classes[rarest]}" has {counts[rarest]}; use fewer folds or set stratify: false'
            )
            raise InputError(Problem(message, key))
        strata = labels.y.astype(np.int64)
    # Dealing out rows in the order of their classes spreads each class evenly over the folds.
    ordered = _shuffle_within(left, strata[left], random)
    fold = np.full(len(labels.y), -1)
    fold[ordered] = np.arange(len(ordered)) % folds
    return fold


def _assign_strata(
    labels: Labels, free: Array, split: SplitSpec, random: np.random.Generator
) -> tuple[Array, tuple[str, ...]]:
    """Return per row its stratum, -1 if training needs the row; and notes."""
    strata = np.zeros(len(labels.y), dtype=np.int64)
    if not labels.classes:
        return strata, ()
    counts = np.bincount(labels.y[free], minlength=len(labels.classes))
    if split.stratify:
        strata = labels.y.astype(np.int64)
    for index in np.flatnonzero((counts > 0) & (counts < RARE_ROWS)):
        strata[random.choice(free[labels.y[free] == index])] = -1
    single = np.flatnonzero(counts == 1)
    named = ", ".join(f'"{labels.classes[index]}"' for index in single[:10])
    return strata, (f"classes with a single row, kept for training: {named}",) if len(single) else ()


def _pick_rows(rows: Array, strata: Array, count: int, random: np.random.Generator) -> Array:
    """Return `count` of the rows, evenly spread over the strata and random within each."""
    ordered = _shuffle_within(rows, strata, random)
    # The factor below 1 prevents that rounding makes one step too many.
    steps = np.floor((np.arange(len(rows) + 1) * count) / len(rows) + random.random() * (1 - 1e-9))
    return ordered[np.diff(steps) > 0]


def _shuffle_within(rows: Array, strata: Array, random: np.random.Generator) -> Array:
    shuffled = random.permutation(len(rows))
    # Stable: the order within a class stays random.
    return rows[shuffled[np.argsort(strata[shuffled], kind="stable")]]


def _check_parts(split: Split, labels: Labels) -> None:
    for part in ("train", "validation"):
        if not len(split.select_rows(part)):
            raise InputError(Problem(f"there are no {part} rows", "data.split"))
    # A user model gets the targets as they were given, and may know classes that no training row has.
    if not labels.classes or labels.kind == "custom":
        return
    for fold in range(split.folds):
        counts = np.bincount(labels.y[split.select_rows("train", fold)], minlength=len(labels.classes))
        absent = np.flatnonzero(counts == 0)
        if len(absent):
            where = "the training rows" if split.folds == 1 else f"the training rows of fold {fold}"
            message = f'class "{labels.classes[absent[0]]}" does not occur in {where}'
            raise InputError(Problem(message, "data.split"))
