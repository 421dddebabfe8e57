"""Locations of the models of a study's trials: the winning model, a refit, the ensemble, past trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.engines.base import Job
from pipelines.selection.finalists import ENSEMBLE, REFIT
from pipelines.selection.refit import REFIT_ROWS
from pipelines.study.study import Study
from pipelines.training.jobs import WRITE_MODELS
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import MODEL_FILE, RESULT_FILE, USER_MODEL_WEIGHTS_FILE
from pipelines.workspace.home import Home


def find_winning_model(study: Study, home: Home, number: int) -> PastTrial:
    """Return the location of the model that a study delivers if a trial wins: its refit if there is one, or the trial.

    The refit counts only while the study file requests it, so that the setting can be taken back.
    """
    return (locate_refit if is_refitted(study, home, number) else locate_trial)(home, study.name, number)


def locate_refit(home: Home, study: str, number: int) -> PastTrial:
    """Return the location of a trial's refit."""
    data = home.locate_retraining_data(study, REFIT_ROWS.name)
    return PastTrial(str(home.locate_retraining(study, number, REFIT)), str(data))


def is_refitted(study: Study, home: Home, number: int) -> bool:
    """Return whether the study file requests a refit, and the trial has one that was found as good as its own model."""
    folder = home.locate_retraining(study.name, number, REFIT)
    return study.spec.selection.refit and (folder / RESULT_FILE).exists()


def discard_model(folder: Path) -> None:
    """Remove the model of a retraining; its log and its curve stay, which MLflow may still have to get."""
    # The result first: without it, the model is none that a study delivers.
    for name in (RESULT_FILE, MODEL_FILE, USER_MODEL_WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)


def find_ensemble(study: Study, home: Home, number: int) -> PastTrial | None:
    """Return the location of the ensemble of a winner; None where there is none that beats it."""
    folder = home.locate_retraining(study.name, number, ENSEMBLE)
    is_made = study.spec.selection.ensemble and (folder / MODEL_FILE).exists()
    return PastTrial(str(folder), str(home.locate_data(study.name))) if is_made else None


def make_models_job(home: Home, study: str, numbers: Iterable[int]) -> Job[Sequence[PastTrial], None]:
    """Return the job that writes the models of trials of which only the weights are stored."""
    trials = tuple(locate_trial(home, study, number) for number in numbers)
    return Job("models", WRITE_MODELS, trials, home.locate_study(study) / "models.log")


def locate_trial(home: Home, study: str, number: int) -> PastTrial:
    """Return the location of a trial of a study."""
    return PastTrial(str(home.locate_trial(study, number)), str(home.locate_data(study)))
