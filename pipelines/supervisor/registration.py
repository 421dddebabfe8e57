"""Check of a user model before it is registered: MLflow must be able to load it, without the study's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.jobs import PROVE_REGISTRATION, RegistrationJob
from pipelines.recording.records import MLFLOW_MODEL
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import explain_missing_code, write_refusal


def check_registration(trial: PastTrial, engine: Engine, while_waiting: Callable[[], None] = lambda: None) -> str:
    """Return why a trial's user model is not registered, and keep the reason with the trial; empty where it may be.

    Args:
        trial: a trial that has a model.
        engine: runs the job that loads it.
        while_waiting: see `run_job`.
    """
    folder = Path(trial.folder)
    saved = folder / MLFLOW_MODEL
    reason = _prove(trial, saved, engine, while_waiting) if saved.exists() else explain_missing_code(folder)
    write_refusal(folder, reason)
    return reason


def _prove(trial: PastTrial, saved: Path, engine: Engine, while_waiting: Callable[[], None]) -> str:
    log = Path(trial.folder) / "registration.log"
    # `fresh`: a process that has the study's code would load what no other one does.
    job = Job("registration", PROVE_REGISTRATION, RegistrationJob(trial, str(saved)), log, fresh=True)
    try:
        return run_job(engine, job, while_waiting)
    except JobError as error:
        return str(error)
