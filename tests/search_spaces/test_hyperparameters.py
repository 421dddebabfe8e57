"""Hyperparameters of a trial: a hypermodel gets the values of the trial."""

from __future__ import annotations

import keras_tuner
import pytest

from search_spaces.errors import InputError
from search_spaces.hyperparameters import TrialHyperParameters, make_hyperparameters


def build(hp):
    """Request hyperparameters as in a published guide; return the values."""
    answers = {
        "units": hp.Int("units", 32, 512, step=32),
        "dropout": hp.Boolean("dropout"),
        "rate": hp.Float("rate", 1e-4, 1e-2, sampling="log"),
        "kind": hp.Choice("kind", ["mlp", "cnn"]),
        "epochs": hp.Fixed("epochs", 5),
    }
    with hp.conditional_scope("kind", ["cnn"]):
        answers["filters"] = hp.Int("filters", 8, 64)
    with hp.name_scope("head"):
        answers["head/units"] = hp.Int("units", 4, 8)
    answers["pool"] = hp.Choice("pool", ["max", "average"], parent_name="kind", parent_values=["cnn"])
    return answers


def test_given_values_are_the_answers():
    """Every kind of question gets the value given under its full name."""
    given = {"units": 100, "dropout": True, "rate": 0.5, "kind": "cnn", "epochs": 9, "filters": 16, "head/units": 6}
    hp = TrialHyperParameters({**given, "pool": "average"})
    assert build(hp) == {**given, "pool": "average"}
    assert hp.values == {**given, "pool": "average"}


def test_what_is_not_given_takes_its_default():
    """A request without a given value gets its default, an inactive one None."""
    hp = TrialHyperParameters({"units": 64})
    assert build(hp) == {
        **{"units": 64, "dropout": False, "rate": 1e-4, "kind": "mlp", "epochs": 5},
        **{"filters": None, "head/units": 4, "pool": None},
    }
    assert hp.values.keys() == {"units", "dropout", "rate", "kind", "epochs", "head/units"}


def test_it_stands_in_for_keras_tuners_own():
    """Made without values, it holds the defaults, and is serialized and read back like KerasTuner's class."""
    hp = TrialHyperParameters()
    hp.Int("units", 4, 8)
    again = keras_tuner.engine.hyperparameters.deserialize(keras_tuner.engine.hyperparameters.serialize(hp))
    assert again.values == hp.values == {"units": 4}
    assert [each.get_config() for each in again.space] == [each.get_config() for each in hp.space]


def test_values_of_a_trial_rebuild_its_model():
    """They are there before any request, in the requested type after it, and may be changed in between."""
    hp = make_hyperparameters({"units": 64.0, "kind": "cnn", "filters": 16})
    assert (hp.values, hp.get("units")) == ({"units": 64.0, "kind": "cnn", "filters": 16}, 64)
    hp.values["filters"] = 32
    answers = build(hp)
    assert (repr(answers["units"]), answers["kind"], answers["filters"]) == ("64", "cnn", 32)


def test_an_inactive_question_is_not_answered():
    """A value given for a hyperparameter whose condition does not hold is not used."""
    hp = TrialHyperParameters({"filters": 16, "kind": "mlp"})
    assert build(hp)["filters"] is None
    assert "filters" not in hp.values


def test_asking_twice_gives_the_same():
    """A second build with the same object is answered alike."""
    hp = TrialHyperParameters({"kind": "cnn", "units": 96})
    assert build(hp) == build(hp)


def test_requests_are_recorded():
    """The requested names are recorded with their declarations, inactive ones too."""
    hp = TrialHyperParameters({})
    build(hp)
    assert hp.requested == {
        "units": "Int from 32 to 512 in steps of 32",
        "dropout": "Boolean",
        "rate": "Float from 0.0001 to 0.01, log",
        "kind": "Choice of mlp, cnn",
        "epochs": "Fixed at 5",
        "filters": "Int from 8 to 64",
        "head/units": "Int from 4 to 8",
        "pool": "Choice of max, average",
    }


def test_undeclared_questions_can_be_drawn():
    """A hook supplies the value of each active question that no value was given for, once."""
    drawn = []

    def draw(question):
        drawn.append(question.name)
        return question.default

    hp = TrialHyperParameters({"units": 64, "kind": "mlp"}, draw)
    build(hp)
    build(hp)
    assert drawn == ["dropout", "rate", "epochs", "head/units"]


def test_values_have_the_requested_type():
    """A whole 32.0 suits an Int and a 1 a Float; true and false suit a Choice, which KerasTuner keeps as 1 and 0."""
    hp = TrialHyperParameters({"i": 32.0, "f": 1, "c": True, "s": 0.5})
    assert repr(hp.Int("i", 1, 64)) == "32"
    assert repr(hp.Float("f", 0, 2)) == "1.0"
    assert hp.Choice("c", [True, False]) == 1
    assert hp.Choice("s", [0.5, 1.0]) == 0.5


@pytest.mark.parametrize(
    ("value", "ask", "reported"),
    [
        (
            "8",
            lambda hp: hp.Int("x", 1, 9),
            'space.x: the model requests a whole number (Int from 1 to 9), the space gives the text "8"',
        ),
        (
            1.5,
            lambda hp: hp.Int("x", 1, 9),
            "space.x: the model requests a whole number (Int from 1 to 9), the space gives 1.5",
        ),
        (
            True,
            lambda hp: hp.Float("x", 1, 9),
            "space.x: the model requests a number (Float from 1.0 to 9.0), the space gives true",
        ),
        (
            1,
            lambda hp: hp.Boolean("x"),
            "space.x: the model requests true or false (Boolean), the space gives 1",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(value, ask, reported):
    """The message on a value of another type names the requested type."""
    with pytest.raises(InputError) as caught:
        ask(TrialHyperParameters({"x": value}))
    assert str(caught.value) == reported


def test_a_copy_answers_alike_and_alone():
    """A copy has the values so far and the given ones; requests to it do not reach the first."""
    hp = TrialHyperParameters({"a": 3, "b": 4})
    hp.Int("a", 1, 9)
    other = hp.copy()
    assert other.Int("b", 1, 9) == 4
    assert other.values == {"a": 3, "b": 4}
    assert hp.values == {"a": 3}
    assert list(hp.requested) == ["a"]


def test_merging_keeps_given_values():
    """Questions merged from another object do not put their defaults over given values."""
    asked = keras_tuner.HyperParameters()
    asked.Int("a", 1, 9)
    asked.Int("b", 1, 9)
    hp = TrialHyperParameters({"a": 3})
    hp.merge(asked)
    assert hp.values == {"a": 3, "b": 1}
