"""Report and notes on a table in files, from a sample of its rows: every so many, all of them where they are few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.data_notes import note_columns, note_drift, note_overlap
from pipelines.data.make_report import make_report
from pipelines.data.raw import PARTS, RawData
from pipelines.data.report import DataReport, TargetReport
from pipelines.data.scratch import iterate_chunks
from pipelines.data.splits.split import Split
from pipelines.data.splits.split_notes import note_random_split
from pipelines.data.streaming.column_files import StoredColumn, StoredRows
from pipelines.data.streaming.row_split import StoredLabels, StoredSplit, count_classes
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import DataSpec

MOST_ROWS = 50_000
"""Rows of the sample; chosen: the report of so many takes seconds."""
_MOST_CELLS = 2_000_000


@dataclass(frozen=True)
class SampledRows:
    """Every so many of a table's rows, in memory."""

    step: int
    columns: tuple[Column, ...]
    labels: Labels
    split: Split


def sample_rows(stored: StoredRows, labels: Labels, split: StoredSplit) -> SampledRows:
    """Return a sample of a table's rows."""
    most = max(1, min(MOST_ROWS, _MOST_CELLS // max(1, len(stored.columns))))
    step = -(-stored.rows // most)
    rows = np.arange(0, stored.rows, step)
    columns = tuple(_read_column(column, step, stored.rows) for column in stored.columns)
    return SampledRows(step, columns, replace(labels, y=np.array(labels.y[rows])), split.select(rows))


def _read_column(column: StoredColumn, step: int, rows: int) -> Column:
    parts: list[Array] = []
    for start, stop in iterate_chunks(rows):
        parts.append(np.array(column.read(start, stop)[-start % step :: step]))
    values = np.concatenate(parts)
    return Column(
        column.name, column.input, column.kind, values, column.header, column.form, column.why, column.unrepresentable
    )


def report_rows(sample: SampledRows, labels: StoredLabels, split: StoredSplit, targets: Sequence[str]) -> DataReport:
    """Return the report of a sample, with the rows and classes of all rows."""
    report = make_report(sample.columns, sample.labels, sample.split)
    report = replace(report, rows={part: split.count(part) for part in PARTS})
    if not labels.classes:
        return report
    counts: dict[str, Array] = {part: count_classes(labels, split, part) for part in PARTS}
    classes = {
        name: {part: int(each[index]) for part, each in counts.items()} for index, name in enumerate(labels.classes)
    }
    return replace(report, targets=(TargetReport(", ".join(targets), classes),))


def note_sample(
    sample: SampledRows, report: DataReport, raw: RawData, spec: DataSpec, *, is_divided: bool
) -> Iterator[str]:
    """Yield the notes on columns and on the split.

    Args:
        sample: a sample of the rows.
        report: their report.
        raw: the first rows.
        spec: the study file's `data`.
        is_divided: whether validation rows were given.
    """
    learnt = np.unique(np.concatenate([sample.split.select_rows("train", fold) for fold in range(sample.split.folds)]))
    if not is_divided:
        yield from note_random_split(sample.columns, raw, spec)
    yield from note_columns(sample.columns, sample.labels, learnt)
    yield from note_overlap(report)
    yield from note_drift(report)
    if sample.step > 1:
        yield f"figures of columns are those of one row in {sample.step} (data.streaming)"
