"""Ensemble of a study's winner: further trainings of it, averaged with its model where they are as good."""

from __future__ import annotations

import errno
import shutil
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.splits.division import Division
from pipelines.engines.base import Job
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.jobs import BUILD_ENSEMBLE, EnsembleJob
from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.ensemble import FoldScores, can_fold, count_members, list_member_names
from pipelines.selection.finalists import ENSEMBLE
from pipelines.selection.model_locations import discard_model, is_ensembled, list_fold_models, locate_trial
from pipelines.supervisor.events import EnsembleDecided, EnsembleTraining, StudyEvent
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.retraining_jobs import RetrainingJobs
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import MODEL_FILE
from search_spaces.errors import InputError
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.tables import now_ms


@dataclass(frozen=True)
class _Outcome:
    """The decision on an ensemble: its score by its members, theirs, and the reason."""

    is_better: bool
    reason: str
    value: float | None = None
    scores: tuple[float, ...] = ()


class Ensemble:
    """Ensemble of one study's winner.

    Args:
        study: the study.
        jobs: its retrainings.
        divide_data: prepares the study's data in another division, unless that is done.
        winner: the trial.
    """

    def __init__(
        self,
        study: OpenStudy,
        jobs: RetrainingJobs,
        divide_data: Callable[[Division], None],
        winner: TrialSummary,
    ) -> None:
        self._context = study.context
        self._engine = study.engine
        self._recorder = study.recorder
        self._keep_alive = study.control.keep_alive_unless_halted
        self._retrainings = Retrainings(study.store)
        self._jobs = jobs
        self._divide_data = divide_data
        self._winner = winner
        self._count = count_members(study.context.spec)
        self._folds = self._count - 1 if can_fold(study.context.spec) else None

    def run(self) -> Iterator[StudyEvent]:
        """Train the members, and keep their mean where it is at least as good; the decision is stored.

        Raises:
            OSError: if the disk is full.
        """
        if self._is_decided():
            self._remove_members()  # a kill may have left them
            return
        stored = self._list_stored().get(ENSEMBLE)
        if stored is not None and stored.state == "complete":
            self._recorder.record_retraining_displaced(self._winner.number, ENSEMBLE)
        # First: no ensemble of other members may be taken for this one.
        discard_model(self._locate(ENSEMBLE))
        started_ms, started = now_ms(), time.monotonic()
        try:
            outcome = yield from self._build()
        except (JobError, InputError) as error:
            if isinstance(error, JobError) and error.kind == "disk":
                raise OSError(errno.ENOSPC, error.reason) from None
            outcome = _Outcome(False, f"it could not be built: {error}")
        decision = self._make_row(outcome, started_ms, time.monotonic() - started)
        self._record(decision)
        self._remove_members()
        yield EnsembleDecided(self._winner.number, decision.state == "complete", decision.reason)

    def _is_decided(self) -> bool:
        row = self._list_stored().get(ENSEMBLE)
        # Without scores it was not compared: a further run tries again.
        return row is not None and len(row.parts) == self._count and bool(row.scores)

    def _build(self) -> Generator[StudyEvent, None, _Outcome]:
        """Train the members and average them.

        Raises:
            InputError: if the data cannot be divided, or a member has failed.
            JobError: if the data cannot be prepared, or the models cannot be averaged.
        """
        members = yield from (self._train_seeds() if self._folds is None else self._train_folds(self._folds))
        if self._folds is not None:
            stored = self._list_stored()[f"folds-{self._folds}"]
            if len(stored.scores) < 2:
                raise InputError(f"{stored.name} has no {self._context.objective.metric} for its folds")
            folds = FoldScores(self._context.objective, self._winner.value or 0.0, stored.scores)
            mean = statistics.fmean(stored.scores)
            if (outlier := folds.outlier) is not None:
                reason = f"a fold has {self._context.objective.metric} {outlier:.5g}; {folds.describe()}"
                return _Outcome(False, reason, mean, stored.scores)
            ours, own, metric = self._average(members)
            if not self._context.objective.is_better(ours, own):
                reason = f"val_{metric} is {ours:.5g} on the validation rows, and the trial's own model has {own:.5g}"
                return _Outcome(False, reason, mean, stored.scores)
            return _Outcome(True, folds.describe(), mean, stored.scores)
        ours, own, metric = self._average(members)
        is_better = self._context.objective.is_better(ours, own)
        reason = f"val_{metric} is {ours:.5g} on the validation rows, and the trial's own model has {own:.5g}"
        return _Outcome(is_better, reason, ours, (ours, own))

    def _train_folds(self, folds: int) -> Generator[StudyEvent, None, list[PastTrial]]:
        """Train the winner on each fold, unless its ranking did, and return the models."""
        name, division = f"folds-{folds}", Division(folds)
        folder = self._locate(name)
        self._divide_data(division)
        data = self._context.home.locate_retraining_data(self._context.name, division.name)
        stored = self._list_stored().get(name)
        if stored is None or stored.state == "failed" or len(list_fold_models(folder, data)) < folds:
            yield EnsembleTraining(self._winner.number, folds, "folds of the training and validation rows")
            yield from self._jobs.run([self._jobs.make_job(self._winner, name, division)])
        self._check(name)
        return list_fold_models(folder, data)

    def _train_seeds(self) -> Generator[StudyEvent, None, list[PastTrial]]:
        names = list_member_names(self._count)
        stored = self._list_stored()
        due = [name for name in names if name not in stored or not (self._locate(name) / MODEL_FILE).exists()]
        if due:
            yield EnsembleTraining(self._winner.number, len(due), "trainings with other seeds")
            yield from self._jobs.run([self._jobs.make_job(self._winner, name) for name in due])
        for name in names:
            self._check(name)
        data = str(self._context.home.locate_data(self._context.name))
        return [PastTrial(str(self._locate(name)), data) for name in names]

    def _check(self, name: str) -> None:
        if (stored := self._list_stored()[name]).state == "failed":
            raise InputError(f"{name} failed: {stored.reason}")

    def _average(self, members: list[PastTrial]) -> tuple[float, float, str]:
        """Save the mean of the trial's model and the members, if it is better on the validation rows."""
        own = locate_trial(self._context.home, self._context.name, self._winner.number)
        folder = self._locate(ENSEMBLE)
        job = Job("ensemble", BUILD_ENSEMBLE, EnsembleJob((own, *members), 0, str(folder)), folder / "worker.log")
        return run_job(self._engine, job, self._keep_alive)

    def _make_row(self, outcome: _Outcome, started_ms: int, seconds: float) -> Retraining:
        return Retraining(
            study=self._context.name,
            number=self._winner.number,
            name=ENSEMBLE,
            # Nothing is drawn.
            seed=0,
            state="complete" if outcome.is_better else "failed",
            value=outcome.value,
            scores=outcome.scores,
            metrics={} if outcome.value is None else {self._context.objective.metric: outcome.value},
            epochs=None,
            seconds=seconds,
            started_ms=started_ms,
            ended_ms=now_ms(),
            reason=outcome.reason,
            parts=(self._winner.number,) * self._count,
        )

    def _record(self, decision: Retraining) -> None:
        """Store the decision; an ensemble that is delivered has a run with its model, as a refit has."""
        context = self._context
        if not (decision.state == "complete" and is_ensembled(context.study, context.home, decision.number)):
            self._recorder.record_decision(decision)
            return
        self._recorder.record_retraining_start(decision.number, ENSEMBLE, self._winner.params)
        self._recorder.record_retraining_end(decision, [], keeps_model=True)

    def _remove_members(self) -> None:
        """Remove the members' models, which the ensemble holds, and the rows of its folds."""
        context = self._context
        for trial in context.home.locate_study(context.name).glob("retrainings/*"):
            for name in list_member_names(self._count):
                discard_model(trial / name)
            for members in trial.glob("folds-*/members"):
                shutil.rmtree(members, ignore_errors=True)

    def _list_stored(self) -> dict[str, Retraining]:
        stored = self._retrainings.list(self._context.name)
        return {each.name: each for each in stored if each.number == self._winner.number}

    def _locate(self, retraining: str) -> Path:
        return self._context.home.locate_retraining(self._context.name, self._winner.number, retraining)
