"""Trains a trial again as it was: its values, its seed, its trainer, and as many epochs.

No pruner has a say. One that was pruned is stopped after as many epochs as it had, so its schedules go by the same
number of epochs as then. What it may take in time and in size is not limited again.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, Responder, run_job
from pipelines.search.optuna_search import TrialSummary
from pipelines.study.model_hyperparameters import describe_user_model, read_requests, select_initial_values
from pipelines.study.study import Study
from pipelines.supervisor.fleet_jobs import make_fleet_job
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.running_trials import make_trial_job
from pipelines.supervisor.supervisor import compute_worker_memory
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.fleet.envelope import Envelope, find_envelope
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.messages import FleetEpoch, RungsReached, SlotsFree
from pipelines.training.jobs import TRAIN_FLEET, TRAIN_TRIAL
from pipelines.training.messages import EpochDone, RungReached, TrialJob, TrialOutcome
from pipelines.training.trial_folder import ARTIFACTS, read_epochs, read_result
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value

Heard = Callable[[EpochDone], None]


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training of a trial went.

    Attributes:
        reason: why it failed, or was not trained.
        trainer: as in `TrialResult`; empty where nobody noted it.
        epochs: metrics of each epoch; with folds the mean over them.
        best_epoch: counted from 1.
        config: what the trial's `config.json` says; empty where there is none.
    """

    state: str
    reason: str
    trainer: str
    epochs: tuple[Mapping[str, float], ...] = ()
    best_epoch: int | None = None
    value: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def was_rejected(self) -> bool:
        """Say whether it was never trained, since its model is over a ceiling."""
        return self.state == "pruned" and self.value is None


def read_recorded_outcome(trial: TrialSummary, folder: Path) -> TrainingOutcome:
    """Return how a trial that has ended went, from the store and the trial's folder.

    Raises:
        ConflictError: if it was pruned, and how long it had trained is not known any more.
    """
    result = read_result(folder)
    epochs = tuple(done.metrics for done in (read_epochs(folder) if result is None else result.epochs))
    course = TrainingOutcome(
        trial.state, trial.reason, trial.trainer, epochs, trial.best_epoch, trial.value, _read_config(folder)
    )
    if course.state == "pruned" and not course.was_rejected and not epochs:
        raise ConflictError(
            f"trial {trial.number} was pruned and its files are gone from {folder}: nothing says how far"
        )
    return course


def train_again(
    study: Study,
    home: Home,
    trial: TrialSummary,
    past: TrainingOutcome,
    data: Path,
    folder: Path,
    engine: Engine,
    heard: Heard,
) -> TrainingOutcome:
    """Train a trial again on prepared data, leave its files in `folder`, and return how that went.

    Raises:
        JobError: if the disk is full.
    """
    summary = load_summary(data)
    job = _make_job(study, home, trial, past, summary, data, folder)
    memory_bytes = compute_worker_memory(study, engine.workers)
    fleets = FleetPlanner(
        study, summary, trials=study.spec.budget.trials, workers=engine.workers, memory_bytes=memory_bytes
    )
    program = _find_program(fleets, job, past.trainer)
    log = folder / ARTIFACTS / "worker.log"
    work: Job[Any, TrialOutcome | None]
    if program is None:
        work = Job("replay", TRAIN_TRIAL, job, log)
    else:
        fleet = make_fleet_job(study, study.resolve_objective(summary.task.kind), data, *program)
        fleet = replace(fleet, per_layer=job.per_layer, trial_s=None)
        work = Job("replay", TRAIN_FLEET, fleet, log, backend="jax")
    work = replace(work, stall_s=study.spec.limits.stall, memory_bytes=memory_bytes)
    outcome = _run(engine, work, RecordedResponder(job, trial.params, heard))
    remove_checkpoints(folder)
    return _summarize_end(outcome, folder)


def _make_job(
    study: Study, home: Home, trial: TrialSummary, past: TrainingOutcome, summary: DataSummary, data: Path, folder: Path
) -> TrialJob:
    """Return the trial as a worker got it then, but for the folders."""
    asked = read_requests(home.study(study.name)) if study.has_user_model else ()
    up_front = select_initial_values(study, asked).parameters if study.has_user_model else trial.params
    job = make_trial_job(
        study,
        study.resolve_objective(summary.task.kind),
        home,
        trial.number,
        {name: trial.params[name] for name in up_front if name in trial.params},
        user_model=describe_user_model(study, asked),
        rungs=frozenset({len(past.epochs) - 1} if past.state == "pruned" and past.epochs else ()),
    )
    if not past.was_rejected:
        job = replace(job, most_parameters=None, most_model_bytes=None)
    return replace(
        job,
        seed=past.config.get("seed", job.seed),
        per_layer=frozenset(past.config.get("per_layer", job.per_layer)),
        data=str(data),
        folder=str(folder),
        by_fit=past.trainer in ("fit", "user"),
    )


def _find_program(fleets: FleetPlanner, job: TrialJob, trainer: str) -> tuple[Envelope, int] | None:
    """Return the program and the slots of the fleet that a trial trains in; None where it trains alone.

    They are those that the study would give it today: with the same ones, nothing is rounded otherwise.
    """
    if trainer not in ("fleet", "") or importlib.util.find_spec("jax") is None:
        return None
    program = fleets.program_of(job.values)
    if program is None and trainer == "fleet":
        return find_envelope([build_member(job.values, job.per_layer)]), 1
    return program


class RecordedResponder(Responder):
    """Responder that answers the requests of a repeated training with the recorded answers.

    Attributes:
        outcome: of the trial, where it trained in a fleet.
    """

    def __init__(self, job: TrialJob, params: Mapping[str, Value], heard: Heard) -> None:
        self._job = job
        self._params = params
        self._heard = heard
        self.outcome: TrialOutcome | None = None

    def record(self, message: Any) -> None:
        """Pass an epoch on."""
        if isinstance(message, FleetEpoch):
            message = message.epochs.get(self._job.number)
        if isinstance(message, EpochDone):
            self._heard(message)

    def answer(self, message: Any) -> Any:
        """Return the answer; the only rung of a trial is where it was pruned."""
        if isinstance(message, SlotsFree):
            self.outcome = message.ended.get(self._job.number)
            return () if self.outcome else (self._job,)
        if isinstance(message, RungsReached):
            return frozenset(message.best)
        if isinstance(message, RungReached):
            return True
        if isinstance(message, HyperparameterRequest):
            return self._params.get(message.name, message.default)
        return super().answer(message)


def _run(engine: Engine, work: Job[Any, TrialOutcome | None], responder: RecordedResponder) -> TrialOutcome:
    try:
        outcome = run_job(engine, work, responder=responder)
    except InputError as error:
        return TrialOutcome("failed", reason="; ".join(str(error).splitlines()))
    except JobError as error:
        if error.kind == "disk":
            raise
        return TrialOutcome("failed", reason="; ".join(error.reason.splitlines()))
    return outcome or responder.outcome or TrialOutcome("failed", reason="its fleet ended without its result")


def _summarize_end(outcome: TrialOutcome, folder: Path) -> TrainingOutcome:
    if (ended := outcome.result) is not None:
        epochs = tuple(done.metrics for done in ended.epochs)
        config = _read_config(folder)
        return TrainingOutcome(ended.state, "", ended.trainer, epochs, ended.best_epoch + 1, ended.value, config)
    if outcome.kind == "rejected":
        return TrainingOutcome("pruned", outcome.reason, "")
    return TrainingOutcome("failed", outcome.reason, "", tuple(done.metrics for done in read_epochs(folder)))


def _read_config(folder: Path) -> Mapping[str, Any]:
    file = folder / ARTIFACTS / "config.json"
    config: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return config
