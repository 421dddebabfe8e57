"""Predictions for raw columns."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.models.raw_predict import BATCH_ROWS, choose_batch_rows, iterate_batches, predict_raw


def test_predictions_are_joined_over_batches():
    """A model of text and numbers gets at most so many rows at once, the last ones included."""
    text, number = keras.Input((), dtype="string", name="city"), keras.Input((), name="income")
    code = keras.layers.StringLookup(vocabulary=["a", "b"])(text)
    both = keras.ops.stack([keras.ops.cast(code, "float32"), number], axis=1)
    raw = {"city": np.array(["a", "b", "c"] * 500, dtype=object), "income": np.arange(1500.0, dtype=np.float32)}
    found = predict_raw(keras.Model({"city": text, "income": number}, both), raw)
    assert found[:, 1].tolist() == raw["income"].tolist()
    assert found[:3, 0].tolist() == [1.0, 2.0, 0.0]
    assert [len(batch["income"]) for batch in iterate_batches(raw, rows=1000)] == [1000, 500]


def test_a_model_of_large_outputs_gets_fewer_rows_at_once():
    """The outputs of all its layers, those of a model within it too, count, since a call keeps them until its end."""
    picture, inner = keras.Input((64, 64, 3)), keras.Input((64, 64, 3))
    within = keras.Model(inner, keras.layers.Conv2D(64, 3, padding="same")(inner))
    large = keras.Model(picture, keras.layers.GlobalMaxPooling2D()(within(picture)))
    row_bytes = 4 * (2 * 64 * 64 * 3 + 64 * 64 * 64 + 64)
    assert choose_batch_rows(large) == 2**27 // row_bytes < BATCH_ROWS
    number = keras.Input((8,))
    assert choose_batch_rows(keras.Model(number, keras.layers.Dense(4)(number))) == BATCH_ROWS
