"""The data of a study, as its report page and `data_report.json` show it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pipelines.data.prepared import DataSummary
from pipelines.workspace.atomic_files import write_text
from tracking.reports.content import DataSection


def write_data_report(file: Path, summary: DataSummary) -> None:
    """Write the report on a study's data with its notes as JSON."""
    if summary.report is not None:
        report = {"source": summary.source, "notes": summary.notes, **asdict(summary.report)}
        write_text(file, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def describe_data(summary: DataSummary) -> DataSection:
    """Return what the report shows of the data."""
    columns = summary.report.columns if summary.report else ()
    parts = [part for part in summary.rows if any(part in column.distances for column in columns)]
    titles = ("column", "type", "missing", "distinct", "smallest", "median", "largest", "most common")
    return DataSection(
        notes=summary.notes,
        lines=tuple(summary.report.list_lines()) if summary.report else (),
        titles=(*titles, *(f"distance of {part}" for part in parts)),
        rows=tuple(
            (
                *(column.name, column.kind, column.missing, column.distinct, column.low, column.median, column.high),
                ", ".join(f"{word} {count}" for word, count in column.common.items()),
                *(column.distances.get(part) for part in parts),
            )
            for column in columns
        ),
        class_counts=dict(zip(summary.task.classes, summary.task.class_counts, strict=False)),
        has_rare_class=summary.task.has_rare_class,
        part_rows={part: count for part, count in summary.rows.items() if count},
    )
