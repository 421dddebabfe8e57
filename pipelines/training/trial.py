"""Trains one trial in a worker and leaves its files: the model on raw columns, the curve, the configuration.

With folds, each fold is one training on its own data and preprocessing; the trial's score is the mean of the folds'
best epochs, its model the one of the fold with the best score, and pruning looks at the first fold alone.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.prepare import load_part, load_preprocessing, load_summary
from pipelines.engines.base import Channel
from pipelines.models.build import hypermodel
from pipelines.models.compose import compose_own
from pipelines.models.context import ModelContext
from pipelines.models.initial_weights import set_initial_weights
from pipelines.models.objectives import class_weights
from pipelines.models.user_model import ModelFatalError
from pipelines.training.checkpoint import Checkpoints
from pipelines.training.epoch_log import EpochLog
from pipelines.training.fit_trainer import fit
from pipelines.training.messages import (
    ARTIFACTS,
    MODEL_FILE,
    OWN_WEIGHTS_FILE,
    RESULT_FILE,
    EpochDone,
    Fatal,
    Fitted,
    ModelTooLargeError,
    OwnModel,
    Rejected,
    Rows,
    RungReached,
    Schedule,
    TrialJob,
    TrialResult,
    schedule_of,
)
from pipelines.training.model_files import save_model, save_weights, summary_of, write_deployable
from pipelines.training.model_size import made_within_ceiling, refuse_above_ceilings
from pipelines.training.trainer import trainer_of
from pipelines.training.trial_files import write_files
from pipelines.training.user_model.trial import ask_supervisor, build_own_trial
from pipelines.workspace.atomic_files import write_text
from search_spaces.errors import KerastudyError
from search_spaces.hyperparameters import GivenHyperParameters
from tracking.outbox.records import Value
from tracking.testing.failpoints import reach

Measure = Callable[[TrialJob], Mapping[str, float]]
"""Measures the model that a trial has written, before the trial counts as done."""


def train_trial(job: TrialJob, channel: Channel, measure: Measure = lambda job: {}) -> TrialResult | Rejected | Fatal:
    """Train a trial on every fold and write its files below `job.folder`.

    Raises:
        TrialError: if it cannot be scored.
        Whatever `measure` raises.
    """
    try:
        return _train_folds(job, channel, measure)
    except ModelTooLargeError as error:
        return Rejected(str(error))
    except ModelFatalError as error:
        return Fatal(str(error), traceback.format_exc())


def _train_folds(job: TrialJob, channel: Channel, measure: Measure) -> TrialResult:
    started = time.monotonic()
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    summary = load_summary(Path(job.data))
    folds = [_train_fold(job, 0, channel)]
    if not folds[0].fitted.pruned:
        folds += [_train_fold(job, fold, channel) for fold in range(1, summary.folds)]
    best = _best_fold(job, folds)
    result = _result(folds, seconds=time.monotonic() - started)
    _write_files(job, best, result)
    if result.state == "complete":
        result = replace(result, measures=measure(job))
    reach("result-due")
    write_text(Path(job.folder) / RESULT_FILE, json.dumps(asdict(result)))
    reach("result-written")
    return result


@dataclass(frozen=True)
class _Fold:
    """One fold's training."""

    number: int
    model: keras.Model
    config: Mapping[str, Any]
    fitted: Fitted
    epochs: tuple[EpochDone, ...]
    trainer: str
    drawn: Mapping[str, Value] = field(default_factory=dict)


def _train_fold(job: TrialJob, fold: int, channel: Channel) -> _Fold:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed((job.seed + fold) % 2**32)
    if job.own is not None:
        return _train_own_fold(job, job.own, fold, channel, may_loop=not job.by_fit)
    with made_within_ceiling(job):
        trial = build_trial(job, fold)
    refuse_above_ceilings(job, trial.model, trial.schedule.batch_size)
    listener = _Listener(job, fold, trial.schedule.epochs, channel)
    train = fit if job.by_fit else trainer_of(trial.model, trial.rows)
    checkpoints = Checkpoints(Path(job.folder), fold, (train.__name__, job.values, trial.schedule, job.training))
    if (kept := checkpoints.read()) is not None:
        listener.repeat(kept.history)
    fitted = train(
        trial.model,
        trial.rows,
        trial.schedule,
        metric=job.metric,
        direction=job.direction,
        listener=listener,
        checkpoints=checkpoints,
    )
    return _Fold(fold, trial.model, trial.asked, fitted, tuple(listener.epochs), train.__name__)


def _train_own_fold(job: TrialJob, own: OwnModel, fold: int, channel: Channel, *, may_loop: bool = True) -> _Fold:
    with made_within_ceiling(job):
        trial = build_own_trial(job, own, fold, ask_supervisor(channel))
    refuse_above_ceilings(job, trial.model, trial.schedule.batch_size)
    listener = _Listener(job, fold, trial.schedule.epochs, channel)
    trainer, train = ("loop", trial.train_in_loop) if may_loop and trial.can_loop else ("own", trial.train)
    made_of = (trainer, trial.hp.values, trial.schedule, job.training)
    checkpoints = Checkpoints(Path(job.folder), fold, made_of) if trial.can_go_on else None
    if checkpoints is not None and (kept := checkpoints.read()) is not None:
        listener.repeat(kept.history)
    try:
        fitted = train(listener, checkpoints)
    except (KerastudyError, MemoryError):
        raise
    except Exception as error:
        if trainer != "loop" or type(error).__name__ == "ResourceExhaustedError":
            raise
        print(f"trial {job.number} is trained by Model.fit, since in one graph it fails: {error!r}"[:500], flush=True)
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed((job.seed + fold) % 2**32)
        return _train_own_fold(job, own, fold, channel, may_loop=False)
    drawn = dict(trial.undeclared.drawn)
    return _Fold(fold, trial.model, dict(trial.hp.values), fitted, tuple(listener.epochs), trainer, drawn)


@dataclass(frozen=True)
class BuiltTrial:
    """A trial ready to train: its compiled model, all hyperparameters that it asked for, rows and schedule."""

    model: keras.Model
    asked: Mapping[str, Any]
    rows: Rows
    schedule: Schedule


def build_trial(job: TrialJob, fold: int) -> BuiltTrial:
    """Build a trial's model for one fold of the data.

    Raises:
        InputError: if the model cannot take the data or the values.
    """
    summary = load_summary(Path(job.data))
    train = load_part(Path(job.data), "train", fold)
    context = ModelContext(
        features=summary.features,
        task=summary.task,
        training=job.training,
        train_rows=train.rows,
        per_layer=job.per_layer,
    )
    hp = GivenHyperParameters(job.values)
    model = hypermodel(job.model, context).build(hp)
    schedule = schedule_of(job, fold, epochs=int(hp.values["epochs"]), batch_size=int(hp.values["batch_size"]))
    set_initial_weights(model, str(hp.values["kernel_initializer"]), schedule.seed)
    rows = Rows(train, load_part(Path(job.data), "validation", fold), class_weights(context.task, context.training))
    return BuiltTrial(model, dict(hp.values), rows, schedule)


class _Listener:
    """Passes a training's epochs on, and asks at rungs."""

    def __init__(self, job: TrialJob, fold: int, of: int, channel: Channel) -> None:
        self._job = job
        self._fold = fold
        self._folds = load_summary(Path(job.data)).folds
        self._of = of
        self._channel = channel
        self._log = EpochLog(Path(job.folder), fold)

    @property
    def epochs(self) -> list[EpochDone]:
        """Return the epochs so far."""
        return self._log.epochs

    def repeat(self, history: Sequence[Mapping[str, float]]) -> None:
        """Report the epochs of an earlier attempt again: not all of them may have arrived."""
        print(f"trial {self._job.number} goes on after epoch {len(history)}", flush=True)
        for epoch, metrics in enumerate(history):
            self._channel.report(self._log.add(epoch, self._of, metrics))

    def expects(self, epochs: int) -> None:
        """There will be at most this many epochs; see `user_fit.OwnListener`."""
        self._of = epochs

    def batch(self) -> None:
        """Say that work goes on."""
        self._channel.beat()

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Report the epoch; at a rung of the first fold, ask whether to go on, unless all is done anyway."""
        done = self._log.add(epoch, self._of, metrics)
        self._channel.report(done)
        is_last = self._folds == 1 and epoch + 1 == self._of
        if self._fold > 0 or is_last or epoch not in self._job.rungs:
            return False
        best = min if self._job.direction == "minimize" else max
        reached = RungReached(epoch, best(each.metrics[self._job.metric] for each in self.epochs))
        return bool(self._channel.ask(reached))


def _best_fold(job: TrialJob, folds: Sequence[_Fold]) -> _Fold:
    best = min if job.direction == "minimize" else max
    return best(folds, key=lambda fold: fold.fitted.best_value)


def _result(folds: Sequence[_Fold], *, seconds: float) -> TrialResult:
    at_best = [fold.fitted.history[fold.fitted.best_epoch] for fold in folds]
    return TrialResult(
        state="pruned" if folds[0].fitted.pruned else "complete",
        value=_mean([fold.fitted.best_value for fold in folds]),
        best_epoch=round(_mean([fold.fitted.best_epoch for fold in folds])),
        metrics=_mean_metrics(at_best),
        epochs=_mean_curve(folds),
        parameters=sum(int(np.prod(weight.shape)) for weight in folds[0].model.trainable_weights),
        seconds=seconds,
        drawn={name: value for fold in folds for name, value in fold.drawn.items()},
        trainer=folds[0].trainer,
    )


def _mean_curve(folds: Sequence[_Fold]) -> tuple[EpochDone, ...]:
    longest = max((fold.epochs for fold in folds), key=len)
    return tuple(
        EpochDone(
            done.epoch,
            done.of,
            0,
            done.at_ms,
            _mean_metrics([fold.fitted.history[done.epoch] for fold in folds if done.epoch < len(fold.epochs)]),
        )
        for done in longest
    )


def _mean_metrics(many: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for metrics in many for name in metrics)
    return {name: _mean([metrics[name] for metrics in many if name in metrics]) for name in names}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _write_files(job: TrialJob, best: _Fold, result: TrialResult) -> None:
    write_files(job, best.number, best.config, result, best.drawn)
    if job.own is not None:
        _write_own_model(job, best, result)
    else:
        write_deployable(job, best.number, best.model, with_file=result.state == "complete")


def _write_own_model(job: TrialJob, best: _Fold, result: TrialResult) -> None:
    """Write a model of the study's own: with its preprocessing where that can be, and else a note that says why not."""
    folder = Path(job.folder)
    write_text(folder / ARTIFACTS / "model_summary.txt", summary_of(best.model) + "\n")
    if result.state != "complete":
        return
    if best.model.built:
        save_weights(best.model.get_weights(), folder / OWN_WEIGHTS_FILE)
    try:
        model = compose_own(load_preprocessing(Path(job.data), best.number), best.model)
        save_model(model, folder / MODEL_FILE)
    # Whatever keeps a person's model from being joined or saved, the trial is scored and its weights are kept.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        write_text(folder / ARTIFACTS / "model_note.txt", f"This model cannot be deployed on raw columns: {reason}\n")
