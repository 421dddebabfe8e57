"""One hyperparameter that a model family asks for: its type, range, default, and what it refuses.

The range (`low`, `high`, `log`, `step`) is what the family offers to KerasTuner's own tuners; a study's space
declares its own. The limits (`least`, `most`) hold for every value, whoever declares it.
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
    """A question that a family asks.

    Attributes:
        default: the value where a space does not name the parameter.
        choices: for a categorical: the closed set of values; (True, False) for a yes or no.
        per_layer: whether a space may declare it for each layer by itself, as `units_1`, `units_2`, ...
        least: smallest usable value, inclusive.
        most: largest usable value, inclusive.
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

    def find_problem(self, value: object) -> str | None:
        """Return what is wrong with `value` for this parameter, in words, or None if it can be used."""
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
