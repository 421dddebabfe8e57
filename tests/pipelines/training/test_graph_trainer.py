"""Models that the graph trainer trains, and those that it leaves to `fit`."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.data.examples.examples import Examples
from pipelines.training.batches import Rows
from pipelines.training.graph_trainer import can_train_in_graph


def test_a_model_with_custom_steps_is_left_to_fit():
    """A model with custom steps, or with `run_eagerly`, does not train in a graph."""

    class WithStep(keras.Model):
        def train_step(self, data):
            return {"loss": 0.0}

    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(1)(inputs)
    stock, custom = keras.Model(inputs, outputs), WithStep(inputs, outputs)
    for model in (stock, custom):
        model.compile(loss="mse")
    part = Examples({"dense": np.zeros((8, 5), "float32")}, np.zeros(8, "int32"))
    rows = Rows(part, part, None)
    assert can_train_in_graph(stock, rows)
    assert not can_train_in_graph(custom, rows)
    stock.compile(loss="mse", run_eagerly=True)
    assert not can_train_in_graph(stock, rows)


def test_rows_that_do_not_fit_in_memory_are_left_to_fit(monkeypatch):
    """Rows beyond the limit stay on disk, where `fit` reads them batch by batch."""
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(loss="mse")
    part = Examples({"dense": np.zeros((8, 5), "float32")}, np.zeros(8, "int32"))
    monkeypatch.setattr("pipelines.training.graph_trainer.MOST_BYTES", 2 * 8 * 5 * 4 - 1)
    assert not can_train_in_graph(model, Rows(part, part, None))
