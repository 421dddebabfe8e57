"""Changes of a study's space: a new Optuna study that continues with the earlier trials that still fit.

Optuna lets no categorical change its choices within a study, so a changed space gets a new Optuna study, the next
generation. It starts with every earlier trial under its number: those that fit the new space with their scores, as
knowledge for the sampler; the others as failed, so that the sampler learns nothing from them. A trial fits if the new
space could have drawn it: each parameter had one of its values, and each dropped parameter had the default of the
model.

Every trial is taken from the generation that trained it, whatever the spaces in between made of it. So the path to a
space does not matter, and a study that returns to a space has all trials of that space again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipelines.models import catalogue
from pipelines.search.trial_summaries import (
    PAUSED,
    REJECTED,
    RESULT,
    TrialSummary,
    is_paused,
    summarize_trial,
    takes_up_budget,
)
from pipelines.study.study import Study
from search_spaces.suggest import make_distribution, make_optuna_point
from search_spaces.values import Value, format_value
from tracking.store.database import Store

CHANGES = "kerastudy:changes"
_SPACES = "kerastudy:spaces"
_MARK = "~"


@dataclass(frozen=True)
class Change:
    """One change of a study's space.

    Attributes:
        differences: one line for each changed parameter.
        kept: number of trials before the change that fit the new space, out of `before`.
    """

    differences: tuple[str, ...]
    kept: int
    before: int


def find_current_name(storage: optuna.storages.BaseStorage, study: str) -> str:
    """Return the name in Optuna of a study's latest generation; the name of the study if it is the first."""
    return list_generations(storage, study)[-1]


def list_generations(storage: optuna.storages.BaseStorage, study: str) -> tuple[str, ...]:
    """Return the names in Optuna of a study's generations, first to last: the first has the name of the study.

    A generation counts once its change is recorded in it, which is written last: one that a kill left incomplete does
    not count.
    """
    made = {
        each.study_name: each
        for each in storage.get_all_studies()
        if each.study_name.startswith(study + _MARK) and CHANGES in each.user_attrs
    }
    return (study, *sorted(made, key=_parse_generation))


def compare_spaces(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the changes from one space, as `Space.to_dict` writes it, to another: a line for each parameter."""
    return tuple(
        f"{name}: {_format_parameter(before.get(name, 'none'))} -> {_format_parameter(after.get(name, 'none'))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


@dataclass(frozen=True)
class Evolution:
    """A study in a changed space, not stored yet.

    Attributes:
        change: the change.
        trials: its earlier trials, as the new space has them.
        spaces: its spaces so far, the new one included.
        latest: its latest generation; None for a study that has not started yet.
    """

    change: Change
    trials: tuple[FrozenTrial, ...] = ()
    spaces: tuple[Mapping[str, Any], ...] = ()
    latest: optuna.Study | None = field(default=None, repr=False)

    @property
    def summaries(self) -> tuple[TrialSummary, ...]:
        """Summaries of the earlier trials, which take up the budget."""
        return tuple(
            replace(summarize_trial(trial), number=number)
            for number, trial in enumerate(self.trials)
            if takes_up_budget(trial)
        )


def plan_evolution(store: Store, study: Study, before: Mapping[str, Any]) -> Evolution:
    """Return a study's continuation in its new space; nothing is stored.

    `study` has the new space; `before` is the old one as `Space.to_dict` wrote it.
    """
    storage, after = store.open_optuna_storage(), study.space.to_dict()
    try:
        generations = [
            optuna.load_study(study_name=name, storage=storage) for name in list_generations(storage, study.name)
        ]
    except KeyError:  # submitted, and not started yet
        return Evolution(Change(compare_spaces(before, after), 0, 0))
    latest = generations[-1]
    spaces = tuple(latest.user_attrs.get(_SPACES, [before]))
    trials = tuple(
        _carry_over(trial, study, spaces[index].keys() | study.space.parameters.keys())
        for index, trial in _list_trained(generations)
    )
    kept = sum(trial.state == TrialState.COMPLETE for trial in trials)
    change = Change(compare_spaces(spaces[-1], after), kept, len(trials))
    return Evolution(change, trials, (*spaces, after), latest)


def evolve_study(store: Store, study: Study, before: Mapping[str, Any]) -> Change:
    """Create the Optuna study that continues with a study's new space, and return the change; see `plan_evolution`."""
    evolution = plan_evolution(store, study, before)
    if (latest := evolution.latest) is None:
        return evolution.change
    storage = store.open_optuna_storage()
    name = f"{study.name}{_MARK}{_parse_generation(latest.study_name) + 1}"
    if name in optuna.study.get_all_study_names(storage):  # left incomplete by a kill
        optuna.delete_study(study_name=name, storage=storage)
    made = optuna.create_study(storage=storage, study_name=name, directions=latest.directions)
    made.add_trials(evolution.trials)
    made.set_user_attr(_SPACES, evolution.spaces)
    # Last: only now does the generation count.
    made.set_user_attr(CHANGES, [*latest.user_attrs.get(CHANGES, []), asdict(evolution.change)])
    return evolution.change


def is_evolved_for(store: Store, study: Study) -> bool:
    """Return whether the latest generation of a study has its space, or it never had another one.

    A kill after an evolution, and before the study's record names the new space, leaves a generation of another space.
    """
    storage = store.open_optuna_storage()
    if (name := find_current_name(storage, study.name)) == study.name:
        return True
    spaces = optuna.load_study(study_name=name, storage=storage).user_attrs[_SPACES]
    return not compare_spaces(spaces[-1], study.space.to_dict())


def read_changes(study: optuna.Study) -> tuple[Change, ...]:
    """Return the changes of a study's space, first to last."""
    return tuple(
        Change(tuple(each["differences"]), each["kept"], each["before"]) for each in study.user_attrs.get(CHANGES, [])
    )


def count_carried(study: optuna.Study) -> int:
    """Return how many trials of a generation were carried over from the one before; they are its first."""
    changes = study.user_attrs.get(CHANGES, [])
    return int(changes[-1]["before"]) if changes else 0


def _parse_generation(name: str) -> int:
    mark, number = name.rpartition(_MARK)[1:]
    return int(number) if mark and number.isdigit() else 0


def _list_trained(generations: Sequence[optuna.Study]) -> Iterator[tuple[int, FrozenTrial]]:
    """Yield every trial, in order of number, from the generation that trained it, after that generation's index."""
    for index, generation in enumerate(generations):
        for trial in generation.get_trials(deepcopy=False)[count_carried(generation) :]:
            yield index, trial


def _carry_over(trial: FrozenTrial, study: Study, named: Set[str]) -> FrozenTrial:
    """Return the trial as a trial of the new space; one without a result takes up no budget."""
    result = _find_result(trial)
    if result is None:
        return optuna.trial.create_trial(
            state=TrialState.FAIL, user_attrs={REJECTED: "the space changed before the trial ended"}
        )
    values = _redraw(study, result["params"], named)
    if values is None:
        result = {**result, "fits": False, "reason": "outside the space since it was changed"}
        return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={**trial.user_attrs, RESULT: result})
    attrs = {**trial.user_attrs, RESULT: result}
    drawn = (make_distribution(study.space.parameters[name]) for name in values)
    is_complete = trial.state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if is_complete else TrialState.FAIL,
        values=trial.values if is_complete else None,
        # With its point in any case, which is not to be tried again.
        params=make_optuna_point(study.space, values),
        distributions=dict(each for each in drawn if each is not None),
        user_attrs=attrs,
        intermediate_values=trial.intermediate_values if is_complete else {},
    )


def _find_result(trial: FrozenTrial) -> dict[str, Any] | None:
    """Return a trial's result, of a paused one what it has reached; None for a trial that was cut off."""
    attrs = trial.user_attrs
    if trial.state.is_finished():
        return attrs.get(RESULT)
    if not is_paused(trial):
        return None
    reached = {key: value for key, value in attrs[PAUSED].items() if key != "paused_at"}
    return {**reached, "state": "pruned", "reason": f"{reached['reason']}; then the space changed"}


def _redraw(study: Study, params: Mapping[str, Value], named: Set[str]) -> dict[str, Value] | None:
    """Return the draw of the new space that gives a trial its values; None where there is none.

    `named` are the names that the new space or that of the trial declares: hyperparameters that only the model's code
    requests do not count.
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
    """Return the model's default for a parameter that the space does not declare; None where it is unknown."""
    if study.has_user_model:
        return None
    known = catalogue.find_family(study.spec.model).find(name)
    return known.default if known else None


def _format_parameter(written: Any) -> str:
    """Return a parameter, or the constraints, in the one-line form of a study file."""
    if isinstance(written, dict):
        return f"{{{', '.join(f'{key}: {_format_parameter(value)}' for key, value in written.items())}}}"
    if isinstance(written, list):
        return f"[{', '.join(map(_format_parameter, written))}]"
    return format_value(written)
