"""Model files of trials that have only their weights.

A fleet leaves no model that takes raw columns: few of a study's models are ever needed, and each is written on demand,
on any backend that has its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.engines.base import Channel
from pipelines.training.artifacts import read_trial
from pipelines.training.errors import RebuildError
from pipelines.training.messages import ModelsAhead, PastTrial
from pipelines.training.model_files import write_deployment_model
from pipelines.training.trial import build_trial
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, WEIGHTS_FILE
from pipelines.training.weight_files import load_weights
from tracking.testing.failpoints import hit


def write_models(trials: Sequence[PastTrial], channel: Channel) -> None:
    """Write the models of trials that have only their weights; an existing model stays as it is.

    Raises:
        RebuildError: if some could not be written; all others are.
    """
    # One trial's damaged file must not cost the models of the others.
    problems = []
    for trial in trials:
        try:
            ensure_model_file(trial)
        except RebuildError as error:
            problems.append(str(error))
        channel.beat()
    if problems:
        raise RebuildError("; ".join(problems))


def write_models_ahead(models: ModelsAhead, channel: Channel) -> None:
    """Write the models of trials that may be kept, each into a folder below `models.folder`."""
    for trial in models.trials:
        folder = Path(models.folder) / Path(trial.folder).name
        (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        _write_model(trial, folder)
        hit("model-ahead-written")
        channel.beat()


def ensure_model_file(trial: PastTrial) -> Path:
    """Return the model file of a complete trial; write it first where only the weights exist.

    Raises:
        RebuildError: if the weights do not fit.
    """
    file = Path(trial.folder) / MODEL_FILE
    if not file.exists() and (Path(trial.folder) / WEIGHTS_FILE).exists():
        _write_model(trial, Path(trial.folder))
    return file


def _write_model(trial: PastTrial, folder: Path) -> None:
    weights = Path(trial.folder) / WEIGHTS_FILE
    job, fold = read_trial(trial)
    keras.backend.clear_session(free_memory=False)  # names of layers count from one in each model
    core = build_trial(job, fold).model
    kept = load_weights(weights)
    _check(core, kept, weights)
    core.set_weights(kept)
    core.optimizer.build(core.trainable_variables)  # the summary counts its variables, as it does after training
    write_deployment_model(replace(job, folder=str(folder)), fold, core, with_file=True)


def _check(core: keras.Model, kept: Sequence[np.ndarray[Any, Any]], file: Path) -> None:
    """Make sure that the weights are those of this model: same number, same shapes, same order."""
    expected = [(weight.path, tuple(weight.shape)) for weight in core.weights]
    if len(kept) != len(expected):
        raise RebuildError(f"{file}: the trial's model has {len(expected)} weights, the file {len(kept)}")
    for (name, shape), values in zip(expected, kept, strict=True):
        if values.shape != shape:
            raise RebuildError(f"{file}: {name} of the trial's model has the shape {shape}, the file {values.shape}")
