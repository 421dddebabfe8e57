"""Notes on models whose layers expect data as it is, and get it standardised."""

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.models.user_model import ModelCodeError
from pipelines.training.user_model.input_notes import explain_inputs, note_input_layers


def summary(**keywords):
    parts = {"train": 1, "validation": 1, "test": 0}
    features = keywords.pop("features", Features(dense=4))
    return DataSummary("d.csv", Task("binary", ("y",)), features, (), parts, 1, "", {}, **keywords)


@pytest.mark.parametrize(
    "layer", [keras.layers.Embedding(10, 2), keras.layers.Rescaling(1 / 255), keras.layers.Normalization()]
)
def test_layers_that_contradict_the_data(layer):
    """Each such layer is named with the key to set, also inside another model."""
    model = keras.Sequential([keras.Input((4,)), keras.Sequential([layer])])
    (note,) = note_input_layers(model, summary())
    assert layer.name in note
    assert "data.preprocess: none" in note


def test_no_note_where_data_is_unchanged():
    """Unchanged data contradicts no layer, and codes of strings are what an Embedding takes."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(10, 2)])
    assert note_input_layers(model, summary(given=Examples(np.zeros((2, 4))).describe())) == []
    assert note_input_layers(model, summary(features=Features(dense=4, codes=(("c", 10),)))) == []


def test_an_error_that_the_data_may_cause():
    """An error of a model whose layer expects text ends with the key that gives it text; others are unchanged."""
    words = keras.Sequential([keras.Input((), dtype="string"), keras.layers.TextVectorization(vocabulary=["good"])])
    with (
        pytest.raises(ModelCodeError, match=r"no cast; layer .* expects text.* data\.preprocess: none"),
        explain_inputs(words, summary()),
    ):
        raise ModelCodeError("no cast")
    with (
        pytest.raises(ModelCodeError, match=r"no cast$"),
        explain_inputs(keras.Sequential([keras.layers.Dense(1)]), summary()),
    ):
        raise ModelCodeError("no cast")
