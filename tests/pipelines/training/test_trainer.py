"""Choice of the trainer of a Keras model."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.data.examples.examples import Examples
from pipelines.training.batches import Rows
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import train_in_graph
from pipelines.training.trainer import choose_trainer


def test_the_graph_trainer_is_chosen_where_it_can_train():
    """`by_fit` overrides the choice."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(loss="mse")
    part = Examples({"dense": np.zeros((4, 2), "float32")}, np.zeros(4, "float32"))
    rows = Rows(part, part, None)
    assert choose_trainer(model, rows) == ("graph", train_in_graph)
    assert choose_trainer(model, rows, by_fit=True) == ("fit", train_with_fit)
    model.compile(loss="mse", run_eagerly=True)
    assert choose_trainer(model, rows) == ("fit", train_with_fit)
