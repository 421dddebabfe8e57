"""User model of one fold of a trial: built, trained, with its undeclared hyperparameters.

The worker holds no database. So a hyperparameter that the code requests and the space does not declare is requested
from the supervisor over the job's channel, which draws it with Optuna: conditions in the code work as written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepared_folder import load_examples_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.objectives import calculate_class_weights
from pipelines.models.user_model import encode_targets, has_call, load_user_model
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.graph_trainer import can_train_in_graph, train_in_graph
from pipelines.training.keras_state import can_capture
from pipelines.training.messages import TrialJob, UserModel
from pipelines.training.parallel.device_group import OWN_FIT, DeviceGroup, find_obstacle
from pipelines.training.schedule import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_EPOCHS,
    Schedule,
    is_stopping_requested,
    make_schedule,
)
from pipelines.training.trainer import Trainer
from pipelines.training.trainings import find_fold, name_training
from pipelines.training.trial_folder import locate_fit_folder
from pipelines.training.user_model.fit_calls import UserFitResult, run_user_fit
from pipelines.training.user_model.input_notes import explain_inputs
from pipelines.training.user_model.user_fit import UserFit, UserModelListener, has_custom_fit, select_fit_arguments
from search_spaces.hypermodel_request import HyperparameterRequest, make_request
from search_spaces.hyperparameters import TrialHyperParameters, convert_value
from search_spaces.values import Value

Choose = Callable[[HyperparameterRequest], Value]


@dataclass(frozen=True)
class Undeclared:
    """Values of hyperparameters that the space does not declare, kept as they are drawn.

    Attributes:
        choose: gives the value of a hyperparameter that is searched.
    """

    user_model: UserModel
    choose: Choose
    drawn: dict[str, Value]

    def answer(self, hyperparameter: Any) -> Value:
        """Return the value of a hyperparameter that the code requests."""
        request = make_request(hyperparameter)
        if request.name in self.user_model.deferred:
            self.drawn[request.name] = convert_value(hyperparameter, self.choose(request))
            return self.drawn[request.name]
        if request.name in self.user_model.declared or not self.user_model.searches or not request.is_drawn:
            return request.default
        self.drawn[request.name] = self.choose(request)
        return self.drawn[request.name]


@dataclass(frozen=True)
class UserModelTrial:
    """A user model, built and ready to train."""

    model: keras.Model
    hp: TrialHyperParameters
    undeclared: Undeclared
    rows: Rows
    schedule: Schedule
    fit: UserFit

    @property
    def can_resume(self) -> bool:
        """Whether it can resume from a checkpoint: a custom `fit` or custom steps have state that is not visible."""
        return can_capture(self.model) and not self.fit.has_custom_fit

    @property
    def can_train_in_graph(self) -> bool:
        """Whether the graph trainer can train it: only the model is custom, not its training."""
        # Class weights are found by class index, and a user model's targets may be one-hot.
        is_stock = self.model.built and not self.fit.has_custom_fit and self.rows.class_weight is None
        return is_stock and can_train_in_graph(self.model, self.rows)

    def find_obstacle(self, group: DeviceGroup) -> str:
        """Return why devices cannot share this training; empty where they can."""
        if self.fit.has_custom_fit:
            return OWN_FIT
        return find_obstacle(group, self.model, self.rows, self.schedule.batch_size)

    def train(self, listener: UserModelListener, checkpoints: CheckpointStore | None = None) -> UserFitResult:
        """Train with the hypermodel's `fit`; see `run_user_fit`."""
        return run_user_fit(self.fit, self.hp, self.model, self.rows, listener, checkpoints)

    def train_in_graph(self, listener: UserModelListener, checkpoints: CheckpointStore | None = None) -> UserFitResult:
        """Train with the graph trainer, where it `can_train_in_graph`; user code may still fail in a graph.

        Raises:
            TrialError: if there is no finite score.
        """
        return self.train_with(train_in_graph, listener, checkpoints)

    def train_on(
        self, group: DeviceGroup, listener: UserModelListener, checkpoints: CheckpointStore | None = None
    ) -> UserFitResult:
        """Train on several devices.

        Raises:
            TrialError: if there is no finite score.
            ModelCodeError: if the user's code raises.
        """
        with self.fit.user.locate_errors():
            return self.train_with(group.train, listener, checkpoints)

    def train_with(
        self, trainer: Trainer, listener: UserModelListener, checkpoints: CheckpointStore | None = None
    ) -> UserFitResult:
        """Train with a trainer of compiled models.

        Raises:
            TrialError: if there is no finite score.
        """
        train, validation = (
            replace(part, y=encode_targets(self.model, self.fit.task, part.y))
            for part in (self.rows.train, self.rows.validation)
        )
        fitted = trainer(
            self.model,
            Rows(train, validation, self.rows.class_weight),
            self.schedule,
            metric=self.fit.metric,
            direction=self.fit.direction,
            listener=listener,
            checkpoints=checkpoints,
        )
        return UserFitResult(fitted, self.model)


def build_user_model_trial(job: TrialJob, user_model: UserModel, fold: int, choose: Choose) -> UserModelTrial:
    """Build a trial's model for one of its trainings; those below the number of folds have the first seed.

    Raises:
        InputError: if the code is no hypermodel, or cannot take the space's values.
        ModelCodeError: if the code raises.
        ModelRefusedError: if the code refuses these values.
    """
    data = Path(job.data)
    summary = load_summary(data)
    task = summary.task
    user = load_user_model(job.model, Path(user_model.base))
    undeclared = Undeclared(user_model, choose, {})
    hp = TrialHyperParameters(job.values, undeclared.answer)
    model = user.build(hp)
    rows = Rows(
        load_examples_part(data, "train", find_fold(job, fold)),
        load_examples_part(data, "validation", find_fold(job, fold)),
        calculate_class_weights(task, job.training),
    )
    # The space may set epochs and batch size although the code never requests them.
    values = {**hp.values, **job.values}
    schedule = make_schedule(
        job,
        fold,
        epochs=int(values.get("epochs", DEFAULT_EPOCHS)),
        # Else the batches have the size that their author gave them.
        batch_size=int(values.get("batch_size", rows.train.batch_size or DEFAULT_BATCH_SIZE)),
    )
    # Else its size is not known before it is trained.
    if not model.built and not user.has_custom_fit and has_call(model):
        with explain_inputs(model, summary), user.locate_errors():
            model(make_tensors(rows.train.take(slice(1)).x))
    is_custom = has_custom_fit(user, model)
    if is_custom:
        schedule = _leave_to_code(schedule, job)
    arguments = select_fit_arguments(user, job.values, user_model.requested, schedule)
    folder = locate_fit_folder(Path(job.folder), _name_training(job, fold)) if is_custom else None
    fit = UserFit(user, task, schedule, job.metric, job.direction, arguments, is_custom, folder)
    return UserModelTrial(model, hp, undeclared, rows, schedule, fit)


def _name_training(job: TrialJob, training: int) -> str:
    return name_training(training, load_summary(Path(job.data)).folds, job.training.seeds)


def _leave_to_code(schedule: Schedule, job: TrialJob) -> Schedule:
    """Return the schedule of a custom `fit`: its code decides how long it trains, unless the study file requests it."""
    if job.refit_epochs is not None:
        # Epochs of the whole `fit`; the space's value, if any, is that of one call.
        return replace(schedule, epochs=job.refit_epochs)
    return schedule if is_stopping_requested(job.training) else replace(schedule, patience=None)


def request_from_supervisor(channel: Channel) -> Choose:
    """Return a function that requests values from the supervisor, which draws them with Optuna."""

    def choose(request: HyperparameterRequest) -> Value:
        value: Value = channel.request(request)
        return value

    return choose
