"""Locations of the models of a study's trials: the winning model, a refit, the ensemble, past trials; jobs on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engines.base import Job
from pipelines.selection.finalists import ENSEMBLE, REFIT
from pipelines.selection.jobs import EVALUATE_WINNER, WinnerJob
from pipelines.selection.refit import REFIT_ROWS
from pipelines.study.study import Study
from pipelines.training.jobs import WRITE_MODELS
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import (
    ARTIFACTS,
    CONFIG_FILE,
    MODEL_FILE,
    RESULT_FILE,
    USER_MODEL_WEIGHTS_FILE,
    locate_fold,
)
from pipelines.workspace.home import Home

if TYPE_CHECKING:
    from pipelines.data.raw import PartName
    from pipelines.spec.schema import TrainingSpec

_MOST_FOLDS = 50  # of the study file


def find_winning_model(study: Study, home: Home, number: int) -> PastTrial:
    """Return the location of the model that a study delivers if a trial wins: its ensemble, its refit or the trial's.

    The first two count only while the study file requests them, so that the setting can be taken back.
    """
    if is_ensembled(study, home, number):
        return locate_ensemble(study, home, number)
    return (locate_refit if is_refitted(study, home, number) else locate_trial)(home, study.name, number)


def locate_refit(home: Home, study: str, number: int) -> PastTrial:
    """Return the location of a trial's refit."""
    data = home.locate_retraining_data(study, REFIT_ROWS.name)
    return PastTrial(str(home.locate_retraining(study, number, REFIT)), str(data))


def is_refitted(study: Study, home: Home, number: int) -> bool:
    """Return whether the study file requests a refit, and the trial has one that was found to be better."""
    folder = home.locate_retraining(study.name, number, REFIT)
    return study.spec.selection.refit and (folder / RESULT_FILE).exists()


def is_ensembled(study: Study, home: Home, number: int) -> bool:
    """Return whether the model that a study delivers if a trial wins is an ensemble.

    An ensemble of user models is exported on request alone: their code scores a model, and no file.
    """
    return not study.has_user_model and find_ensemble(study, home, number) is not None


def locate_ensemble(study: Study, home: Home, number: int) -> PastTrial:
    """Return the location of a trial's ensemble."""
    folder = home.locate_retraining(study.name, number, ENSEMBLE)
    return PastTrial(str(folder), str(home.locate_data(study.name)))


def list_fold_models(folder: Path, data: Path) -> list[PastTrial]:
    """Return the locations of the models of a retraining's folds; empty where they were not kept.

    Args:
        folder: the retraining's folder.
        data: folder of the data that it trained on.
    """
    found = (locate_fold(folder, fold) for fold in range(_MOST_FOLDS))
    return [PastTrial(str(each), str(data)) for each in found if (each / ARTIFACTS / CONFIG_FILE).exists()]


def discard_model(folder: Path) -> None:
    """Remove the model of a retraining; its log and its curve stay, which MLflow may still have to get."""
    # The result first: without it, the model is none that a study delivers.
    for name in (RESULT_FILE, MODEL_FILE, USER_MODEL_WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)


def find_ensemble(study: Study, home: Home, number: int) -> PastTrial | None:
    """Return the location of the ensemble of a winner; None where there is none that is as good."""
    ensemble = locate_ensemble(study, home, number)
    is_made = study.spec.selection.ensemble and (Path(ensemble.folder) / MODEL_FILE).exists()
    return ensemble if is_made else None


def make_models_job(home: Home, study: str, numbers: Iterable[int]) -> Job[Sequence[PastTrial], None]:
    """Return the job that writes the models of trials of which only the weights are stored."""
    trials = tuple(locate_trial(home, study, number) for number in numbers)
    return Job("models", WRITE_MODELS, trials, home.locate_study(study) / "models.log")


def make_winner_job(
    study: Study, home: Home, number: int, training: TrainingSpec, *, rows: Mapping[str, int], folds: int
) -> Job[WinnerJob, Mapping[str, float]]:
    """Return the job that evaluates the winning model; its result is that of `evaluate_winner`."""
    trial = find_winning_model(study, home, number)
    # Of folds, a refit and an ensemble the model has seen those rows: its predictions for them would look too good.
    saw_validation = folds > 1 or is_refitted(study, home, number) or is_ensembled(study, home, number)
    parts: list[PartName] = ["test"] if rows.get("test") else []
    if rows.get("validation") and not saw_validation:
        parts.append("validation")
    payload = WinnerJob(trial, number, training, tuple(parts), has_user_model=study.has_user_model)
    return Job("test", EVALUATE_WINNER, payload, Path(trial.folder) / "test.log")


def locate_trial(home: Home, study: str, number: int) -> PastTrial:
    """Return the location of a trial of a study."""
    return PastTrial(str(home.locate_trial(study, number)), str(home.locate_data(study)))
