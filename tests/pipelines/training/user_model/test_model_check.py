"""Check of a user model before its first trial."""

from __future__ import annotations

from dataclasses import replace

import pytest
from user_model_jobs import DENSE, SHORT, Supervised, check, problems, write_fit

from pipelines.models.user_model import ModelCodeError
from pipelines.spec.schema import TrainingSpec
from pipelines.training.trial import train_trial
from pipelines.training.user_model.model_check import check_user_model
from search_spaces.errors import InputError


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


@pytest.mark.long
def test_a_largest_model_that_takes_minutes_is_not_tried(job, monkeypatch):
    """Training it ends in time, and so does the search for names that the code may request; neither is an error."""
    # The smallest model is trained within it: an exception in the middle of TensorFlow's tracing may end the process.
    monkeypatch.setattr("pipelines.training.user_model.short_training.LONGEST_S", 8.0)
    its = job("build", WIDE.replace("WAIT", "time.sleep(60)"), declared=["unheard_of"])
    assert check(its).largest.refused == "trying it took longer than 8 s"


def test_a_largest_model_above_a_ceiling_is_not_trained(job):
    """What no trial may train is not tried either."""
    its = job("build", DENSE)
    large = replace(its, most_parameters=600)
    found = check_user_model((its, large), Supervised())
    assert found.smallest.parameters == 64 * 4 + 4 + 4 * 10 + 10
    assert "limits.parameters allows 600" in found.largest.refused


@pytest.mark.long
def test_code_runs_to_its_end(job):
    """What is requested after a second training, or in one branch of `fit`, is found; nothing is cut off for good."""
    text = write_fit(
        "first = one(model)",
        "second = one(model)",
        "if hp.Choice('kind', ['plain', 'noisy']) == 'noisy':",
        "    hp.Float('noise', 0.1, 0.2)",
        "return [first, second] if hp.Boolean('both') else second",
    )
    found = check(job("Model", text, declared=["both", "noise"]))
    assert {"kind", "noise", "both"} <= {request.name for request in found.requested}


@pytest.mark.long
@pytest.mark.parametrize(
    "lines",
    [
        ("history = one(model)", "history.history['loss'][1]", "return history"),  # two epochs
        ("assert len(x) > 64, 'too few rows'", "return one(model)"),
        ("return one(model, epochs=kwargs['epochs'])",),
        ("return one(model, validation_freq=2)",),
    ],
)
def test_code_that_needs_a_whole_training(job, lines):
    """It fails where it is shortened, and is trained once as a trial trains it."""
    found = check(job("Model", write_fit(*lines), values={"epochs": 2}))
    assert found.smallest.refused == ""


CORNER = DENSE.replace("    model.compile", "    assert hp.get('units') BAD, 'no such width'\n    model.compile")


@pytest.mark.parametrize(
    ("bad", "noted"), [("> 4", ["smallest"]), ("< 8", ["largest"]), ("not in (4, 8)", ["smallest", "largest"])]
)
def test_a_corner_that_fails_is_a_note(job, bad, noted):
    """A trial that draws it fails alone; the study is checked by the points that work."""
    its = job("build", CORNER.replace("BAD", bad))
    found = check_user_model((its, its, replace(its, values={"units": 6})), Supervised())
    reason = "AssertionError: no such width (model.py, line 6)"
    assert [note for note in found.notes if "fails" in note] == [
        f"the {name} model of the space fails, as each trial with its values will: {reason}" for name in noted
    ]
    with pytest.raises(ModelCodeError, match="no such width"):
        train_trial(replace(its, values={"units": 4 if "smallest" in noted else 8}), Supervised())


def test_code_that_fails_everywhere_is_refused(job):
    """With what it raises at the smallest model, whichever other points were tried."""
    its = job("build", CORNER.replace("BAD", "> 9"))
    with pytest.raises(InputError, match="no such width"):
        check_user_model((its, its, replace(its, values={"units": 6})), Supervised())


def test_rows_wider_than_the_model_expects_are_explained(job, prepare_data):
    """A column may become several numbers, so the message states how many there are."""
    text = """
def build(hp):
    model = keras.Sequential([keras.Input((30,)), layers.Dense(hp.Int("units", 4, 8)), layers.Dense(2)])
    model.compile(loss="mse")
    return model
"""
    table = prepare_data("any", source="sklearn:breast_cancer", split={"validation": 0.1, "test": 0.1, "seed": 1})
    ((_, message),) = problems(job("build", text, data=str(table)))
    assert "; the model gets 34 numbers a row, made of 30 columns (data.preprocess: none" in message
    ((_, message),) = problems(job("build", text))
    assert "numbers a row" not in message


@pytest.mark.long
def test_notes_on_a_custom_fit(job):
    """Early stopping that is off, models that are trained beside the given one, and one that is never trained."""
    folds = write_fit("return [one(self.build(hp)) for _ in range(2)]")
    others = write_fit("data.pop('callbacks')", "return min(one(self.build(hp)).history['val_loss'])")
    stopping, kept = check(job("Model", folds, training=TrainingSpec())).notes[:2]
    assert stopping.startswith("early stopping is off, since model.py trains by its own fit")
    assert kept == "fit in model.py trains 2 models; the best one that counts for the score is kept"
    (note, *_) = check(job("Model", others)).notes
    assert note.startswith("the study will have scores and no model: fit in model.py did not train the model")
