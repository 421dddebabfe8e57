"""Report on a study's data: its columns, its target, and how validation and test rows differ from training rows.

Plain values only, as for `prepared`: it is stored with the prepared data, and printed, drawn and sent as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_CLASSES_SHOWN = 10
DRIFT_FROM = 0.2
"""Distance from the training rows from which a column is named; chosen."""
DRIFT_ROWS = 100
"""Rows of a part from which a distance is no chance."""


@dataclass(frozen=True)
class ColumnReport:
    """One column of features, over all rows.

    Attributes:
        kind: numeric, boolean, string, date, text, image or another kind of `RawColumn`.
        why: what decided the kind: every value, words, the source's type, or the study file.
        missing: rows without a value.
        distinct: distinct values.
        low: smallest number; None for what is no number. Dates are days since 1970-01-01.
        median: median of the numbers.
        high: largest number.
        common: the most common strings, each with its rows.
        distances: per part its distance from the training rows, 0 to 1: for numbers the largest difference of the
            shares below a value (the Kolmogorov-Smirnov statistic), for others half the sum of differences of shares.
    """

    name: str
    kind: str
    why: str
    missing: int
    distinct: int
    low: float | None = None
    median: float | None = None
    high: float | None = None
    common: Mapping[str, int] = field(default_factory=dict)
    distances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetReport:
    """The target, or one of several.

    Attributes:
        classes: per class its rows in each part; empty for numbers.
        low: per part the smallest number; empty for classes.
        mean: likewise the mean.
        high: likewise the largest number.
    """

    name: str
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=dict)
    mean: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)

    def describe_classes(self) -> str:
        """Return the shares of the classes among all rows, the largest first.

        >>> TargetReport("t", {"a": {"train": 1}, "b": {"train": 2, "test": 1}}).describe_classes()
        'b 3 (75.0%), a 1 (25.0%)'
        """
        counts = {name: sum(parts.values()) for name, parts in self.classes.items()}
        total = max(1, sum(counts.values()))
        ordered = sorted(counts.items(), key=lambda each: -each[1])
        shown = [f"{name} {count} ({count / total:.1%})" for name, count in ordered[:MOST_CLASSES_SHOWN]]
        more = len(ordered) - MOST_CLASSES_SHOWN
        return ", ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


@dataclass(frozen=True)
class DataReport:
    """Report on the data of a study.

    Attributes:
        rows: rows per part; of the first fold with folds.
        columns: one for each column of features; empty for arrays and pictures.
        targets: one for each target.
        overlap: per part its rows that are equal to a training row in every column.
        distinct_rows: distinct rows of a table, target included.
    """

    rows: Mapping[str, int]
    columns: tuple[ColumnReport, ...] = ()
    targets: tuple[TargetReport, ...] = ()
    overlap: Mapping[str, int] = field(default_factory=dict)
    distinct_rows: int = 0

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> DataReport:
        """Return a report from the JSON form of `dataclasses.asdict`."""
        return cls(
            rows=read["rows"],
            columns=tuple(ColumnReport(**column) for column in read["columns"]),
            targets=tuple(TargetReport(**target) for target in read["targets"]),
            overlap=read["overlap"],
            distinct_rows=read["distinct_rows"],
        )

    def describe_kinds(self) -> str:
        """Return the number of columns of each kind in one phrase; "" without columns."""
        counts: dict[str, int] = {}
        for column in self.columns:
            counts[column.kind] = counts.get(column.kind, 0) + 1
        return ", ".join(f"{count} {kind}" for kind, count in counts.items())

    def describe_missing(self) -> str:
        """Return the columns with most missing values in one phrase; "" if there are none."""
        total = max(1, sum(self.rows.values()))
        lacking = sorted((each for each in self.columns if each.missing), key=lambda each: -each.missing)
        shown = [f"{each.name} {each.missing / total:.1%}" for each in lacking[:5]]
        return ", ".join([*shown, *([f"and {len(lacking) - 5} more columns"] if len(lacking) > 5 else [])])

    def list_lines(self) -> list[str]:
        """Return what is known beside the notes, in a few lines for a terminal or a log."""
        lines = [f"columns: {self.describe_kinds()}"] if self.columns else []
        if missing := self.describe_missing():
            lines.append(f"missing: {missing}")
        return [*lines, *self.list_class_lines("classes: ")]

    def list_class_lines(self, before: str = "") -> list[str]:
        """Return the shares of the classes, a line for each target that has some; of several it names the target."""
        with_classes = [each for each in self.targets if each.classes]
        if len(self.targets) == 1:
            return [f"{before}{each.describe_classes()}" for each in with_classes]
        return [f"classes of {each.name}: {each.describe_classes()}" for each in with_classes]
