"""Files of a trained model: whole or absent, in a fixed order."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.training.model_files import save_model
from pipelines.training.weight_files import load_weights, save_weights


def small_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def test_weights_keep_their_order(tmp_path):
    """More than ten arrays are not sorted by their names."""
    weights = [np.full(2, number, np.float32) for number in range(12)]
    save_weights(weights, tmp_path / "weights.npz")
    assert [array[0] for array in load_weights(tmp_path / "weights.npz")] == list(range(12))


def test_a_model_that_cannot_be_saved_leaves_the_earlier_one(tmp_path, monkeypatch):
    """An error while Keras writes does not touch the file that is there."""
    file = tmp_path / "model.keras"
    save_model(small_model(), file)
    before = file.read_bytes()

    def fail(model, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        save_model(small_model(), file)
    assert file.read_bytes() == before
