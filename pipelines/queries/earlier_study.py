"""The earlier study that a study starts from."""

from __future__ import annotations

from pipelines.data.prepared import Task
from pipelines.queries.record_reader import RecordReader, load_record
from pipelines.search.earlier_trials import (
    EarlierTrials,
    collect_earlier_trials,
    read_earlier_trials,
    write_earlier_trials,
)
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES


def keep_earlier_trials(study: Study, task: Task, home: Home, store: Store) -> None:
    """Copy the trials of the study that `search.start_from` names into the study's folder, once.

    Raises:
        InputError: if there is no such study, it has another objective, or no trial of it is complete.
    """
    start_from, folder = study.spec.search.start_from, home.locate_study(study.name)
    if start_from is None or read_earlier_trials(folder).study == start_from.study:
        return
    try:
        earlier = _find_trials(study, start_from.study, study.resolve_task_objective(task), RecordReader(home, store))
    except InputError as error:
        place = ("search", "start_from", "study")
        raise InputError(study.document.make_problem(place, error.problems[0].message)) from None
    write_earlier_trials(folder, earlier)


def _find_trials(study: Study, name: str, objective: Objective, reader: RecordReader) -> EarlierTrials:
    if name == study.name:
        raise InputError("a study cannot start from itself; name another one")
    record = reader.find_record(name)
    theirs = reader.read_objective(load_record(record), record)
    if (theirs.metric, theirs.direction) != (objective.metric, objective.direction):
        raise InputError(
            f"expected a study that is to {objective.direction} {objective.metric}, and {name} is to "
            f"{theirs.direction} {theirs.metric}; set objective to the same, or name another study"
        )
    found = reader.load_optuna_study(record)
    earlier = collect_earlier_trials(name, found.get_trials(deepcopy=False) if found else ())
    if all(trial.score is None for trial in earlier.trials):
        if record.state in ENDED_STATES:
            raise InputError(
                f"no trial of {name} is complete, and it has ended ({record.state}): there is nothing to learn from; "
                "name another study or remove start_from"
            )
        raise InputError(f"no trial of {name} is complete yet; wait for its end")
    return earlier
