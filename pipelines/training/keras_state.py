"""All that a Keras model's training goes on from: weights, random seeds, the optimizer's variables."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pipelines.training.checkpoint import Checkpoints, Kept
from pipelines.training.epoch_monitor import Judge


def is_kept_whole(model: keras.Model) -> bool:
    """Say whether `kept` holds all that a model's training goes on from: its steps are Keras's, its optimizer one."""
    has_own_step = type(model).train_step is not keras.Model.train_step
    return not has_own_step and isinstance(getattr(model, "optimizer", None), keras.optimizers.Optimizer)


def taken_up(model: keras.Model, judge: Judge, checkpoints: Checkpoints | None) -> int:
    """Bring a model and its judge to where an earlier attempt left off; return how many epochs are done."""
    kept = checkpoints.read() if checkpoints else None
    if kept is None:
        return 0
    for variable, value in zip(_variables(model), kept.state, strict=True):
        variable.assign(value)
    judge.go_on(kept.judge, kept.best)
    return judge.epochs


def kept(model: keras.Model, judge: Judge) -> Kept:
    """Return a model and its judge after a whole epoch."""
    plain, best = judge.past()
    return Kept(plain, best, [np.asarray(variable) for variable in _variables(model)])


def _variables(model: keras.Model) -> list[Any]:
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
