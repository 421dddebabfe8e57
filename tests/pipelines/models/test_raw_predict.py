"""Predictions for raw columns."""

from __future__ import annotations

import keras
import numpy as np

from pipelines.models.raw_predict import iterate_batches, predict_raw


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
