"""Values of a hypermodel's requests in Optuna, and their distributions there.

KerasTuner has samplings that Optuna lacks. A logarithmic range with steps is the index of a step, under
`<name>#idx`, and so is one with steps of many digits, such as a third. A `reverse_log` range is drawn on the
logarithmic scale and mirrored, under `<name>#mirrored`. And a hypermodel may request one name with different choices
under different conditions, which one Optuna study refuses: from the second list of choices on, the name has a number,
as in `child#2`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, MutableMapping
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from search_spaces.distribution_values import list_grid, list_values
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.suggest import MOST_COUNTED, can_draw_steps
from search_spaces.values import Value

Known = MutableMapping[str, BaseDistribution]
"""The distributions that an Optuna study has by name; kept up to date by `suggest_value` and `make_optuna_defaults`."""


def list_request_values(request: HyperparameterRequest, *, grid: bool = False) -> tuple[Value, ...] | None:
    """Return all values of a request, or those of a grid; None where they cannot be counted."""
    if not request.is_drawn:
        return (request.default,)
    list_all = list_grid if grid else list_values
    found = list_all(request.name + _choose_suffix(request), _make_distribution(request))
    if found is None or len(found) > MOST_COUNTED:
        return None
    return tuple(_convert_for_model(request, each) for each in found)


def suggest_value(request: HyperparameterRequest, trial: optuna.trial.BaseTrial, known: Known) -> Value:
    """Return a trial's value for a request; the same value for the same request in one trial."""
    if not request.is_drawn:
        return request.default
    name, distribution = _claim_name(request, known)
    return _convert_for_model(request, _draw(trial, name, distribution))


def make_optuna_defaults(requests: Iterable[HyperparameterRequest], known: Known) -> dict[str, Any]:
    """Return the requests' defaults for `optuna.Study.enqueue_trial`, without those that Optuna cannot represent.

    Left out are a default outside its range, and the defaults of a name that has several ranges or defaults.
    """
    defaults: dict[str, Any] = {}
    torn: set[str] = set()
    for request in requests:
        if not request.is_drawn:
            continue
        name, distribution = _claim_name(request, known)
        drawn = _convert_for_optuna(request, request.default)
        # Optuna would use a value outside of the range after a mere warning; its test of a value is private.
        is_value = drawn is not None and distribution._contains(distribution.to_internal_repr(drawn))
        if not is_value or defaults.setdefault(name, drawn) != drawn:
            torn.add(name)
    return {name: drawn for name, drawn in defaults.items() if name not in torn}


def _claim_name(request: HyperparameterRequest, known: Known) -> tuple[str, BaseDistribution]:
    """Return a name that Optuna has for this distribution or can still give it, and the distribution."""
    distribution = _make_distribution(request)
    base = request.name + _choose_suffix(request)
    name, number = base, 1
    while name in known and not _is_compatible(known[name], distribution):
        number += 1
        name = f"{base}#{number}"
    known.setdefault(name, distribution)
    return name, distribution


def _is_compatible(one: BaseDistribution, other: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(one, other)
    except ValueError:
        return False
    return True


def _choose_suffix(request: HyperparameterRequest) -> str:
    if _is_indexed(request):
        return "#idx"
    return "#mirrored" if request.sampling == "reverse_log" else ""


def _is_indexed(request: HyperparameterRequest) -> bool:
    """Return whether Optuna draws a step's number: steps are factors, or Optuna would miss the last value."""
    if request.step is None or request.sampling != "linear":
        return request.step is not None
    return request.kind == "float" and not can_draw_steps(
        request.low, _compute_step_value(request, _count_steps(request)), request.step
    )


def _make_distribution(request: HyperparameterRequest) -> BaseDistribution:
    if request.kind == "boolean":
        return CategoricalDistribution((False, True))
    if request.kind == "choice":
        return CategoricalDistribution(tuple(dict.fromkeys(request.choices)))
    if _is_indexed(request):
        return IntDistribution(0, _count_steps(request))
    log = request.sampling != "linear"
    if request.kind == "int":
        step = int(request.step or 1)
        low = int(request.low)
        # Optuna cuts a `high` that no step reaches, and warns of it.
        return IntDistribution(low, low + (int(request.high) - low) // step * step, log=log, step=step)
    if request.step is None:
        return FloatDistribution(request.low, request.high, log=log)
    return FloatDistribution(request.low, _compute_step_value(request, _count_steps(request)), step=request.step)


def _count_steps(request: HyperparameterRequest) -> int:
    step = request.step or 1.0
    if request.sampling == "linear":
        return int((Decimal(str(request.high)) - Decimal(str(request.low))) // Decimal(str(step)))
    # log(1000, 10) is 2.9999999999999996; KerasTuner adds the same 1e-8.
    return int(math.log(request.high / request.low, step) + 1e-8)


def _compute_step_value(request: HyperparameterRequest, steps: int) -> float:
    """Return the value after some steps of a linear range, without the noise in its last digits."""
    return float(Decimal(str(request.low)) + steps * Decimal(str(request.step)))


def _draw(trial: optuna.trial.BaseTrial, name: str, distribution: BaseDistribution) -> Any:
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


def _convert_for_model(request: HyperparameterRequest, drawn: Any) -> Value:
    """Return Optuna's value as the model's value."""
    if request.kind in ("choice", "boolean"):
        return drawn  # type: ignore[no-any-return]
    value = drawn
    if request.step is not None and request.sampling != "linear":  # 1e-6 * 10**2 is 9.999999999999999e-05
        value = float(Decimal(str(request.low)) * Decimal(str(request.step)) ** drawn)
    elif request.step is not None:  # Optuna gives 0.8999999999999999 for the third step of 0.3
        steps = drawn if _is_indexed(request) else round((drawn - request.low) / request.step)
        value = _compute_step_value(request, steps)
    if request.sampling == "reverse_log":
        value = request.low + request.high - value
    return request.convert_number(min(max(value, request.low), request.high))


def _convert_for_optuna(request: HyperparameterRequest, value: Value) -> Any:
    """Return a model's value as Optuna's value; None if it is no value of the request."""
    if request.kind in ("choice", "boolean"):
        return value if value in request.list_ends() else None
    if not isinstance(value, int | float) or not request.low <= value <= request.high:
        return None
    mirrored = request.low + request.high - value if request.sampling == "reverse_log" else value
    if request.step is not None and request.sampling != "linear":
        return round(math.log(mirrored / request.low, request.step))
    if request.step is not None and _is_indexed(request):
        return round((mirrored - request.low) / request.step)
    return request.convert_number(mirrored)
