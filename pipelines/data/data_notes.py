"""Notes on what looks wrong in a table, each with the key that mends it.

Every rule is cheap and errs towards silence: a note that is wrong once is read never again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.prepared import Task
from pipelines.data.report import DRIFT_FROM, DRIFT_ROWS, DataReport
from pipelines.data.targets.labels import Labels
from pipelines.data.targets.target_notes import find_lookalikes

IDENTIFIER_ROWS = 50
"""Rows below which names may differ by chance."""
IDENTIFIER_SHARE = 0.9
_IDENTIFIER_NAME = re.compile(
    r"(?:^|[\s_.-])(?:id|ids|nr|no|num|number|key|code|uuid|guid|index|idx|row|rownum|record|serial|sku)$"
    r"|^unnamed: ?\d+$|[a-z]I[dD]$",
)
_LEAK_SHARE = 0.02  # of the errors that the commonest class makes
_LEAK_CORRELATION = 0.9995
_MOST_LEAK_ROWS = 20_000
_MOST_BINS, _ROWS_A_BIN = 64, 10
_FAR = 1_000.0
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
        identifier = _explain_identifier(column)
        if identifier:
            yield f'column "{column.name}" {identifier}; if it is an identifier, set data.drop: ["{column.name}"]'
        elif leak := _explain_leak(column, labels, training):
            yield (
                f'column "{column.name}" alone {leak}; if it is known only after the target, set '
                f'data.drop: ["{column.name}"]'
            )
        if column.kind == "numeric" and (far := _explain_far_value(column.values[training], column.name)):
            yield f'column "{column.name}": {far}'
        if column.kind == "string" and (pair := next(iter(find_lookalikes(_list_few(column))), None)):
            yield (
                f'column "{column.name}" has categories that look alike, such as "{pair[0]}" and "{pair[1]}"; to join '
                f'them, set data.columns.{column.name}.replace: {{"{pair[1]}": "{pair[0]}"}}'
            )


def note_classes(task: Task) -> Iterator[str]:
    """Yield a note where a class is rare in the training rows, with the counts of all classes."""
    if not task.has_rare_class or task.kind == "custom":
        return
    counts = dict(sorted(zip(task.classes, task.class_counts, strict=True), key=lambda each: -each[1]))
    rarest, total = list(counts)[-1], sum(counts.values())
    shown = ", ".join(f'"{name}" {count}' for name, count in list(counts.items())[:5])
    more = f" and {len(counts) - 5} more classes" if len(counts) > 5 else ""
    advice = (
        "the default objective is val_auc (objective: {metric: val_accuracy} changes it)"
        if task.kind == "binary"
        else "training.metrics: [f1_score] with objective: {metric: val_f1_score} scores all classes alike"
    )
    yield (
        f'class "{rarest}" is {counts[rarest] / total:.1%} of the training rows ({shown}{more}), so accuracy says '
        f"little: {advice}, and training.class_weight: balanced weighs them alike"
    )


def note_overlap(report: DataReport) -> Iterator[str]:
    """Yield a note where rows of the validation or test part are equal to training rows."""
    # In a table of few combinations, equal rows are nothing special.
    combinations = np.prod([min(float(column.distinct + 1), 1e6) for column in report.columns])
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


def _explain_identifier(column: Column) -> str:
    """Return what makes a column look like an identifier; "" if nothing does."""
    known = column.values[column.known]
    if len(known) < IDENTIFIER_ROWS or column.kind not in ("string", "numeric"):
        return ""
    if column.kind == "string":
        distinct = len(set(known.tolist()))
        return "differs in nearly every row" if distinct >= IDENTIFIER_SHARE * len(known) else ""
    values = np.unique(known)
    if not np.equal(np.mod(values, 1), 0).all() or len(values) < IDENTIFIER_SHARE * len(known):
        return ""
    if len(values) == len(known) == values[-1] - values[0] + 1:
        return "counts the rows"
    is_named = (
        column.name.startswith("Unnamed: ")
        or _IDENTIFIER_NAME.search(column.name)
        or _IDENTIFIER_NAME.search(column.name.lower())
    )
    rises = bool((np.diff(known) > 0).all())
    return "is another whole number in nearly every row" if is_named or rises else ""


def _explain_leak(column: Column, labels: Labels, training: Array) -> str:
    """Return how well a column alone gives the target, if it gives nearly all of it; "" otherwise."""
    if labels.kind not in ("binary", "multiclass", "regression") or len(training) < IDENTIFIER_ROWS:
        return ""
    rows = training[:: max(1, len(training) // _MOST_LEAK_ROWS)]
    rows = rows[column.known[rows]]
    if len(rows) < max(IDENTIFIER_ROWS, len(training) // 10):
        return ""
    y = labels.y[rows]
    if labels.classes:
        return _explain_class_leak(column, y, rows)
    return _explain_number_leak(column, y.ravel().astype(np.float64), rows)


def _explain_class_leak(column: Column, y: Array, rows: Array) -> str:
    values = column.values[rows]
    if not column.is_words and _is_cut_into_classes(values, y):
        return "gives the class in all training rows"
    groups = _group_values(values, rows)
    if groups is None:
        return ""
    counts = pd.crosstab(groups, y).to_numpy()
    wrong, without = len(y) - int(counts.max(axis=1).sum()), len(y) - int(np.bincount(y).max())
    if without == 0 or wrong > _LEAK_SHARE * without:
        return ""
    return f"gives the class in {1 - wrong / len(y):.1%} of the training rows"


def _is_cut_into_classes(values: Array, y: Array) -> bool:
    """Return whether each class has an interval of a number for itself."""
    pairs = pd.DataFrame({"value": values, "class": y}).drop_duplicates().sort_values("value")
    changes = int((np.diff(pairs["class"]) != 0).sum())
    # A value of two classes is in two pairs.
    return pairs["value"].is_unique and changes == len(np.unique(y)) - 1


def _group_values(values: Array, rows: Array) -> Array | None:
    """Return the group of each value: the value itself where there are few, else its place in the order."""
    groups, distinct = pd.factorize(values)
    if len(distinct) <= max(2, len(rows) // 10):
        return groups
    if values.dtype == object:
        return None
    # Bins of enough rows: with a few rows each, any number would give the class.
    bins = min(_MOST_BINS, len(rows) // _ROWS_A_BIN)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values)


def _explain_number_leak(column: Column, y: Array, rows: Array) -> str:
    if column.is_words or np.ptp(y) == 0:
        return ""
    x = column.values[rows]
    if len(np.unique(x)) < 10 or np.ptp(x) == 0:
        return ""
    pairs = [("linearly", _correlate(x, y)), ("by its order", _correlate(_rank(x), _rank(y)))]
    best = next(((how, value) for how, value in pairs if value >= _LEAK_CORRELATION), None)
    return "" if best is None else f"gives the target {best[0]} (correlation {best[1]:.4f} in the training rows)"


def _rank(values: Array) -> Array:
    return pd.Series(values).rank().to_numpy()


def _correlate(x: Array, y: Array) -> float:
    return abs(float(np.corrcoef(x, y)[0, 1]))


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
