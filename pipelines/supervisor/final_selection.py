"""Selection of a study's winner: finalists retrained, the winner refitted, the finalists' models averaged.

Each retraining is stored when it ends, so that a pause or a crash loses only those that run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from pipelines.data.splits.division import Division
from pipelines.engines.base import Job
from pipelines.engines.run_job import run_job
from pipelines.export.jobs import BUILD_ENSEMBLE, EnsembleJob
from pipelines.search.trial_summaries import TrialSummary, rank_trials
from pipelines.selection.finalists import ENSEMBLE, REFIT, Finalist, list_retrainings, rank_finalists
from pipelines.selection.model_locations import is_refitted, locate_trial
from pipelines.selection.refit import explain_refit
from pipelines.study.prepared_data import prepare_study_data
from pipelines.supervisor.events import FinalistsChosen, StudyEvent
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.refit import Refit
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
        self._study = study
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
        winner, context = self.winner, self._context
        return REFIT if winner and is_refitted(context.study, context.home, winner.number) else ""

    @property
    def refit_reason(self) -> str:
        """Why the winner's refit is delivered, or is not; empty where none was compared."""
        if self.winner is None:
            return ""
        return explain_refit(self._list_stored(), self.winner.number, is_refitted=bool(self.winning_retraining))

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
            epochs = self._compute_best_epochs(self.winner)
            yield from Refit(self._study, self._jobs, self._divide_data, self.winner, epochs).run()
        if selection.ensemble and len(self.finalists) > 1:
            self.ensemble = self._build_ensemble(self.winner)
        hit("winner-chosen")

    def _choose(self, candidates: list[TrialSummary]) -> Iterator[StudyEvent]:
        selection = self._context.spec.selection
        # By name first, so that a pause leaves all finalists with about as many scores.
        wanted = [(trial, name) for name in list_retrainings(selection) for trial in candidates]
        # One that failed is tried again by a further run.
        done = {(each.number, each.name) for each in self._list_stored() if each.state == "complete"}
        division = None if selection.folds is None else Division(selection.folds)
        due = [self._jobs.make_job(trial, name, division) for trial, name in wanted if (trial.number, name) not in done]
        if due:
            if division is not None:
                self._divide_data(division)
            yield FinalistsChosen(tuple(trial.number for trial in candidates), len(due))
            yield from self._jobs.run(due)
        self.finalists = rank_finalists(self._best, self._list_stored(), selection, self._context.objective)
        if self.finalists:
            self.winner = next(trial for trial in candidates if trial.number == self.finalists[0].number)

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
        stored = self._find_ensemble()
        if stored is None or stored.parts != parts:
            folder = home.locate_retraining(context.name, winner.number, ENSEMBLE)
            trials = tuple(locate_trial(home, context.name, number) for number in parts)
            payload = EnsembleJob(trials, parts.index(winner.number), str(folder))
            stored = self._evaluate_ensemble(Job("ensemble", BUILD_ENSEMBLE, payload, folder / "worker.log"), winner)
            self._recorder.record_decision(stored)
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

    def _divide_data(self, division: Division) -> None:
        """Prepare the study's data in another division, unless that is done."""
        context, study = self._context, self._context.study
        folder = context.home.locate_retraining_data(context.name, division.name)
        prepare_study_data(
            study,
            self._engine,
            folder,
            context.home.locate_study(context.name) / f"{folder.name}.log",
            expected=context.summary.digest,
            division=division,
            rows_of=context.home.locate_data(context.name),
            while_waiting=self._keep_alive,
        )

    def _list_stored(self) -> tuple[Retraining, ...]:
        return self._retrainings.list(self._context.name)

    def _find_ensemble(self) -> Retraining | None:
        number = self.winner.number if self.winner else None
        return next((each for each in self._list_stored() if (each.number, each.name) == (number, ENSEMBLE)), None)
