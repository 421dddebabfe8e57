"""Parity of a written file with the Keras model: predictions, decisions, score and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import count_rows, take_rows
from pipelines.export.base import Outputs, OutputTensor, Part, Predict, Reading, Tolerance
from pipelines.export.scoring import Deciding

BATCHES = (1, 32)
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
        agreement: share of the rows with the same decision (class, or the value within tolerance); None for a model
            that draws random numbers, whose decisions differ from its own.
        part: `network` if the file starts behind the preprocessing, which is then in `preprocessing_file`.
        metric: metric of the scores; the study's objective if it can be computed from predictions. Empty where there
            are no scores, as for a user model that is not compiled.
        score: the file's score on those rows.
        keras_score: the Keras model's score on the same rows.
        latency: of this file, on the machine and with the threads of the export.
        note: a restriction of the file that users must know.
        rows_at_once: number of rows that the file takes in a call; None for any number.
    """

    format: str
    file: str
    rows: int
    largest_difference: float
    agreement: float | None
    size_bytes: int
    part: Part = "model"
    preprocessing_file: str = ""
    metric: str = ""
    score: float | None = None
    keras_score: float | None = None
    latency: tuple[Latency, ...] = ()
    note: str = ""
    rows_at_once: int | None = None


@dataclass(frozen=True)
class Scores:
    """The deciding metric of a file's and of the Keras model's predictions for the same rows."""

    deciding: Deciding
    file: float
    keras: float


def find_violation(
    got: Outputs,
    expected: Outputs,
    outputs: Sequence[OutputTensor],
    tolerance: Tolerance,
    *,
    scores: Scores | None = None,
    noise: Sequence[float] | None = None,
) -> str:
    """Return why predictions are out of tolerance; empty where they are not.

    Args:
        got: predictions of the file.
        expected: those of the Keras model.
        outputs: the model's outputs, in their order.
        tolerance: the allowed differences.
        scores: None where predictions cannot be scored.
        noise: for each output of a model that draws random numbers, its mean difference from itself; None for others.
    """
    if [each.shape for each in got] != [each.shape for each in expected]:
        return f"gives {_describe_shapes(got)} numbers, {_describe_shapes(expected)} are expected"
    for index, output in enumerate(outputs):
        pair = got[index], expected[index]
        if noise is None:
            reason = _find_difference(*pair, output.reading, tolerance)
        else:
            reason = _find_difference_beyond_noise(*pair, tolerance, noise[index])
        if reason:
            return reason if len(outputs) == 1 else f"{reason} (output {output.name})"
    return (
        "" if scores is None or noise is not None else _find_worse_score(scores, outputs, tolerance, len(expected[0]))
    )


def _describe_shapes(arrays: Outputs) -> str:
    return " and ".join(str(list(each.shape)) for each in arrays)


def _find_difference(got: Array, expected: Array, reading: Reading, tolerance: Tolerance) -> str:
    difference = compute_largest_difference((got,), (expected,))
    if not np.isfinite(difference):
        return f"differs from the Keras model by {difference:g}"
    allowed = compute_allowed_difference(expected, tolerance)
    if allowed is not None and difference > allowed:
        return f"differs from the Keras model by {difference:g}, {allowed:g} is allowed"
    same, rows = _compute_agreement(got, expected, reading, tolerance), len(expected)
    # The small constant is for the rounding of shares.
    if rows * (1 - same) > max(1.0, rows * (1 - tolerance.agreement)) + 1e-9:
        does = "decides as the Keras model does"
        if reading.kind == "value" and tolerance.value and expected.dtype.kind in "biuf":
            near = float(_measure_range(expected.ravel())) * tolerance.value
            does = f"is within {near:.3g} of the Keras model, {tolerance.value:.0%} of its predictions' range,"
        return f"{does} on {same:.1%} of {rows} rows, {tolerance.agreement:.0%} is expected"
    return ""


def _find_difference_beyond_noise(got: Array, expected: Array, tolerance: Tolerance, noise: float) -> str:
    """Return why predictions differ by more than two draws of one model do; empty where they do not."""
    difference = compute_mean_difference(got, expected)
    values = np.asarray(expected, np.float64)
    rounding = (tolerance.value or 0.0) * float(_measure_range(values.ravel()))
    rounding += compute_allowed_difference(values, tolerance) or 0.0
    # Chosen: a mean over rows and numbers is steady, and another distribution is further away than half of its spread.
    if difference <= 1.5 * noise + rounding:
        return ""
    return (
        f"differs from the Keras model by {difference:g} on average; that draws random numbers, and differs from "
        f"itself by {noise:g}"
    )


def _find_worse_score(scores: Scores, outputs: Sequence[OutputTensor], tolerance: Tolerance, rows: int) -> str:
    # Of few rows, one that is decided otherwise may be a large share of a score.
    one_row = 1 / rows if any(output.reading.kind != "value" for output in outputs) else 0.0
    worse = scores.file - scores.keras if scores.deciding.minimize else scores.keras - scores.file
    # 1e-4: metrics such as AUC have thresholds, where a difference in the last bit counts a row otherwise.
    if worse <= max(tolerance.score, 1e-4) * abs(scores.keras) + one_row:
        return ""
    return (
        f"has a {scores.deciding.metric} of {scores.file:.6g}, the Keras model {scores.keras:.6g} on the same "
        f"{rows} rows"
    )


def compute_largest_difference(got: Outputs, expected: Outputs) -> float:
    """Return the largest difference between two predictions; NaN where one of them alone is NaN."""
    return max((float(np.max(_subtract(*pair), initial=0.0)) for pair in zip(got, expected, strict=True)), default=0.0)


def compute_mean_difference(got: Array, expected: Array) -> float:
    """Return the mean difference between predictions."""
    return float(np.mean(_subtract(got, expected))) if expected.size else 0.0


def compute_allowed_difference(expected: Array, tolerance: Tolerance) -> float | None:
    """Return the largest difference that counts as equal, in the predictions' unit; None where any difference does."""
    if tolerance.difference is None:
        return None
    if expected.dtype.kind not in "biuf":
        return 0.0
    return tolerance.difference * max(1.0, float(np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0)))


def compute_agreement(got: Outputs, expected: Outputs, outputs: Sequence[OutputTensor], tolerance: Tolerance) -> float:
    """Return the share of rows with the same decision, in the output where it is smallest."""
    triples = zip(got, expected, outputs, strict=True)
    return min(_compute_agreement(ours, theirs, output.reading, tolerance) for ours, theirs, output in triples)


def _compute_agreement(got: Array, expected: Array, reading: Reading, tolerance: Tolerance) -> float:
    if not expected.size:
        return 1.0
    if reading.kind == "class" and expected.shape[-1] > 1:
        same = np.argmax(got, axis=-1) == np.argmax(expected, axis=-1)
    elif reading.kind == "threshold":
        same = (got >= reading.threshold) == (expected >= reading.threshold)
    else:
        allowed: Any = compute_allowed_difference(expected, tolerance) or 0.0
        if tolerance.value and expected.dtype.kind in "biuf":
            allowed = _measure_range(expected) * tolerance.value
        same = _subtract(got, expected) <= allowed
    return float(np.mean(same))


def _subtract(got: Array, expected: Array) -> Array:
    """Return the size of each difference, 0 where both are NaN; of text 0 where it is equal, and infinity elsewhere."""
    if expected.dtype.kind not in "biuf":
        return np.where(np.asarray(got) == expected, 0.0, np.inf)
    # In float64, whatever precision a runtime answers in.
    ours, theirs = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    # A row with a gap may have no prediction anywhere.
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.abs(ours - theirs))


def _measure_range(values: Array) -> Any:
    """Return the range of finite values over the rows: float64 [...]."""
    return np.ma.masked_invalid(np.asarray(values, np.float64)).ptp(axis=0)


def measure_latency(
    predict: Predict, raw: Mapping[str, Array], beat: Callable[[], None], batches: Sequence[int] = BATCHES
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
    return {name: take_rows(values, np.arange(rows) % count_rows(values)) for name, values in raw.items()}


def measure_size(folder: Path, *names: str) -> int:
    """Return the bytes of files and folders."""
    paths = [folder / name for name in names if name]
    files: list[Any] = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())
