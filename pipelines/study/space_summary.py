"""Summary of the hyperparameters that a study's trials have: those of its space, and those that its code requests."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.study.combinations import count_combinations
from pipelines.study.study import Study
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.parameters import Categorical, Fixed, Parameter, describe_range
from search_spaces.values import format_value


def summarize_space(study: Study, requests: Sequence[HyperparameterRequest]) -> tuple[str, ...]:
    """Return the summary in lines: the names of a family's space, or each hyperparameter that a user model requests."""
    if not study.has_user_model:
        names = ", ".join(study.space.parameters)
        return (*([names] if names else []), *count_combinations(study, ()).describe(study))
    requested = dict.fromkeys(request.name for request in requests)
    declared = {name: each for name, each in study.space.parameters.items() if name not in requested}
    rows = {
        **{name: f"{_describe_parameter(parameter)} (space)" for name, parameter in declared.items()},
        **{name: _describe_requested(name, study, requests) for name in requested},
    }
    width = max(map(len, rows), default=0)
    return (
        *(f"{name:<{width}}  {text}" for name, text in rows.items()),
        *count_combinations(study, requests).describe(study),
    )


def _describe_requested(name: str, study: Study, requests: Sequence[HyperparameterRequest]) -> str:
    """Return the values of a hyperparameter that the code requests, and of the code's own where others replace them."""
    alike = [request for request in requests if request.name == name]
    in_code = " or ".join(dict.fromkeys(request.describe() for request in alike))
    if name in study.space.parameters:
        return f"{_describe_parameter(study.space.parameters[name])} (space; in the code {in_code})"
    if study.searches_undeclared:
        return in_code
    defaults = " or ".join(dict.fromkeys(format_value(request.default) for request in alike))
    return f"{defaults} (fixed by search.undeclared; in the code {in_code})"


def _describe_parameter(parameter: Parameter) -> str:
    if isinstance(parameter, (Categorical, Fixed)):
        return ", ".join(map(format_value, parameter.bounds))
    return f"{describe_range(parameter)}{', log' if parameter.log else ''}"
