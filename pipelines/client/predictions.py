"""Predictions that a service sent: a CSV file, and headers that describe it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.operations.predict import Predictions


def describe_predictions(study: str, target: Path, received: Path, headers: Mapping[str, str]) -> Predictions:
    """Return what a service states of the predictions that it sent.

    Args:
        study: the study's name.
        target: where the predictions will be.
        received: where they are now.
        headers: those of the answer.
    """
    with received.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file), [])
    predicted = columns[len(columns) - int(headers["X-Kerastudy-Predicted"]) :]
    trial, rows = int(headers["X-Kerastudy-Trial"]), int(headers["X-Kerastudy-Rows"])
    return Predictions(
        study, trial, str(target), rows, tuple(predicted), tuple(json.loads(headers["X-Kerastudy-Notes"]))
    )
