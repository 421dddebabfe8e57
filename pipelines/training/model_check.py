"""Check of the smallest and the largest model of a space: builds them, and times their training on demand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import ceil

import keras

from pipelines.engines.base import Channel
from pipelines.training.batches import Rows
from pipelines.training.errors import ModelTooLargeError, TrialError
from pipelines.training.messages import ModelCheck, RungDecision, TrialJob
from pipelines.training.model_size import estimate_training_memory, limit_model_size, refuse_large_model
from pipelines.training.parallel.device_group import DeviceGroup, build_for, open_group, refuse_obstacle
from pipelines.training.trainer import choose_trainer
from pipelines.training.trial import BuiltTrial, build_trial

_TIMED_STEPS = 8  # chosen: a whole epoch of a large table takes minutes


def build_models(jobs: tuple[TrialJob, ...], channel: Channel) -> tuple[ModelCheck, ...]:
    """Build the model of each job.

    Raises:
        InputError: if the model cannot take the data or the values.
    """
    return tuple(_check(job, timed=False) for job in jobs)


def time_models(jobs: tuple[TrialJob, ...], channel: Channel) -> tuple[ModelCheck, ...]:
    """Build the model of each job, and train it for two short epochs.

    Raises:
        InputError: if the model cannot take the data or the values.
    """
    return tuple(_check(job, timed=True) for job in jobs)


def _check(job: TrialJob, *, timed: bool) -> ModelCheck:
    # With `free_memory` Keras collects garbage, a quarter of a second with TensorFlow loaded.
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    try:
        group = open_group(job.devices)
        with limit_model_size(job), build_for(group):
            trial = build_trial(job, fold=0)
        refuse_large_model(job, trial.model, trial.schedule.batch_size)
    except ModelTooLargeError as error:
        return ModelCheck(0, 0, 0.0, 0.0, 0, refused=str(error))
    if group is not None:
        refuse_obstacle(group, trial.model, trial.rows)
    first_s, epoch_s = _time_epochs(trial, group) if timed else (0.0, 0.0)
    return ModelCheck(
        parameters=trial.model.count_params(),
        memory_bytes=estimate_training_memory(trial.model, trial.schedule.batch_size),
        first_s=first_s,
        epoch_s=epoch_s,
        epochs=trial.schedule.epochs,
    )


def _time_epochs(trial: BuiltTrial, group: DeviceGroup | None) -> tuple[float, float]:
    """Return the seconds of the first epoch beyond a usual one, and of a usual epoch, from a few batches of each."""
    rows, schedule = trial.rows, trial.schedule
    steps = ceil(rows.train.rows / schedule.batch_size)
    timed = min(steps, _TIMED_STEPS)
    few = Rows(
        rows.train.take(slice(timed * schedule.batch_size)),
        rows.validation.take(slice(ceil(rows.validation.rows * timed / steps))),
        rows.class_weight,
        rows.streaming,
    )
    stopwatch = _Stopwatch()
    _, train = choose_trainer(trial.model, few, group)
    two = replace(schedule, epochs=2, patience=None)
    with suppress(TrialError):  # a loss that is not finite on a handful of rows means nothing for the study
        train(trial.model, few, two, metric="val_loss", direction="minimize", listener=stopwatch)
    first_s, *rest = stopwatch.epochs_s or [0.0]
    usual_s = rest[0] if rest else first_s
    # The first epoch contains a usual one; the rest is tracing and compiling.
    return max(0.0, first_s - usual_s), usual_s * steps / timed


class _Stopwatch:
    """Listener that measures the time of each epoch."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self.epochs_s: list[float] = []

    def record_batch(self) -> None:
        """Ignore the batch."""

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """Record the time; the training continues."""
        now = time.monotonic()
        self.epochs_s.append(now - self._since)
        self._since = now
        return "go_on"
