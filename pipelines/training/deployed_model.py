"""The model of a complete trial as it is deployed: on raw inputs, from its file or built by its code."""

from __future__ import annotations

from pathlib import Path

import keras

from pipelines.data.prepared_folder import load_summary
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.models.compose import compose_user_model
from pipelines.training.errors import RebuildError
from pipelines.training.messages import PastTrial
from pipelines.training.model_files import save_model
from pipelines.training.trial_folder import explain_missing_model, has_model_code, is_without_file
from pipelines.training.user_model.classes import register_user_classes
from pipelines.training.user_model.model_code import PREPROCESSING
from pipelines.training.user_model.rebuild import rebuild_user_model
from pipelines.training.write_models import ensure_model_file


def load_deployed_model(trial: PastTrial) -> keras.Model:
    """Return the model of a complete trial; its file is written first where it may be written.

    Raises:
        RebuildError: if the trial left no model, or its weights do not fit.
        KerastudyError: if the code of a user model is not there, or raises.
    """
    folder = Path(trial.folder)
    file = ensure_model_file(trial)
    if file.exists():
        with register_user_classes(folder):
            return keras.models.load_model(file, compile=False)
    if not has_model_code(folder):
        raise RebuildError(f"this trial has no model: {explain_missing_model(folder)}")
    model = _rebuild(trial)
    if not is_without_file(folder):  # its file was displaced by those of better trials
        save_model(model, file)
    return model


def load_registered_model(model: Path, trial: PastTrial) -> keras.Model:
    """Return a model that anybody may have put into MLflow; nothing of it is run but Keras's layers.

    Args:
        model: its `.keras` file, or a folder with the weights and hyperparameters of one that its code builds.
        trial: a trial whose classes and whose code are used in place of the model's.

    Raises:
        Exception: whatever Keras and that code raise for it.
    """
    if model.is_file():
        with register_user_classes(Path(trial.folder)):
            return keras.saving.load_model(model, compile=False, safe_mode=True)
    return _rebuild(trial, model)


def _rebuild(trial: PastTrial, registered: Path | None = None) -> keras.Model:
    rebuilt = rebuild_user_model(trial, registered)
    if rebuilt is None:
        raise RebuildError("the model has no weights")
    if registered is not None and (registered / PREPROCESSING).exists():
        return compose_user_model(keras.saving.load_model(registered / PREPROCESSING, safe_mode=True), rebuilt.model)
    if load_summary(rebuilt.data).given is not None:
        return rebuilt.model
    return compose_user_model(load_preprocessing(rebuilt.data, rebuilt.fold), rebuilt.model)
