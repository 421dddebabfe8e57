"""Names of a study that a KerasTuner tuner runs: in the queue, and in its records."""

from __future__ import annotations

import json

from pipelines.study.objective import Objective
from tracking.store.study_queue import StudyRecord

_SPACE = "keras_tuner/"


def make_queue_name(study: str) -> str:
    """Return the name of a tuner's study in the queue and in Optuna, which no study file can have."""
    return _SPACE + study


def make_record_name(queued: str) -> str:
    """Return the name in MLflow and the outbox of a study in the queue, of a tuner or of a study file."""
    return queued.removeprefix(_SPACE)


def read_goal(record: StudyRecord) -> tuple[Objective, int] | None:
    """Return objective and number of trials of a tuner's study; None for one that has a study file."""
    if not record.name.startswith(_SPACE):
        return None
    goal = json.loads(record.document)
    return Objective(goal["metric"], goal["direction"]), goal["trials"]
