"""Training state of a Keras model between two attempts."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochMonitor
from pipelines.training.keras_state import can_capture, capture, restore
from pipelines.training.schedule import Schedule


def compiled(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def make_monitor():
    return EpochMonitor(Schedule(3, 16, None, 0.0, seed=1), "val_loss", "minimize")


def test_a_model_continues_with_its_weights_seeds_and_optimizer(tmp_path):
    """Everything that a next step depends on is restored, and the number of finished epochs is returned."""
    model, monitor = compiled(1), make_monitor()
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        variable.assign(np.ones(variable.shape))
    monitor.update(0, {"val_loss": 1.0}, model.get_weights)
    CheckpointStore(tmp_path, 0, "it").write(capture(model, monitor))
    other = compiled(2)
    assert restore(other, make_monitor(), CheckpointStore(tmp_path, 0, "it")) == 1
    expected = [np.asarray(each) for each in (*model.variables, *model.optimizer.variables)]
    found = [np.asarray(each) for each in (*other.variables, *other.optimizer.variables)]
    assert len(found) == len(expected)
    assert all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))


def test_without_a_checkpoint_a_training_starts_anew(tmp_path):
    """No store, or an empty one, leaves the model as it is."""
    model = compiled(1)
    assert restore(model, make_monitor(), None) == 0
    assert restore(model, make_monitor(), CheckpointStore(tmp_path, 0, "it")) == 0


def test_a_model_with_custom_steps_cannot_be_captured():
    """Its steps may hold state that is not visible; nor can a model without an optimizer."""

    class WithStep(keras.Model):
        def train_step(self, data):
            return {}

    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1)(inputs)
    custom, plain = WithStep(inputs, outputs), keras.Model(inputs, outputs)
    assert not can_capture(plain)
    for model in (custom, plain):
        model.compile("sgd", "mse")
    assert can_capture(plain)
    assert not can_capture(custom)
