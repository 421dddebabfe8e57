"""A trial's folder as a fleet leaves it: weights in place of the model."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pipelines.training.trial_folder import MODEL_FILE, WEIGHTS_FILE


def leave_weights_alone(folder: Path) -> keras.Model:
    """Put the weights of a trial's model in its place, and return the model that was there."""
    model = keras.models.load_model(folder / MODEL_FILE)
    [core] = [layer for layer in model.layers if layer.name.startswith("trained.")]
    np.savez(folder / WEIGHTS_FILE, *core.get_weights())
    (folder / MODEL_FILE).unlink()
    return model
