"""W&B sweeps, as their documentation writes them."""

from __future__ import annotations

import pytest
from foreign_files import imported, notes_of, refusal

from search_spaces.foreign import wandb
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space_dict
from search_spaces.yaml_reader import parse_document


def one(entry):
    """Return the parameter that one entry of a sweep becomes, and what was noted."""
    result = imported(wandb, f"parameters:\n  it: {entry}\n", "sweep.yaml")
    return result.space.declared[0], notes_of(result)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{values: [adam, sgd]}", Categorical("it", ("adam", "sgd"))),
        ("{value: 10}", Fixed("it", 10)),
        ("{values: [16]}", Fixed("it", 16)),
        ("{min: 1, max: 8}", Int("it", 1, 8)),
        ("{min: 0.0, max: 1}", Float("it", 0.0, 1.0)),
        ("{distribution: uniform, min: 0, max: 1}", Float("it", 0.0, 1.0)),
        ("{distribution: int_uniform, min: 1, max: 8}", Int("it", 1, 8)),
        ("{distribution: q_uniform, min: 8, max: 64, q: 8}", Int("it", 8, 64, step=8)),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.25}", Float("it", 0.0, 1.0, step=0.25)),
        ("{distribution: q_uniform, min: 1, max: 9}", Int("it", 1, 9)),
        ("{distribution: log_uniform_values, min: 1e-4, max: 0.1}", Float("it", 1e-4, 0.1, log=True)),
        ("{distribution: inv_log_uniform_values, min: 1e-4, max: 0.1}", Float("it", 1e-4, 0.1, log=True)),
        ("{distribution: log_uniform, min: -2, max: 0}", Float("it", 0.135335283237, 1.0, log=True)),
        ("{distribution: inv_log_uniform, min: 0, max: 2}", Float("it", 0.135335283237, 1.0, log=True)),
        ("{distribution: q_log_uniform_values, min: 8, max: 64, q: 1}", Int("it", 8, 64, log=True)),
        ("{distribution: q_log_uniform, min: 0, max: 3}", Int("it", 1, 20, log=True)),
    ],
)
def test_every_bounded_distribution_has_its_equivalent(entry, expected):
    """Each distribution with ends becomes the same range, exponents of e become the numbers themselves; no note."""
    assert one(entry) == (expected, "")


@pytest.mark.parametrize(
    ("entry", "expected", "noted"),
    [
        (
            "{values: [a, b], probabilities: [0.9, 0.1]}",
            Categorical("it", ("a", "b")),
            "probabilities have no equivalent",
        ),
        ("{distribution: normal, mu: 1, sigma: 0.5}", Float("it", 0.02, 1.98), "normal distribution has no equivalent"),
        ("{distribution: log_normal, mu: 0, sigma: 1}", Float("it", 0.140858, 7.09933, log=True), "middle 95 %"),
        ("{distribution: q_normal, mu: 64, sigma: 16, q: 8}", Int("it", 40, 88, step=8), "multiples of 8"),
        ("{distribution: q_log_normal, mu: 3, sigma: 1, q: 1}", Int("it", 3, 142, log=True), "middle 95 %"),
        ("{distribution: beta, a: 2, b: 3}", Float("it", 0.0, 1.0), "beta distribution has no equivalent"),
        ("{distribution: q_uniform, min: 1, max: 10, q: 4}", Int("it", 4, 8, step=4), "goes from 4 to 8"),
        ("{distribution: q_log_uniform_values, min: 8, max: 64, q: 8}", Int("it", 8, 64, log=True), "multiples of 8"),
        ("{distribution: log_uniform, min: 0.5, max: 1}", Float("it", 1.6487212707, 2.71828182846, log=True), "meant?"),
        ("{values: [yes, no]}", Categorical("it", (True, False)), "`yes` without quotes is a boolean to W&B: true"),
        (
            "{values: [16, 16, 32]}",
            Categorical("it", (16, 32)),
            "16 and 16 are one choice to Optuna: it takes 16",
        ),
        ("{values: [1, true]}", Fixed("it", 1), "1 and true are one choice to Optuna: it takes 1"),
        ('{values: ["yes", maybe]}', Categorical("it", ("yes", "maybe")), ""),
    ],
)
def test_what_has_no_equivalent_is_replaced_and_named(entry, expected, noted):
    """The nearest thing stands in, and the note names the loss."""
    parameter, notes = one(entry)
    assert parameter == expected
    assert noted in notes


def test_lists_as_choices_are_left_out():
    """A choice that is a list itself cannot be one of ours: the parameter goes, with a note."""
    result = imported(wandb, "parameters: {kernel: {values: [[3, 3], [5, 5]]}, pad: {value: {x: 1}}, lr: {value: 0.1}}")
    assert result.space.names == ("lr",)
    assert "kernel is left out" in notes_of(result)
    assert "pad is left out" in notes_of(result)


def test_nested_parameters_get_dotted_names():
    """Nested parameters are one parameter each, named by their way."""
    text = "parameters: {optimizer: {parameters: {lr: {value: 0.1}, ema: {parameters: {decay: {min: 0.1, max: 0.9}}}}}}"
    assert imported(wandb, text).space.names == ("optimizer.lr", "optimizer.ema.decay")


def test_the_metric_is_a_hint_for_the_study_file():
    """Metric, goal and target are noted as a study file writes them, and what belongs to the search is named."""
    text = "method: bayes\nmetric: {name: val_loss, goal: minimize, target: 0.1}\nparameters: {a: {min: 1, max: 2}}"
    notes = notes_of(imported(wandb, text))
    assert "`objective: {metric: val_loss, direction: minimize}` and `budget: {target: 0.1}`" in notes
    assert "method: is no part of a space" in notes


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{}", "expected value, values, min and max, or a distribution"),
        ("{distribution: log_unifrom, min: 1, max: 2}", 'did you mean "log_uniform"'),
        ("{distribution: uniform, min: 1}", "parameters.it.max: expected a number, got nothing (null)"),
        ("{distribution: int_uniform, min: 1, max: 2.5}", "expected a whole number, got 2.5"),
        ("{distribution: log_uniform, min: 1, max: 1000}", "too large a number"),
        ("{distribution: q_uniform, min: 1, max: 2, q: 0}", "expected a q above 0"),
        ("{distribution: q_uniform, min: 1, max: 2, q: 5}", "no multiple of 5 from 1 to 2"),
        ("{min: 2, max: 1}", "low < high must hold"),
        ("{values: []}", "expected a list of at least one item, got an empty list"),
        ("3", "expected a mapping such as {min: 0.001, max: 0.1}, got 3"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(entry, message):
    """An entry that cannot be understood is an error with line and path."""
    found = refusal(wandb, f"parameters:\n  it: {entry}\n", "sweep.yaml")
    assert found.startswith("sweep.yaml:2:")
    assert message in found


def test_what_a_sweep_cannot_say_is_named():
    """Defaults, conditions and constraints are named; steps that are no multiples become a list."""
    space = parse_space_dict(
        {
            "units": {"type": "int", "low": 16, "high": 256, "log": True, "step": 2, "default": 32},
            "odd": {"type": "int", "low": 1, "high": 9, "step": 2},
            "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"units": 16}},
            "constraints": ["units > odd"],
        }
    )
    result = wandb.write(space)
    written = parse_document(result.text, "sweep.yaml").data["parameters"]
    assert written["units"] == {"values": [16, 32, 64, 128, 256]}
    assert written["odd"] == {"values": [1, 3, 5, 7, 9]}
    for lost in (
        "no defaults; left out those of: units",
        "drawn in every trial: momentum",
        "nothing there keeps: units > odd",
    ):
        assert lost in notes_of(result)
    assert "a list of their values stands in for: units, odd" in notes_of(result)


def test_too_many_steps_for_a_list_are_left_out():
    """A step that no list can stand in for goes, with a note."""
    result = wandb.write(parse_space_dict({"n": {"type": "int", "low": 1, "high": 100_000, "step": 2}}))
    assert parse_document(result.text, "sweep.yaml").data["parameters"]["n"]["distribution"] == "int_uniform"
    assert "all values in range are drawn for: n" in notes_of(result)
