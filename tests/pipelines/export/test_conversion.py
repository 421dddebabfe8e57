"""What becomes of a model that a format cannot hold whole, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines.export.base import FormatError, SourceModel
from pipelines.export.conversion import convert_model
from pipelines.export.registry import FORMATS
from pipelines.models.raw_predict import predict_raw


@keras.saving.register_keras_serializable("tests")
class ErrorFunction(keras.layers.Layer):
    """Has an operator that LiteRT's own have no form of."""

    def call(self, inputs):
        return keras.ops.erfinv(inputs)


class NoFormError(Exception):
    """What a converter raises."""


def deployed(*, in_preprocessing=(), in_network=()):
    """Return a model with these layers between the usual ones."""
    raw = keras.Input((3,), name="raw")
    made = raw
    for layer in (keras.layers.Rescaling(0.5, name="half"), *in_preprocessing):
        made = layer(made)
    preprocessing = keras.Model({"raw": raw}, {"dense": made}, name="preprocessing")
    dense = keras.Input((3,), name="dense")
    made = dense
    for layer in (keras.layers.Dense(2, name="first"), *in_network, keras.layers.Dense(1, name="last")):
        made = layer(made)
    network = keras.Model({"dense": dense}, made, name="network")
    given = {"raw": keras.Input((3,), name="raw")}
    model = keras.Model(given, network(preprocessing(given)), name="deployed")
    return SourceModel(model, preprocessing, network, Path(), {"dense": np.zeros((4, 3), np.float32)})


def without(kind):
    """Return a converter that has no form of a kind of layer."""

    def convert(model):
        if any(isinstance(layer, kind) for layer in model._flatten_layers()):
            raise NoFormError("no such operator\nand much more")
        return model.name

    return convert


def test_a_model_that_converts_is_one_file():
    """Nothing is split that need not be."""
    made = convert_model(deployed(), without(ErrorFunction), "ONNX")
    assert (made.result, made.part, made.note) == ("deployed", "model", "")


def test_preprocessing_without_a_form_goes_beside():
    """The network is converted alone, and the note names the layer that does not convert."""
    made = convert_model(deployed(in_preprocessing=[ErrorFunction(name="odd")]), without(ErrorFunction), "ONNX")
    assert (made.result, made.part) == ("network", "network")
    assert made.note == 'layer "odd" (ErrorFunction) has no ONNX form: the file holds the network alone'


def test_a_network_without_a_form_is_an_error_that_names_the_layer():
    """The first layer that does not convert by itself is named, with the first line of the converter's error."""
    odd = deployed(in_network=[ErrorFunction(name="odd")])
    with pytest.raises(FormatError, match=r'^layer "odd" \(ErrorFunction\) has no ONNX form: no such operator$'):
        convert_model(odd, without(ErrorFunction), "ONNX")


@pytest.mark.long
def test_litert_refuses_what_its_own_operators_cannot(tmp_path):
    """No file is written that would need TensorFlow's operators where it runs."""
    odd = deployed(in_network=[ErrorFunction(name="odd")])
    with pytest.raises(FormatError, match=r'layer "odd" \(ErrorFunction\) has no LiteRT form'):
        FORMATS["litert"].write(odd, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["saved_model", "litert", "onnx", "openvino"])
def test_capitals_in_the_names_of_columns_stay(tmp_path, name):
    """TensorFlow writes names of inputs in lower case inside a graph; a file's inputs are called as the columns are."""
    inputs = {column: keras.Input((), name=column) for column in ("Age", "City_Code")}
    made = keras.layers.Dense(1)(keras.ops.log1p(keras.ops.stack(list(inputs.values()), axis=-1)))
    model = keras.Model(inputs, made)
    raw = {"Age": np.array([1, 2, 3], np.float32), "City_Code": np.array([0, 0, 1e-3], np.float32)}
    written = FORMATS[name].write(SourceModel(model, model, model, Path(), {}), tmp_path)
    assert written.part == "model"
    [got] = FORMATS[name].load(tmp_path, written)(raw)
    np.testing.assert_allclose(got, predict_raw(model, raw), atol=1e-6)


def test_a_conversion_is_reported_to_nobody(tmp_path):
    """OpenVINO brings a package that forks this process to report each conversion to its makers; it is left out."""
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1)])
    FORMATS["openvino"].write(SourceModel(model, model, model, Path(), {}), tmp_path)
    assert not sys.modules["openvino_telemetry"]
