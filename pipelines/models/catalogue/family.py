"""Description of a model family: its hyperparameters, and the form of data that it is meant for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipelines.models.hyperparameter import Hyperparameter

Form = Literal["dense", "codes", "image", "series", "text"]
"""Form of features; the names of `Features`."""


@dataclass(frozen=True)
class Family:
    """A model family: its hyperparameters and the form of data that it is meant for.

    Attributes:
        prefers: form of features that the family is meant for.
        takes: forms that the family reads; data with another one is refused.
        needs: form that the data must have; None where any that it takes is enough.
        default_space: name of the shipped space for a study that declares no space.
    """

    name: str
    parameters: tuple[Hyperparameter, ...]
    prefers: Literal["dense", "image", "pixels", "series", "mixed"]
    takes: tuple[Form, ...]
    default_space: str
    doc: str
    needs: Form | None = None

    def find(self, parameter_name: str) -> Hyperparameter | None:
        """Return the parameter of `units` or, if it may be declared per layer, of `units_3`; None if there is none."""
        by_name = {parameter.name: parameter for parameter in self.parameters}
        if parameter_name in by_name:
            return by_name[parameter_name]
        # Layers are counted from 1, and `units_01` is no layer.
        layered = re.fullmatch(r"(.+)_[1-9]\d*", parameter_name)
        found = by_name.get(layered[1]) if layered else None
        return found if found is not None and found.per_layer else None

    def has_parameter(self, parameter_name: str) -> bool:
        """Return whether the family can request a parameter of this name."""
        return self.find(parameter_name) is not None

    def find_per_layer(self, declared: Iterable[str]) -> frozenset[str]:
        """Return the parameters that a space with the names `declared` declares per layer (see `ModelContext`)."""
        found = {name: self.find(name) for name in declared}
        return frozenset(p.name for name, p in found.items() if p is not None and p.name != name)
