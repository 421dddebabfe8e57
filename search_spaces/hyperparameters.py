"""`keras_tuner.HyperParameters` with the values of a trial, so that a hypermodel runs unchanged.

Only workers import this module: KerasTuner imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import keras_tuner

from search_spaces.errors import InputError, Problem
from search_spaces.hypermodel_request import make_request
from search_spaces.values import Value, describe, is_number, is_same

Draw = Callable[[Any], Value]


@keras.saving.register_keras_serializable(package="kerastudy")
class TrialHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]  # keras_tuner has no types
    """Hyperparameters of one trial: given values where there are some, and the hypermodel's defaults elsewhere.

    `_register` is overridden because it is the one place where KerasTuner turns a request into a value. The given
    values are stored apart from `values`, which after a build holds the active hyperparameters that were requested.

    Attributes:
        given: the trial's values by name.
        requested: per requested name the declaration in the code, such as `Int from 1 to 4`.
    """

    def __init__(self, values: Mapping[str, Value] | None = None, draw: Draw | None = None) -> None:
        """Make the hyperparameters of a trial.

        Args:
            values: values by full name, name scopes included (`encoder/units`); none as in KerasTuner's own class.
            draw: function for the value of a hyperparameter that `values` leaves out; its default where None.
        """
        super().__init__()
        self.given = dict(values or {})
        self.requested: dict[str, str] = {}
        self._draw = draw

    def copy(self) -> TrialHyperParameters:
        """Return an independent object with the same requests, values and given values.

        A hyperparameter that only a copy requests has its default: KerasTuner's `tunable=False` relies on that.
        """
        # KerasTuner's `copy` makes a plain `HyperParameters`, which would forget the given values.
        other = TrialHyperParameters(self.given)
        known = keras_tuner.HyperParameters.from_config(self.get_config())
        other._hps, other._space, other.values = known._hps, known._space, known.values
        other.requested = dict(self.requested)
        return other

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        self.requested.setdefault(name, make_request(hyperparameter).describe())
        if self.is_active(hyperparameter):
            # A value that was set since goes before the given one.
            if name in self.given and is_same(self.values.get(name, self.given[name]), self.given[name]):
                self.values[name] = convert_value(hyperparameter, self.given[name])
            elif name not in self.values and self._draw is not None:
                self.values[name] = self._draw(hyperparameter)
        # A given value holds against a default that `merge` or a tuner would write over it.
        return super()._register(hyperparameter, overwrite=overwrite and name not in self.given)


def make_hyperparameters(values: Mapping[str, Value]) -> TrialHyperParameters:
    """Return hyperparameters that hold a trial's values from the start, to build its model with.

    A hypermodel that is built with them gets each value in the type that it requests.
    """
    hp = TrialHyperParameters(values)
    hp.values = dict(values)
    return hp


def convert_value(hyperparameter: Any, value: Value) -> Value:
    """Return the value in the type that the code expects.

    A range in the space replaces the one in the code, so a value outside of the latter is valid; another type is not.

    Raises:
        InputError: if the value is of another type.
    """
    kind = _find_kind(hyperparameter)
    if kind == "Int" and is_number(value) and float(value).is_integer():
        return int(value)
    if kind == "Float" and is_number(value):
        return float(value)
    if kind == "Boolean" and isinstance(value, bool):
        return value
    if kind in ("Choice", "Fixed"):
        # KerasTuner stores true and false of a Choice as 1 and 0.
        alike = (
            choice for choice in hyperparameter.values if is_same(choice, value) or is_same(choice, _make_int(value))
        )
        return next(alike, value)
    expected = {"Int": "a whole number", "Float": "a number", "Boolean": "true or false"}[kind]
    message = (
        f"the model requests {expected} ({make_request(hyperparameter).describe()}), the space gives {describe(value)}"
    )
    raise InputError(Problem(message, f"space.{hyperparameter.name}"))


def _make_int(value: Value) -> Value:
    return int(value) if isinstance(value, bool) else value


def _find_kind(hyperparameter: Any) -> str:
    """Return the kind, one of KerasTuner's five, also for a subclass of one."""
    kinds = ("Int", "Float", "Boolean", "Choice", "Fixed")
    return next(name for cls in type(hyperparameter).__mro__ if (name := cls.__name__) in kinds)
