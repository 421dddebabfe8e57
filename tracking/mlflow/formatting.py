"""Formats of records in MLflow: names of runs, metrics by epoch, tags, and notes for people.

Metrics have the study's names here; see `names`. MLflow would show an infinity as 1.8e308, so only finite values are
metrics. Its charts come in sections: those of names with a path, in order, then one of all names without, where the
single values `best_...` come before `loss`. So a curve is there twice: by its name, which people search for, and below
`CURVES`, which a page of charts begins with.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Final

from mlflow.entities import Metric

from search_spaces.safe_text import escape_markdown
from search_spaces.values import Value
from tracking.outbox.records import (
    EpochsRecorded,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialPaused,
    TrialRecord,
    TrialStarted,
)

NOTE: Final = "mlflow.note.content"
NAME: Final = "mlflow.runName"
CURVES: Final = "curves/"
"""Path of the curves' second names."""
_LONGEST_TAG: Final = 5000  # characters; MLflow 3.17 allows 8,000, older servers no more than this
_LONGEST_PARAM: Final = 6000  # characters
_ENDING: Final = 100  # characters, at most, of the end of a text that was cut


def format_run_name(study: str, number: int, retraining: str = "") -> str:
    """Return the name of a trial's run or of a retraining's: unique across studies, and sorted by number."""
    return f"{study}-t{number:03d}" + (f"-{retraining}" if retraining else "")


def make_epoch_metrics(recorded: EpochsRecorded) -> list[Metric]:
    """Return the metrics of some epochs; a step is the number of epochs that were trained then, as in `best_epoch`."""
    return [point for epoch, at_ms, values in recorded.epochs for point in make_curve_points(values, at_ms, epoch + 1)]


def make_curve_points(values: Mapping[str, float], at_ms: int, step: int) -> list[Metric]:
    """Return the points of curves: by name, and below `CURVES` unless a name has a path, as `fold_1/loss` has."""
    named = {CURVES + name: value for name, value in values.items() if "/" not in name}
    return make_metrics({**values, **named}, at_ms, step)


def make_final_metrics(finished: TrialFinished, model_id: str | None = None) -> list[Metric]:
    """Return the scores of a trial at its best epoch, linked to a model."""
    step = int(finished.metrics.get("best_epoch", 0))
    return make_metrics(finished.metrics, finished.at_ms, step, model_id)


def make_test_metrics(closed: StudyClosed) -> list[Metric]:
    """Return the winner's scores on the test rows, named `test_...`."""
    # Keras may already call a metric `test_...`.
    named = {f"test_{name.removeprefix('test_')}": value for name, value in closed.test.items()}
    return make_metrics(named, closed.finished_ms)


def make_metrics(
    values: Mapping[str, float | None], at_ms: int, step: int = 0, model_id: str | None = None
) -> list[Metric]:
    """Return the values that are finite as metrics."""
    return [
        Metric(name, float(value), at_ms, step, model_id=model_id)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def make_trial_tags(finished: TrialFinished, metric: str) -> dict[str, str]:
    """Return the tags of a trial that ended, including its note."""
    tags: dict[str, str] = {**finished.tags, "state": finished.state, "kerastudy.state": finished.state}
    if finished.value is not None:
        tags["value"] = format_value(finished.value)
    if finished.reason:
        tags["kerastudy.reason"] = finished.reason
    tags[NAME] = _format_named_state(finished)
    return {**tags, NOTE: escape_markdown(_format_trial_note(finished, metric))}


def make_state_tags(records: Sequence[TrialRecord], metric: str) -> dict[str, str]:
    """Return the tags of a trial that was paused or goes on after a pause, by its last record; empty for others."""
    last = next((each for each in reversed(records) if isinstance(each, TrialStarted | TrialPaused)), None)
    if isinstance(last, TrialPaused):
        note = f"**{metric} {last.value:.6g}**, {last.reason}"
        tags = {"state": "paused", "kerastudy.state": "paused"}
        tags[NAME] = f"{format_run_name(last.study, last.number)} (paused)"
        return {**tags, "value": format_value(last.value), NOTE: note}
    if last is not None and last.resumed:
        name = format_run_name(last.study, last.number, last.retraining)
        return {"state": "running", "kerastudy.state": "running", NAME: name}
    return {}


def make_pause_tag(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Return the tag of a trial's last pause, which it keeps however many of its records are delivered at once."""
    reasons = [each.reason for each in records if isinstance(each, TrialPaused)]
    return {"kerastudy.paused": reasons[-1]} if reasons else {}


def _format_named_state(finished: TrialFinished) -> str:
    """Return the name of a run with the state that MLflow has no status for: it shows a pruned trial as finished."""
    name = format_run_name(finished.study, finished.number, finished.retraining)
    return f"{name} ({finished.state})" if finished.state in ("pruned", "cancelled") else name


def _format_trial_note(finished: TrialFinished, metric: str) -> str:
    if finished.value is None:
        return f"**{finished.state.capitalize()}**" + (f": {finished.reason}" if finished.reason else "")
    at = f" at epoch {int(finished.metrics['best_epoch'])}" if "best_epoch" in finished.metrics else ""
    return f"**{metric} {finished.value:.6g}**{at}" + (f" ({finished.reason})" if finished.reason else "")


def format_outcome(opened: StudyOpened, closed: StudyClosed) -> str:
    """Return the end of a study in one line."""
    counts = ", ".join(f"{count} {state}" for state, count in closed.trials.items() if count)
    best = "no result"
    if closed.best_value is not None and closed.winner is not None:
        best = f"best {opened.metric} {closed.best_value:.6g}, trial {closed.winner}"
    ending = f" ({closed.reason})" if closed.reason else ""
    return f"{closed.state.capitalize()}: {best}; trials: {counts or 'none'}{ending}"


def format_value(value: Value) -> str:
    """Return a hyperparameter's value as text within MLflow's limit."""
    # `repr` of a float reads back as the same number.
    return _shorten(repr(value) if isinstance(value, float) else str(value), _LONGEST_PARAM)


def shorten_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags within MLflow's limit."""
    return {name: _shorten(str(value), _LONGEST_TAG) for name, value in tags.items()}


def _shorten(text: str, longest: int) -> str:
    """Return a text that databases store; the end of one that was cut differs where the texts differ."""
    # PostgreSQL stores no NUL, and no database half of a surrogate pair.
    storable = text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    if len(storable) <= longest:
        return storable
    digest = hashlib.sha256(storable.encode()).hexdigest()[:16]
    return f"{storable[: longest - _ENDING]} ... ({len(storable)} characters, SHA-256 {digest})"
