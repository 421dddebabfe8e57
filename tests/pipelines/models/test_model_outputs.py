"""Outputs of models by name."""

from __future__ import annotations

import keras
import pytest

from pipelines.models.model_outputs import describe_outputs


@pytest.fixture(scope="module")
def heads():
    """Return an input, and two outputs of it by layers `zeta` and `alpha`."""
    given = keras.Input((4,))
    return given, keras.layers.Dense(2, name="zeta")(given), keras.layers.Dense(3, name="alpha")(given)


def name(given, outputs):
    """Return name and width of each output of a model."""
    model = keras.Model(given, outputs)
    return [(each.name, *each.shape) for each in describe_outputs(model.output, model.output_names)]


def test_names_are_keys_or_layers(heads):
    """A list has the names of its layers in its order, a dict its keys in theirs; a single output has none."""
    given, zeta, alpha = heads
    assert name(given, zeta) == [("output_0", 2)]
    assert name(given, [zeta, alpha]) == [("zeta", 2), ("alpha", 3)]
    assert name(given, {"z": zeta, "a": alpha}) == [("a", 3), ("z", 2)]
    assert name(given, {"only": zeta}) == [("only", 2)]
    assert name(given, {"both": [zeta, alpha], "a": alpha}) == [("a", 3), ("both_0", 2), ("both_1", 3)]


def test_names_are_fit_for_a_signature(heads):
    """Letters, digits and underscores after a first letter, each name once; without layers a list is counted."""
    given, zeta, alpha = heads
    assert name(given, {"a b": zeta, "a_b": alpha}) == [("a_b", 2), ("a_b_", 3)]
    assert [each.name for each in describe_outputs([zeta, alpha])] == ["output_0", "output_1"]
    assert describe_outputs(zeta)[0].dtype == "float32"
