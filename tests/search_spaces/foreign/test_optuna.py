"""Optuna's distributions, as its own functions write and read them."""

from __future__ import annotations

import json

import pytest
from foreign_files import as_json, imported, notes_of, refusal
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from search_spaces.foreign import optuna
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space_dict

DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
    "rate": FloatDistribution(0.0, 1.0),
    "depth": IntDistribution(1, 4),
    "units": IntDistribution(32, 256, step=32),
    "filters": IntDistribution(8, 64, log=True),
    "optimizer": CategoricalDistribution(("adam", "sgd", None)),
    "epochs": CategoricalDistribution((20,)),
}
SPACE = (
    Float("lr", 1e-4, 1e-1, log=True),
    Float("dropout", 0.0, 0.5, step=0.1),
    Float("rate", 0.0, 1.0),
    Int("depth", 1, 4),
    Int("units", 32, 256, step=32),
    Int("filters", 8, 64, log=True),
    Categorical("optimizer", ("adam", "sgd", None)),
    Fixed("epochs", 20),
)


@pytest.mark.parametrize("opened", [True, False])
def test_what_optuna_writes_is_read(opened):
    """Every distribution has its equivalent, as an object or as the text that `distribution_to_json` returns."""
    written = {name: distribution_to_json(found) for name, found in DISTRIBUTIONS.items()}
    result = imported(optuna, as_json({n: json.loads(t) for n, t in written.items()} if opened else written))
    assert result.space.declared == SPACE
    assert result.notes == ()


def test_optuna_reads_what_is_written():
    """Optuna's own function reads every exported distribution, and they are those that were meant."""
    space = parse_space_dict({parameter.name: parameter.to_dict() for parameter in SPACE})
    written = json.loads(optuna.write(space).text)
    assert {name: json_to_distribution(as_json(found)) for name, found in written.items()} == DISTRIBUTIONS


def test_names_of_old_versions_are_known():
    """Distributions that Optuna 2 wrote are read."""
    old = {
        "a": {"name": "LogUniformDistribution", "attributes": {"low": 0.1, "high": 1.0}},
        "b": {"name": "DiscreteUniformDistribution", "attributes": {"low": 0.0, "high": 1.0, "q": 0.5}},
        "c": {"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 8, "step": 1}},
    }
    space = imported(optuna, as_json(old)).space
    assert space.declared == (Float("a", 0.1, 1.0, log=True), Float("b", 0.0, 1.0, step=0.5), Int("c", 1, 8, log=True))


def test_a_single_value_is_fixed():
    """A range of one value, which Optuna allows, is a fixed value here."""
    text = as_json({"a": {"name": "FloatDistribution", "attributes": {"low": 0.5, "high": 0.5}}})
    assert imported(optuna, text).space.declared == (Fixed("a", 0.5),)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "FloatDistribution"}, "attributes: expected a mapping"),
        ({"name": "NormalDistribution", "attributes": {}}, "unknown distribution"),
        ({"name": "IntDistribution", "attributes": {"low": 1}}, "expected a whole number, got nothing"),
        ("{broken", 'expected a mapping such as {"name": "FloatDistribution"'),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(entry, message):
    """A distribution that cannot be understood is an error with line and path."""
    found = refusal(optuna, f'{{\n"it": {as_json(entry)}}}', "space.json")
    assert found.startswith("space.json:2:")
    assert message in found


def test_a_distribution_in_a_text_has_the_place_of_the_text():
    """A problem inside of a text of JSON is shown where the text stands."""
    found = refusal(optuna, json.dumps({"it": '{"name": "FloatDistribution", "attributes": {"low": 1}}'}, indent=1))
    assert found == "foreign.yaml:2:2: it.attributes.high: expected a number, got nothing (null)"


def test_what_optuna_cannot_say_is_named():
    """Logarithmic steps become the list of their values; conditions and defaults are named."""
    space = parse_space_dict(
        {
            "units": {"type": "int", "low": 4, "high": 16, "log": True, "step": 2, "default": 8},
            "rate": {"type": "float", "low": 0.0, "high": 1.0, "when": {"units": 8}},
        }
    )
    result = optuna.write(space)
    assert json.loads(result.text)["units"]["attributes"] == {"choices": [4, 8, 16]}
    for lost in ("stands in for: units", "left out those of: units", "drawn in every trial: rate"):
        assert lost in notes_of(result)
