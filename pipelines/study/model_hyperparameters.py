"""Facts of a study's check in its folder: notes, and the hyperparameters that a user model requests."""

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
from search_spaces.suggest import find_most
from search_spaces.values import is_number

_FILE = "hyperparameter_requests.json"
_NOTES_FILE = "model_notes.json"


def write_requests(folder: Path, requests: Sequence[HyperparameterRequest]) -> None:
    """Write the requests to a study's folder."""
    write_text(folder / _FILE, json.dumps([asdict(each) for each in requests], indent=2) + "\n")


def read_requests(folder: Path) -> tuple[HyperparameterRequest, ...]:
    """Return the requests in a study's folder; none for a shipped family."""
    file = folder / _FILE
    if not file.exists():
        return ()
    read = json.loads(file.read_text(encoding="utf-8"))
    # JSON turned the tuple into a list, which has no hash.
    return tuple(HyperparameterRequest(**{**each, "choices": tuple(each["choices"])}) for each in read)


def write_notes(folder: Path, notes: Sequence[str]) -> None:
    """Write the notes of a study's check to its folder."""
    write_text(folder / _NOTES_FILE, json.dumps(list(notes), indent=2) + "\n")


def read_notes(folder: Path) -> tuple[str, ...]:
    """Return the notes of a study's check from its folder."""
    file = folder / _NOTES_FILE
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else ()


def find_undeclared(
    requests: Sequence[HyperparameterRequest], declared: Iterable[str]
) -> tuple[HyperparameterRequest, ...]:
    """Return the requests whose values are drawn and that no name of the space declares."""
    names = set(declared)
    return tuple(each for each in requests if each.is_drawn and each.name not in names)


def select_initial_values(study: Study, requests: Sequence[HyperparameterRequest]) -> Space:
    """Return the part of a study's space whose values a trial starts with.

    A shipped family starts with all of it. A user model starts with the values that its code does not request itself:
    arguments of `fit`, and parameters in conditions and constraints of the space. All others are drawn when the code
    requests them, so that a parameter under a condition of the code exists only in the trials that fulfil it.
    """
    space = study.space
    if not study.has_user_model:
        return space
    linked = {condition.parent for each in space.declared for condition in each.when}
    named = {name for constraint in space.constraints for name in constraint.names}
    fit_arguments = set(FIT_ARGUMENTS) - {each.name for each in requests}
    kept = tuple(each for each in space.declared if each.when or each.name in linked | named | fit_arguments)
    return Space(kept, space.constraints)


def compute_most_epochs(study: Study, requests: Sequence[HyperparameterRequest] = ()) -> int:
    """Return the most epochs that a trial of a study can train."""
    epochs, parameter = find_most(study.space, "epochs"), study.space.parameters.get("epochs")
    if (parameter is None or parameter.when) and not study.has_user_model:
        known = catalogue.find_family(study.spec.model).find("epochs")
        # Where a condition does not hold, a trial has the family's default.
        epochs = max(filter(is_number, (epochs, known.default if known else 0)))
    if epochs is None:
        of_epochs = [each for each in requests if each.name == "epochs"]
        ends = [
            value
            for each in of_epochs
            for value in (each.list_ends() if study.searches_undeclared else (each.default,))
        ]
        epochs = max((value for value in ends if isinstance(value, int)), default=DEFAULT_EPOCHS)
    return int(epochs or 0)


def describe_user_model(study: Study, requests: Sequence[HyperparameterRequest]) -> UserModel | None:
    """Return the facts of a user model that its trials need; None for a shipped family."""
    if not study.has_user_model:
        return None
    return UserModel(
        base=str(study.base),
        declared=frozenset(study.space.parameters),
        requested=frozenset(each.name for each in requests),
        searches=study.searches_undeclared,
        deferred=frozenset(study.space.parameters) - frozenset(select_initial_values(study, requests).parameters),
        bounds={name: parameter.bounds for name, parameter in study.space.parameters.items()},
    )
