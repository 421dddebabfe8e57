"""Builds the smallest and the largest model that a space can ask for, and measures one training step of each."""

from __future__ import annotations

import time
from collections.abc import Iterable
from math import ceil, prod

import keras

from pipelines.data.prepared import Part
from pipelines.engines.engine import Channel
from pipelines.training.trainer import ModelCheck, TrialJob
from pipelines.training.trial import build_trial

_BYTES_PER_NUMBER = 4
_TIMED_STEPS = 8


def check_models(jobs: tuple[TrialJob, ...], channel: Channel) -> tuple[ModelCheck, ...]:
    """Build and time the model of each job.

    Raises:
        InputError: if the model cannot take the data or the values.
    """
    return tuple(_check(job) for job in jobs)


def _check(job: TrialJob) -> ModelCheck:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    trial = build_trial(job, fold=0)
    steps = ceil(trial.rows.train.rows / trial.schedule.batch_size)
    first_s = _fit_s(trial.model, _first(trial.rows.train, trial.schedule.batch_size), trial.schedule.batch_size)
    timed = min(steps, _TIMED_STEPS)
    some = _first(trial.rows.train, timed * trial.schedule.batch_size)
    timed_s = _fit_s(trial.model, some, trial.schedule.batch_size)
    return ModelCheck(
        parameters=trial.model.count_params(),
        memory_bytes=training_memory(trial.model, trial.schedule.batch_size),
        first_s=first_s,
        epoch_s=timed_s * steps / timed,
        epochs=trial.schedule.epochs,
    )


def training_memory(model: keras.Model, batch_size: int) -> int:
    """Return the estimate that `ModelCheck.memory_bytes` describes."""
    model.optimizer.build(model.trainable_variables)
    weights = _numbers(weight.shape for weight in model.weights)
    gradients = _numbers(weight.shape for weight in model.trainable_weights)
    slots = _numbers(variable.shape for variable in model.optimizer.variables)
    outputs = _numbers(tensor.shape[1:] for layer in model.layers for tensor in keras.tree.flatten(layer.output))
    return _BYTES_PER_NUMBER * (weights + gradients + slots + 2 * batch_size * outputs)


def _fit_s(model: keras.Model, rows: Part, batch_size: int) -> float:
    started = time.monotonic()
    model.fit(dict(rows.x), rows.y, batch_size=batch_size, epochs=1, verbose=0)
    return time.monotonic() - started


def _first(rows: Part, count: int) -> Part:
    return Part({name: values[:count] for name, values in rows.x.items()}, rows.y[:count])


def _numbers(shapes: Iterable[tuple[int | None, ...]]) -> int:
    return sum(prod(size or 1 for size in shape) for shape in shapes)
