"""Scores of predictions: by the task's loss and metrics for a family, by what the code compiled for a user model.

A user model's numbers must be those that its training and `Model.evaluate` report. So it is built again by its code,
and its own test step scores the predictions, whatever runtime they come from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipelines.data.examples.structures import Structure, flatten, map_leaves
from pipelines.data.prepared import Task
from pipelines.data.prepared_folder import load_summary
from pipelines.data.raw import PartName
from pipelines.export.base import Outputs
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import read_trial_config

if TYPE_CHECKING:
    import keras

    from pipelines.training.user_model.rebuild import RebuiltModel

SHARED_METRIC = "loss"
"""Metric that decides where the objective needs more than predictions."""


@dataclass(frozen=True)
class Deciding:
    """Metric by which models are compared."""

    metric: str
    minimize: bool


class Scorer(Protocol):
    """Scores of predictions for the rows of one part."""

    def score(self, predictions: Outputs) -> Mapping[str, float]:
        """Return the finite metrics of predictions for these rows; empty where they cannot be scored."""

    def choose(self, scores: Mapping[str, float]) -> Deciding | None:
        """Return the deciding metric among these: the objective if it is there; None where there is none."""


def make_scorer(trial: PastTrial, part: PartName, rows: int) -> Scorer:
    """Return the scorer of a trial's predictions for the first rows of a part; loads Keras.

    Raises:
        KerastudyError: if the code of a user model is not there, or raises; so does the scorer.
    """
    from pipelines.data.prepared_folder import load_part  # loads pandas
    from pipelines.training.user_model.rebuild import rebuild_user_model

    # From the trial's config and not the study file, which may have changed since.
    config = read_trial_config(Path(trial.folder))
    objective = Deciding(
        config["objective"]["metric"].removeprefix("val_"), config["objective"]["direction"] == "minimize"
    )
    if "base" in config:
        rebuilt = rebuild_user_model(trial)
        is_compiled = rebuilt is not None and rebuilt.model.compiled
        return CompiledScorer(rebuilt, part, rows, objective) if rebuilt is not None and is_compiled else NoScorer()
    few = load_part(Path(trial.data), part).take(slice(rows))
    training = TrainingSpec.model_validate_json(json.dumps(config["training"]))
    y = map_leaves(np.asarray, few.y)
    return TaskScorer(load_summary(Path(trial.data)).task, training, y, objective, few.sample_weight)


class NoScorer:
    """Scorer of a model that is not compiled. See `Scorer`."""

    def score(self, predictions: Outputs) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    def choose(self, scores: Mapping[str, float]) -> Deciding | None:
        """Return None."""
        return None


@dataclass(frozen=True)
class TaskScorer:
    """Scorer by the loss and the metrics of a task. See `Scorer`.

    Attributes:
        y: targets as the prepared data holds them, of several heads a dict by output.
        weights: weight of each row [row]; None where all weigh alike.
    """

    task: Task
    training: TrainingSpec
    y: Structure
    objective: Deciding
    weights: Structure = None

    def score(self, predictions: Outputs) -> Mapping[str, float]:
        """Return the loss, without label smoothing, and the metrics."""
        from pipelines.models.output_scores import score_outputs

        rows, tasks = len(flatten(self.y)[0]), self.task.heads or (self.task,)
        if [each.shape for each in predictions] != [(rows, task.outputs) for task in tasks]:
            return {}
        return _keep_finite(score_outputs(self.task, self.training, self.y, predictions, self.weights))

    def choose(self, scores: Mapping[str, float]) -> Deciding | None:
        """Return the objective, or the task's default one if that needs more than predictions."""
        from pipelines.models.head_objectives import list_reported
        from pipelines.models.objectives import find_default_objective, list_reported_metrics

        if self.task.heads:
            is_reported = self.objective.metric in list_reported(self.task, self.training)
            return self.objective if is_reported else Deciding(SHARED_METRIC, minimize=True)
        is_weighted = self.task.is_weighted
        if self.objective.metric in list_reported_metrics(self.task.kind, self.training, is_weighted=is_weighted):
            return self.objective
        metric, direction = find_default_objective(self.task.kind, is_weighted=is_weighted)
        return Deciding(metric.removeprefix("val_"), direction == "minimize")


class CompiledScorer:
    """Scorer by what a user model's code compiles it with. See `Scorer`."""

    def __init__(self, rebuilt: RebuiltModel, part: PartName, rows: int, objective: Deciding) -> None:
        self.model = rebuilt.model
        self._user = rebuilt.user
        self._rows = rebuilt.load_rows(part).take(slice(rows))
        self._objective = objective
        # A test step of the code may ask more of the model than its predictions.
        self._is_stock = _has_stock_steps(self.model)

    def score(self, predictions: Outputs) -> Mapping[str, float]:
        """Return what `Model.evaluate` returns for a model that predicts this."""
        import keras

        from pipelines.data.examples.model_tensors import make_tensors

        if not self._is_stock:
            return {}
        self.model.test_step = self._score_batch
        x, y, weight = self._rows.x, self._rows.y, self._rows.sample_weight
        with self._user.locate_errors():
            one_row = self.model(make_tensors(self._rows.take(slice(1)).x), training=False)
            given = keras.tree.pack_sequence_as(one_row, list(predictions))
            found = self.model.evaluate((x, given), y, sample_weight=weight, verbose=0, return_dict=True)
        return _keep_finite({name: float(np.mean(value)) for name, value in found.items()})

    def choose(self, scores: Mapping[str, float]) -> Deciding | None:
        """Return the objective, or the loss if the code's `fit` made the objective."""
        if self._objective.metric in scores:
            return self._objective
        return Deciding(SHARED_METRIC, minimize=True) if SHARED_METRIC in scores else None

    def _score_batch(self, data: Any) -> Mapping[str, Any]:
        """Replace the model's test step: Keras's, for predictions that are given."""
        import keras

        (x, predictions), y, weight = keras.utils.unpack_x_y_sample_weight(data)
        # Called for the losses that layers add, which belong to the rows and not to the predictions.
        self.model(x, training=False)
        # As Keras's own step, whose parts are private.
        loss = self.model._compute_loss(x=x, y=y, y_pred=predictions, sample_weight=weight, training=False)
        self.model._loss_tracker.update_state(loss, sample_weight=keras.ops.shape(keras.tree.flatten(x)[0])[0])
        metrics: Mapping[str, Any] = self.model.compute_metrics(x, y, predictions, sample_weight=weight)
        return metrics


def _has_stock_steps(model: keras.Model) -> bool:
    import keras

    return all(getattr(type(model), name) is getattr(keras.Model, name) for name in ("test_step", "evaluate"))


def _keep_finite(scores: Mapping[str, float]) -> dict[str, float]:
    # JSON, in which scores are stored, has no infinity and no NaN.
    return {name: value for name, value in scores.items() if math.isfinite(value)}
