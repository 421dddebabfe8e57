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
    declared = study.space.parameters
    code: dict[str, list[str]] = {}
    for request in requests:
        code.setdefault(request.name, []).append(request.describe())
    rows = {name: f"{_describe_parameter(each)} (space)" for name, each in declared.items() if name not in code}
    for name, described in code.items():
        in_code = " or ".join(dict.fromkeys(described))
        rows[name] = (
            f"{_describe_parameter(declared[name])} (space; in the code {in_code})"
            if name in declared
            else in_code
            if study.searches_undeclared
            else f"{_find_defaults(name, requests)} (fixed by search.undeclared; in the code {in_code})"
        )
    width = max(map(len, rows), default=0)
    return (
        *(f"{name:<{width}}  {text}" for name, text in rows.items()),
        *count_combinations(study, requests).describe(study),
    )


def _describe_parameter(parameter: Parameter) -> str:
    if isinstance(parameter, (Categorical, Fixed)):
        return ", ".join(map(format_value, parameter.bounds))
    return f"{describe_range(parameter)}{', log' if parameter.log else ''}"


def _find_defaults(name: str, requests: Sequence[HyperparameterRequest]) -> str:
    return " or ".join(dict.fromkeys(format_value(each.default) for each in requests if each.name == name))
