"""Selection of a study's winner: finalists retrained, the winner refitted, the finalists' models averaged.

Each retraining is stored when it ends, so that a pause or a crash loses only those that run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from pipelines.data.division import Division
from pipelines.engines.base import Job
from pipelines.engines.run_job import run_job
from pipelines.export.jobs import BUILD_ENSEMBLE, EnsembleJob
from pipelines.search.trial_summaries import TrialSummary, rank_trials
from pipelines.selection.finalists import ENSEMBLE, REFIT, Finalist, list_retrainings, rank_finalists
from pipelines.selection.model_locations import locate_trial
from pipelines.study.prepared_data import prepare_study_data
from pipelines.supervisor.events import FinalistsChosen, StudyEvent
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.retraining_jobs import RetrainingJobs
from tracking.store.database import now_ms
from tracking.store.retrainings import Retraining, Retrainings
from tracking.testing.failpoints import hit


class FinalSelection:
    """Selection of one study's winner, run by its supervisor when no trial runs.

    Args:
        study: the study.

    Attributes:
        winner: the trial that won; the best one until it is chosen; None where no trial could win.
        finalists: the candidates by their means, the winner first; empty where nothing was retrained.
        ensemble: the finalists' models averaged, where they beat the winner's.
    """

    def __init__(self, study: OpenStudy) -> None:
        self._context = study.context
        self._engine = study.engine
        self._recorder = study.recorder
        self._keep_alive = study.control.keep_alive_unless_halted
        self._retrainings = Retrainings(study.store)
        self._jobs = RetrainingJobs(study)
        self._best = rank_trials(study.search.trials, study.context.objective)
        self.winner: TrialSummary | None = next(iter(self._best), None)
        self.finalists: tuple[Finalist, ...] = ()
        self.ensemble: Retraining | None = None

    @property
    def notes(self) -> list[str]:
        """Retrainings that failed, with the reasons."""
        return self._jobs.notes

    @property
    def winning_retraining(self) -> str:
        """Retraining of the winner whose model wins; empty where the trial's own model does."""
        return REFIT if self._context.spec.selection.refit and self._find_stored(REFIT) is not None else ""

    def run(self) -> Iterator[StudyEvent]:
        """Run the retrainings that the study file requests.

        Raises:
            InputError: if the data cannot be divided again.
            JobError: if the data cannot be prepared or the ensemble cannot be built.
            OSError: if the disk is full.
        """
        selection = self._context.spec.selection
        if self.winner is None:
            return
        if selection.finalists:
            yield from self._choose(self._best[: selection.finalists])
        if selection.refit:
            yield from self._refit(self.winner)
        if selection.ensemble and len(self.finalists) > 1:
            self.ensemble = self._build_ensemble(self.winner)
        hit("winner-chosen")

    def _choose(self, candidates: list[TrialSummary]) -> Iterator[StudyEvent]:
        selection = self._context.spec.selection
        # By name first, so that a pause leaves all finalists with about as many scores.
        wanted = [(trial, name) for name in list_retrainings(selection) for trial in candidates]
        # One that failed is tried again by a further run.
        done = {(each.number, each.name) for each in self._list_stored() if each.state == "complete"}
        due = [self._jobs.make_job(trial, name) for trial, name in wanted if (trial.number, name) not in done]
        if due:
            if selection.folds is not None:
                self._divide_data(selection.folds)
            yield FinalistsChosen(tuple(trial.number for trial in candidates), len(due))
            yield from self._jobs.run(due)
        self.finalists = rank_finalists(self._best, self._list_stored(), selection, self._context.objective)
        if self.finalists:
            self.winner = next(trial for trial in candidates if trial.number == self.finalists[0].number)

    def _refit(self, winner: TrialSummary) -> Iterator[StudyEvent]:
        epochs = self._compute_best_epochs(winner)
        stored = self._find_stored(REFIT)
        # A further retraining may have changed the best number of epochs.
        if stored is not None and stored.epochs == epochs:
            return
        self._divide_data(1)
        training = self._jobs.make_job(winner, REFIT)
        data = str(self._context.home.locate_retraining_data(self._context.name, 1))
        training.job = replace(training.job, data=data, refit_epochs=epochs)
        yield from self._jobs.run([training])

    def _compute_best_epochs(self, winner: TrialSummary) -> int:
        """Return the best number of epochs for the winner: the mean over its retrainings, or else its own."""
        names = list_retrainings(self._context.spec.selection) if self.finalists else ()
        found = [
            each.epochs
            for each in self._list_stored()
            if each.number == winner.number and each.name in names and each.epochs is not None
        ]
        return round(sum(found) / len(found)) if found else winner.best_epoch or 1

    def _build_ensemble(self, winner: TrialSummary) -> Retraining | None:
        """Return the ensemble of the finalists if it beats the winner on the validation rows."""
        context, home = self._context, self._context.home
        parts = tuple(sorted(finalist.number for finalist in self.finalists))
        stored = self._find_stored(ENSEMBLE)
        if stored is None or stored.parts != parts:
            folder = home.locate_retraining(context.name, winner.number, ENSEMBLE)
            trials = tuple(locate_trial(home, context.name, number) for number in parts)
            payload = EnsembleJob(trials, parts.index(winner.number), str(folder))
            stored = self._evaluate_ensemble(Job("ensemble", BUILD_ENSEMBLE, payload, folder / "worker.log"), winner)
            self._recorder.record_ensemble(stored)
        return stored if stored.state == "complete" else None

    def _evaluate_ensemble(self, job: Job[EnsembleJob, tuple[float, float, str]], winner: TrialSummary) -> Retraining:
        started_ms, started = now_ms(), time.monotonic()
        value, winners_value, metric = run_job(self._engine, job, self._keep_alive)
        # Stored in either case, so that a further run does not build it again.
        is_better = self._context.objective.is_better(value, winners_value)
        return Retraining(
            study=self._context.name,
            number=winner.number,
            name=ENSEMBLE,
            # Nothing is drawn.
            seed=0,
            state="complete" if is_better else "failed",
            value=value,
            scores=(value, winners_value),
            metrics={f"val_{metric}": value},
            epochs=None,
            seconds=time.monotonic() - started,
            started_ms=started_ms,
            ended_ms=now_ms(),
            reason="" if is_better else f"val_{metric} {value:.6g} does not beat the winner's {winners_value:.6g}",
            parts=tuple(sorted(finalist.number for finalist in self.finalists)),
        )

    def _divide_data(self, folds: int) -> None:
        """Prepare the study's data in another division, unless that is done."""
        context, study = self._context, self._context.study
        folder = context.home.locate_retraining_data(context.name, folds)
        prepare_study_data(
            study,
            self._engine,
            folder,
            context.home.locate_study(context.name) / f"{folder.name}.log",
            expected=context.summary.digest,
            division=Division(folds),
            rows_of=context.home.locate_data(context.name),
            while_waiting=self._keep_alive,
        )

    def _list_stored(self) -> tuple[Retraining, ...]:
        return self._retrainings.list(self._context.name)

    def _find_stored(self, name: str) -> Retraining | None:
        """Return the winner's stored retraining of a name if it is complete, or its ensemble in any state."""
        if self.winner is None:
            return None
        found = (each for each in self._list_stored() if (each.number, each.name) == (self.winner.number, name))
        return next((each for each in found if each.state == "complete" or name == ENSEMBLE), None)
