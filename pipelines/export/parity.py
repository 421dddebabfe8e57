"""Parity of a written file with the Keras model: predictions, decisions, score and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.export.base import Part, Predict, Tolerance
from pipelines.spec.schema import TrainingSpec

_BATCHES = (1, 32)
_WARM_UP = 5  # the first calls trace and allocate
_MOST_CALLS = 200
_FEWEST_CALLS = 20  # also for a model that takes seconds; the p99 is then about the slowest call
_CALLS_S = 1.0


@dataclass(frozen=True)
class Latency:
    """Time for a batch of rows, from raw columns to the prediction, after a few calls to warm up."""

    batch: int
    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Parity:
    """Comparison of a written file with the Keras model on real rows.

    Attributes:
        rows: number of rows compared: of the test part if there is one, else of the validation part.
        largest_difference: between any two predictions, those for rows with gaps and unseen words included.
        agreement: share of the rows with the same decision (class, or the value within tolerance).
        part: `network` if the file starts behind the preprocessing, which is then in `preprocessing_file`.
        metric: metric of the scores; the study's objective if it can be computed from predictions.
        score: the file's score on those rows.
        keras_score: the Keras model's score on the same rows.
        latency: of this file, on the machine and with the threads of the export.
        note: a restriction of the file that users must know.
    """

    format: str
    file: str
    rows: int
    largest_difference: float
    agreement: float
    size_bytes: int
    part: Part = "model"
    preprocessing_file: str = ""
    metric: str = ""
    score: float | None = None
    keras_score: float | None = None
    latency: tuple[Latency, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Scoring:
    """Metric of predictions, with what is needed to compute it."""

    task: Task
    training: TrainingSpec
    metric: str
    minimize: bool


def find_violation(
    got: Array, expected: Array, scoring: Scoring, tolerance: Tolerance, scores: tuple[float, float] | None
) -> str:
    """Return why predictions are out of tolerance; empty where they are not.

    Args:
        got: predictions of the file, [row, output].
        expected: those of the Keras model.
        scoring: the task, and the direction of the score.
        tolerance: the allowed differences.
        scores: the file's and the Keras model's; None where predictions cannot be scored.
    """
    if got.shape != expected.shape:
        return f"gives {list(got.shape)} numbers, {list(expected.shape)} are expected"
    difference = compute_largest_difference(got, expected)
    if not np.isfinite(difference):
        return f"differs from the Keras model by {difference:g}"
    allowed = compute_allowed_difference(expected, tolerance)
    if allowed is not None and difference > allowed:
        return f"differs from the Keras model by {difference:g}, {allowed:g} is allowed"
    same, rows = compute_agreement(got, expected, scoring.task, tolerance), len(expected)
    # The small constant is for the rounding of shares.
    if rows * (1 - same) > max(1.0, rows * (1 - tolerance.agreement)) + 1e-9:
        return f"decides as the Keras model does on {same:.1%} of {rows} rows, {tolerance.agreement:.0%} is expected"
    if scores is None:
        return ""
    # Of few rows, one that is decided otherwise may be a large share of a score.
    one_row = 1 / rows if scoring.task.classes else 0.0
    worse = scores[0] - scores[1] if scoring.minimize else scores[1] - scores[0]
    # 1e-4: metrics such as AUC have thresholds, where a difference in the last bit counts a row otherwise.
    if worse > max(tolerance.score, 1e-4) * abs(scores[1]) + one_row:
        return f"has a {scoring.metric} of {scores[0]:.6g}, the Keras model {scores[1]:.6g} on the same {rows} rows"
    return ""


def compute_largest_difference(got: Array, expected: Array) -> float:
    """Return the largest difference between two predictions; NaN where a prediction is NaN."""
    # In float64, whatever precision a runtime answers in.
    return float(np.max(np.abs(got.astype(np.float64) - expected), initial=0.0))


def compute_allowed_difference(expected: Array, tolerance: Tolerance) -> float | None:
    """Return the largest difference that counts as equal, in the predictions' unit; None where any difference does."""
    if tolerance.difference is None:
        return None
    return tolerance.difference * max(1.0, float(np.max(np.abs(expected))))


def compute_agreement(got: Array, expected: Array, task: Task, tolerance: Tolerance) -> float:
    """Return the share of rows with the same decision."""
    if task.classes and expected.shape[1] > 1:  # a user model may have two outputs for two classes
        same = np.argmax(got, axis=1) == np.argmax(expected, axis=1)
    elif task.classes:
        # 0.5 as Keras's binary metrics take it.
        same = (got >= 0.5) == (expected >= 0.5)
    else:
        allowed = compute_allowed_difference(expected, tolerance)
        same = np.abs(got - expected) <= (np.ptp(expected, axis=0) * tolerance.value if tolerance.value else allowed)
    return float(np.mean(same))


def compute_score(predictions: Array, y: Array, scoring: Scoring) -> float | None:
    """Return the score of predictions [row, output] for targets as the prepared data holds them.

    None for a user model whose output is not the task's.
    """
    if predictions.shape != (len(y), scoring.task.outputs):
        return None
    from pipelines.models.losses import build_loss_with_smoothing, build_metrics

    name = scoring.metric
    if name == "loss":
        # Without label smoothing, which belongs to the training and not to a score.
        return float(np.mean(build_loss_with_smoothing(scoring.task, scoring.training, 0.0)(y, predictions)))
    metric = {each.name: each for each in build_metrics(scoring.task, scoring.training)}[name]
    metric.update_state(y, predictions)
    # Some metrics give a number for each class.
    return float(np.mean(metric.result()))


def choose_scoring(task: Task, training: TrainingSpec, objective: str, direction: str) -> Scoring:
    """Return the scoring by the objective, or by the task's first metric if that needs more than predictions."""
    from pipelines.models.losses import build_metrics
    from pipelines.models.objectives import find_direction

    name = objective.removeprefix("val_")
    known = [metric.name for metric in build_metrics(task, training)]
    if name == "loss" or name in known:
        return Scoring(task, training, name, direction == "minimize")
    return Scoring(task, training, known[0], find_direction(known[0]) == "minimize")


def measure_latency(
    predict: Predict, raw: Mapping[str, Array], beat: Callable[[], None], batches: Sequence[int] = _BATCHES
) -> tuple[Latency, ...]:
    """Return the latency of predictions; it takes about a second for each batch size."""
    return tuple(_measure_batch(predict, _repeat_rows(raw, batch), batch, beat) for batch in batches)


def _measure_batch(predict: Predict, rows: Mapping[str, Array], batch: int, beat: Callable[[], None]) -> Latency:
    for _ in range(_WARM_UP):
        predict(rows)
    times: list[float] = []
    while len(times) < _FEWEST_CALLS or (len(times) < _MOST_CALLS and sum(times) < _CALLS_S):
        started = time.perf_counter()
        predict(rows)
        times.append(time.perf_counter() - started)
        # Calls may take longer in all than a worker may be silent.
        beat()
    median, p99 = np.percentile(times, [50, 99]) * 1000
    return Latency(batch, round(float(median), 3), round(float(p99), 3))


def _repeat_rows(raw: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Return the first rows, repeated where there are fewer."""
    # A test part may have fewer rows than a batch.
    return {name: values[np.arange(rows) % len(values)] for name, values in raw.items()}


def measure_size(folder: Path, *names: str) -> int:
    """Return the bytes of files and folders."""
    paths = [folder / name for name in names if name]
    files: list[Any] = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())
