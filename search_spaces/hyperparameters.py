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
from search_spaces.values import Value, describe, is_same

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

    Raises:
        InputError: if the value is of another type.
    """
    request = make_request(hyperparameter)
    expected = {"int": int, "float": float, "boolean": bool}.get(request.kind)
    converted = request.convert(value)
    # `type` and no `isinstance`, to which true is a whole number too.
    if expected is None or type(converted) is expected:
        return converted
    wanted = {"int": "a whole number", "float": "a number", "boolean": "true or false"}[request.kind]
    message = f"the model requests {wanted} ({request.describe()}), the space gives {describe(value)}"
    raise InputError(Problem(message, f"space.{request.name}"))
