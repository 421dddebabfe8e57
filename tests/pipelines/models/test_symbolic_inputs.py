"""Inputs of a deployed model by the names of its raw inputs."""

from __future__ import annotations

import keras
import pytest

from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.examples.structures import Leaf
from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.models.symbolic_inputs import list_input_shapes, make_symbolic_inputs

LEAVES = (Leaf("tokens", (20,), "int64"), Leaf("x_1", (3,), "float64"))


def summarize(x):
    """Return the summary of data with this structure of leaves."""
    raw = tuple(RawColumn(leaf.name, "array", leaf.shape, leaf.dtype) for leaf in LEAVES)
    return DataSummary("d", Task("custom", ("y",)), Features(), raw, {}, 1, "", {}, given=ExampleForm(x, None, None))


@pytest.fixture(scope="module")
def ends():
    """Return two inputs, one of any length, and an output of both."""
    tokens, numbers = keras.Input((None,), dtype="int64", name="a"), keras.Input((3,), name="b")
    return tokens, numbers, keras.layers.Dense(1)(numbers + keras.ops.sum(tokens))


def test_axes_that_a_model_leaves_open_stay_open(ends):
    """By the key in a dict, whatever its order, and by the place in a list; else the data's shapes hold."""
    tokens, numbers, output = ends
    by_key = keras.Model({"b": numbers, "a": tokens}, output)
    assert list_input_shapes(by_key, summarize({"a": LEAVES[0], "b": LEAVES[1]})) == {"tokens": (None,), "x_1": (3,)}
    by_place = keras.Model([tokens, numbers], output)
    assert list_input_shapes(by_place, summarize(list(LEAVES))) == {"tokens": (None,), "x_1": (3,)}
    assert list_input_shapes(by_place, summarize({"a": LEAVES[0], "b": LEAVES[1]})) == {"tokens": (20,), "x_1": (3,)}


def test_types_are_those_that_training_converts_to(ends):
    """Whole numbers keep their type, and floats have Keras's."""
    tokens, numbers, output = ends
    inputs = make_symbolic_inputs(keras.Model([tokens, numbers], output), summarize(list(LEAVES)))
    assert {name: str(tensor.dtype) for name, tensor in inputs.items()} == {"tokens": "int64", "x_1": "float32"}
