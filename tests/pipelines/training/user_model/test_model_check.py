"""Check of a user model before its first trial."""

from __future__ import annotations

from dataclasses import replace

import pytest
from user_model_jobs import DENSE, SHORT, Supervised, check, problems

from pipelines.training.user_model.model_check import check_user_model


@pytest.mark.parametrize(
    ("text", "changes", "path", "expected"),
    [
        ("def build(hp):\n    return 1 / 0\n", {}, "model", "ZeroDivisionError: division by zero (model.py, line 4)"),
        ("def build(hp):\n    return hp\n", {}, "model", "expected model.py to build a Keras model, got TrialHyper"),
        ("def build(hp):\n    return keras.Sequential([layers.Dense(1)])\n", {}, "model", "is not compiled"),
        ("build = 3\n", {}, "model", "expected build to be a function of hp or a keras_tuner.HyperModel, got int"),
        (
            "build = keras_tuner.applications.HyperResNet\n",
            {"metric": "x"},
            "model",
            "build() raises ValueError: You must specify `classes`",
        ),
        (DENSE, {"metric": "val_f1"}, "objective.metric", "training reported no val_f1, only accuracy, loss, val_acc"),
        (
            DENSE,
            {"values": {**SHORT, "unit": 3}},
            "space.unit",
            'model.py:build never requests "unit"; did you mean "units"?',
        ),
        (DENSE, {"values": {**SHORT, "units": "many"}}, "space.units", "the model requests a whole number"),
        (DENSE.replace("10,", "7,"), {"values": SHORT}, "model", "Error"),
    ],
)
def test_what_the_check_finds(job, text, changes, path, expected):
    """Each mistake names its key, and the user's file and line where there is one."""
    ((at, message), *_) = problems(job("build", text, **changes))
    assert at == path
    assert expected in message
    assert "\n" not in message


def test_a_class_that_needs_arguments(job):
    """The message shows how to write an instance instead."""
    text = "class Model(keras_tuner.HyperModel):\n    def __init__(self, classes):\n        super().__init__()\n"
    assert problems(job("Model", text)) == [
        ("model", "Model needs classes; write `model = Model(...)` in model.py and name that")
    ]


BRANCHES = """
def build(hp):
    model = keras.Sequential([layers.Flatten()])
    if hp.Choice("kind", ["plain", "deep", "odd"]) == "odd":
        model.add(layers.Dense(hp.Int("odd_units", 4, 8)))
    for index in range(hp.Int("depth", 0, 2)):
        model.add(layers.Dense(hp.Int(f"units_{index}", 4, 8)))
    model.add(layers.Dense(10, "softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""


def test_names_behind_branches_are_found(job):
    """A name that the code requests in one branch or at one depth only is known, and is no error in a space."""
    its = job("build", BRANCHES, values={**SHORT, "odd_units": 5, "units_1": 4})
    names = {request.name for request in check(its).requested}
    assert names == {"kind", "odd_units", "depth", "units_0", "units_1"}


WIDE = """
import time

def build(hp):
    units = hp.Int("units", 4, 10**12)
    if units > 4:
        WAIT
    model = keras.Sequential([layers.Flatten(), layers.Dense(units), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    hp.Boolean("more")
    return model
"""


def test_a_largest_model_beyond_memory_is_not_tried(job):
    """Ranges in the code may be larger than any machine: the check refuses the largest model, without an error."""
    found = check(job("build", WIDE.replace("WAIT", "pass")))
    assert found.smallest.parameters > 0
    assert "parameters, which do not fit into memory" in found.largest.refused
    assert {request.name for request in found.requested} == {"units", "more"}


def test_a_largest_model_that_takes_minutes_is_not_tried(job, monkeypatch):
    """Training it ends in time, and so does the search for names that the code may request; neither is an error."""
    monkeypatch.setattr("pipelines.training.user_model.short_training.LONGEST_S", 0.5)
    its = job("build", WIDE.replace("WAIT", "time.sleep(60)"), declared=["unheard_of"])
    assert check(its).largest.refused == "trying it took longer than 0.5 s"


def test_a_largest_model_above_a_ceiling_is_not_trained(job):
    """What no trial may train is not tried either."""
    its = job("build", DENSE)
    large = replace(its, most_parameters=600)
    found = check_user_model((its, large), Supervised())
    assert found.smallest.parameters == 64 * 4 + 4 + 4 * 10 + 10
    assert "limits.parameters allows 600" in found.largest.refused
