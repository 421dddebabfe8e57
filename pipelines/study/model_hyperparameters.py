"""What a study's own model was seen to ask for when the study was checked, kept in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from pipelines.models import catalogue
from pipelines.study.study import Study
from pipelines.training.messages import UserModel
from pipelines.training.schedule import DEFAULT_EPOCHS, FIT_ARGUMENTS
from pipelines.workspace.atomic_files import write_text
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.space import Space
from search_spaces.suggest import find_largest

_FILE = "asked.json"


def write_asked(folder: Path, asked: Sequence[HyperparameterRequest]) -> None:
    """Keep the questions in a study's folder."""
    write_text(folder / _FILE, json.dumps([asdict(each) for each in asked], indent=2) + "\n")


def read_asked(folder: Path) -> tuple[HyperparameterRequest, ...]:
    """Return the questions kept in a study's folder; none for a shipped family."""
    file = folder / _FILE
    if not file.exists():
        return ()
    read = json.loads(file.read_text(encoding="utf-8"))
    return tuple(HyperparameterRequest(**{**each, "choices": tuple(each["choices"])}) for each in read)


def undeclared(asked: Sequence[HyperparameterRequest], declared: Iterable[str]) -> tuple[HyperparameterRequest, ...]:
    """Return what is searched as the code declares it."""
    names = set(declared)
    return tuple(each for each in asked if each.is_drawn and each.name not in names)


def given_up_front(study: Study, asked: Sequence[HyperparameterRequest]) -> Space:
    """Return the part of a study's space whose values a trial is started with.

    Of a model of the study's own that is what must be known before its code asks: what `fit` is told, and what
    conditions and constraints of the space speak of. The rest is given when the code asks for it, and only then: a
    parameter that the code asks for under a condition exists in the trials that fulfil it.
    """
    space = study.space
    if not study.has_user_model:
        return space
    linked = {condition.parent for each in space.declared for condition in each.when}
    named = {name for constraint in space.constraints for name in constraint.names}
    told = set(FIT_ARGUMENTS) - {each.name for each in asked}
    kept = tuple(each for each in space.declared if each.when or each.name in linked | named | told)
    return Space(kept, space.constraints)


def most_epochs(study: Study, asked: Sequence[HyperparameterRequest] = ()) -> int:
    """Return the most epochs that a trial of a study can train."""
    epochs = find_largest(study.space).get("epochs")
    if epochs is None and not study.has_user_model:
        known = catalogue.find_family(study.spec.model).find("epochs")
        epochs = known.default if known else 0
    if epochs is None:
        requests = [each for each in asked if each.name == "epochs"]
        ends = [value for each in requests for value in (each.list_ends() if study.searches_undeclared else (each.default,))]
        epochs = max((value for value in ends if isinstance(value, int)), default=DEFAULT_EPOCHS)
    return int(epochs or 0)


def describe_user_model(study: Study, asked: Sequence[HyperparameterRequest]) -> UserModel | None:
    """Return what a trial must know of a model of the study's own; None for a shipped family."""
    if not study.has_user_model:
        return None
    return UserModel(
        base=str(study.base),
        declared=frozenset(study.space.parameters),
        requested=frozenset(each.name for each in asked),
        searches=study.searches_undeclared,
        deferred=frozenset(study.space.parameters) - frozenset(given_up_front(study, asked).parameters),
        bounds={name: parameter.bounds for name, parameter in study.space.parameters.items()},
    )
