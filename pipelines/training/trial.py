"""Training of one trial in a worker, and its files: the model on raw columns, the curve, the configuration.

With folds, each fold is one training on its own data and preprocessing, and with `training.seeds` there are as many
further ones. The trial's score is the mean of their best epochs, its model that of the training with the best score,
and pruning looks at the first one alone.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.prepared_folder import load_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.models.head_objectives import calculate_head_weights
from pipelines.models.initial_weights import set_initial_weights
from pipelines.models.objectives import calculate_class_weights
from pipelines.models.user_model import ModelFatalError
from pipelines.spec.code_errors import describe_error
from pipelines.training.artifacts import write_artifacts
from pipelines.training.batches import ClassWeight, Rows, Streaming
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_log import EpochLog
from pipelines.training.epoch_monitor import EpochMonitor, FitResult
from pipelines.training.errors import ModelTooLargeError, TrialError
from pipelines.training.fit_trainer import finish_training
from pipelines.training.messages import (
    EpochDone,
    RungDecision,
    RungReached,
    TrainerName,
    TrialJob,
    TrialOutcome,
    TrialResult,
    UserModel,
)
from pipelines.training.model_files import summarize_model, write_deployment_model
from pipelines.training.model_size import limit_model_size, refuse_large_model
from pipelines.training.parallel.device_group import build_for, find_obstacle, open_group
from pipelines.training.resource_use import ResourceMeter, ResourceUse, read_tensorflow_gpu_peak
from pipelines.training.schedule import Schedule, make_schedule
from pipelines.training.trainer import choose_trainer
from pipelines.training.trainings import count_trainings, find_fold
from pipelines.training.trial_folder import (
    ARTIFACTS,
    WEIGHTS_FILE,
    locate_fold,
    write_model_note,
    write_pause,
    write_result,
)
from pipelines.training.weight_files import save_weights
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import KerastudyError
from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.values import Value
from tracking.timings.stopwatch import measure_calls

Measure = Callable[[TrialJob], Mapping[str, float]]
"""Measures the model that a trial has written, before the trial counts as done."""


def train_trial(job: TrialJob, channel: Channel) -> TrialOutcome:
    """Train a trial on every fold, with each seed, and write its files below `job.folder`."""
    return train_and_measure_trial(job, channel, lambda job: {})


def train_and_measure_trial(job: TrialJob, channel: Channel, measure: Measure) -> TrialOutcome:
    """Train a trial as `train_trial` does, and measure the model of a complete one.

    Raises:
        Whatever `measure` raises, except `TrialError`.
    """
    try:
        return _train_folds(job, channel, measure)
    except ModelTooLargeError as error:
        return TrialOutcome("rejected", reason=str(error))
    except ModelFatalError as error:
        return TrialOutcome("fatal", reason=str(error), traceback=traceback.format_exc())
    except TrialError as error:
        traceback.print_exc()  # the worker's output is the trial's log
        return TrialOutcome("failed", reason=str(error), traceback=traceback.format_exc())


def _train_folds(job: TrialJob, channel: Channel, measure: Measure) -> TrialOutcome:
    started, meter = time.monotonic(), ResourceMeter(read_tensorflow_gpu_peak)
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    folds = [_train_fold(job, 0, channel)]
    if not folds[0].fitted.pruned:
        folds += [_train_fold(job, run, channel) for run in range(1, count_trainings(job))]
    best = _find_best_fold(job, folds)
    result = _combine_folds(
        folds, seconds=job.spent_s + time.monotonic() - started, resources=job.spent.add(meter.read())
    )
    _write_files(job, best, result)
    if folds[0].fitted.paused:
        write_pause(Path(job.folder), result)
        return TrialOutcome("paused", result)
    if result.state == "complete":
        if job.keeps_folds:
            _write_fold_models(job, folds, result)
        result = replace(result, measures=measure(job))
    write_result(Path(job.folder), result)
    return TrialOutcome("completed", result)


@dataclass(frozen=True)
class _Fold:
    """Training of one fold.

    Attributes:
        no_model: why the trained model is not known; `model` is not trained then.
    """

    number: int
    model: keras.Model
    config: Mapping[str, Any]
    fitted: FitResult
    epochs: tuple[EpochDone, ...]
    trainer: TrainerName
    drawn: Mapping[str, Value] = field(default_factory=dict)
    no_model: str = ""


def _train_fold(job: TrialJob, fold: int, channel: Channel) -> _Fold:
    _reset_keras(job, fold)
    if job.user_model is not None:
        return _train_user_model_fold(job, job.user_model, fold, channel, by_fit=job.by_fit)
    group = open_group(job.devices)
    with limit_model_size(job), build_for(group):
        trial = build_trial(job, fold)
    refuse_large_model(job, trial.model, trial.schedule.batch_size)
    if group is not None and (reason := find_obstacle(group, trial.model, trial.rows, trial.schedule.batch_size)):
        print(f"trial {job.number} trains on one device, since {reason}", flush=True)
        return _train_fold(replace(job, devices=1), fold, channel)
    listener = _ChannelListener(job, fold, trial.schedule.epochs, channel)
    trainer, train = choose_trainer(trial.model, trial.rows, group, by_fit=job.by_fit)
    # With the trainer in it: a fleet's checkpoint of the same trial has another form.
    checkpoints = CheckpointStore(Path(job.folder), fold, (trainer, job.values, trial.schedule, job.training))
    fitted = _resume(job, listener, trial.model, trial.schedule, checkpoints)
    if fitted is None:
        fitted = train(
            trial.model,
            trial.rows,
            trial.schedule,
            metric=job.metric,
            direction=job.direction,
            listener=listener,
            checkpoints=checkpoints,
        )
    return _Fold(find_fold(job, fold), trial.model, trial.requested, fitted, tuple(listener.epochs), trainer)


def _train_user_model_fold(job: TrialJob, user_model: UserModel, fold: int, channel: Channel, *, by_fit: bool) -> _Fold:
    # Here, since it imports TensorFlow, which a worker for JAX never loads.
    from pipelines.training.user_model.fit_calls import UserFitResult
    from pipelines.training.user_model.trial import build_user_model_trial, request_from_supervisor

    group = open_group(job.devices)
    with limit_model_size(job), build_for(group):
        trial = build_user_model_trial(job, user_model, fold, request_from_supervisor(channel))
    refuse_large_model(job, trial.model, trial.schedule.batch_size)
    if group is not None and (reason := trial.find_obstacle(group)):
        print(f"trial {job.number} trains on one device, since {reason}", flush=True)
        _reset_keras(job, fold)
        return _train_user_model_fold(replace(job, devices=1), user_model, fold, channel, by_fit=by_fit)
    listener = _ChannelListener(job, fold, trial.schedule.epochs, channel, can_pause=trial.can_resume)
    in_graph = trial.can_train_in_graph and not by_fit
    trainer: TrainerName = "parallel" if group is not None else "graph" if in_graph else "user"
    identity = (trainer, trial.hp.values, trial.schedule, job.training)
    checkpoints = CheckpointStore(Path(job.folder), fold, identity) if trial.can_resume else None
    fitted = None if checkpoints is None else _resume(job, listener, trial.model, trial.schedule, checkpoints)
    try:
        if fitted is not None:
            done = UserFitResult(fitted, trial.model)
        elif group is not None:
            done = trial.train_on(group, listener, checkpoints)
        else:
            done = (trial.train_in_graph if in_graph else trial.train)(listener, checkpoints)
    except (KerastudyError, MemoryError):
        raise
    except Exception as error:
        # User code may work in `Model.fit` and still fail inside one graph: then `Model.fit` trains it.
        if group is not None or not in_graph or type(error).__name__ == "ResourceExhaustedError":
            raise
        reason = describe_error(error, trial.fit.user.file)
        print(f"trial {job.number} is trained by Model.fit, since in one graph it fails: {reason}", flush=True)
        _reset_keras(job, fold)
        return _train_user_model_fold(job, user_model, fold, channel, by_fit=True)
    for remark in done.remarks:
        print(f"trial {job.number}: {remark}", flush=True)
    return _Fold(
        find_fold(job, fold),
        trial.model if done.model is None else done.model,
        dict(trial.hp.values),
        done.fitted,
        tuple(listener.epochs),
        trainer,
        dict(trial.undeclared.drawn),
        done.no_model,
    )


def _resume(
    job: TrialJob, listener: _ChannelListener, model: keras.Model, schedule: Schedule, checkpoints: CheckpointStore
) -> FitResult | None:
    """Report the epochs of an earlier attempt; return its result where it ends at the rung that it stands at."""
    if (checkpoint := checkpoints.read()) is None:
        return None
    listener.repeat(checkpoint.history)
    decision = listener.decide_again()
    if decision == "go_on":
        return None
    monitor = EpochMonitor(schedule, job.metric, job.direction)
    monitor.restore(checkpoint.monitor, checkpoint.best_weights)
    monitor.should_stop(decision)
    return finish_training(model, monitor)


def _reset_keras(job: TrialJob, fold: int) -> None:
    # With `free_memory` Keras collects garbage, a quarter of a second with TensorFlow loaded.
    keras.backend.clear_session(free_memory=False)
    # NumPy refuses seeds of 2^32 and above.
    keras.utils.set_random_seed((job.seed + fold) % 2**32)


@dataclass(frozen=True)
class BuiltTrial:
    """A trial ready to train: its compiled model, all hyperparameters that it requested, rows and schedule."""

    model: keras.Model
    requested: Mapping[str, Any]
    rows: Rows
    schedule: Schedule


@measure_calls("building models")
def build_trial(job: TrialJob, fold: int) -> BuiltTrial:
    """Build a trial's model for one of its trainings; those below the number of folds have the first seed.

    Raises:
        InputError: if the model cannot take the data or the values.
    """
    summary, part = load_summary(Path(job.data)), find_fold(job, fold)
    train = load_part(Path(job.data), "train", part)
    context = ModelContext(
        features=summary.features,
        task=summary.task,
        training=job.training,
        train_rows=train.rows,
        per_layer=job.per_layer,
    )
    hp = TrialHyperParameters(job.values)
    model = build_hypermodel(job.model, context).build(hp)
    schedule = make_schedule(job, fold, epochs=int(hp.values["epochs"]), batch_size=int(hp.values["batch_size"]))
    set_initial_weights(model, str(hp.values["kernel_initializer"]), schedule.seed)
    calculate_weights = calculate_head_weights if context.task.heads else calculate_class_weights
    weights: ClassWeight | None = calculate_weights(context.task, context.training)
    streaming = Streaming(summary.streaming, Path(job.folder)) if summary.streaming else None
    rows = Rows(train, load_part(Path(job.data), "validation", part), weights, streaming)
    return BuiltTrial(model, dict(hp.values), rows, schedule)


class _ChannelListener:
    """Listener that reports a training's epochs to the supervisor, and requests at rungs whether to go on."""

    def __init__(self, job: TrialJob, fold: int, of: int, channel: Channel, *, can_pause: bool = True) -> None:
        self._job = job
        self._can_pause = can_pause
        self._fold = fold
        self._trainings = count_trainings(job)
        self._of = of
        self._channel = channel
        self._log = EpochLog(Path(job.folder), fold)

    @property
    def epochs(self) -> list[EpochDone]:
        """Epochs so far."""
        return self._log.epochs

    def repeat(self, history: Sequence[Mapping[str, float]]) -> None:
        """Report the epochs of an earlier attempt again: not all of them may have arrived."""
        print(f"trial {self._job.number} resumes after epoch {len(history)}", flush=True)
        for epoch, metrics in enumerate(history):
            self._channel.report(self._log.add(epoch, self._of, metrics))

    def expect_epochs(self, epochs: int) -> None:
        """Set the most epochs that there will be; see `UserModelListener`."""
        self._of = epochs

    def record_batch(self) -> None:
        """Send a sign of life."""
        self._channel.beat()

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """Report the epoch; at a rung of the first fold, request whether to go on, unless it is the last epoch."""
        done = self._log.add(epoch, self._of, metrics)
        self._channel.report(done)
        # Pruning after the last epoch would save nothing, and lose a trained model.
        is_last = self._trainings == 1 and epoch + 1 == self._of
        if self._fold > 0 or is_last or epoch not in self._job.rungs:
            return "go_on"
        return self._request_decision(epoch)

    def decide_again(self) -> RungDecision:
        """Return whether an earlier attempt goes on; request that where it ended at a rung with nothing recorded."""
        if self._fold > 0 or not self._job.is_undecided(len(self.epochs), self._of):
            return "go_on"
        return self._request_decision(len(self.epochs) - 1)

    def _request_decision(self, epoch: int) -> RungDecision:
        best = min if self._job.direction == "minimize" else max
        score = best(each.metrics[self._job.metric] for each in self.epochs)
        decision: RungDecision = self._channel.request(RungReached(epoch, score, self._can_pause))
        return decision


def _find_best_fold(job: TrialJob, folds: Sequence[_Fold]) -> _Fold:
    best = min if job.direction == "minimize" else max
    return best(folds, key=lambda fold: fold.fitted.best_value)


def _combine_folds(folds: Sequence[_Fold], *, seconds: float, resources: ResourceUse) -> TrialResult:
    at_best = [fold.fitted.metrics for fold in folds]
    return TrialResult(
        state="pruned" if folds[0].fitted.pruned else "complete",
        value=_average([fold.fitted.best_value for fold in folds]),
        best_epoch=round(_average([fold.fitted.best_epoch for fold in folds])),
        metrics=_average_metrics(at_best),
        epochs=_average_curves(folds),
        parameters=sum(int(np.prod(weight.shape)) for weight in folds[0].model.trainable_weights),
        seconds=seconds,
        drawn={name: value for fold in folds for name, value in fold.drawn.items()},
        trainer=folds[0].trainer,
        resources=resources,
    )


def _average_curves(folds: Sequence[_Fold]) -> tuple[EpochDone, ...]:
    longest = max((fold.epochs for fold in folds), key=len)
    return tuple(
        EpochDone(
            done.epoch,
            done.of,
            0,
            done.at_ms,
            _average_metrics([fold.fitted.history[done.epoch] for fold in folds if done.epoch < len(fold.epochs)]),
        )
        for done in longest
    )


def _average_metrics(many: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for metrics in many for name in metrics)
    return {name: _average([metrics[name] for metrics in many if name in metrics]) for name in names}


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@measure_calls("writing trials")
def _write_files(job: TrialJob, best: _Fold, result: TrialResult) -> None:
    write_artifacts(job, best.number, best.config, result, best.drawn)
    if job.user_model is not None:
        _write_user_model(job, best, result)
    else:
        _write_model(job, best, is_complete=result.state == "complete")


def _write_fold_models(job: TrialJob, folds: Sequence[_Fold], result: TrialResult) -> None:
    """Write the model of each fold into a folder below the trial's, laid out like a trial's."""
    for fold in folds:
        of_fold = replace(job, folder=str(locate_fold(Path(job.folder), fold.number)))
        write_artifacts(of_fold, fold.number, fold.config, result, fold.drawn)
        if job.user_model is not None:
            _write_user_model(of_fold, fold, result)
        else:
            _write_model(of_fold, fold, is_complete=True)


def _write_model(job: TrialJob, fold: _Fold, *, is_complete: bool) -> None:
    """Write a family's model, or its weights alone on JAX: `write_models` writes that model where it is needed."""
    if keras.backend.backend() == "tensorflow":
        write_deployment_model(job, fold.number, fold.model, with_file=is_complete)
        return
    folder = Path(job.folder)
    write_text(folder / ARTIFACTS / "model_summary.txt", summarize_model(fold.model) + "\n")
    if is_complete:
        save_weights(fold.model.get_weights(), folder / WEIGHTS_FILE)


def _write_user_model(job: TrialJob, best: _Fold, result: TrialResult) -> None:
    """Write a user model: with its preprocessing where that is possible, else a note with the reason."""
    folder = Path(job.folder)
    write_text(folder / ARTIFACTS / "model_summary.txt", summarize_model(best.model) + "\n")
    if result.state != "complete":
        return
    if best.no_model:
        write_model_note(folder, best.no_model)
        return
    from pipelines.training.user_model.deployment import write_user_model

    write_user_model(best.model, job, best.number, best.config)
