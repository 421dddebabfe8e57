"""Splits of the rows into training, validation and test rows, the last for the winner alone.

Every row is in exactly one part, or with folds either in the test part or in the validation part of exactly one fold;
but for rows in an order, where rows of a gap are in none and the first rows validate no fold. The split depends on the
seed, the labels, and the order or the groups alone (see `dividers`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.raw import PARTS, RawData, select_column
from pipelines.data.splits.dividers import GroupDivider, OrderedDivider, RandomDivider, RowDivider
from pipelines.data.splits.division import Division
from pipelines.data.splits.row_keys import RowKeys, read_row_keys
from pipelines.data.splits.split import LEFT_OUT, Split
from pipelines.data.targets.labels import Labels
from pipelines.data.targets.target_notes import show_word, simplify
from pipelines.spec.data_spec import DataSpec, SplitSpec
from search_spaces.errors import InputError, Problem, find_closest, suggest_choice


def split_rows(raw: RawData, labels: Labels, spec: DataSpec) -> Split:
    """Return the split that the study file declares.

    Raises:
        InputError: if a part would be empty, a class has no training row, or there are more folds than rows.
    """
    keys, free = read_row_keys(raw, spec), np.flatnonzero(raw.given == "")
    if spec.split.column is not None:
        split = Split(read_parts(raw, spec.split.column), np.full(raw.rows, -1), 1)
    elif spec.split.folds is not None:
        given_test = bool((raw.given == "test").any())
        wanted = {"test": 0.0 if given_test else spec.split.test}
        part = _split_by_shares(raw, wanted, _make_divider(keys, labels, free, spec.split)).part
        divider = _make_divider(keys, labels, free[:0], spec.split)
        split = _divide_into_folds(part, divider, spec.split.folds, "data.split.folds")
    else:
        wanted = {"test": spec.split.test, "validation": spec.split.validation}
        split = _split_by_shares(raw, wanted, _make_divider(keys, labels, free, spec.split))
    _check_parts(split, labels, raw)
    return dataclasses.replace(
        split, notes=(*split.notes, *_describe_way(spec.split), *_note_strata(labels, spec.split))
    )


def _note_strata(labels: Labels, split: SplitSpec) -> tuple[str, ...]:
    strata = labels.strata
    is_divided = split.column is None and split.order is None and split.stratify
    if not labels.heads or not strata.classes or not is_divided:
        return ()
    others = [each for each in labels.heads if each.classes and each is not strata]
    only = ", the first target with classes" if others else ""
    return (f'the classes of "{strata.targets[0]}"{only} have equal shares in every part (data.split.stratify)',)


def _describe_way(split: SplitSpec) -> tuple[str, ...]:
    if split.group is not None:
        return (f'all rows of one "{split.group}" are in one part, and it is no feature (data.split.group)',)
    if split.order is None:
        return ()
    gap = f", {split.gap} of its values apart" if split.gap else ""
    way = (
        "each fold is trained on rows before those that it validates"
        if split.folds
        else ("validation and test rows come after those for training")
    )
    return (f'{way}, by "{split.order}"{gap} (data.split.order)',)


def divide_again(split: Split, raw: RawData, labels: Labels, spec: DataSpec, division: Division) -> Split:
    """Return another split of the rows.

    Args:
        split: the declared split.
        raw: all rows.
        labels: their labels.
        spec: the study file's `data`.
        division: the other division.

    Raises:
        InputError: if there are too few rows for it.
    """
    # Without rows that are kept for training: every row is in some part already.
    divider = _make_divider(read_row_keys(raw, spec), labels, np.empty(0, dtype=np.int64), spec.split)
    if division.holds_out:
        split = _hold_out(split, divider)
    if (folds := division.folds) is None:
        return split
    if folds == 1:
        # Trainers need some validation rows, even if these are trained on: a fold's.
        some = split.select_rows("validation", _get_fullest(split)) if split.folds > 1 else ()
        part = split.part.copy()
        part[np.asarray(some, dtype=np.int64)] = "validation"
        return Split(part, np.full(len(part), -1), 1, split.notes, trains_on_all=True)
    part = np.where(np.isin(split.part, ("test", LEFT_OUT)), split.part, "train").astype("<U10")
    again = _divide_into_folds(part, divider, folds, "selection.folds", split.notes)
    _check_parts(again, labels, raw)
    return again


def _make_divider(keys: RowKeys, labels: Labels, free: Array, split: SplitSpec) -> RowDivider:
    """Return the way that the rows are divided; `free` are those of whose rare classes training keeps a row."""
    if keys.periods is not None:
        return OrderedDivider(keys.periods, split.gap, keys.reaches)
    if keys.groups is not None:
        strata = labels.strata
        stratify = split.stratify and strata.classes
        return GroupDivider(keys.groups, strata.y if stratify else np.zeros(len(strata.y)), split.seed)
    return RandomDivider(labels, free, split)


def _get_fullest(split: Split) -> int:
    """Return the fold that is trained on most rows."""
    return 0 if split.periods is None else split.folds - 1


def _hold_out(split: Split, divider: RowDivider) -> Split:
    """Return the split with half of the validation rows, of one fold with folds, in place of the test rows."""
    fold = _get_fullest(split)
    rows = split.select_rows("validation", fold)
    if len(rows) < 2:
        raise InputError(Problem(f"2 validation rows are needed to hold one out, got {len(rows)}", "selection.refit"))
    part = np.full(len(split.part), LEFT_OUT, dtype="<U10")
    part[split.select_rows("train", fold)] = "train"
    part[rows] = "validation"
    held = divider.pick(rows, len(rows) // 2, "selection.refit")
    part[divider.find_gap(rows, held)] = LEFT_OUT
    part[held] = "test"
    if not (part == "validation").any():
        raise InputError(Problem("no validation row is left before the gap; remove the refit", "selection.refit"))
    return Split(part, np.full(len(part), -1), 1, split.notes)


def read_parts(raw: RawData, name: str) -> Array:
    """Return the part of each row, as a column names it.

    Raises:
        InputError: if there is no such column, or a word in it is no part.
    """
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


def _split_by_shares(raw: RawData, wanted: dict[str, float], divider: RowDivider) -> Split:
    # <U10: NumPy would cut "validation" off at the longest word so far.
    part = np.where(raw.given == "", "train", raw.given).astype("<U10")
    free = int((raw.given == "").sum())
    for word, share in wanted.items():
        if share == 0 or (raw.given == word).any():
            continue
        left = np.flatnonzero((part == "train") & (raw.given == ""))
        picked = divider.pick(left, max(1, round(share * free)), f"data.split.{word}")
        part[divider.find_gap(left, picked)] = LEFT_OUT
        part[picked] = word
    return Split(part, np.full(raw.rows, -1), 1, divider.notes)


def _divide_into_folds(part: Array, divider: RowDivider, folds: int, key: str, notes: tuple[str, ...] = ()) -> Split:
    rows = np.flatnonzero(part == "train")
    fold = np.full(len(part), -1)
    fold[rows] = divider.assign_folds(rows, folds, key)
    if isinstance(divider, OrderedDivider):
        return Split(part, fold, folds, notes, periods=divider.periods, gap=divider.gap, reaches=divider.reaches)
    return Split(part, fold, folds, notes)


def _check_parts(split: Split, labels: Labels, raw: RawData) -> None:
    for fold in range(split.folds):
        for part in ("train", "validation"):
            if not len(split.select_rows(part, fold)):
                where = "" if split.folds == 1 else f" in fold {fold}"
                raise InputError(Problem(f"there are no {part} rows{where}", "data.split"))
    for each in labels.parts:
        _check_classes(split, each, raw)


def _check_classes(split: Split, labels: Labels, raw: RawData) -> None:
    # A user model gets the targets as they were given, and may know classes that no training row has.
    if not labels.classes or labels.kind == "custom":
        return
    for fold in range(split.folds):
        counts = np.bincount(labels.y[split.select_rows("train", fold)], minlength=len(labels.classes))
        absent = np.flatnonzero(counts == 0)
        if len(absent):
            where = "the training rows" if split.folds == 1 else f"the training rows of fold {fold}"
            raise InputError(_explain_absent_class(int(absent[0]), counts, where, labels, raw))


def _explain_absent_class(absent: int, counts: Array, where: str, labels: Labels, raw: RawData) -> Problem:
    """Return the problem of a class that training never sees, with its rows and the class that was meant."""
    name, rows = labels.classes[absent], np.flatnonzero(labels.y == absent)
    present = [each for index, each in enumerate(labels.classes) if counts[index]]
    meant = next((each for each in present if simplify(each) == simplify(name)), None) or find_closest(name, present)
    count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    rule = f"data.columns.{labels.targets[0]}.replace"
    advice = f"leave these rows out, or join them to another class by {rule}"
    if meant:
        # Whoever writes one class otherwise does so with the others: all of them in one rule.
        alike = {simplify(each): each for each in present}
        absents = [each for index, each in enumerate(labels.classes) if not counts[index] and simplify(each) in alike]
        pairs = {name: meant} | {each: alike[simplify(each)] for each in absents}
        joined = ", ".join(f"{show_word(each)}: {show_word(other)}" for each, other in pairs.items())
        advice = f'did you mean "{meant}"? Then set {rule}: {{{joined}}}'
    source = next((origin.key for origin in raw.origins if origin.part is not None), "data.split")
    key = source if (raw.given[rows] != "").all() else "data.split"
    found = f'class "{name}" does not occur in {where}, only in {count} ({raw.format_places(rows, most=3)})'
    return Problem(f"{found}; {advice}", key)
