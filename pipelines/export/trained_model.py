"""The trained model of a past trial, for use in Python."""

from __future__ import annotations

from pathlib import Path

import keras

from pipelines.objects.keras_settings import keep_keras_settings
from pipelines.training.deployed_model import load_deployed_model
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import explain_missing_model, has_model
from search_spaces.errors import InputError


def load_trained_model(trial: PastTrial) -> keras.Model:
    """Return the model of a complete trial: from its file, or built by its code where no file can hold it.

    Raises:
        InputError: if the trial left no model, or its code is gone.
    """
    if not has_model(Path(trial.folder)):
        raise InputError(f"this trial has no model: {explain_missing_model(Path(trial.folder))}")
    # Code of a study from memory sets what its notebook had set; this process is another one's.
    with keep_keras_settings():
        return load_deployed_model(trial)
