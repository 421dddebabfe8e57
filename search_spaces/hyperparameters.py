"""`keras_tuner.HyperParameters` that answers a hypermodel with a trial's values.

Only workers import this module: KerasTuner imports Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from search_spaces.errors import InputError, Problem
from search_spaces.space import Value


class GivenHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]  # keras_tuner has no types
    """Gives each named value where a hypermodel asks for it, and the hypermodel's own default elsewhere.

    `_register` is the one place where KerasTuner makes a value of a default. After a build, `values` holds all
    that was asked for and is active.
    """

    def __init__(self, given: Mapping[str, Value]) -> None:
        super().__init__()
        self.given = dict(given)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        if self.is_active(hyperparameter) and name in self.given and name not in self.values:
            self.values[name] = _suited(hyperparameter, self.given[name])
        return super()._register(hyperparameter, overwrite)


def _suited(hyperparameter: Any, value: Value) -> Value:
    """Return the value as the hypermodel expects it: a whole number may be given as 32.0, and no text for a number."""
    kind = type(hyperparameter).__name__
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "Int" and number and float(value or 0).is_integer():
        return int(value or 0)
    if kind == "Float" and number:
        return float(value or 0)
    if kind == "Boolean" and isinstance(value, bool):
        return value
    if kind in ("Choice", "Fixed"):
        return value
    expected = {"Int": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(kind, kind)
    raise InputError(
        Problem(f"the model asks for {expected}, the space gives {value!r}", f"space.{hyperparameter.name}")
    )
