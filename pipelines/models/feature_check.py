"""Comparison of a study's features with the forms that a family reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelines.data.prepared import Features
from pipelines.models.catalogue import FAMILIES
from pipelines.models.catalogue.family import Family, Form
from search_spaces.errors import InputError, Problem

_WORDS: Mapping[Form, str] = {
    "dense": "columns of numbers or categories",
    "codes": "columns of categories",
    "image": "images",
    "series": "series",
    "text": "columns of text",
}


def check_features(family: Family, features: Features) -> None:
    """Compare the forms of the data with those that the family takes and needs.

    Raises:
        InputError: if there are no features, or it cannot take them; names the families that can.
    """
    forms = list_forms(features)
    if not forms:
        raise InputError(Problem("the data has no features left to learn from", "data"))
    fitting = [other.name for other in FAMILIES.values() if _can_take(other, forms)]
    if family.needs and family.needs not in forms:
        raise InputError(Problem(f"the data holds no {_WORDS[family.needs]}; use {_join_names(fitting)}", "model"))
    if beyond := [_WORDS[form] for form in forms if form not in family.takes]:
        message = f'"{family.name}" does not read the {" and ".join(beyond)} of this data; use {_join_names(fitting)}'
        raise InputError(Problem(message, "model"))


def note_idle_parameters(family: Family, declared: Iterable[str], features: Features) -> tuple[str, ...]:
    """Return a note on the searched hyperparameters that are for forms of features that the data does not have.

    Args:
        family: the family.
        declared: names that the space declares.
        features: the data's features.
    """
    forms, idle = (*list_forms(features), *(("past",) if features.past else ())), []
    for name in declared:
        parameter = family.find(name)
        if parameter is not None and parameter.forms and not set(parameter.forms) & set(forms):
            idle.append(name)
    if not idle:
        return ()
    names = ", ".join(idle)
    reason = f"{names}: the data has nothing that they act on, and trials differ by them in vain"
    return (f"{reason}; leave them out: space: {{extends: {family.default_space}, drop: [{names}]}}",)


def list_forms(features: Features) -> tuple[Form, ...]:
    """Return the forms that the features have."""
    return tuple(form for form in _WORDS if getattr(features, form))


def _can_take(family: Family, forms: tuple[Form, ...]) -> bool:
    return set(forms) <= set(family.takes) and (family.needs is None or family.needs in forms)


def _join_names(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
