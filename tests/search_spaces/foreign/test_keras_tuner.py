"""KerasTuner's hyperparameters, as its own `get_config` and its JSON files have them."""

from __future__ import annotations

import json

from foreign_files import as_json, imported, notes_of, refusal, there_and_back

from search_spaces.conditions import Condition
from search_spaces.foreign import keras_tuner
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space_dict


def parent(name, *values):
    return {"class_name": "Parent", "config": {"name": name, "values": list(values)}}


def hp(kind, name, *conditions, **config):
    return {"class_name": kind, "config": {"name": name, "conditions": list(conditions), **config}}


def number(kind, name, low, high, *conditions, step=None, sampling="linear", default=None):
    config = {"min_value": low, "max_value": high, "step": step, "sampling": sampling, "default": default}
    return hp(kind, name, *conditions, **config)


def read(*space, **around):
    return imported(keras_tuner, as_json({"space": list(space), "values": {}, **around}))


def test_every_kind_has_its_equivalent():
    """Int, Float, Choice, Boolean and Fixed become int, float, categorical and fixed, without a note."""
    result = read(
        number("Int", "layers", 1, 4, step=1, default=2),
        number("Int", "units", 32, 512, step=32),
        number("Int", "filters", 8, 64, step=2, sampling="log"),
        number("Float", "lr", 1e-4, 1e-2, sampling="log", default=1e-4),
        number("Float", "dropout", 0.0, 0.5, step=0.1),
        hp("Choice", "optimizer", values=["adam", "sgd"], ordered=False, default="sgd"),
        hp("Boolean", "shuffle", default=False),
        hp("Fixed", "epochs", value=10),
    )
    assert result.space.declared == (
        Int("layers", 1, 4, default=2),
        Int("units", 32, 512, step=32),
        Int("filters", 8, 64, log=True, step=2),
        Float("lr", 1e-4, 1e-2, log=True, default=1e-4),
        Float("dropout", 0.0, 0.5, step=0.1),
        Categorical("optimizer", ("adam", "sgd"), "sgd"),
        Categorical("shuffle", (True, False), False),
        Fixed("epochs", 10),
    )
    assert result.notes == ()


def test_reverse_log_is_named():
    """A reverse logarithmic scale becomes an even one, and a note has its place."""
    result = read(number("Float", "momentum", 0.1, 0.99, step=2, sampling="reverse_log"))
    assert result.space.declared == (Float("momentum", 0.1, 0.99),)
    assert "foreign.yaml:1:" in notes_of(result)
    assert "reverse_log has no equivalent" in notes_of(result)


def test_conditions_become_when():
    """The conditions that a scope stacks up become the innermost one: the others are those of its parent."""
    sgd = parent("optimizer", "sgd")
    space = read(
        hp("Choice", "optimizer", values=["adam", "sgd"], ordered=False, default="adam"),
        hp("Boolean", "use_momentum", sgd, default=False),
        number("Float", "momentum", 0.0, 0.9, sgd, parent("use_momentum", True)),
    ).space
    assert space.parameters["use_momentum"].when == (Condition("optimizer", "in", ("sgd",)),)
    assert space.parameters["momentum"].when == (Condition("use_momentum", "in", (True,)),)


def test_scopes_on_one_parent_become_one_condition():
    """Several conditions on one parent become the values that all of them allow."""
    space = read(
        hp("Choice", "net", values=["a", "b", "c"], ordered=False),
        hp("Fixed", "x", parent("net", "a", "b"), parent("net", "b", "c"), value=1),
    ).space
    assert space.parameters["x"].when == (Condition("net", "in", ("b",)),)


def test_a_choice_of_booleans_is_stored_as_numbers():
    """KerasTuner keeps Choice([True, False]) as 1 and 0; conditions on it with true still hold."""
    space = read(
        hp("Choice", "bn", values=[1, 0], ordered=True, default=1),
        number("Int", "size", 1, 3, parent("bn", True), step=1),
    ).space
    assert space.is_active(space.parameters["size"], {"bn": 1})


def test_one_name_with_one_range_under_two_conditions_is_one_parameter():
    """The same hyperparameter registered in several scopes exists where any of them does."""
    units = [number("Int", "units", 8, 64, parent("model", name), step=8) for name in ("mlp", "rnn")]
    result = read(hp("Choice", "model", values=["mlp", "cnn", "rnn"], ordered=False), *units)
    assert result.space.parameters["units"].when == (Condition("model", "in", ("mlp", "rnn")),)
    assert result.notes == ()


def test_one_name_with_several_ranges_gets_several_names():
    """What a name means under another condition gets another name, and its children follow."""
    mlp, cnn = parent("model", "mlp"), parent("model", "cnn")
    result = read(
        hp("Choice", "model", values=["mlp", "cnn"], ordered=False),
        number("Int", "depth", 1, 3, mlp, step=1),
        number("Int", "depth", 2, 9, cnn, step=1),
        number("Int", "stride", 1, 2, cnn, parent("depth", 9), step=1),
    )
    depth_2 = result.space.parameters["depth_2"]
    assert (depth_2.bounds, depth_2.when) == ((2, 9), (Condition("model", "in", ("cnn",)),))
    assert result.space.parameters["stride"].when == (Condition("depth_2", "in", (9,)),)
    assert 'this one is "depth_2"' in notes_of(result)


def test_trial_and_oracle_files_hold_the_same_config():
    """The config is found under `hyperparameters`; a trial's values become the point to start from."""
    config = {"space": [number("Int", "units", 8, 64, step=8, default=8)], "values": {"units": 32, "tuner/epochs": 2}}
    oracle = imported(keras_tuner, as_json({"hyperparameters": config, "seed": 1, "ongoing_trials": {}}))
    trial = imported(keras_tuner, as_json({"trial_id": "07", "hyperparameters": config, "score": 0.9}))
    assert oracle.space.start_from == ()
    assert trial.space.start_from == ({"units": 32},)


def test_a_default_off_the_grid_is_left_out():
    """KerasTuner lets a default lie between the steps, we do not: it goes, with a note."""
    result = read(number("Float", "dropout", 0.0, 0.5, step=0.1, default=0.25))
    assert result.space.declared == (Float("dropout", 0.0, 0.5, step=0.1),)
    assert "the default 0.25 is none of its values" in notes_of(result)


def test_odd_names_are_changed():
    """A name that ours cannot be loses what is odd in it, also where it is a parent."""
    result = read(
        hp("Choice", "net (1)", values=["a", "b"], ordered=False),
        number("Int", "n", 1, 2, parent("net (1)", "a"), step=1),
    )
    assert result.space.names == ("net _1_", "n")
    assert '"net (1)" cannot be a name here' in notes_of(result)


def test_what_cannot_be_read_is_reported_with_its_place():
    """All problems are found in one go, each with line, path and what was expected."""
    text = """{"space": [
      {"class_name": "Integer", "config": {"name": "a"}},
      {"class_name": "Int", "config": {"name": "b", "min_value": 5, "max_value": "many"}},
      {"class_name": "Float", "config": {"name": "c", "min_value": 5, "max_value": 1}},
      {"class_name": "Int", "config": {"name": "d", "min_value": 1, "max_value": 5, "conditions": 3}}]}"""
    message = refusal(keras_tuner, text, "oracle.json")
    assert "oracle.json:2:" in message
    assert 'did you mean "Int"' in message
    assert 'space[1].config.max_value: expected a whole number, got the text "many"' in message
    assert "low < high must hold, got low=5.0, high=1.0" in message
    assert "space[3].config.conditions: expected a list" in message


def test_a_condition_that_never_holds_is_reported_with_its_place():
    """A condition on a value that the parent never has is a problem of the file."""
    items = [hp("Choice", "net", values=["a", "b"]), number("Int", "n", 1, 2, parent("net", "c"), step=1)]
    message = refusal(keras_tuner, as_json({"space": items}))
    assert "foreign.yaml:1:" in message
    assert "can never hold: net is never" in message


WHOLE = {
    "depth": {"type": "int", "low": 1, "high": 4, "default": 2},
    "units": {"type": "int", "low": 16, "high": 256, "log": True, "step": 2, "when": {"depth": [2, 3, 4]}},
    "lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True, "default": 1e-3},
    "optimizer": {"choices": ["adam", "sgd"], "default": "adam"},
    "nesterov": {"choices": [True, False], "default": True, "when": {"optimizer": "sgd"}},
    "epochs": {"value": 20, "when": {"nesterov": True}},
}


def test_a_space_comes_back_the_same():
    """What both can express survives the way there and back: ranges, steps, scales, defaults, conditions."""
    space = parse_space_dict(WHOLE)
    result = keras_tuner.write(space)
    assert there_and_back(keras_tuner, space) == space
    assert result.notes == ()


def test_keras_tuner_takes_what_is_written():
    """KerasTuner's own class reads the export, with the conditions working and the values filled in."""
    from keras_tuner import HyperParameters

    hps = HyperParameters.from_config(json.loads(keras_tuner.write(parse_space_dict(WHOLE)).text))
    kinds = {each.name: type(each).__name__ for each in hps.space}
    assert kinds == {
        **{
            "depth": "Int",
            "units": "Int",
            "lr": "Float",
            "optimizer": "Choice",
            "nesterov": "Boolean",
            "epochs": "Fixed",
        }
    }
    assert hps.values == {"depth": 2, "units": 16, "lr": 1e-3, "optimizer": "adam"}
    assert [each.name for each in hps.space if not hps.is_active(each)] == ["nesterov", "epochs"]


def test_our_reading_agrees_with_keras_tuner():
    """What KerasTuner itself writes of each of its methods is read back as the same ranges."""
    from keras_tuner import HyperParameters

    hps = HyperParameters()
    hps.Int("units", 32, 96, step=32)
    hps.Float("lr", 1e-4, 1e-1, sampling="log")
    with hps.conditional_scope("units", [64]):
        hps.Choice("activation", ["relu", "tanh"])
        hps.Boolean("bias")
    space = imported(keras_tuner, as_json(hps.get_config())).space
    on_64 = (Condition("units", "in", (64,)),)
    assert space.declared == (
        Int("units", 32, 96, step=32),
        Float("lr", 1e-4, 1e-1, log=True, default=1e-4),
        Categorical("activation", ("relu", "tanh"), "relu", on_64),
        Categorical("bias", (True, False), False, on_64),
    )


def test_what_keras_tuner_cannot_say_is_named():
    """Comparisons become lists of values where there are such; constraints, mixed choices and nulls are named."""
    result = keras_tuner.write(
        parse_space_dict(
            {
                "depth": {"type": "int", "low": 1, "high": 3},
                "momentum": {"type": "float", "low": 0.0, "high": 0.9},
                "skip": {"choices": ["none", 1, None], "when": {"depth": ">= 2"}},
                "nesterov": {"choices": [0, 0.5], "when": {"momentum": "> 0"}},
                "seed": {"value": None},
                "constraints": ["depth * momentum < 2"],
                "start_from": [{"depth": 1}],
            }
        )
    )
    config = {item["config"]["name"]: item["config"] for item in json.loads(result.text)["space"]}
    assert config["skip"]["conditions"][0]["config"] == {"name": "depth", "values": [2, 3]}
    assert config["skip"]["values"] == ["none", "1", "null"]
    assert (config["nesterov"]["values"], config["nesterov"]["conditions"]) == ([0.0, 0.5], [])
    for lost in ("nesterov (momentum > 0)", "depth * momentum < 2", "text stands in for: skip", "left out: seed"):
        assert lost in notes_of(result)
    assert "1 under start_from" in notes_of(result)
