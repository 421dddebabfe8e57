"""Report on prepared data, made from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.identifiers import explain_identifier
from pipelines.data.raw import PARTS
from pipelines.data.report import ColumnReport, DataReport, TargetReport
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels

_MOST_COMMON = 5
_MOST_COMPARED = 20_000
_FEWEST_ROWS = 30
"""Rows of a part below which its distance from the training rows is chance."""


def make_report(columns: Sequence[Column], labels: Labels, split: Split) -> DataReport:
    """Return the report on a study's data.

    Args:
        columns: the columns of features; none for arrays.
        labels: the target of every row.
        split: the parts of the rows; with folds, the first one is reported.
    """
    rows: dict[str, Array] = {part: split.select_rows(part) for part in PARTS}
    return DataReport(
        rows={part: len(numbers) for part, numbers in rows.items()},
        columns=tuple(_describe_column(column, rows) for column in columns),
        targets=tuple(report for each in labels.parts for report in _describe_targets(each, rows)),
        **_count_equal_rows(columns, labels, rows),  # type: ignore[arg-type]
    )


def _count_equal_rows(columns: Sequence[Column], labels: Labels, rows: Mapping[str, Array]) -> dict[str, object]:
    """Return per part its rows that are equal to a training row, target included; and the number of distinct rows."""
    if not columns:
        return {}
    # Rows that were copied under a new number are equal too.
    columns = [column for column in columns if not explain_identifier(column)] or columns
    table = {f"x{index}": column.keys for index, column in enumerate(columns)}
    y = labels.y.reshape(len(labels.y), -1)
    if len(y) == len(columns[0].values):
        table |= {f"y{index}": y[:, index] for index in range(y.shape[1])}
    keys = pd.util.hash_pandas_object(pd.DataFrame(table), index=False).to_numpy()
    training = np.unique(keys[rows["train"]])
    equal = {part: int(np.isin(keys[numbers], training).sum()) for part, numbers in rows.items() if part != "train"}
    return {"overlap": equal, "distinct_rows": len(np.unique(keys))}


def _describe_column(column: Column, rows: Mapping[str, Array]) -> ColumnReport:
    known = column.values[column.known]
    facts = {
        "name": column.name,
        "kind": column.kind,
        "why": column.why,
        "missing": int((~column.known).sum()),
        "distances": dict(_measure_distances(column, rows)),
    }
    if known.ndim > 1:  # lists and pictures, which have no order
        return ColumnReport(**facts, distinct=len(np.unique(column.keys)))  # type: ignore[arg-type]
    if not column.is_words:
        values = np.unique(known)
        low, median, high = (float(each) for each in (values[0], np.median(known), values[-1]))
        return ColumnReport(**facts, distinct=len(values), low=low, median=median, high=high)  # type: ignore[arg-type]
    counts = pd.Series(known).value_counts()
    common = {str(word)[:80]: int(count) for word, count in counts.head(_MOST_COMMON).items()}
    return ColumnReport(**facts, distinct=len(counts), common=common)  # type: ignore[arg-type]


def _measure_distances(column: Column, rows: Mapping[str, Array]) -> Iterator[tuple[str, float]]:
    if column.kind in ("text", "word_list") or column.values.ndim > 1:
        return
    training = column.values[rows["train"]][column.known[rows["train"]]]
    for part, numbers in rows.items():
        values = column.values[numbers][column.known[numbers]]
        if part == "train" or min(len(values), len(training)) < _FEWEST_ROWS:
            continue
        distance = _compare_shares(training, values) if column.is_words else _compare_distributions(training, values)
        if distance is not None:
            yield part, round(distance, 4)


def _compare_distributions(training: Array, values: Array) -> float:
    """Return the Kolmogorov-Smirnov statistic of two samples.

    As `scipy.stats.ks_2samp` does, which takes seconds to import.
    """
    training, values = np.sort(_thin_out(training)), np.sort(_thin_out(values))
    every = np.concatenate([training, values])
    below = [np.searchsorted(sample, every, side="right") / len(sample) for sample in (training, values)]
    return float(np.abs(below[0] - below[1]).max())


def _thin_out(values: Array) -> Array:
    return values[:: max(1, len(values) // _MOST_COMPARED)]


def _compare_shares(training: Array, values: Array) -> float | None:
    """Return half the sum of differences of shares; None where there are too many categories to compare."""
    shares = [pd.Series(each).value_counts(normalize=True) for each in (training, values)]
    if len(shares[0]) * 10 > len(values):
        return None
    return float(shares[0].sub(shares[1], fill_value=0.0).abs().sum() / 2)


def _describe_targets(labels: Labels, rows: Mapping[str, Array]) -> Iterator[TargetReport]:
    if labels.classes:
        counts = {part: np.bincount(labels.y[each], minlength=len(labels.classes)) for part, each in rows.items()}
        classes = {
            name: {part: int(each[index]) for part, each in counts.items()} for index, name in enumerate(labels.classes)
        }
        yield TargetReport(", ".join(labels.targets), classes)
        return
    if labels.kind == "custom":
        return
    for index, name in enumerate(labels.targets):
        parts = {part: labels.y[each, index] for part, each in rows.items() if len(each)}
        if labels.kind == "multi_label":
            # A label is there or not.
            yield TargetReport(name, mean={part: float(each.mean()) for part, each in parts.items()})
            continue
        yield TargetReport(
            name,
            low={part: float(each.min()) for part, each in parts.items()},
            mean={part: float(each.mean()) for part, each in parts.items()},
            high={part: float(each.max()) for part, each in parts.items()},
        )
