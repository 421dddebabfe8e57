"""Katib experiments, as their examples write them."""

from __future__ import annotations

import pytest
from foreign_files import imported, notes_of, refusal

from search_spaces.foreign import katib
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space_dict
from search_spaces.yaml_reader import parse_document

EXPERIMENT = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {namespace: kubeflow, name: random}
spec:
  objective:
    type: maximize
    goal: 0.99
    objectiveMetricName: Validation-accuracy
  algorithm: {algorithmName: random}
  parallelTrialCount: 3
  parameters:
    - name: lr
      parameterType: double
      feasibleSpace: {min: "0.001", max: "0.1", distribution: logUniform}
    - name: num-layers
      parameterType: int
      feasibleSpace: {min: "1", max: "5", step: "1"}
    - name: units
      parameterType: int
      feasibleSpace: {min: "32", max: "256", step: "32"}
    - name: dropout
      parameterType: double
      feasibleSpace: {min: "0.0", max: "0.5", step: "0.25", distribution: uniform}
    - name: batch-size
      parameterType: discrete
      feasibleSpace: {list: ["32", "64"]}
    - name: optimizer
      parameterType: categorical
      feasibleSpace: {list: [sgd, adam, ftrl]}
"""


def one(kind, feasible):
    """Return the parameter that one entry of an Experiment becomes, and what was noted."""
    text = f"spec: {{parameters: [{{name: it, parameterType: {kind}, feasibleSpace: {feasible}}}]}}"
    result = imported(katib, text)
    return result.space.declared[0], notes_of(result)


def test_an_experiment_becomes_a_space():
    """Texts become the numbers that they are; the objective is noted in the form of a study file."""
    result = imported(katib, EXPERIMENT)
    assert result.space.declared == (
        Float("lr", 0.001, 0.1, log=True),
        Int("num-layers", 1, 5),
        Int("units", 32, 256, step=32),
        Float("dropout", 0.0, 0.5, step=0.25),
        Categorical("batch-size", (32, 64)),
        Categorical("optimizer", ("sgd", "adam", "ftrl")),
    )
    notes = notes_of(result)
    assert "`objective: {metric: Validation-accuracy, direction: maximize}` and `budget: {target: 0.99}`" in notes
    assert "spec.algorithm: is no part of a space" in notes
    assert "spec.parallelTrialCount: is no part of a space" in notes
    assert len(result.notes) == 3


@pytest.mark.parametrize(
    ("kind", "feasible", "expected", "noted"),
    [
        ("double", '{min: "0.1", max: "0.9", distribution: normal}', Float("it", 0.1, 0.9), "is even over its range"),
        ("int", '{min: "1", max: "9", distribution: logNormal}', Int("it", 1, 9, log=True), "on a logarithmic scale"),
        (
            "double",
            '{min: "1", max: "9", step: "2", distribution: logUniform}',
            Float("it", 1, 9, log=True),
            "additive",
        ),
        ("categorical", '{list: ["16", "0.5"]}', Categorical("it", (16, 0.5)), "it takes the numbers"),
        ("categorical", '{list: ["true", "false"]}', Categorical("it", (True, False)), "it takes the booleans"),
        ("categorical", '{list: ["True", "False"]}', Categorical("it", (True, False)), "it takes the booleans"),
        ("int", '{min: "1", max: "9", step: "1", distribution: logUniform}', Int("it", 1, 9, log=True), ""),
        ("categorical", '{list: ["16", many]}', Categorical("it", ("16", "many")), ""),
        ("discrete", '{list: ["16"]}', Fixed("it", 16), ""),
    ],
)
def test_what_has_no_equivalent_is_replaced_and_named(kind, feasible, expected, noted):
    """The nearest thing stands in, and the note names the loss."""
    parameter, notes = one(kind, feasible)
    assert parameter == expected
    assert noted in notes
    assert bool(noted) == bool(notes)


def test_leading_dashes_of_a_name_go():
    """Names of old experiments are options of a command line, such as `--lr`: the dashes go, with a note."""
    text = 'spec: {parameters: [{name: --lr, parameterType: double, feasibleSpace: {min: "0.1", max: "1"}}]}'
    result = imported(katib, text)
    assert result.space.names == ("lr",)
    assert '"--lr" cannot be a name here: it is called "lr"' in notes_of(result)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{parameterType: int}", "parameters[0].name: expected text, got nothing"),
        ("{name: it, parameterType: float}", 'unknown type the text "float"; the choices are: categorical'),
        ("{name: it, parameterType: int}", "feasibleSpace: expected a mapping"),
        ('{name: it, parameterType: int, feasibleSpace: {min: "1", max: "2.5"}}', "expected a whole number"),
        (
            '{name: it, parameterType: double, feasibleSpace: {min: "1", max: "x"}}',
            'expected a number, got the text "x"',
        ),
        ("{name: it, parameterType: discrete, feasibleSpace: {list: [[1]]}}", "expected a number, got a list"),
        (
            "{name: it, parameterType: int, feasibleSpace: {min: 1, max: 2, distribution: loguniform}}",
            'did you mean "logUniform"',
        ),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(entry, message):
    """An entry that cannot be understood is an error with line and path."""
    found = refusal(katib, f"spec:\n  parameters:\n    - {entry}\n", "experiment.yaml")
    assert found.startswith("experiment.yaml:3:")
    assert message in found


def test_the_export_is_an_experiment():
    """Every value is text, fixed values are lists of one, and a note names what Katib cannot express."""
    space = parse_space_dict(
        {
            "units": {"type": "int", "low": 16, "high": 64, "log": True, "default": 32},
            "optimizer": ["sgd", None],
            "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
            "epochs": 20,
        }
    )
    result = katib.write(space)
    experiment = parse_document(result.text, "experiment.yaml").data
    entries = {entry["name"]: entry for entry in experiment["spec"]["parameters"]}
    assert (experiment["apiVersion"], experiment["kind"]) == ("kubeflow.org/v1beta1", "Experiment")
    assert entries["units"]["feasibleSpace"] == {"min": "16", "max": "64", "distribution": "logUniform"}
    assert entries["epochs"] == {"name": "epochs", "parameterType": "discrete", "feasibleSpace": {"list": ["20"]}}
    for lost in (
        "left out those of: units",
        "drawn in every trial: momentum",
        "the text null stands in for it in: optimizer",
    ):
        assert lost in notes_of(result)
