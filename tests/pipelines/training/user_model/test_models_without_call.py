"""Models trained by a `train_step` of their own that predict nothing, as the autoencoders and GANs of guides."""

from pathlib import Path

import numpy as np
import pytest
from user_model_jobs import SHORT, Supervised, check

from pipelines.training.messages import PastTrial
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import USER_MODEL_WEIGHTS_FILE, explain_missing_model, has_model
from pipelines.training.user_model.evaluate import evaluate_user_model
from pipelines.training.weight_files import load_weights
from search_spaces.errors import InputError

MODEL = """
import tensorflow as tf

class Pair(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(units)])
        self.decoder = keras.Sequential([keras.Input((units,)), layers.Dense(64), layers.Reshape((8, 8, 1))])
        self.error = keras.metrics.Mean(name="error")

    @property
    def metrics(self):
        return [self.error]

    def train_step(self, data):
        x = tf.cast(data[0], "float32")
        with tf.GradientTape() as tape:
            error = tf.reduce_mean((self.decoder(self.encoder(x)) - x) ** 2)
        self.optimizer.apply(tape.gradient(error, self.trainable_weights), self.trainable_weights)
        self.error.update_state(error)
        return {"error": self.error.result()}

def build(hp):
    model = Pair(hp.Int("units", 2, 4))
    model.compile("adam")
    return model
"""


def test_it_is_trained_and_scored_on_its_training_rows(job):
    """Its weights are kept, and the reason why there is no model; test rows have no scores."""
    its = job("build", MODEL, values=SHORT, metric="error")
    result = train_trial(its, Supervised()).result
    assert result.state == "complete" and np.isfinite(result.value)
    folder = Path(its.folder)
    assert not has_model(folder)
    assert "Pair has no call" in explain_missing_model(folder)
    assert len(load_weights(folder / USER_MODEL_WEIGHTS_FILE)) >= 4
    assert evaluate_user_model(PastTrial(its.folder, its.data), Supervised()) == {}


@pytest.mark.long
def test_the_check_names_what_is_missing(job):
    """A note before the first trial; an objective of validation rows is refused with what there is."""
    notes = check(job("build", MODEL, values=SHORT, metric="error")).notes
    assert any("only its training rows have metrics" in note for note in notes)
    assert any("no model: Pair has no call" in note for note in notes)
    with pytest.raises(InputError, match="error"):
        check(job("build", MODEL, values=SHORT, metric="val_error"))
