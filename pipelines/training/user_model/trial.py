"""Builds and trains the model of a study's own code for one fold of a trial.

The worker holds no database, so a hyperparameter that the code asks for and the space does not declare is put to the
supervisor over the job's channel, which answers from Optuna: conditions in the code work as they are written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.prepare import load_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.objectives import class_weights
from pipelines.models.user_model import as_taken, load_user_model, targets_for
from pipelines.training.checkpoint import Checkpoints
from pipelines.training.graph_trainer import can_loop, loop
from pipelines.training.keras_state import is_kept_whole
from pipelines.training.messages import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_EPOCHS,
    Fitted,
    OwnModel,
    Rows,
    Schedule,
    TrialJob,
    schedule_of,
)
from pipelines.training.user_model.fit_calls import OwnListener, UserFit, fit_arguments, user_fit
from search_spaces.hypermodel_request import Question, question_of
from search_spaces.hyperparameters import GivenHyperParameters, suited
from tracking.outbox.records import Value

Choose = Callable[[Question], Value]


@dataclass(frozen=True)
class Undeclared:
    """Answers what the space does not declare, and remembers the answers.

    Attributes:
        choose: gives the value of a hyperparameter that is searched.
    """

    own: OwnModel
    choose: Choose
    drawn: dict[str, Value]

    def answer(self, hyperparameter: Any) -> Value:
        """Return the value of a hyperparameter that the code asks for."""
        question = question_of(hyperparameter)
        if question.name in self.own.later:
            self.drawn[question.name] = suited(hyperparameter, self.choose(question))
            return self.drawn[question.name]
        if question.name in self.own.declared or not self.own.searches or not question.is_drawn:
            return question.default
        self.drawn[question.name] = self.choose(question)
        return self.drawn[question.name]


@dataclass(frozen=True)
class OwnTrial:
    """A model of the study's own, built and ready to train."""

    model: keras.Model
    hp: GivenHyperParameters
    undeclared: Undeclared
    rows: Rows
    schedule: Schedule
    how: UserFit

    @property
    def can_go_on(self) -> bool:
        """Say whether it can go on from a checkpoint: a `fit` or steps of the author's own have state nobody knows."""
        return is_kept_whole(self.model) and not self.how.user.has_own_fit

    @property
    def can_loop(self) -> bool:
        """Say whether nothing in its training is the author's own but the model, so that `loop` trains it as well."""
        ours = self.model.built and not self.how.user.has_own_fit and self.rows.class_weight is None
        return ours and can_loop(self.model, self.rows)

    def train(self, listener: OwnListener, checkpoints: Checkpoints | None = None) -> Fitted:
        """Train as the author wrote it; see `user_fit`."""
        return user_fit(self.how, self.hp, self.model, self.rows, listener, checkpoints)

    def train_in_loop(self, listener: OwnListener, checkpoints: Checkpoints | None = None) -> Fitted:
        """Train with `loop`, where it `can_loop`; the author's own code may still not bear it.

        Raises:
            TrialError: if there is no finite score.
        """
        train, validation = (
            replace(part, y=targets_for(self.model, self.how.task, part.y))
            for part in (self.rows.train, self.rows.validation)
        )
        rows = Rows(train, validation, None)
        return loop(
            self.model,
            rows,
            self.schedule,
            metric=self.how.metric,
            direction=self.how.direction,
            listener=listener,
            checkpoints=checkpoints,
            taken=as_taken,
        )


def build_own_trial(job: TrialJob, own: OwnModel, fold: int, choose: Choose) -> OwnTrial:
    """Build a trial's model for one fold of the data.

    Raises:
        InputError: if the code is no hypermodel, or cannot take the space's values.
        ModelCodeError: if the code raises.
        ModelRefusedError: if the code refuses these values.
    """
    data = Path(job.data)
    task = load_summary(data).task
    user = load_user_model(job.model, Path(own.base))
    undeclared = Undeclared(own, choose, {})
    hp = GivenHyperParameters(job.values, undeclared.answer)
    model = user.build(hp)
    values = {**hp.values, **job.values}
    schedule = schedule_of(
        job,
        fold,
        epochs=int(values.get("epochs", DEFAULT_EPOCHS)),
        batch_size=int(values.get("batch_size", DEFAULT_BATCH_SIZE)),
    )
    rows = Rows(load_part(data, "train", fold), load_part(data, "validation", fold), class_weights(task, job.training))
    if not model.built and not user.has_own_fit:  # else its size is not known before it is trained
        with user.blamed():
            model(as_taken({name: np.asarray(values[:1]) for name, values in rows.train.x.items()}))
    arguments = fit_arguments(user, job.values, own.asked, schedule)
    how = UserFit(user, task, schedule, job.metric, job.direction, arguments)
    return OwnTrial(model, hp, undeclared, rows, schedule, how)


def ask_supervisor(channel: Channel) -> Choose:
    """Return a choice that the supervisor makes."""

    def choose(question: Question) -> Value:
        value: Value = channel.ask(question)
        return value

    return choose
