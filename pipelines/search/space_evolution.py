"""A study whose space has changed: which earlier trials still fit, and the Optuna study that goes on with them.

Optuna lets no categorical change its choices within a study, so a changed space gets an Optuna study of its own, the
next generation. It begins with every earlier trial under its own number: those that fit the new space with their
scores, as knowledge for the sampler; the others as failed, so that nothing is learned from them. A trial fits if the
new space could have drawn it: each parameter had one of its values, and what the space has dropped had the value that
the model now takes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipelines.models import catalogue
from pipelines.search.trial_summaries import REJECTED, RESULT
from pipelines.study.study import Study
from search_spaces.suggest import make_distribution, make_optuna_point
from search_spaces.values import Value, format_value
from tracking.store.database import Store

CHANGES = "kerastudy:changes"
_MARK = "~"


@dataclass(frozen=True)
class Change:
    """One change of a study's space.

    Attributes:
        differences: what changed, a line for each parameter.
        kept: trials before the change that fit the new space; `before` is how many there were.
    """

    differences: tuple[str, ...]
    kept: int
    before: int


def find_current_name(storage: optuna.storages.BaseStorage, study: str) -> str:
    """Return the name in Optuna of a study's latest generation; the study's own name where there is one only."""
    return list_generations(storage, study)[-1]


def list_generations(storage: optuna.storages.BaseStorage, study: str) -> tuple[str, ...]:
    """Return the names in Optuna of a study's generations, first to last: the first has the study's own name.

    A generation counts once its change is noted in it, which is the last thing that is written: one that a kill left
    half made does not.
    """
    made = {
        each.study_name: each
        for each in storage.get_all_studies()
        if each.study_name.startswith(study + _MARK) and CHANGES in each.user_attrs
    }
    return (study, *sorted(made, key=_parse_generation))


def compare_spaces(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what changed from one space, as `Space.to_dict` writes it, to another: a line for each parameter."""
    return tuple(
        f"{name}: {_format_parameter(before.get(name, 'none'))} -> {_format_parameter(after.get(name, 'none'))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def evolve_study(store: Store, study: Study, before: Mapping[str, Any]) -> Change:
    """Make the Optuna study that goes on with a study's new space, and return what changed.

    `study` has the new space; `before` is the old one as `Space.to_dict` wrote it.
    """
    storage = store.open_optuna_storage()
    try:
        old = optuna.load_study(study_name=find_current_name(storage, study.name), storage=storage)
    except KeyError:  # submitted, and not begun yet
        return Change(compare_spaces(before, study.space.to_dict()), 0, 0)
    name = f"{study.name}{_MARK}{_parse_generation(old.study_name) + 1}"
    if name in optuna.study.get_all_study_names(storage):  # left half made by a kill
        optuna.delete_study(study_name=name, storage=storage)
    named = frozenset(before) | study.space.parameters.keys()
    trials = [_carry_over(trial, study, named) for trial in old.get_trials(deepcopy=False)]
    kept = sum(trial.state == TrialState.COMPLETE for trial in trials)
    change = Change(compare_spaces(before, study.space.to_dict()), kept, len(trials))
    made = optuna.create_study(storage=storage, study_name=name, directions=old.directions)
    made.add_trials(trials)
    made.set_user_attr(CHANGES, [*old.user_attrs.get(CHANGES, []), asdict(change)])
    return change


def read_changes(study: optuna.Study) -> tuple[Change, ...]:
    """Return how a study's space changed, first to last."""
    return tuple(
        Change(tuple(each["differences"]), each["kept"], each["before"]) for each in study.user_attrs.get(CHANGES, [])
    )


def _parse_generation(name: str) -> int:
    mark, number = name.rpartition(_MARK)[1:]
    return int(number) if mark and number.isdigit() else 0


def _carry_over(trial: FrozenTrial, study: Study, named: frozenset[str]) -> FrozenTrial:
    """Return the trial as the new space sees it; one that was never run takes up no budget."""
    result = trial.user_attrs.get(RESULT)
    if result is None or not trial.state.is_finished():
        return optuna.trial.create_trial(
            state=TrialState.FAIL, user_attrs={REJECTED: "the space changed before the trial was over"}
        )
    values = _redraw(study, result["params"], named)
    if values is None:
        result = {**result, "fits": False, "reason": "outside the space since it was changed"}
        return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={**trial.user_attrs, RESULT: result})
    if trial.state != TrialState.COMPLETE:
        return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=trial.user_attrs)
    drawn = (make_distribution(study.space.parameters[name]) for name in values)
    return optuna.trial.create_trial(
        values=trial.values,
        params=make_optuna_point(study.space, values),
        distributions=dict(each for each in drawn if each is not None),
        user_attrs=trial.user_attrs,
        intermediate_values=trial.intermediate_values,
    )


def _redraw(study: Study, params: Mapping[str, Value], named: frozenset[str]) -> dict[str, Value] | None:
    """Return what the new space would have drawn to give a trial its values; None where it could not.

    `named` are the names that either space declares: what a model's own code asks for besides is not looked at.
    """
    space = study.space
    drawn: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if space.is_active(parameter, drawn):
            value = params.get(name, _find_default(study, name))
            if not parameter.contains(value):
                return None
            drawn[name] = value
    dropped = (params.keys() & named) - drawn.keys()
    if any(params[name] != _find_default(study, name) for name in dropped) or space.find_violations(drawn):
        return None
    return drawn


def _find_default(study: Study, name: str) -> Value:
    """Return the value that the model takes for what the space does not name; None where that is not known."""
    if study.has_user_model:
        return None
    asked = catalogue.find_family(study.spec.model).find(name)
    return asked.default if asked else None


def _format_parameter(written: Any) -> str:
    """Return a parameter, or the constraints, as a study file has them in one line; nothing where there is none."""
    if isinstance(written, dict):
        return f"{{{', '.join(f'{key}: {_format_parameter(value)}' for key, value in written.items())}}}"
    if isinstance(written, list):
        return f"[{', '.join(map(_format_parameter, written))}]"
    return format_value(written)
