"""Estimate of the memory that training a model takes, and the ceilings it is compared with."""

from __future__ import annotations

import keras
import pytest

from pipelines.spec.schema import TrainingSpec
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.messages import TrialJob
from pipelines.training.model_size import estimate_training_memory, refuse_large_model


def model_of(*layers, optimizer="adam"):
    inputs = keras.Input((3,))
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    if optimizer:
        model.compile(optimizer, "mse")
    return model


def job(**ceilings):
    where = ("data", "folder", "val_loss", "minimize", frozenset())
    return TrialJob("it", 0, {}, frozenset(), 0, "mlp", TrainingSpec(), *where, **ceilings)


WEIGHTS = 3 * 5 + 5
ADAM = 2 * WEIGHTS + 2  # two moments, the learning rate and the count of steps
OUTPUTS = 3 + 5


def test_the_memory_of_a_model():
    """Weights, gradients, the optimizer's state, and each layer's output twice for a batch; four bytes a number."""
    model = model_of(keras.layers.Dense(5))
    assert estimate_training_memory(model, batch_size=10) == 4 * (2 * WEIGHTS + ADAM + 2 * 10 * OUTPUTS)


def test_the_optimizer_is_left_alone():
    """The estimate builds no state in the model's own optimizer: a `fit` may still choose what is trained."""
    model = model_of(keras.layers.Dense(5))
    estimate_training_memory(model, batch_size=10)
    assert not model.optimizer.built


def test_what_is_not_trained_has_no_gradients():
    """A frozen layer counts with its weights and outputs alone."""
    frozen = keras.layers.Dense(5, trainable=False)
    model = model_of(frozen, optimizer="sgd")
    assert estimate_training_memory(model, batch_size=1) == 4 * (WEIGHTS + 2 + 2 * OUTPUTS)


def test_a_model_within_a_model_counts_with_its_layers():
    """A backbone that is one layer of the model has as many outputs as its layers have."""
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(100), keras.layers.Dense(5)])
    more = estimate_training_memory(model_of(inner), batch_size=11) - estimate_training_memory(
        model_of(inner), batch_size=1
    )
    assert more == 4 * 2 * 10 * (3 + 100 + 5)


def test_a_model_that_is_not_compiled_counts_as_with_adam():
    """A custom training loop creates its optimizer later."""
    plain = estimate_training_memory(model_of(keras.layers.Dense(5), optimizer=None), batch_size=10)
    assert plain == 4 * (2 * WEIGHTS + 2 * WEIGHTS + 2 * 10 * OUTPUTS)


def test_a_subclassed_model_counts_with_its_weights():
    """Layers that were never called with symbolic tensors have no known output."""

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(5)

        def call(self, x):
            return self.dense(x)

    model = Subclassed()
    model.compile("adam", "mse")
    model(keras.ops.ones((1, 3)))
    assert estimate_training_memory(model, batch_size=10) == 4 * (2 * WEIGHTS + ADAM)


def test_a_ceiling_of_memory_counts_the_batch():
    """The same model is within the ceiling with small batches and above it with large ones."""
    model = model_of(keras.layers.Dense(5))
    most = estimate_training_memory(model, batch_size=16)
    refuse_large_model(job(most_model_bytes=most), model, 16)
    with pytest.raises(
        ModelTooLargeError, match=r"about 1\.4\d* KB to train with batches of 17, limits.model_memory allows 1\.\d+ KB"
    ):
        refuse_large_model(job(most_model_bytes=most), model, 17)


def test_a_ceiling_of_parameters_counts_every_weight():
    """As many weights as allowed are allowed, frozen ones included."""
    model = model_of(keras.layers.Dense(5, trainable=False))
    refuse_large_model(job(most_parameters=WEIGHTS), model, 1)
    with pytest.raises(ModelTooLargeError, match=r"20 parameters, limits.parameters allows 19"):
        refuse_large_model(job(most_parameters=WEIGHTS - 1), model, 1)


def test_a_model_that_is_not_built_is_accepted():
    """Its size shows only while it is trained."""
    model = keras.Sequential([keras.layers.Dense(5)])
    model.compile("adam", "mse")
    refuse_large_model(job(most_parameters=1, most_model_bytes=1), model, 1)
