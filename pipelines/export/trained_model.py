"""The trained model of a past trial, for use in Python."""

from __future__ import annotations

from pathlib import Path

import keras

from pipelines.export.verify import register_user_classes
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import explain_missing_model
from pipelines.training.user_model.rebuild import rebuild_user_model
from pipelines.training.write_models import ensure_model_file
from search_spaces.errors import InputError


def load_trained_model(trial: PastTrial) -> keras.Model:
    """Return the model of a complete trial: from its file, or built by its code where no file can hold it.

    Raises:
        InputError: if the trial left no model, or its code is gone.
    """
    with register_user_classes(Path(trial.folder)):
        file = ensure_model_file(trial)
        if file.exists():
            return keras.models.load_model(file)
    rebuilt = rebuild_user_model(trial)
    if rebuilt is None:
        raise InputError(f"this trial has no model: {explain_missing_model(Path(trial.folder))}")
    return rebuilt.model
