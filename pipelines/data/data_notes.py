"""Notes on what looks wrong in a table, each with the key that mends it.

Every rule is cheap and errs towards silence: a note that is wrong once is read never again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.identifiers import IDENTIFIER_ROWS, explain_identifier
from pipelines.data.leaks import explain_leaks
from pipelines.data.number_notes import explain_numbers
from pipelines.data.prepared import Task
from pipelines.data.report import DRIFT_FROM, DRIFT_ROWS, DataReport
from pipelines.data.targets.labels import Labels
from pipelines.data.targets.target_notes import find_lookalikes, show_word

_FAR = 1_000.0
_FEWEST_ZEROS = 3
_FEWEST_SUMMED = 5  # numbers other than zero: of fewer, a sum may be chance
_FEWEST_MEASURED = 15  # distinct values of a measurement
_APART = 0.2  # of the median, from which the smallest measurement is far from zero
_MARKS_MISSING = re.compile(r"-?9{2,}(?:\.0*)?|-1(?:\.0*)?|1e\+?\d+")


def note_columns(columns: Sequence[Column], labels: Labels, training: Array) -> Iterator[str]:
    """Yield the notes on single columns.

    Args:
        columns: the feature columns, all rows.
        labels: the target of every row.
        training: numbers of the training rows.
    """
    for column in columns:
        if column.values.ndim > 1:
            continue  # lists and pictures are neither identifiers nor out of range
        if column.unrepresentable:
            count = "1 value is" if column.unrepresentable == 1 else f"{column.unrepresentable} values are"
            yield (
                f'column "{column.name}": {count} infinite or beyond 3.4e38 and counted as missing; correct the file, '
                f'or leave the column out by data.drop: ["{column.name}"]'
            )
        if meant := explain_numbers(column):
            yield f'column "{column.name}" {meant}'
        identifier = "" if meant else explain_identifier(column)
        if identifier:
            yield f'column "{column.name}" {identifier}; if it is an identifier, set data.drop: ["{column.name}"]'
        elif leak := explain_leaks(column, labels, training):
            yield (
                f'column "{column.name}" alone {leak}; if it is known only after the target, set '
                f'data.drop: ["{column.name}"]'
            )
        if column.kind == "numeric" and is_total(column.values):
            yield (
                f'column "{column.name}" has the sum of all other rows in the last one ({column.values[-1]:.12g}); if '
                "that row holds totals, set data.skipfooter: 1"
            )
        if column.kind == "numeric" and (apart := _explain_value_apart(column.values[training], column.name)):
            yield f'column "{column.name}": {apart}'
        if column.kind == "string" and (pair := next(iter(find_lookalikes(_list_few(column))), None)):
            yield (
                f'column "{column.name}" has categories that look alike, such as {show_word(pair[0])} and '
                f"{show_word(pair[1])}; to join them, set data.columns.{column.name}.replace: "
                f"{{{show_word(pair[1])}: {show_word(pair[0])}}}"
            )


def is_total(values: Array) -> bool:
    """Return whether the last of a column's numbers, in the order of the source, is the sum of all others."""
    if len(values) <= _FEWEST_SUMMED or not np.isfinite(values[-1]):
        return False
    others = values[:-1][np.isfinite(values[:-1])]
    if np.count_nonzero(others) < _FEWEST_SUMMED or (others < 0).any():
        return False
    # Written with a digit less than its parts.
    return bool(abs(values[-1] - others.sum()) <= 1e-6 * others.sum())


def note_classes(task: Task) -> Iterator[str]:
    """Yield a note where a class is rare in the training rows, with the counts of all classes."""
    if not task.has_rare_class or task.kind == "custom":
        return
    counts = dict(sorted(zip(task.classes, task.class_counts, strict=True), key=lambda each: -each[1]))
    rarest, total = list(counts)[-1], sum(counts.values())
    shown = ", ".join(f'"{name}" {count}' for name, count in list(counts.items())[:5])
    more = f" and {len(counts) - 5} more classes" if len(counts) > 5 else ""
    of, advice = "", "training.class_weight: balanced weighs all classes alike"
    if task.output:
        of = f' of "{task.targets[0]}"'
        advice = (
            f"objective.metric: val_{task.output}_balanced_accuracy scores all classes alike, and training.heads: "
            f"{{{task.targets[0]}: {{class_weight: balanced}}}} weighs them alike"
        )
    yield (
        f'class "{rarest}"{of} is {counts[rarest] / total:.1%} of the training rows ({shown}{more}), so accuracy says '
        f"little; {advice}"
    )


def note_overlap(report: DataReport) -> Iterator[str]:
    """Yield a note where rows of the validation or test part are equal to training rows."""
    # In a table of few combinations, equal rows are nothing special.
    # Not NumPy's, which warns where so many columns have no end of combinations.
    combinations = math.prod([min(float(column.distinct + 1), 1e6) for column in report.columns])
    total = sum(report.rows.values())
    if combinations < 10 * total and report.distinct_rows < total / 2:
        return
    counts = [f"{count} of {report.rows[part]} {part} rows" for part, count in report.overlap.items() if count]
    if counts:
        yield (
            f"{' and '.join(counts)} are equal to a training row in every column, so their scores may be too good; set "
            "data.drop_duplicates: true, or data.split.group to a column that such rows share"
        )


def note_drift(report: DataReport) -> Iterator[str]:
    """Yield a note on the columns whose validation or test rows differ from the training rows."""
    found = [
        (distance, f'"{column.name}" ({part} {distance:.2f})')
        for column in report.columns
        for part, distance in column.distances.items()
        if distance >= DRIFT_FROM and report.rows[part] >= DRIFT_ROWS
    ]
    if found:
        ordered = [words for _, words in sorted(found, reverse=True)]
        more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
        yield (
            "columns are distributed otherwise than in the training rows (distance from 0 to 1): "
            f"{', '.join(ordered[:5])}{more}; if that is not what new rows will be like, change data.split, or leave "
            "such columns out by data.drop"
        )


def _explain_value_apart(values: Array, name: str) -> str:
    """Return a description of a value that may stand for "missing"; "" if there is none."""
    return _explain_far_value(values, name) or _explain_zeros(values, name)


def _explain_zeros(values: Array, name: str) -> str:
    """Return a description of zeros below measurements that are all far from zero; "" where they are not."""
    others = values[np.isfinite(values) & (values != 0)]
    count = int((values == 0).sum())
    if count < _FEWEST_ZEROS or len(others) < max(IDENTIFIER_ROWS, count):
        return ""
    distinct, low = np.unique(others), float(others.min())
    # Amounts that are often nothing, such as rain, come close to zero, and so do grades.
    if len(distinct) < _FEWEST_MEASURED or low < _APART * np.median(others) or low < 3 * np.median(np.diff(distinct)):
        return ""
    return (
        f"0 in {count} training rows lies apart from the others ({low:.6g} to {others.max():.6g}); if it means "
        f'"missing", name it in data.missing_values: {{{name}: ["0"]}}'
    )


def _explain_far_value(values: Array, name: str) -> str:
    """Return a description of a value far outside all others; "" if there is none."""
    known = values[np.isfinite(values)]
    if len(known) < 20:
        return ""
    for value in (float(known.max()), float(known.min())):
        others = known[known != value]
        if len(others) < len(known) / 2 or not len(others):
            continue
        middle = float(np.median(others))
        reach = float(np.abs(others - middle).max())
        distance = abs(value - middle)
        count = len(known) - len(others)
        shown = f"{value:.12g}"
        is_mark = _MARKS_MISSING.fullmatch(shown) is not None and count > 1
        if reach > 0 and distance > (5 if is_mark else _FAR) * reach:
            rows = "1 training row" if count == 1 else f"{count} training rows"
            return (
                f"{shown} in {rows} lies far outside the others ({others.min():.6g} to {others.max():.6g}); if it "
                f'means "missing", name it in data.missing_values: {{{name}: ["{shown}"]}}'
            )
    return ""


def _list_few(column: Column) -> list[str]:
    # The commonest first: it is the one to keep.
    words = pd.Series(column.values[column.known]).value_counts().index
    return [str(word) for word in words] if len(words) <= 200 else []
