"""A worker keeps the model that it has loaded, as it was loaded."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.export import kept_model
from pipelines.export.kept_model import open_model
from pipelines.training.messages import PastTrial
from search_spaces.errors import InputError

TRIAL = PastTrial("trial", "data")


class Counted(keras.layers.Layer):
    """Adds the number of its calls."""

    def __init__(self):
        super().__init__()
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs + self.calls


@pytest.fixture
def loaded(monkeypatch):
    """Trials whose models were loaded."""
    found = []

    def load(trial):
        found.append(trial)
        return keras.Sequential([keras.Input((1,)), Counted()])

    monkeypatch.setattr(kept_model, "load_deployed_model", load)
    monkeypatch.setattr(kept_model, "_kept", [])
    return found


def predict(digest, trial=TRIAL):
    with open_model(trial, digest) as model:
        return float(np.asarray(model(np.zeros((1, 1))))[0, 0])


def test_the_same_files_are_loaded_once(loaded):
    """Another digest, or another trial, is another model; without a digest nothing is kept."""
    for digest, trial in [("1", TRIAL), ("1", TRIAL), ("2", TRIAL), ("2", PastTrial("other", "data"))]:
        predict(digest, trial)
    assert len(loaded) == 3
    loaded.clear()
    predict("")
    predict("")
    assert len(loaded) == 2


def test_each_answer_is_that_of_a_model_just_loaded(loaded):
    """A state that a prediction leaves, such as a count or a random seed, does not change the next one."""
    fresh = predict("")
    assert [predict("1") for _ in range(3)] == [fresh] * 3


def test_a_model_whose_job_failed_is_loaded_again(loaded):
    """Rows that it refuses are the client's affair: then it stays."""
    with pytest.raises(InputError), open_model(TRIAL, "1"):
        raise InputError("rows.csv: expected a number")
    predict("1")
    assert len(loaded) == 1
    with pytest.raises(MemoryError), open_model(TRIAL, "1"):
        raise MemoryError
    predict("1")
    assert len(loaded) == 2
