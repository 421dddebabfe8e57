"""Requests of a hypermodel for undeclared hyperparameters, as plain values; `request_draws` draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from search_spaces.values import Value, format_value, is_number, is_same

Kind = Literal["int", "float", "choice", "boolean", "fixed"]
Sampling = Literal["linear", "log", "reverse_log"]


@dataclass(frozen=True)
class HyperparameterRequest:
    """One call of `hp.Int`, `hp.Float`, ... in a hypermodel.

    Attributes:
        default: value if the hyperparameter is not searched.
        low: smallest value of a number; `high` is the largest, included where a step reaches it.
        step: distance between values; with `log` and `reverse_log` the factor between them.
        choices: the values of a choice or of a fixed parameter.
    """

    name: str
    kind: Kind
    default: Value
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    sampling: Sampling = "linear"
    choices: tuple[Value, ...] = ()

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything to search."""
        return self.kind != "fixed"

    def list_ends(self) -> tuple[Value, ...]:
        """Return the extreme values: both ends of a range, or every choice; a model must accept all of them."""
        if self.kind in ("int", "float"):
            return (self.convert_number(self.low), self.convert_number(self.high))
        return (False, True) if self.kind == "boolean" else self.choices

    def describe(self) -> str:
        """Return the declaration in the code, in words."""
        kind = self.kind.capitalize()
        if self.kind in ("int", "float"):
            low, high = self.convert_number(self.low), self.convert_number(self.high)
            every = self.step is None or (self.kind, self.step, self.sampling) == ("int", 1, "linear")
            step = "" if every else f" in steps of {'x ' if self.sampling != 'linear' else ''}{self.step:g}"
            return f"{kind} from {low} to {high}{step}{'' if self.sampling == 'linear' else f', {self.sampling}'}"
        if self.kind == "choice":
            return f"{kind} of {', '.join(map(format_value, self.choices))}"
        return f"{kind} at {format_value(self.default)}" if self.kind == "fixed" else kind

    def convert_number(self, value: float) -> float | int:
        """Return a number of the range in the type that the model gets."""
        return int(value) if self.kind == "int" else float(value)

    def convert(self, value: Value) -> Value:
        """Return a value of the space in the type that the code gets; as it is where it has another type.

        A range in the space replaces the one in the code, so a value outside of the latter is valid.
        """
        if self.kind == "int" and is_number(value) and float(value).is_integer():
            return int(value)
        if self.kind == "float" and is_number(value):
            return float(value)
        if self.kind in ("choice", "fixed"):
            # KerasTuner stores true and false of a Choice as 1 and 0.
            whole = int(value) if isinstance(value, bool) else value
            return next((each for each in self.choices if is_same(each, value) or is_same(each, whole)), value)
        return value


def make_request(hyperparameter: Any) -> HyperparameterRequest:
    """Return a KerasTuner hyperparameter, or one of a subclass, as plain values."""
    # By the classes' names: an import of KerasTuner imports Keras, which takes seconds.
    kinds = {"Int": "int", "Float": "float", "Choice": "choice", "Boolean": "boolean", "Fixed": "fixed"}
    kind: Any = next(kinds[cls.__name__] for cls in type(hyperparameter).__mro__ if cls.__name__ in kinds)
    name, default = hyperparameter.name, hyperparameter.default
    if kind not in ("int", "float"):
        return HyperparameterRequest(name, kind, default, choices=tuple(hyperparameter.values))
    return HyperparameterRequest(
        name=name,
        kind=kind,
        default=default,
        low=hyperparameter.min_value,
        high=hyperparameter.max_value,
        step=hyperparameter.step,
        sampling=hyperparameter.sampling,
    )
