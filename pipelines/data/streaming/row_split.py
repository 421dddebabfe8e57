"""Parts and folds of rows in files: the split that `splits` makes of the same rows in memory, by the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.raw import PARTS, PartName
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.data.splits.dividers import RARE_ROWS
from pipelines.data.splits.division import Division
from pipelines.data.splits.split import LEFT_OUT, Split
from pipelines.spec.data_spec import DataSpec, SplitSpec
from search_spaces.errors import InputError, Problem

NUMBERS: dict[str, int] = {"train": 0, "validation": 1, "test": 2, LEFT_OUT: 3}
"""Numbers of the parts in a file."""
_WORDS = np.array(list(NUMBERS))


@dataclass(frozen=True)
class StoredLabels:
    """The target of every row, in a file.

    Attributes:
        y: class indexes int32 [row], or float32 [row, output].
        classes: names of the classes; empty for a regression.
    """

    y: Array
    classes: tuple[str, ...]


@dataclass(frozen=True)
class StoredSplit:
    """The part and fold of each row, in files; see `splits.split.Split`."""

    part: Array
    fold: Array
    folds: int
    notes: tuple[str, ...] = ()
    trains_on_all: bool = False

    def mark(self, part: PartName, fold: int, start: int, stop: int) -> Array:
        """Return whether each row of a chunk is in a part of a fold, bool [row]."""
        of = self.part[start:stop]
        if self.trains_on_all and part == "train":
            return np.asarray((of == NUMBERS["train"]) | (of == NUMBERS["validation"]))
        if self.folds == 1 or part == "test":
            return np.asarray(of == NUMBERS[part])
        validates = self.fold[start:stop]
        if part == "validation":
            return np.asarray(validates == fold)
        return np.asarray((validates != fold) & (validates >= 0))

    def mark_learnt(self, start: int, stop: int) -> Array:
        """Return whether any fold trains on each row of a chunk."""
        if self.folds == 1:
            return self.mark("train", 0, start, stop)
        return np.asarray(self.fold[start:stop] >= 0)

    def count(self, part: PartName, fold: int = 0) -> int:
        """Return the number of rows of a part."""
        return sum(int(self.mark(part, fold, start, stop).sum()) for start, stop in iterate_chunks(len(self.part)))

    def select(self, rows: Array) -> Split:
        """Return the split of a few rows in memory."""
        part = _WORDS[self.part[rows]].astype("<U10")
        return Split(part, self.fold[rows].astype(np.int64), self.folds, self.notes, self.trains_on_all)


def split_stored_rows(
    given: Array, declared: Array | None, labels: StoredLabels, spec: DataSpec, scratch: Scratch
) -> StoredSplit:
    """Return the split that the study file declares.

    Args:
        given: the part that each row was given for; -1 where it is still to be split.
        declared: the part of each row by a column; None without one.
        labels: the labels of the rows.
        spec: the study file's `data`.
        scratch: makes arrays.

    Raises:
        InputError: if a part would be empty, or there are more folds than rows.
    """
    rows, split = len(given), spec.split
    fold = scratch.make(rows, np.int16)
    _fill(fold, -1)
    if declared is not None:
        return StoredSplit(declared, fold, 1)
    folds = split.folds
    part = scratch.make(rows, np.int8)
    for start, stop in iterate_chunks(rows):
        part[start:stop] = np.maximum(given[start:stop], 0)
    divider = StoredDivider(labels, given, split, scratch)
    wanted = {"test": split.test} if folds else {"test": split.test, "validation": split.validation}
    free = _count(given, -1)
    for word, share in wanted.items():
        if share == 0 or _count(given, NUMBERS[word]):
            continue
        left = _select(scratch, part, given)
        picked = divider.pick(left, max(1, round(share * free)), f"data.split.{word}")
        part[picked] = NUMBERS[word]
    if folds is None:
        return StoredSplit(part, fold, 1, divider.notes)
    left = _select(scratch, part, None)
    StoredDivider(labels, given, split, scratch, keeps_rare=False).assign_folds(left, folds, "data.split.folds", fold)
    return StoredSplit(part, fold, folds)


def divide_stored_rows(
    split: StoredSplit, labels: StoredLabels, spec: DataSpec, division: Division, scratch: Scratch
) -> StoredSplit:
    """Return another split of the rows; see `split_rows.divide_again`.

    Raises:
        InputError: if there are too few rows for it.
    """
    divider = StoredDivider(labels, split.part, spec.split, scratch, keeps_rare=False)
    if division.holds_out:
        split = _hold_out(split, divider, scratch)
    if (folds := division.folds) is None:
        return split
    part, fold = scratch.make(len(split.part), np.int8), scratch.make(len(split.part), np.int16)
    _fill(fold, -1)
    if folds == 1:
        for start, stop in iterate_chunks(len(part)):
            part[start:stop] = split.part[start:stop]
            if split.folds > 1:
                some = split.mark("validation", 0, start, stop)
                part[start:stop][some] = NUMBERS["validation"]
        return StoredSplit(part, fold, 1, split.notes, trains_on_all=True)
    for start, stop in iterate_chunks(len(part)):
        of = split.part[start:stop]
        part[start:stop] = np.where(of == NUMBERS["validation"], NUMBERS["train"], of)
    divider.assign_folds(_select(scratch, part, None), folds, "selection.folds", fold)
    return StoredSplit(part, fold, folds, split.notes)


def check_stored_parts(split: StoredSplit, labels: StoredLabels) -> None:
    """Check that training and validation have rows, and training some of each class.

    Raises:
        InputError: if not.
    """
    for fold in range(split.folds):
        where = "" if split.folds == 1 else f" in fold {fold}"
        for part in PARTS[:2]:
            if not split.count(part, fold):
                raise InputError(Problem(f"there are no {part} rows{where}", "data.split"))
        if not labels.classes:
            continue
        counts = count_classes(labels, split, "train", fold)
        if len(absent := np.flatnonzero(counts == 0)):
            message = (
                f'class "{labels.classes[absent[0]]}" does not occur in the training rows{where}; leave its rows out'
            )
            raise InputError(Problem(message, "data.split"))


def count_classes(labels: StoredLabels, split: StoredSplit, part: PartName, fold: int = 0) -> Array:
    """Return the rows of each class in a part."""
    counts = np.zeros(len(labels.classes), dtype=np.int64)
    for start, stop in iterate_chunks(len(labels.y)):
        counts += np.bincount(labels.y[start:stop][split.mark(part, fold, start, stop)], minlength=len(labels.classes))
    return counts


def _hold_out(split: StoredSplit, divider: StoredDivider, scratch: Scratch) -> StoredSplit:
    count = split.count("validation")
    if count < 2:
        raise InputError(Problem(f"2 validation rows are needed to hold one out, got {count}", "selection.refit"))
    part, fold = scratch.make(len(split.part), np.int8), scratch.make(len(split.part), np.int16)
    _fill(fold, -1)
    for start, stop in iterate_chunks(len(part)):
        part[start:stop] = NUMBERS[LEFT_OUT]
        for word in PARTS[:2]:
            part[start:stop][split.mark(word, 0, start, stop)] = NUMBERS[word]
    rows = _select(scratch, part, None, NUMBERS["validation"])
    part[divider.pick(rows, count // 2, "selection.refit")] = NUMBERS["test"]
    return StoredSplit(part, fold, 1, split.notes)


class StoredDivider:
    """Rows at random, evenly spread over their classes; see `dividers.RandomDivider`, whose draws are the same."""

    def __init__(
        self, labels: StoredLabels, given: Array, split: SplitSpec, scratch: Scratch, *, keeps_rare: bool = True
    ) -> None:
        self._labels = labels
        self._split = split
        self._scratch = scratch
        self._random = np.random.default_rng(split.seed)
        self._strata = len(labels.classes) if split.stratify and labels.classes else 1
        self.notes: tuple[str, ...] = ()
        self._kept = self._keep_rare(given) if keeps_rare and labels.classes else np.zeros(0, dtype=np.int64)

    def pick(self, rows: Array, count: int, key: str) -> Array:
        """Return about `count` of some rows, in a file.

        Raises:
            InputError: if no row would be left; `key` names the part's share.
        """
        left = self._leave_out_kept(rows)
        if count >= len(left):
            raise InputError(Problem(f"{len(rows)} rows are too few to take {count} of them", key))
        ordered = self._shuffle(left)
        offset = self._random.random() * (1 - 1e-9)
        picked, found = self._scratch.make(count + 1, np.int64), 0
        for start, stop in iterate_chunks(len(left)):
            steps = np.floor((np.arange(start, stop + 1) * count) / len(left) + offset)
            taken = ordered[start:stop][np.diff(steps) > 0]
            picked[found : found + len(taken)] = taken
            found += len(taken)
        return picked[:found]

    def assign_folds(self, rows: Array, folds: int, key: str, fold: Array) -> None:
        """Write for each of some rows the fold that it validates into `fold`.

        Raises:
            InputError: if there are too few rows for it.
        """
        if folds > len(rows):
            message = f"{folds} folds need at least {folds} rows that are not test rows, got {len(rows)}"
            raise InputError(Problem(message, key))
        if self._split.stratify and self._labels.classes:
            rarest = int(self._count_strata(rows).min())
            if rarest < folds:
                message = f"{folds} folds need {folds} rows of every class that are not test rows, got {rarest} of one"
                raise InputError(Problem(message, key))
        ordered = self._shuffle(rows)
        for start, stop in iterate_chunks(len(ordered)):
            fold[ordered[start:stop]] = np.arange(start, stop) % folds

    def _keep_rare(self, given: Array) -> Array:
        """Return a row of each class of few rows, which training keeps."""
        labels = self._labels
        counts = np.zeros(len(labels.classes), dtype=np.int64)
        for start, stop in iterate_chunks(len(given)):
            counts += np.bincount(labels.y[start:stop][given[start:stop] < 0], minlength=len(labels.classes))
        rare, single = np.flatnonzero((counts > 0) & (counts < RARE_ROWS)), np.flatnonzero(counts == 1)
        if len(single):
            named = ", ".join(f'"{labels.classes[index]}"' for index in single[:10])
            self.notes = (f"classes with a single row, kept for training: {named}",)
        found: dict[int, list[int]] = {int(index): [] for index in rare}
        for start, stop in iterate_chunks(len(given)) if len(rare) else ():
            y = labels.y[start:stop]
            for row in np.flatnonzero(np.isin(y, rare) & (given[start:stop] < 0)):
                found[int(y[row])].append(start + int(row))
        return np.array(sorted(int(self._random.choice(rows)) for rows in found.values()), dtype=np.int64)

    def _leave_out_kept(self, rows: Array) -> Array:
        if not len(self._kept):
            return rows
        left, found = self._scratch.make(len(rows), np.int64), 0
        for start, stop in iterate_chunks(len(rows)):
            some = rows[start:stop][~np.isin(rows[start:stop], self._kept)]
            left[found : found + len(some)] = some
            found += len(some)
        return left[:found]

    def _get_strata(self, rows: Array) -> Array:
        return self._labels.y[rows] if self._strata > 1 else np.zeros(len(rows), dtype=np.int32)

    def _count_strata(self, rows: Array) -> Array:
        counts = np.zeros(self._strata, dtype=np.int64)
        for start, stop in iterate_chunks(len(rows)):
            counts += np.bincount(self._get_strata(rows[start:stop]), minlength=self._strata)
        return counts

    def _shuffle(self, rows: Array) -> Array:
        """Return the rows in random order within their stratum, strata one after the other."""
        shuffled = self._scratch.make_permutation(self._random, len(rows))
        ordered = self._scratch.make(len(rows), np.int64)
        counts = self._count_strata(rows)
        places = np.concatenate([[0], counts.cumsum()[:-1]])
        for start, stop in iterate_chunks(len(rows)):
            chosen = rows[shuffled[start:stop]]
            strata = self._get_strata(chosen)
            # Stable: the order within a stratum stays random.
            order = np.argsort(strata, kind="stable")
            found = np.bincount(strata, minlength=self._strata)
            within = np.arange(len(order)) - np.repeat(found.cumsum() - found, found)
            ordered[places[strata[order]] + within] = chosen[order]
            places = places + found
        return ordered


def _select(scratch: Scratch, part: Array, given: Array | None, number: int = NUMBERS["train"]) -> Array:
    """Return the numbers of the rows of a part that were not given for it."""
    selected, found = scratch.make(len(part), np.int64), 0
    for start, some in _iterate_selected(part, given, number):
        selected[found : found + len(some)] = some + start
        found += len(some)
    return selected[:found]


def _iterate_selected(part: Array, given: Array | None, number: int) -> Iterator[tuple[int, Array]]:
    for start, stop in iterate_chunks(len(part)):
        marked = part[start:stop] == number
        yield start, np.flatnonzero(marked if given is None else marked & (given[start:stop] < 0))


def _count(array: Array, number: int) -> int:
    return sum(int((array[start:stop] == number).sum()) for start, stop in iterate_chunks(len(array)))


def _fill(array: Array, number: int) -> None:
    for start, stop in iterate_chunks(len(array)):
        array[start:stop] = number
