"""What a hypermodel asks that a space does not declare, as plain values, and how Optuna answers it.

KerasTuner has ways to sample that Optuna lacks. A logarithmic range with steps is the index of a step, under
`<name>#idx`, and so is one with steps of many digits, such as a third. A `reverse_log` range is drawn on the
logarithmic scale and mirrored, under `<name>#mirrored`. And a hypermodel may ask for one name with different choices
under different conditions, which one Optuna study refuses: from the second list of choices on, the name carries a
number, as in `child#2`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from search_spaces.conditions import Value
from search_spaces.suggest import can_draw_steps

Kind = Literal["int", "float", "choice", "boolean", "fixed"]
Sampling = Literal["linear", "log", "reverse_log"]


@dataclass(frozen=True)
class Question:
    """One hyperparameter as a hypermodel asks for it.

    Attributes:
        default: what the hypermodel takes where nobody answers.
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

    def ends(self) -> tuple[Value, ...]:
        """Return the values that decide whether a model can take all of them: both ends, or every choice."""
        if self.kind in ("int", "float"):
            return (self._number(self.low), self._number(self.high))
        return (False, True) if self.kind == "boolean" else self.choices

    def _number(self, value: float) -> float | int:
        return int(value) if self.kind == "int" else float(value)


Known = MutableMapping[str, BaseDistribution]
"""The distributions that an Optuna study has by name; kept up to date by `answer` and `defaults_for_optuna`."""


def question_of(hyperparameter: Any) -> Question:
    """Return a KerasTuner hyperparameter, or one of a subclass, as plain values."""
    kinds = {"Int": "int", "Float": "float", "Choice": "choice", "Boolean": "boolean", "Fixed": "fixed"}
    kind: Any = next(kinds[cls.__name__] for cls in type(hyperparameter).__mro__ if cls.__name__ in kinds)
    name, default = hyperparameter.name, hyperparameter.default
    if kind not in ("int", "float"):
        return Question(name, kind, default, choices=tuple(hyperparameter.values))
    return Question(
        name=name,
        kind=kind,
        default=default,
        low=hyperparameter.min_value,
        high=hyperparameter.max_value,
        step=hyperparameter.step,
        sampling=hyperparameter.sampling,
    )


def answer(question: Question, trial: optuna.trial.BaseTrial, known: Known) -> Value:
    """Return a trial's value for a question; the same one when asked again in the same trial."""
    if not question.is_drawn:
        return question.default
    name, distribution = _claimed(question, known)
    return _for_model(question, _drawn(trial, name, distribution))


def defaults_for_optuna(questions: Iterable[Question], known: Known) -> dict[str, Any]:
    """Return the questions' defaults as `optuna.Study.enqueue_trial` takes them, but those that Optuna cannot have.

    These are defaults outside of their own range, and those of a name that has other ranges and defaults as well.
    """
    defaults: dict[str, Any] = {}
    torn: set[str] = set()
    for question in questions:
        if not question.is_drawn:
            continue
        name, distribution = _claimed(question, known)
        drawn = _for_optuna(question, question.default)
        is_value = drawn is not None and distribution._contains(distribution.to_internal_repr(drawn))
        if not is_value or defaults.setdefault(name, drawn) != drawn:
            torn.add(name)
    return {name: drawn for name, drawn in defaults.items() if name not in torn}


def _claimed(question: Question, known: Known) -> tuple[str, BaseDistribution]:
    """Return a name that is free in Optuna for this distribution, or is its own already, and the distribution."""
    distribution = _distribution(question)
    base = question.name + _suffix(question)
    name, number = base, 1
    while name in known and not _fits(known[name], distribution):
        number += 1
        name = f"{base}#{number}"
    known.setdefault(name, distribution)
    return name, distribution


def _fits(one: BaseDistribution, other: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(one, other)
    except ValueError:
        return False
    return True


def _suffix(question: Question) -> str:
    if _is_indexed(question):
        return "#idx"
    return "#mirrored" if question.sampling == "reverse_log" else ""


def _is_indexed(question: Question) -> bool:
    """Say whether the number of a step is drawn: steps are factors, or Optuna would not find the last where it is."""
    if question.step is None or question.sampling != "linear":
        return question.step is not None
    return question.kind == "float" and not can_draw_steps(question.low, _at(question, _steps(question)), question.step)


def _distribution(question: Question) -> BaseDistribution:
    if question.kind == "boolean":
        return CategoricalDistribution((False, True))
    if question.kind == "choice":
        return CategoricalDistribution(tuple(dict.fromkeys(question.choices)))
    if _is_indexed(question):
        return IntDistribution(0, _steps(question))
    log = question.sampling != "linear"
    if question.kind == "int":
        step = int(question.step or 1)
        low = int(question.low)
        return IntDistribution(low, low + (int(question.high) - low) // step * step, log=log, step=step)
    if question.step is None:
        return FloatDistribution(question.low, question.high, log=log)
    return FloatDistribution(question.low, _at(question, _steps(question)), step=question.step)


def _steps(question: Question) -> int:
    step = question.step or 1.0
    if question.sampling == "linear":
        return int((Decimal(str(question.high)) - Decimal(str(question.low))) // Decimal(str(step)))
    return int(math.log(question.high / question.low, step) + 1e-8)


def _at(question: Question, steps: int) -> float:
    """Return the value after some steps of a linear range, without the noise in its last digits."""
    return float(Decimal(str(question.low)) + steps * Decimal(str(question.step)))


def _drawn(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step, log = distribution.low, distribution.high, distribution.step, distribution.log
        return trial.suggest_int(name, low, high, step=step, log=log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    raise TypeError(distribution)


def _for_model(question: Question, drawn: Any) -> Value:
    """Return Optuna's value as the model gets it."""
    if question.kind in ("choice", "boolean"):
        return drawn  # type: ignore[no-any-return]
    value = drawn
    if question.step is not None and question.sampling != "linear":  # 1e-6 * 10**2 is 9.999999999999999e-05
        value = float(Decimal(str(question.low)) * Decimal(str(question.step)) ** drawn)
    elif question.step is not None:  # Optuna gives 0.8999999999999999 for the third step of 0.3
        steps = drawn if _is_indexed(question) else round((drawn - question.low) / question.step)
        value = _at(question, steps)
    if question.sampling == "reverse_log":
        value = question.low + question.high - value
    return question._number(min(max(value, question.low), question.high))


def _for_optuna(question: Question, value: Value) -> Any:
    """Return a value of the model as Optuna has it; None for one that is no value of the question."""
    if question.kind in ("choice", "boolean"):
        return value if value in question.ends() else None
    if not isinstance(value, int | float) or not question.low <= value <= question.high:
        return None
    mirrored = question.low + question.high - value if question.sampling == "reverse_log" else value
    if question.step is not None and question.sampling != "linear":
        return round(math.log(mirrored / question.low, question.step))
    if question.step is not None and _is_indexed(question):
        return round((mirrored - question.low) / question.step)
    return question._number(mirrored)
