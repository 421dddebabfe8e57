"""Restart of a tuner's study: `overwrite=True` of KerasTuner's tuners.

KerasTuner deletes its project's folder and begins at trial 0. In the store nothing is deleted: the study gets a new
Optuna study, its next generation, in which the earlier trials hold their numbers and count for nothing. So MLflow
keeps their runs, and no run of a new trial is taken for one of them.
"""

from __future__ import annotations

import inspect

import optuna
from keras_tuner.engine.base_tuner import BaseTuner
from optuna.trial import TrialState

from pipelines.search.space_evolution import CHANGES, find_current_name, list_generations
from pipelines.search.trial_summaries import REJECTED

_OVERWRITTEN = "overwritten: the tuner began anew"


def is_overwriting() -> bool:
    """Return whether the tuner that is being made, further up the stack, was given `overwrite=True`.

    KerasTuner passes it on to nothing: it deletes the folder of its project, if there is one, and that is all.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), BaseTuner) and "overwrite" in frame.f_locals:
            return bool(frame.f_locals["overwrite"])
        frame = frame.f_back
    return False


def begin_generation(storage: optuna.storages.RDBStorage, name: str) -> str:
    """Begin the next generation of a tuner's study, and return its name in Optuna.

    Args:
        storage: Optuna's tables.
        name: the study's name in Optuna, which its first generation has.
    """
    old = optuna.load_study(study_name=find_current_name(storage, name), storage=storage)
    new = f"{name}~{len(list_generations(storage, name))}"
    if new in optuna.study.get_all_study_names(storage):  # left incomplete by a kill
        optuna.delete_study(study_name=new, storage=storage)
    made = optuna.create_study(storage=storage, study_name=new, directions=old.directions)
    overwritten = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={REJECTED: _OVERWRITTEN})
    made.add_trials([overwritten for _ in old.get_trials(deepcopy=False)])
    made.set_user_attr(CHANGES, [])  # last: only now does the generation count
    return new
