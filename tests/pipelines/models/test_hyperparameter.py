"""Hyperparameters: the values that they refuse, and the messages."""

import pytest

from pipelines.models.hyperparameter import Hyperparameter

RATE = Hyperparameter("dropout", "float", 0.0, "", low=0.0, high=0.5, least=0.0, most=0.99)
UNITS = Hyperparameter("units", "int", 64, "", low=16, high=256, least=1)
FLAG = Hyperparameter("use_bias", "categorical", True, "", choices=(True, False))
NAME = Hyperparameter("activation", "categorical", "relu", "", choices=("relu", "tanh"))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [(RATE, 0), (RATE, 0.99), (UNITS, 1), (UNITS, 10**6), (FLAG, False), (NAME, "tanh")],
)
def test_usable_values_are_not_refused(parameter, value):
    """A value within the limits is usable, also outside the range offered to KerasTuner."""
    assert parameter.find_problem(value) is None


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (RATE, 1.5, "dropout expects a number from 0 to 0.99, got 1.5"),
        (RATE, "0.1", "dropout expects a number, got '0.1'"),
        (RATE, True, "dropout expects a number, got True"),
        (RATE, float("nan"), "dropout expects a number from 0 to 0.99, got nan"),
        (UNITS, 0, "units expects a whole number of at least 1, got 0"),
        (UNITS, 32.0, "units expects a whole number, got 32.0"),
        (FLAG, 1, "use_bias expects true or false, got 1"),
        (NAME, "thanh", "activation cannot be 'thanh'; did you mean \"tanh\"? The choices are: relu, tanh"),
    ],
)
def test_unusable_values_are_refused_in_words(parameter, value, message):
    """A refusal names the parameter, what it expects and what it got, with the nearest right word."""
    assert parameter.find_problem(value) == message
