"""What the numbers of a model's outputs stand for."""

from __future__ import annotations

import keras
import pytest

from pipelines.data.prepared import Task
from pipelines.export.base import OutputTensor
from pipelines.export.readings import UNKNOWN, read_by_loss, read_by_task

GIVEN = Task("custom", ("y",), ("0", "1"))
BINARY = Task("binary", ("bought",), ("no", "yes"))
NUMBERS = Task("multi_output_regression", ("a", "b"))
LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)
CLASS_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def output(width=1, name="output_0"):
    """Return an output of this width."""
    return OutputTensor(name, (width,), "float32")


def compiled(loss):
    """Return a model that is compiled with a loss."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss=loss)
    return model


def test_a_family_reads_its_task():
    """Its only output is the task's, as its files say."""
    (one,) = read_by_task(BINARY, [output()])
    assert (one.reading.kind, one.reading.threshold) == ("threshold", 0.5)
    assert one.reading.meaning == "probability of the second class"
    assert read_by_task(NUMBERS, [output(2)])[0].reading.meaning == "value of each target"


@pytest.mark.parametrize(
    ("loss", "width", "task", "kind", "threshold", "meaning"),
    [
        ("binary_crossentropy", 1, GIVEN, "threshold", 0.5, "probability of the second class"),
        (LOGITS, 1, BINARY, "threshold", 0.0, "logit of the second class"),
        (LOGITS, 4, GIVEN, "threshold", 0.0, "logit of each label"),
        (CLASS_LOGITS, 4, GIVEN, "class", 0.5, "logit of each class"),
        (keras.losses.categorical_crossentropy, 3, GIVEN, "class", 0.5, "probability of each class"),
        (lambda y, p: p, 2, BINARY, "class", 0.5, UNKNOWN),
        (lambda y, p: p, 1, BINARY, "value", 0.5, UNKNOWN),
        ("mse", 2, NUMBERS, "value", 0.5, "value of each target"),
        ("mse", 8, GIVEN, "value", 0.5, "value"),
    ],
)
def test_a_user_model_is_read_by_its_loss(loss, width, task, kind, threshold, meaning):
    """Logits are cut at 0 and not called probabilities; a loss of the user's says nothing of its predictions."""
    (one,) = read_by_loss(compiled(loss), task, [output(width)])
    assert (one.reading.kind, one.reading.threshold, one.reading.meaning) == (kind, threshold, meaning)


def test_each_output_has_its_own_loss():
    """By name or by place; one without a loss, and a model that is not compiled, are unknown."""
    outputs = [output(3, "kind"), output(1, "age"), output(1, "noise")]
    by_name = read_by_loss(compiled({"kind": CLASS_LOGITS, "age": "mae"}), GIVEN, outputs)
    assert [each.reading.meaning for each in by_name] == ["logit of each class", "value", UNKNOWN]
    by_place = read_by_loss(compiled([CLASS_LOGITS, "mae", None]), GIVEN, outputs)
    assert [each.reading for each in by_place] == [each.reading for each in by_name]
    assert {each.reading.meaning for each in read_by_loss(None, GIVEN, outputs)} == {UNKNOWN}
