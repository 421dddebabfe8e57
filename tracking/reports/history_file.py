"""File of a trial's epochs, `history.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from tracking.reports.content import Curve


def read_history(path: Path) -> Curve:
    """Return the metrics in a trial's `history.csv`: a line an epoch, a column for each metric by Keras's name."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return tuple({name: _parse_number(text) for name, text in row.items() if name and name != "epoch"} for row in rows)


def _parse_number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
