"""Outcomes of a fleet's trials with the other trainers: the stock Keras model, trained alone."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from fleet_cases import Outcome, Setting, Trial

from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.models.initial_weights import set_initial_weights
from pipelines.training.errors import TrialError
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.messages import RungDecision
from pipelines.training.trainer import Trainer
from search_spaces.hyperparameters import TrialHyperParameters


def stock_model(setting: Setting, trial: Trial) -> keras.Model:
    """Return a trial's own Keras model before its training."""
    context = ModelContext(setting.features, setting.task, setting.training, setting.train_rows, setting.per_layer)
    hp = TrialHyperParameters(trial.values)
    model = build_hypermodel(setting.family, context).build(hp)
    set_initial_weights(model, str(hp.values["kernel_initializer"]), trial.seed)
    return model


def stock_outcome(setting: Setting, trial: Trial, trainer: Trainer = train_with_fit) -> Outcome:
    """Train a trial by another trainer; `fit` eagerly, as these trainings are shorter than the making of a graph."""
    model = stock_model(setting, trial)
    model.run_eagerly = trainer is train_with_fit
    listener = _Prunes(trial.pruned_at)
    try:
        fitted = trainer(
            model,
            setting.rows(),
            trial.schedule(setting),
            metric=setting.metric,
            direction=setting.direction,
            listener=listener,
        )
    except TrialError as error:
        return Outcome(failure=str(error))
    return Outcome(fitted.history, fitted.best_epoch, fitted.pruned, model.get_weights())


class _Prunes:
    def __init__(self, at: int | None) -> None:
        self._at = at

    def record_batch(self) -> None:
        """A batch is done."""

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """An epoch is done."""
        return "prune" if epoch == self._at else "go_on"
