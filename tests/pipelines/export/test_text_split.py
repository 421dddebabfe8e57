"""Models that take text, split for formats that know none."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.export.text_split import split_text

LAYERS = keras.layers


def text(name=None):
    """Return an input of text."""
    return keras.Input((), dtype="string", name=name)


@pytest.fixture(scope="module")
def vectorize():
    """Return a layer from text to six tokens."""
    return LAYERS.TextVectorization(vocabulary=["red", "blue", "green"], output_sequence_length=6)


def test_text_beside_numbers(vectorize, tmp_path):
    """What the layers on text give goes into the network, and so do the numbers; the outputs keep their structure."""
    words, numbers = text("words"), keras.Input((2,), name="numbers")
    made = LAYERS.LSTM(3)(LAYERS.Embedding(8, 4, mask_zero=True)(vectorize(words)))
    outputs = {"z": LAYERS.Dense(1)(LAYERS.concatenate([made, numbers])), "a": LAYERS.Dense(2)(made)}
    model = keras.Model({"words": words, "numbers": numbers}, outputs)
    inputs = {"words": text("words"), "numbers": keras.Input((2,), name="numbers")}
    split = split_text(model, inputs, {"words": "words", "numbers": "numbers"})
    assert sorted(split.inputs) == ["numbers", "prepared_0"]
    rows = {"words": tf.constant(["red blue", "green", "no such word"]), "numbers": tf.constant([[1.0, 2.0]] * 3)}
    split.preprocessing.save(tmp_path / "preprocessing.keras")
    given = keras.models.load_model(tmp_path / "preprocessing.keras")(rows)
    got, expected = keras.Model(split.inputs, split.answer)(given), model(rows)
    for key in outputs:
        np.testing.assert_allclose(got[key], expected[key], atol=1e-6)


def test_text_alone_in_a_sequential_model(vectorize):
    """A `Sequential` model has a graph too, once it has an input."""
    model = keras.Sequential([text(), vectorize, LAYERS.Embedding(8, 4), LAYERS.Flatten(), LAYERS.Dense(1)])
    split = split_text(model, {"x": text("x")}, "x")
    rows = tf.constant(["red", "blue green red"])
    got = keras.Model(split.inputs, split.answer)(split.preprocessing({"x": rows}))
    np.testing.assert_allclose(got, model(rows), atol=1e-6)


def test_what_is_not_split(vectorize):
    """A model without text, and one that is no graph of layers."""

    class Own(keras.Model):
        def call(self, given):
            return tf.strings.length(given)

    numbers = keras.Sequential([keras.Input((3,)), LAYERS.Dense(1)])
    assert split_text(numbers, {"x": keras.Input((3,), name="x")}, "x") is None
    assert split_text(Own(), {"x": text("x")}, "x") is None
