"""Requests of a family to a `keras_tuner.HyperParameters`: its values of the catalogue's parameters.

All calls on `hp` are here. So a family can request only what the catalogue lists, and it works alike in kerastudy
(`hp` holds the trial's values) and in KerasTuner's tuners (`hp` draws from the catalogue's ranges).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import keras_tuner

from pipelines.models.catalogue import Family
from pipelines.models.hyperparameter import Hyperparameter
from search_spaces.errors import InputError, Problem
from search_spaces.values import Value


class HyperparameterRequests:
    """The requests of one build."""

    def __init__(
        self, hp: keras_tuner.HyperParameters, family: Family, per_layer: frozenset[str], prefix: str = ""
    ) -> None:
        self._hp = hp
        self._family = family
        self._parameters = {parameter.name: parameter for parameter in family.parameters}
        self._per_layer = per_layer
        self._prefix = prefix

    def with_prefix(self, prefix: str) -> HyperparameterRequests:
        """Return the same requests for a part of the model: `units` is `text_units` where the family has that."""
        return HyperparameterRequests(self._hp, self._family, self._per_layer, prefix)

    def get_value(self, name: str, default: Value | None = None) -> Any:
        """Return the trial's value of a parameter; `default` overrides the catalogue's.

        Raises:
            InputError: if the value is not usable for the parameter.
        """
        name = self.find_name(name)
        return self._read_value(name, self._parameters[name], default)

    def get_layer_value(self, name: str, layer: int) -> Any:
        """Return the value for one layer, counted from 1: the shared value, unless the space declares one per layer.

        Raises:
            InputError: if the value is not usable for the parameter.
        """
        name = self.find_name(name)
        requested = f"{name}_{layer}" if name in self._per_layer else name
        return self._read_value(requested, self._parameters[name], None)

    def condition_on(self, parent: str, value: Value) -> AbstractContextManager[None]:
        """Declare that requests inside the block exist only if `parent` has `value`; KerasTuner's tuners follow it."""
        scope: AbstractContextManager[None] = self._hp.conditional_scope(self.find_name(parent), [value])
        return scope

    def find_name(self, name: str) -> str:
        """Return a parameter's name in the family: with the prefix where the family has that."""
        prefixed = f"{self._prefix}{name}"
        return prefixed if prefixed in self._parameters else name

    def _read_value(self, requested: str, parameter: Hyperparameter, default: Value | None) -> Any:
        value = _request_value(self._hp, requested, parameter, parameter.default if default is None else default)
        if (problem := parameter.find_problem(value)) is not None:
            raise InputError(Problem(problem, f"space.{requested}"))
        return value


def _request_value(hp: keras_tuner.HyperParameters, name: str, parameter: Hyperparameter, default: Value) -> Any:
    if parameter.kind == "categorical":
        # KerasTuner's `Choice` of Booleans returns 1 and 0.
        if parameter.choices == (True, False):
            return hp.Boolean(name, default=default)
        return hp.Choice(name, list(parameter.choices), default=default)
    request = hp.Int if parameter.kind == "int" else hp.Float
    sampling = "log" if parameter.log else "linear"
    return request(name, parameter.low, parameter.high, step=parameter.step, sampling=sampling, default=default)
