"""Repeated training of a trial: the same values, seed, trainer and number of epochs.

Nothing prunes it: a pruned trial is stopped after its last epoch, so that its schedules are over the same number of
epochs. Its time and its size are not limited.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.engines.base import Engine, Job
from pipelines.engines.run_job import JobError, Responder, run_job
from pipelines.search.sampler_choice import choose_sampler
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.context import StudyContext
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.trial_jobs import make_fleet_job, make_trial_job
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.fleet.envelope import Envelope, find_envelope
from pipelines.training.fleet.member import build_member
from pipelines.training.fleet.messages import FleetEpoch, RungsReached, SlotsFree
from pipelines.training.jobs import TRAIN_FLEET, TRAIN_TRIAL
from pipelines.training.messages import EpochDone, RungReached, TrialJob, TrialOutcome
from pipelines.training.trial_folder import ARTIFACTS, read_epochs, read_result
from search_spaces.errors import ConflictError, InputError
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value

ReportEpoch = Callable[[EpochDone], None]


@dataclass(frozen=True)
class TrainingOutcome:
    """Outcome of a trial's training.

    Attributes:
        state: complete, pruned or failed.
        reason: the reason why it failed, or was not trained.
        trainer: as in `TrialResult`; empty if it was not recorded.
        epochs: metrics of each epoch; with folds the mean over them.
        best_epoch: counted from 1.
        value: its score; None for a trial without one.
        config: content of the trial's `config.json`; empty if there is none.
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
        """Whether it was not trained, because its model is above a limit."""
        return self.state == "pruned" and self.value is None


@dataclass(frozen=True)
class RecordedTrial:
    """Trial that has ended, from the store and its folder.

    Attributes:
        summary: the trial in the store.
        outcome: the outcome of its training.
    """

    summary: TrialSummary
    outcome: TrainingOutcome

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.summary.number


def read_recorded_trial(trial: TrialSummary, folder: Path) -> RecordedTrial:
    """Return a trial with the outcome of its training.

    Args:
        trial: the trial in the store.
        folder: the trial's folder.

    Raises:
        ConflictError: if it was pruned, and its number of epochs is unknown.
    """
    result = read_result(folder)
    # A trial that failed has no result, but a line for each epoch that it reported.
    epochs = tuple(done.metrics for done in (read_epochs(folder) if result is None else result.epochs))
    outcome = TrainingOutcome(
        trial.state, trial.reason, trial.trainer, epochs, trial.best_epoch, trial.value, _read_config(folder)
    )
    if outcome.state == "pruned" and not outcome.was_rejected and not epochs:
        raise ConflictError(
            f"trial {trial.number} was pruned and its files are gone from {folder}: its number of epochs is unknown"
        )
    return RecordedTrial(trial, outcome)


def train_again(
    context: StudyContext, trial: RecordedTrial, data: Path, folder: Path, engine: Engine, report_epoch: ReportEpoch
) -> TrainingOutcome:
    """Train a trial again, and return the outcome.

    Args:
        context: the trial's study, with the summary of `data`.
        trial: the trial.
        data: the folder of the prepared data.
        folder: the folder for the files of the training.
        engine: runs the job.
        report_epoch: is called with each epoch.

    Raises:
        JobError: if the disk is full.
    """
    job = _make_job(context, trial, data, folder)
    memory_bytes = context.spec.limits.memory or engine.worker_memory_bytes
    program = _find_program(context, job, trial.outcome.trainer, engine.workers, memory_bytes)
    log = folder / ARTIFACTS / "worker.log"
    work: Job[Any, TrialOutcome | None]
    if program is None:
        work = Job("replay", TRAIN_TRIAL, job, log, backend=job.backend, devices=job.cpu_devices)
    else:
        # No limits of time: this machine may be slower than the one then.
        fleet = replace(make_fleet_job(context, data, *program), per_layer=job.per_layer, trial_s=None)
        work = Job("replay", TRAIN_FLEET, fleet, log, backend="jax")
    work = replace(work, stall_s=context.spec.limits.stall, memory_bytes=memory_bytes)
    outcome = _run(engine, work, RecordedResponder(job, trial.summary.params, report_epoch))
    # Of no use after the training, and as large as the model and its optimizer.
    remove_checkpoints(folder)
    return _summarize_end(outcome, folder)


def _make_job(context: StudyContext, trial: RecordedTrial, data: Path, folder: Path) -> TrialJob:
    """Return the job of a trial as its worker received it, with other folders."""
    params, outcome = trial.summary.params, trial.outcome
    # A user model requests the rest itself while it is built; see `RecordedResponder.answer`.
    names = context.initial_values.parameters if context.study.has_user_model else params
    # Epochs count from 0: the last recorded one is where it was pruned.
    rungs = frozenset({len(outcome.epochs) - 1} if outcome.state == "pruned" and outcome.epochs else ())
    job = make_trial_job(context, trial.number, {name: params[name] for name in names if name in params}, rungs=rungs)
    # A trial that was trained is trained again, even if the limits are lower now.
    if not outcome.was_rejected:
        job = replace(job, most_parameters=None, most_model_bytes=None)
    # The study's seed and space may have changed since: the trial's recorded configuration counts.
    return replace(
        job,
        seed=outcome.config.get("seed", job.seed),
        per_layer=frozenset(outcome.config.get("per_layer", job.per_layer)),
        data=str(data),
        folder=str(folder),
        by_fit=outcome.trainer in ("fit", "user"),
        devices=job.devices if outcome.trainer in ("parallel", "") else 1,
    )


def _find_program(
    context: StudyContext, job: TrialJob, trainer: str, workers: int, memory_bytes: int
) -> tuple[Envelope, int] | None:
    """Return the program and the slots of a trial's fleet; None for a trial that trains alone.

    They are those that the study would choose today: in the same program a trial is rounded in the same way.
    """
    if trainer not in ("fleet", "") or importlib.util.find_spec("jax") is None:
        return None
    trials = context.spec.budget.trials
    fleets = FleetPlanner(
        context.study,
        context.summary,
        trials=trials,
        time_s=context.spec.budget.time,
        workers=workers,
        memory_bytes=memory_bytes,
        learns=choose_sampler(context).learns,
    )
    program = fleets.find_program(job.values)
    if program is None and trainer == "fleet":
        # Its fleet cannot be known: the smallest program that holds it, with one slot.
        return find_envelope([build_member(job.values, job.per_layer, job.model)]), 1
    return program


class RecordedResponder(Responder):
    """Responder that answers the requests of a repeated training with the recorded answers.

    Attributes:
        outcome: of the trial, if it trained in a fleet.
    """

    def __init__(self, job: TrialJob, params: Mapping[str, Value], report_epoch: ReportEpoch) -> None:
        self._job = job
        self._params = params
        self._report_epoch = report_epoch
        self.outcome: TrialOutcome | None = None
        self._waiting: tuple[TrialJob, ...] = (job,)

    def record(self, message: Any) -> None:
        """Report an epoch."""
        # A fleet reports all of its trials at once; this one has a single trial.
        if isinstance(message, FleetEpoch):
            message = message.epochs.get(self._job.number)
        if isinstance(message, EpochDone):
            self._report_epoch(message)

    def answer(self, message: Any) -> Any:
        """Return the recorded answer; a trial's only rung is the epoch that it was pruned after."""
        if isinstance(message, SlotsFree):
            self.outcome = message.ended.get(self._job.number) or self.outcome
            # Once: a fleet of several slots requests a trial for each, and its own trial in two of them is none.
            given, self._waiting = self._waiting, ()
            return given
        if isinstance(message, RungsReached):
            return dict.fromkeys(message.best, "prune")
        # Stop: the only rung is the last one.
        if isinstance(message, RungReached):
            return "prune"
        if isinstance(message, HyperparameterRequest):
            # A hyperparameter that was not searched has no recorded value, and had its default.
            return self._params.get(message.name, message.default)
        return super().answer(message)


def _run(engine: Engine, work: Job[Any, TrialOutcome | None], responder: RecordedResponder) -> TrialOutcome:
    try:
        outcome = run_job(engine, work, responder=responder)
    except InputError as error:
        return TrialOutcome("failed", reason="; ".join(str(error).splitlines()))
    except JobError as error:
        # No outcome of the training: a full disk can be mended, and the replay repeated.
        if error.kind == "disk":
            raise
        return TrialOutcome("failed", reason="; ".join(error.reason.splitlines()))
    # A fleet's job returns nothing: its trials end by messages.
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
