"""Two models on one study's rows: who may be compared, and who is as good."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from pipelines.data.prepared import DataSummary, Features, RawColumn, Task
from pipelines.export.compare_models import ModelComparison, _find_incompatibility, _find_other_outputs

BINARY = Task("binary", ("bought",), ("no", "yes"))
TOLD = {"kind": "binary", "classes": ["no", "yes"], "targets": ["bought"]}
SUMMARY = DataSummary(
    source="d.csv",
    task=BINARY,
    features=Features(dense=2),
    raw=(RawColumn("age", "numeric", (), "float32", "age"), RawColumn("city", "string", (), "string", "city")),
    rows={"train": 8, "validation": 2, "test": 2},
    folds=1,
    digest="",
    encodings={},
)


def rival(**inputs):
    """Return a model that takes these inputs, of these dtypes."""
    taken = {name: keras.Input((), name=name, dtype=dtype) for name, dtype in inputs.items()}
    first = keras.layers.Reshape((1,))(next(iter(taken.values())))
    return keras.Model(taken, keras.layers.Dense(1)(first))


def test_a_rival_that_answers_for_the_same_rows_fits():
    """It may take fewer columns than there are, and need not name its task."""
    assert _find_incompatibility(rival(age="float32", city="string"), TOLD, SUMMARY) == ""
    assert _find_incompatibility(rival(age="float32"), None, SUMMARY) == ""


@pytest.mark.parametrize(
    ("model", "rival_task", "reason"),
    [
        ({"age": "float32", "zip": "string"}, TOLD, 'it takes "zip", which this study\'s data lacks'),
        ({"age": "float32", "city": "float32"}, TOLD, 'it takes "city" in another form than this study\'s data has'),
        (
            {"age": "float32"},
            {**TOLD, "classes": ["yes", "no"]},
            "it predicts classes ['yes', 'no'], and this study ['no', 'yes']",
        ),
    ],
)
def test_an_incompatible_rival_is_not_scored(model, rival_task, reason):
    """Other columns, another form, or the same classes in another order."""
    assert _find_incompatibility(rival(**model), rival_task, SUMMARY) == reason


def test_a_rival_with_other_outputs_is_not_scored():
    """The outputs of both must have the same shapes, in the same order."""
    one, three = np.zeros((2, 1)), np.zeros((2, 3))
    assert _find_other_outputs((one,), (one,)) == ""
    assert _find_other_outputs((three,), (one,)) == "it gives [3] numbers for a row, [1] are expected"
    assert _find_other_outputs((one, three), (three, one)).startswith("it gives [1] and [3] numbers")


@pytest.mark.parametrize(
    ("direction", "ours", "theirs", "is_as_good"),
    [
        ("maximize", 0.8, 0.8, True),
        ("maximize", 0.7, 0.8, False),
        ("minimize", 0.7, 0.8, True),
        ("minimize", 0.9, 0.8, False),
        ("minimize", math.nan, 0.8, False),
        ("minimize", 0.9, math.nan, False),
    ],
)
def test_at_least_as_good(direction, ours, theirs, is_as_good):
    """An equal score will do; what is no number never does."""
    assert ModelComparison("test", 9, "m", direction, {"m": ours}, {"m": theirs}).is_as_good is is_as_good


def test_what_was_not_compared_is_not_as_good():
    """A rival without scores is none that anybody was better than."""
    assert not ModelComparison("test", 9, "m", "maximize", {"m": 1.0}, {}, "it is gone").is_as_good
