"""Files of user models: what Keras cannot load again is noted early, and is no model."""

from __future__ import annotations

from pathlib import Path

import pytest
from user_model_jobs import SHORT, Supervised, check

from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import MODEL_FILE, USER_MODEL_WEIGHTS_FILE, explain_missing_model

PARTS = """
class Gate(layers.Layer):
    def __init__(self, inner):
        super().__init__(name="gate")
        self.inner = inner
    def call(self, x):
        return self.inner(x)

class Times(layers.Layer):
    def __init__(self, factor=1.0, **keywords):
        super().__init__(**keywords)
        self.factor = factor
    def call(self, x):
        return self.factor * x
    def get_config(self):
        return super().get_config()

class Needs(Times):
    def __init__(self, factor, **keywords):
        super().__init__(factor, **keywords)

def make_local():
    @keras.saving.register_keras_serializable("tests")
    class Local(layers.Layer):
        def call(self, x):
            return x
    return Local(name="local")

def halve(x):
    return x / 2

def build(hp):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), PART, layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
"""
REGISTER = "@keras.saving.register_keras_serializable()"


@pytest.mark.parametrize(
    ("part", "reasons"),
    [
        ("Gate(lambda x: x)", ['layer "gate" (Gate) has no get_config', "returns the arguments", REGISTER]),
        ("layers.Lambda(lambda x: 2 * x, name='twice')", ['layer "twice" holds a Python lambda', REGISTER]),
        ("layers.Dense(4, activation=lambda x: x, name='odd')", ['layer "odd" holds a Python lambda']),
        ("Needs(2.0, name='needs')", ['class Needs of layer "needs": ', "missing 1 required positional argument"]),
        ("make_local()", ['class Local of layer "local": no import finds it', "at the top level of model.py"]),
        ("Times(2.0)", ["its file gives other outputs than the model"]),
    ],
)
def test_a_model_that_keras_does_not_load(job, part, reasons):
    """The check notes layer, reason and advice; a trial keeps its score and its weights, and no file."""
    its = job("build", PARTS.replace("PART", part), values=SHORT)
    (note,) = check(its).notes
    assert note.startswith("Keras cannot load models like the smallest one of the space: ")
    assert train_trial(its, Supervised()).result.state == "complete"
    folder = Path(its.folder)
    assert not (folder / MODEL_FILE).exists()
    assert (folder / USER_MODEL_WEIGHTS_FILE).exists()
    for reason in reasons:
        assert reason in note
        assert reason in explain_missing_model(folder)


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("Times(name='times')", 'class Times of layer "times"'),
        ("layers.Dense(4, activation=halve, name='half')", 'function halve of layer "half"'),
    ],
)
def test_a_class_that_keras_finds_by_no_name(job, part, named):
    """Its model loads with its code alone, which the check notes; one that is registered is fine."""
    text = PARTS.replace("PART", part)
    (note,) = check(job("build", text, values=SHORT)).notes
    assert f"{named} is registered by no name; decorate it in model.py with {REGISTER}" in note
    registered = text.replace("class Times", f"{REGISTER}\nclass Times").replace("def halve", f"{REGISTER}\ndef halve")
    assert check(job("build", registered, values=SHORT)).notes == ()
