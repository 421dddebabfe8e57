"""Verification of one written file: loaded in a fresh process, and compared with the Keras model on real rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import count_rows, take_rows
from pipelines.engines.base import Channel
from pipelines.export.base import Outputs, OutputTensor, Predict, Tolerance, WrittenFile
from pipelines.export.held_out import (
    count_compared,
    find_held_out_part,
    iterate_held_out,
    list_filled,
    load_held_out,
    make_dense,
    make_odd_rows,
)
from pipelines.export.parity import (
    BATCHES,
    Parity,
    Scores,
    compute_agreement,
    compute_largest_difference,
    find_violation,
    measure_latency,
    measure_size,
)
from pipelines.export.registry import FORMATS
from pipelines.export.scoring import Deciding, make_scorer
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import needs_code
from search_spaces.errors import KerastudyError


class ExportError(KerastudyError):
    """A format could not be written, or does not give the Keras model's predictions; the target was not written."""


@dataclass(frozen=True)
class WrittenModel:
    """Result of the job that writes a model's files.

    Attributes:
        files: one for each format.
        outputs: the model's outputs, with their readings.
        shapes: of a row of each raw input; None for an axis that the model leaves open.
        scores: the Keras model's scores on the held-out rows.
        deciding: the metric that a file must keep; None where predictions have no score.
        unscored: why they have none; empty where that goes without saying.
        precision: why its arithmetic may differ between runtimes; empty for float32.
        batch_rows: rows that the Keras model predicts at a time, by the size of its layers' outputs.
    """

    files: tuple[WrittenFile, ...]
    outputs: tuple[OutputTensor, ...]
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    deciding: Deciding | None = None
    unscored: str = ""
    precision: str = ""
    batch_rows: int = 1024


@dataclass(frozen=True)
class VerificationJob:
    """Job of the worker that verifies a file.

    Attributes:
        folder: the export's folder.
        expected: file with the Keras model's predictions, see `save_expected`.
        model: facts of the Keras model.
    """

    trial: PastTrial
    folder: str
    format: str
    written: WrittenFile
    expected: str
    model: WrittenModel


@dataclass(frozen=True)
class Expected:
    """The Keras model's predictions.

    Attributes:
        rows: for the held-out rows.
        odd: for the odd rows; empty arrays where there are none.
        noise: for each output, its mean difference from a second prediction of the same rows; None where the model
            gives the same numbers again.
    """

    rows: Outputs
    odd: Outputs
    noise: tuple[float, ...] | None = None

    def save(self, file: str) -> None:
        """Write the predictions; `load_expected` reads them."""
        arrays: dict[str, Any] = {"noise": np.asarray(() if self.noise is None else self.noise)}
        arrays |= {f"rows_{index}": each for index, each in enumerate(self.rows)}
        arrays |= {f"odd_{index}": each for index, each in enumerate(self.odd)}
        np.savez(file, **arrays)


def load_expected(file: str) -> Expected:
    """Return the predictions that `Expected.save` wrote."""
    with np.load(file) as kept:
        count = sum(name.startswith("rows_") for name in kept.files)
        rows, odd = (tuple(kept[f"{name}_{index}"] for index in range(count)) for name in ("rows", "odd"))
        noise = tuple(float(each) for each in kept["noise"])
    return Expected(rows, odd, noise or None)


_FINER = {
    "litert_int8": "litert_dynamic",
    "litert_dynamic": "litert_float16",
    "litert_float16": "litert",
    "keras_int8": "keras",
}
"""The format next to each that rounds."""


def verify_export(job: VerificationJob, channel: Channel) -> Parity:
    """Load a written file, compare it with the Keras model, and measure its latency; a job.

    Raises:
        ExportError: if it cannot be loaded, or differs by more than its format allows.
    """
    folder, outputs, tolerance = Path(job.folder), job.model.outputs, _choose_tolerance(job)
    expected = load_expected(job.expected)
    with _prepare_loading(job, folder):
        predict = _load_file(job, folder)
        got = _predict_with(predict, iterate_held_out(job.trial), job)
        odd = make_odd_rows(job.trial)
        got_odd = _predict_with(predict, [odd], job) if odd else expected.odd
    channel.beat()
    scores = _score(job, got, expected.rows)
    channel.beat()
    reason = find_violation(got, expected.rows, outputs, tolerance, scores=scores, noise=expected.noise)
    # Odd rows have no score: their targets belong to the values before.
    if not reason and len(expected.odd[0]):
        reason = find_violation(got_odd, expected.odd, outputs, tolerance, noise=expected.noise)
    if reason:
        raise ExportError(add_precision(f"{job.format} {reason}{_advise_finer(job.format)}", job.model.precision))
    few = load_held_out(job.trial, max(BATCHES))
    return Parity(
        format=job.format,
        file=job.written.file,
        rows=len(expected.rows[0]),
        largest_difference=max(
            compute_largest_difference(got, expected.rows), compute_largest_difference(got_odd, expected.odd)
        ),
        agreement=compute_agreement(got, expected.rows, outputs, tolerance) if expected.noise is None else None,
        size_bytes=measure_size(folder, job.written.file, job.written.preprocessing_file),
        part=job.written.part,
        preprocessing_file=job.written.preprocessing_file,
        metric=scores.deciding.metric if scores else "",
        score=scores.file if scores else None,
        keras_score=scores.keras if scores else None,
        latency=measure_latency(predict, _convert_rows(few, job), channel.beat),
        note="; ".join([*_list_notes(job, expected), *([] if _takes_all(job) else list_filled(few))]),
        rows_at_once=job.written.rows,
    )


def _advise_finer(name: str) -> str:
    """Return the format to take in place of one that rounds too coarsely for a model; empty for exact ones."""
    if (finer := _FINER.get(name)) is None:
        return ""
    return f": its rounding is too coarse for this model; export {finer} in its place, which rounds less"


def _convert_rows(rows: Mapping[str, Array], job: VerificationJob) -> Mapping[str, Array]:
    """Return rows as the file takes them."""
    return rows if _takes_all(job) else make_dense(rows)


def _takes_all(job: VerificationJob) -> bool:
    """Return whether the file takes whatever the model takes, as Keras's own do."""
    return job.format.startswith("keras")


def add_precision(reason: str, precision: str) -> str:
    """Return the reason of a failure with the arithmetic of the model, where that may be the cause."""
    return f"{reason}; {precision}: train it in float32 to export it in this format" if precision else reason


def _choose_tolerance(job: VerificationJob) -> Tolerance:
    """Return the format's tolerance, at least that of 16 bits where the model computes in them."""
    tolerance = FORMATS[job.format].tolerance
    # Keras and SavedModel run the same operations of TensorFlow; other runtimes round elsewhere.
    if not job.model.precision or job.format.startswith(("keras", "saved_model")):
        return tolerance
    coarse = FORMATS["litert_float16"].tolerance
    return Tolerance(
        difference=None,
        agreement=min(tolerance.agreement, coarse.agreement),
        score=max(tolerance.score, coarse.score),
        value=max(tolerance.value or 0.0, coarse.value or 0.0),
    )


def _score(job: VerificationJob, got: Outputs, expected: Outputs) -> Scores | None:
    """Return the file's and the Keras model's scores by the deciding metric; None where they have none."""
    deciding, scores = job.model.deciding, job.model.scores
    # Predictions of another shape have no score, and `find_violation` reports the shape.
    if deciding is None or [each.shape for each in got] != [each.shape for each in expected]:
        return None
    # The model of a scorer takes seconds to build and to trace.
    if not all(np.array_equal(*pair) for pair in zip(got, expected, strict=True)):
        scores = make_scorer(job.trial, find_held_out_part(job.trial), count_compared(job.trial)).score(got)
    return Scores(deciding, scores.get(deciding.metric, math.nan), job.model.scores[deciding.metric])


def _list_notes(job: VerificationJob, expected: Expected) -> Iterator[str]:
    if job.written.note:
        yield job.written.note
    if job.model.precision and not job.format.startswith(("keras", "saved_model")):
        yield f"{job.model.precision}, so it was compared within the rounding of 16 bits"
    if expected.noise is not None:
        noise = ", ".join(f"{each:.2g}" for each in expected.noise)
        yield (
            f"the Keras model draws random numbers when it predicts and differs from itself by {noise} on average, so "
            "it was compared by the mean difference"
        )
    if job.model.unscored:
        yield job.model.unscored
    if gaps := _count_gaps(expected.rows):
        yield f"the Keras model predicts NaN for {gaps} of {len(expected.rows[0])} rows"


def _count_gaps(outputs: Outputs) -> int:
    """Return the number of rows with a prediction that is NaN."""
    gaps = [np.isnan(each).reshape(len(each), -1).any(axis=1) for each in outputs if each.dtype.kind == "f"]
    return int(np.any(gaps, axis=0).sum()) if gaps else 0


def _prepare_loading(job: VerificationJob, folder: Path) -> AbstractContextManager[None]:
    """Return what is in force while a file is loaded: nothing, but for a lone file that needs classes of its code."""
    from pipelines.training.user_model.classes import register_user_classes

    trial, file = Path(job.trial.folder), folder / job.written.file
    is_lone = file.suffix == ".keras" and file.is_file() and needs_code(trial)
    return register_user_classes(trial) if is_lone else nullcontext()


def _load_file(job: VerificationJob, folder: Path) -> Predict:
    try:
        return FORMATS[job.format].load(folder, job.written)
    except Exception as error:  # a runtime raises exceptions of any kind
        reason = f"{job.format} cannot be loaded again: {type(error).__name__}: {error}"
        raise ExportError(add_precision(reason, job.model.precision)) from error


def _predict_with(predict: Predict, parts: Iterable[Mapping[str, Array]], job: VerificationJob) -> Outputs:
    """Return the file's predictions for raw rows that come some at a time."""
    found: list[Outputs] = []
    for raw in parts:
        rows = _convert_rows(raw, job)
        count = count_rows(next(iter(rows.values())))
        # As many at a time as Keras predicts: a runtime holds the outputs of layers for all rows that it is given.
        for start in range(0, max(1, count), job.model.batch_rows):
            some = {
                name: take_rows(values, slice(start, start + job.model.batch_rows)) for name, values in rows.items()
            }
            found.append(_predict_batch(predict, some, job))
    return tuple(np.concatenate(outputs) for outputs in zip(*found, strict=True))


def _predict_batch(predict: Predict, raw: Mapping[str, Array], job: VerificationJob) -> Outputs:
    try:
        return predict(raw)
    except Exception as error:  # a runtime raises exceptions of any kind
        reason = f"{job.format} does not predict: {type(error).__name__}: {error}"
        raise ExportError(add_precision(reason, job.model.precision)) from error
