"""Files of an ended study that its results do not need: checkpoints, models of other trials, logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.recording.records import MLFLOW_MODEL
from pipelines.training.trial_folder import (
    MODEL_CODE,
    MODEL_FILE,
    USER_MODEL_WEIGHTS_FILE,
    WEIGHTS_FILE,
    locate_fold,
)
from pipelines.workspace.home import Home

_OF_A_MODEL = (
    MODEL_FILE,
    WEIGHTS_FILE,
    USER_MODEL_WEIGHTS_FILE,
    MODEL_CODE,
    MLFLOW_MODEL,
    locate_fold(Path(), 0).parent,
)
_TRAININGS = ("trials/*", "retrainings/*/*")
# The log of the study and its events stay: they are what `logs` and followers read.
_KEPT_LOGS = ("study.log",)


def list_checkpoints(home: Home, study: str) -> Iterator[Path]:
    """Yield the checkpoints of a study's trials."""
    for training in _TRAININGS:
        yield from home.locate_study(study).glob(f"{training}/*fold-*.checkpoint*")


def list_models(home: Home, study: str, needed: frozenset[int]) -> Iterator[Path]:
    """Yield the files of the models of a study's trials and their retrainings, but for the trials that are needed."""
    for training in _TRAININGS:
        for folder in home.locate_study(study).glob(training):
            # The second part below the study is the number in both.
            number = folder.relative_to(home.locate_study(study)).parts[1]
            if number.isdecimal() and int(number) not in needed:
                yield from (path for name in _OF_A_MODEL if (path := folder / name).exists())


def list_logs(home: Home, study: str) -> Iterator[Path]:
    """Yield the logs of a study's processes: of its workers, its preparation, its supervisor."""
    folder = home.locate_study(study)
    for pattern in (
        "*.log",
        *(f"{training}/{each}" for training in _TRAININGS for each in ("*.log", "artifacts/*.log")),
    ):
        yield from (file for file in folder.glob(pattern) if file.name not in _KEPT_LOGS)
