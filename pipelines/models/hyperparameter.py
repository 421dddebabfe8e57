"""A hyperparameter of a model family: type, range, default and limits.

The range (`low`, `high`, `log`, `step`) is for KerasTuner's tuners; a study's space declares another one. The limits
(`least`, `most`) hold for every value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import suggest_choice
from search_spaces.values import Value

Kind = Literal["float", "int", "categorical"]


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter that a family requests.

    Attributes:
        default: value if the space does not declare the parameter.
        choices: values of a categorical; (True, False) for a boolean.
        per_layer: whether a space may declare it layer by layer, as `units_1`, `units_2`, ...
        least: smallest usable value, inclusive.
        most: largest usable value, inclusive.
        forms: forms of features that it is for, as `Features` names them; empty where it is for all.
    """

    name: str
    kind: Kind
    default: Value
    doc: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] = ()
    per_layer: bool = False
    least: float = -math.inf
    most: float = math.inf
    forms: tuple[str, ...] = ()

    def find_problem(self, value: object) -> str | None:
        """Return the reason why `value` cannot be used for this parameter; None if it can."""
        if self.kind == "categorical":
            return self._find_choice_problem(value)
        wanted = "a whole number" if self.kind == "int" else "a number"
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else (int, float)):
            return f"{self.name} expects {wanted}, got {value!r}"
        if not self.least <= value <= self.most:
            return f"{self.name} expects {wanted} {self._describe_limits()}, got {value!r}"
        return None

    def _find_choice_problem(self, value: object) -> str | None:
        # 1 == True in Python, but `batch_normalization: 1` is not a yes.
        if any(value == choice and type(value) is type(choice) for choice in self.choices):
            return None
        if self.choices == (True, False):
            return f"{self.name} expects true or false, got {value!r}"
        return f"{self.name} cannot be {value!r}; {suggest_choice(str(value), map(str, self.choices))}"

    def _describe_limits(self) -> str:
        if self.most == math.inf:
            return f"of at least {self.least:g}"
        return f"from {self.least:g} to {self.most:g}"
