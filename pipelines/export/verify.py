"""Verification of one written file: loaded in a fresh process, and compared with the Keras model on real rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Channel
from pipelines.export.base import Predict, WrittenFile
from pipelines.export.parity import (
    Parity,
    choose_scoring,
    compute_agreement,
    compute_largest_difference,
    compute_score,
    find_violation,
    measure_latency,
    measure_size,
)
from pipelines.export.registry import FORMATS
from pipelines.spec.code_references import load_callables_beside
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import ARTIFACTS
from search_spaces.errors import InputError, KerastudyError

_MOST_ROWS = 20_000  # chosen: it bounds the time of the slowest runtime
_ODD_ROWS = 32  # chosen: each column gets a gap in tables of up to 32 columns
UNSEEN_WORD = "never seen in training"


class ExportError(KerastudyError):
    """A format could not be written, or does not give the Keras model's predictions; the target was not written."""


@dataclass(frozen=True)
class VerificationJob:
    """Job of the worker that verifies a file.

    Attributes:
        folder: the export's folder.
        expected: file with the Keras model's predictions.
    """

    trial: PastTrial
    folder: str
    format: str
    written: WrittenFile
    expected: str


def verify_export(job: VerificationJob, channel: Channel) -> Parity:
    """Load a written file, compare it with the Keras model, and measure its latency; a job.

    Raises:
        ExportError: if it cannot be loaded, or differs by more than its format allows.
    """
    chosen, folder = FORMATS[job.format], Path(job.folder)
    rows, odd = load_held_out(job.trial), make_odd_rows(job.trial)
    with register_user_classes(Path(job.trial.folder)), np.load(job.expected) as kept:
        expected, expected_odd = kept["rows"], kept["odd"]
        predict = _load_file(job, folder)
        got = _predict_with(predict, rows, job.format)
        got_odd = _predict_with(predict, odd, job.format) if odd else expected_odd
    channel.beat()
    config = read_trial_config(Path(job.trial.folder))
    summary = load_summary(Path(job.trial.data))
    training = TrainingSpec.model_validate_json(json.dumps(config["training"]))
    # From the trial's config and not the study file, which may have changed since.
    scoring = choose_scoring(summary.task, training, config["objective"]["metric"], config["objective"]["direction"])
    y = load_held_out_targets(job.trial)
    keras_score = compute_score(expected, y, scoring)
    # Predictions of another shape have no score, and `find_violation` reports the shape.
    score = compute_score(got, y, scoring) if got.shape == expected.shape else None
    scores = None if score is None or keras_score is None else (score, keras_score)
    reason = find_violation(got, expected, scoring, chosen.tolerance, scores)
    # Odd rows have no score: their targets belong to the values before.
    if not reason and odd:
        reason = find_violation(got_odd, expected_odd, scoring, chosen.tolerance, None)
    if reason:
        raise ExportError(f"{job.format} {reason}")
    return Parity(
        format=job.format,
        file=job.written.file,
        rows=len(expected),
        largest_difference=max(
            compute_largest_difference(got, expected), compute_largest_difference(got_odd, expected_odd)
        ),
        agreement=compute_agreement(got, expected, summary.task, chosen.tolerance),
        size_bytes=measure_size(folder, job.written.file, job.written.preprocessing_file),
        part=job.written.part,
        preprocessing_file=job.written.preprocessing_file,
        metric=scoring.metric if scores else "",
        score=score,
        keras_score=keras_score,
        latency=measure_latency(predict, rows, channel.beat),
        note=job.written.note,
    )


def load_held_out(trial: PastTrial) -> dict[str, Array]:
    """Return the raw rows of the comparison: of the test part, or of the validation part where that is empty."""
    from pipelines.data.prepared_folder import load_raw  # loads pandas

    raw = load_raw(Path(trial.data), find_held_out_part(trial))
    return {name: values[:_MOST_ROWS] for name, values in raw.items()}


def load_held_out_targets(trial: PastTrial) -> Array:
    """Return the targets of the rows that `load_held_out` returns."""
    from pipelines.data.prepared_folder import load_part  # loads pandas

    return np.asarray(load_part(Path(trial.data), find_held_out_part(trial)).y[:_MOST_ROWS])


def find_held_out_part(trial: PastTrial) -> Literal["test", "validation"]:
    """Return the part that the search did not train on: the test part, or the validation part where that is empty."""
    return "test" if load_summary(Path(trial.data)).rows.get("test") else "validation"


def make_odd_rows(trial: PastTrial) -> dict[str, Array]:
    """Return a few held-out rows of a table, each with one missing value or one word that is not in the training rows.

    Empty for arrays and images, which have no such values.
    """
    summary = load_summary(Path(trial.data))
    # An array's or an image's column has a shape.
    if any(column.shape for column in summary.raw):
        return {}
    rows = {name: values[:_ODD_ROWS].copy() for name, values in load_held_out(trial).items()}
    for index, column in enumerate(summary.raw):
        values = rows[column.name]
        # One column in each row, so that a difference can be traced to its column.
        spoilt = np.arange(len(values)) % len(summary.raw) == index
        if column.dtype == "string":
            values[spoilt] = [UNSEEN_WORD if row % 2 else "" for row in np.flatnonzero(spoilt)]
        else:
            values[spoilt] = np.nan
    return rows


def read_trial_config(trial: Path) -> dict[str, Any]:
    """Return the content of a trial's `config.json`."""
    config: dict[str, Any] = json.loads((trial / ARTIFACTS / "config.json").read_text(encoding="utf-8"))
    return config


@contextmanager
def register_user_classes(trial: Path) -> Iterator[None]:
    """Register the classes of a user model with Keras, such as layers, so that it can load the model.

    Most models need no such class, so code that is gone is no error.
    """
    import keras

    config = read_trial_config(trial)
    known: Mapping[str, Any] = {}
    if "base" in config:
        try:
            known = load_callables_beside(config["model"], Path(config["base"]), "model")
        except InputError:
            known = {}
    # A scope and no registration: the next file in this process must not see these classes.
    with keras.saving.custom_object_scope(dict(known)):
        yield


def _load_file(job: VerificationJob, folder: Path) -> Predict:
    try:
        return FORMATS[job.format].load(folder, job.written)
    except Exception as error:  # a runtime raises exceptions of any kind
        raise ExportError(f"{job.format} cannot be loaded again: {type(error).__name__}: {error}") from error


def _predict_with(predict: Predict, raw: Mapping[str, Array], name: str) -> Array:
    try:
        return predict(raw)
    except Exception as error:  # a runtime raises exceptions of any kind
        raise ExportError(f"{name} does not predict: {type(error).__name__}: {error}") from error
