"""NNI search spaces, as its documentation writes them."""

from __future__ import annotations

import json

import pytest
from foreign_files import as_json, imported, notes_of, refusal, there_and_back

from search_spaces.conditions import Condition
from search_spaces.foreign import nni
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space_dict
from search_spaces.yaml_reader import parse_document


def given(kind, *values):
    return {"_type": kind, "_value": list(values)}


def one(kind, *values):
    """Return the parameter that one entry becomes, and what was noted."""
    result = imported(nni, as_json({"it": given(kind, *values)}))
    return result.space.declared[0], notes_of(result)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (("choice", 16, 32), Categorical("it", (16, 32))),
        (("choice", "relu"), Fixed("it", "relu")),
        (("randint", 1, 5), Int("it", 1, 4)),
        (("randint", 1, 2), Fixed("it", 1)),
        (("uniform", 0, 1), Float("it", 0.0, 1.0)),
        (("quniform", 0, 10, 2.5), Float("it", 0.0, 10.0, step=2.5)),
        (("quniform", 1, 10, 1), Int("it", 1, 10)),
        (("quniform", 8, 64, 8), Int("it", 8, 64, step=8)),
        (("loguniform", 1e-4, 0.1), Float("it", 1e-4, 0.1, log=True)),
        (("qloguniform", 16, 256, 1), Int("it", 16, 256, log=True)),
    ],
)
def test_every_bounded_type_has_its_equivalent(entry, expected):
    """Each type with ends becomes the same range, the upper end of randint left out; no note."""
    assert one(*entry) == (expected, "")


@pytest.mark.parametrize(
    ("entry", "expected", "noted"),
    [
        (("normal", 0, 1), Float("it", -1.96, 1.96), "normal distribution has no equivalent"),
        (("qnormal", 64, 16, 8), Int("it", 40, 88, step=8), "normal distribution has no equivalent"),
        (("lognormal", 0, 1), Float("it", 0.140858, 7.09933, log=True), "normal distribution has no equivalent"),
        (("quniform", 2, 10, 5), Int("it", 5, 10, step=5), "goes from 5 to 10, the multiples of 5"),
        (("qloguniform", 0.1, 10, 0.1), Float("it", 0.1, 10.0, log=True), "multiples of 0.1 on a logarithmic scale"),
    ],
)
def test_what_has_no_equivalent_is_replaced_and_named(entry, expected, noted):
    """The nearest thing stands in, and the note names the loss."""
    parameter, notes = one(*entry)
    assert parameter == expected
    assert noted in notes


def test_nested_choices_become_conditions():
    """A nested parameter exists where its choice is made; one that two choices bring alike is one parameter."""
    momentum = given("uniform", 0.5, 0.9)
    space = {
        "optimizer": given(
            "choice",
            {"_name": "adam"},
            {
                "_name": "sgd",
                "momentum": momentum,
                "nesterov": given("choice", {"_name": 0}, {"_name": 1, "tau": momentum}),
            },
            {"_name": "rmsprop", "momentum": momentum},
        )
    }
    found = imported(nni, as_json(space)).space.parameters
    assert found["optimizer"] == Categorical("optimizer", ("adam", "sgd", "rmsprop"))
    assert found["momentum"].when == (Condition("optimizer", "in", ("sgd", "rmsprop")),)
    assert found["nesterov"].when == (Condition("optimizer", "in", ("sgd",)),)
    assert found["tau"].when == (Condition("nesterov", "in", (1,)),)


def test_nested_names_that_are_not_unique_get_their_parents_in_front():
    """A name that several choices share is distinguished by the path to it; different ranges on one way by a number."""
    layer = given("choice", {"_name": "empty"}, {"_name": "conv", "size": given("choice", 3, 5)})
    other = given(
        "choice", {"_name": "pool", "size": given("choice", 2, 3)}, {"_name": "conv", "size": given("choice", 3, 5)}
    )
    result = imported(nni, as_json({"layer0": layer, "layer1": other}))
    assert result.space.names == ("layer0", "layer0/size", "layer1", "layer1/size", "layer1/size_2")
    assert result.space.parameters["layer1/size_2"].when == (Condition("layer1", "in", ("conv",)),)
    assert 'this one is "layer1/size_2"' in notes_of(result)


def test_an_experiment_file_holds_the_space():
    """In an experiment's YAML the space stands under `searchSpace`."""
    text = "searchSpace:\n  lr: {_type: loguniform, _value: [1e-4, 1e-1]}\ntrialCommand: python3 train.py\n"
    assert imported(nni, text).space.declared == (Float("lr", 1e-4, 0.1, log=True),)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (given("choices", 1, 2), 'did you mean "choice"'),
        (given("uniform", 1), "expected 2 numbers for uniform, got 1"),
        (given("quniform", 1, 2, "x"), 'expected a number, got the text "x"'),
        ({"_type": ["choice"], "_value": [1]}, "unknown type a list"),
        ({"_type": "uniform"}, "_value: expected a list"),
        (given("randint", 5, 1), "low < high must hold"),
        (3, "expected a mapping"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(entry, message):
    """An entry that cannot be understood is an error with line and path."""
    found = refusal(nni, f'{{\n"it": {as_json(entry)}}}', "search_space.json")
    assert found.startswith("search_space.json:2:")
    assert message in found


NESTED = {
    "optimizer": ["adam", "sgd", "rmsprop"],
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd", "rmsprop"]}},
    "schedule": {"choices": ["constant", "cosine"], "when": {"optimizer": "sgd"}},
    "alpha": {"type": "float", "low": 0.1, "high": 1.0, "log": True, "when": {"schedule": "cosine"}},
    "depth": {"type": "int", "low": 1, "high": 4},
}


def test_conditions_on_choices_come_back():
    """Conditions on choices are written as nested choices, and read again as the same conditions."""
    space = parse_space_dict(NESTED)
    assert nni.write(space).notes == ()
    assert there_and_back(nni, space).parameters == space.parameters


def test_other_conditions_are_named():
    """A second condition, and one on a range, cannot be nested: the parameter is drawn anyway, with a note."""
    more = {"width": {"type": "int", "low": 1, "high": 2, "when": {"depth": ">= 2", "schedule": "cosine"}}}
    result = nni.write(parse_space_dict({**NESTED, **more}))
    sgd = json.loads(result.text)["optimizer"]["_value"][1]
    assert "width" in sgd["schedule"]["_value"][1]
    assert notes_of(result) == "NNI has conditions on one choice only; not kept: width (depth >= 2)"


def test_of_two_choices_the_innermost_nests():
    """A parameter that waits for a choice and for one nested in it stands below the inner one, whatever the order."""
    more = {"beta": {"type": "float", "low": 0.1, "high": 1.0, "when": {"optimizer": "sgd", "schedule": "cosine"}}}
    written = json.loads(nni.write(parse_space_dict({**NESTED, **more})).text)
    assert "beta" in written["optimizer"]["_value"][1]["schedule"]["_value"][1]


def test_nesting_does_not_explode():
    """What many choices bring stands below each of them; where that would be too often it is drawn always."""
    deep = {f"c{level}": {"choices": [1, 2], "when": {f"c{level - 1}": [1, 2]}} for level in range(1, 30)}
    result = nni.write(parse_space_dict({"c0": [1, 2], **deep}))
    assert len(result.text) < 200_000
    assert "not kept: c7 (c6 is 1 or 2)" in notes_of(result)


def test_a_space_in_another_file_is_named():
    """An experiment may name a file with its space; that is the file to import."""
    text = "searchSpaceFile: search_space.json\ntrialCommand: python3 train.py\n"
    assert nni.recognises(parse_document(text, "config.yml"))
    message = refusal(nni, text, "config.yml")
    assert message.startswith("config.yml:1:18: searchSpaceFile: the space of this experiment is in another file")
    assert "search_space.json" in message


def test_a_choice_of_null_can_have_parameters_below():
    """A choice that is null is written with the others that parameters depend on, and read again."""
    space = parse_space_dict(
        {"opt": ["sgd", None], "rate": {"type": "float", "low": 0.1, "high": 1.0, "when": {"opt": None}}}
    )
    assert there_and_back(nni, space) == space
