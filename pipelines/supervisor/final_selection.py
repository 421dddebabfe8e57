"""Selection of a study's winner: finalists retrained, the winner refitted or averaged with further trainings.

Each retraining is stored when it ends, so that a pause or a crash loses only those that run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipelines.data.splits.division import Division
from pipelines.engines.base import Event
from pipelines.search.trial_summaries import TrialSummary, rank_trials
from pipelines.selection.auto_finalists import find_auto_finalists, is_apart
from pipelines.selection.ensemble import explain_ensemble
from pipelines.selection.finalists import (
    AUTO,
    ENSEMBLE,
    REFIT,
    Finalist,
    count_folds,
    explain_finalists,
    list_retrainings,
    rank_finalists,
)
from pipelines.selection.model_locations import find_ensemble, is_ensembled, is_refitted
from pipelines.selection.refit import explain_refit
from pipelines.selection.score_noise import count_validation_rows
from pipelines.study.check_listener import CheckListener
from pipelines.study.prepared_data import prepare_study_data
from pipelines.supervisor.ensemble import Ensemble
from pipelines.supervisor.events import FinalistsChosen, Noted, StudyEvent
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.refit import Refit
from pipelines.supervisor.retraining_jobs import RetrainingJobs
from pipelines.supervisor.study_control import StudyControl
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.tables import now_ms
from tracking.testing.failpoints import hit

_NO_REFIT = "no refit is made, since the ensemble is delivered; without selection.ensemble one is made and compared"


class FinalSelection:
    """Selection of one study's winner, run by its supervisor when no trial runs.

    Args:
        study: the study.
        planner: the programs of trials that train in fleets; None where each trains alone.
        bystander: receives the events of other jobs, unless it `prepares_data`.

    Attributes:
        winner: the trial that won; the best one until it is chosen; None where no trial could win.
        finalists: the candidates by their means, the winner first; empty where nothing was retrained.
    """

    def __init__(
        self,
        study: OpenStudy,
        planner: FleetPlanner | None = None,
        bystander: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._study = study
        self._context = study.context
        self._engine = study.engine
        self._recorder = study.recorder
        self._keep_alive = study.control.keep_alive_unless_halted
        self._retrainings = Retrainings(study.store)
        self._jobs = RetrainingJobs(study, planner, bystander)
        self._best = rank_trials(study.search.trials, study.context.objective)
        self.winner: TrialSummary | None = next(iter(self._best), None)
        self.finalists: tuple[Finalist, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Retrainings that failed, with the reasons."""
        return self._jobs.notes

    @property
    def winning_retraining(self) -> str:
        """Retraining of the winner whose model wins; empty where the trial's own model does."""
        winner, context = self.winner, self._context
        if winner and is_ensembled(context.study, context.home, winner.number):
            return ENSEMBLE
        return REFIT if winner and is_refitted(context.study, context.home, winner.number) else ""

    @property
    def refit_reason(self) -> str:
        """Why the winner's refit is delivered, or is not; empty where none was compared, or none is requested."""
        if self.winner is None or not self._context.spec.selection.refit:
            return ""
        return explain_refit(self._list_stored(), self.winner.number, is_refitted=self.winning_retraining == REFIT)

    @property
    def finalists_reason(self) -> str:
        """What `selection: auto` decided, and why; empty where the study file names the finalists."""
        return explain_finalists(self._list_stored(), self._context.spec.selection)

    @property
    def ensemble(self) -> Retraining | None:
        """The winner's ensemble, where it is kept; None otherwise."""
        if self.winner is None or find_ensemble(self._context.study, self._context.home, self.winner.number) is None:
            return None
        key = (self.winner.number, ENSEMBLE)
        return next((each for each in self._list_stored() if (each.number, each.name) == key), None)

    @property
    def ensemble_reason(self) -> str:
        """Why the winner's ensemble is delivered, or is not; empty where none was built."""
        if self.winner is None or not self._context.spec.selection.ensemble:
            return ""
        is_delivered = self.winning_retraining == ENSEMBLE
        return explain_ensemble(self._list_stored(), self.winner.number, is_delivered=is_delivered)

    @property
    def prepares_data(self) -> bool:
        """Whether it divides the data again, by jobs beside which no other may run."""
        selection = self._context.spec.selection
        return bool(selection.folds or selection.ensemble or selection.refit)

    def run(self) -> Iterator[StudyEvent]:
        """Run the retrainings that the study file requests.

        Raises:
            InputError: if the data cannot be divided again.
            JobError: if the data cannot be prepared.
            OSError: if the disk is full.
        """
        selection = self._context.spec.selection
        if self.winner is None:
            return
        if selection.finalists == "auto":
            yield from self._choose_automatically()
        elif selection.finalists:
            yield from self._choose(self._best[: selection.finalists])
        if selection.ensemble:
            yield from Ensemble(self._study, self._jobs, self._divide_data, self.winner).run()
        if selection.refit and self.winning_retraining == ENSEMBLE:
            yield Noted(_NO_REFIT)
        elif selection.refit:
            epochs = self._compute_best_epochs(self.winner)
            yield from Refit(self._study, self._jobs, self._divide_data, self.winner, epochs).run()
        hit("winner-chosen")

    def _choose(self, candidates: list[TrialSummary]) -> Iterator[StudyEvent]:
        selection = self._context.spec.selection
        # By name first, so that a pause leaves all finalists with about as many scores.
        wanted = [(trial, name) for name in list_retrainings(selection) for trial in candidates]
        # One that failed is tried again by a further run.
        done = {(each.number, each.name) for each in self._list_stored() if each.state == "complete"}
        division = None if selection.folds is None else Division(selection.folds)
        missing = [(trial, name) for trial, name in wanted if (trial.number, name) not in done]
        due = [self._jobs.make_job(trial, name, division) for trial, name in missing]
        if due:
            if division is not None:
                self._divide_data(division)
            yield self._announce(candidates, missing)
            yield from self._jobs.run(due)
        self._rank()

    def _choose_automatically(self) -> Iterator[StudyEvent]:
        """Train the best trials again where their scores cannot be distinguished, until one stands apart."""
        spec, summary = self._context.spec, self._context.summary
        found = find_auto_finalists(
            self._best,
            self._study.search.trials,
            self._context.objective,
            counts=count_validation_rows(summary, self._context.objective.metric),
            rounds=spec.selection.seeds,
            kept=spec.models_kept,
        )
        names, rivals = list_retrainings(spec.selection)[: found.rounds], found.trained
        self._record_rivals(tuple(trial.number for trial in rivals), found.reason)
        self._rank()
        if self._is_decided(rivals):  # by an earlier run
            return
        done = {(each.number, each.name) for each in self._list_stored() if each.state == "complete"}
        due = [(trial, name) for name in names for trial in rivals if (trial.number, name) not in done]
        if due or (found.reason and not rivals):
            yield self._announce(found.rivals, due, found.reason)
        for name in names:
            yield from self._jobs.run([self._jobs.make_job(trial, name) for trial, each in due if each == name])
            self._rank()
            if self._is_decided(rivals):
                return

    def _is_decided(self, rivals: Sequence[TrialSummary]) -> bool:
        """Return whether the leader stands apart from all rivals, each by as many trainings.

        An earlier run may have trained some of them alone: one that was cut off, or that had other rivals.
        """
        trainings = {len(finalist.scores) for finalist in self.finalists}
        is_even = len(self.finalists) == len(rivals) and len(trainings) == 1
        return is_even and is_apart(self.finalists)

    def _announce(
        self, trials: Sequence[TrialSummary], due: Sequence[tuple[TrialSummary, str]], reason: str = ""
    ) -> FinalistsChosen:
        """Return the event of these finalists, with what their trainings take if each takes what the trial took."""
        folds, seeds = self._context.summary.folds, self._context.spec.training.seeds
        shares = [(trial, count_folds(name, folds) / (folds * seeds)) for trial, name in due]
        return FinalistsChosen(
            tuple(trial.number for trial in trials),
            len(due),
            reason,
            round(sum((trial.epochs or 0) * share for trial, share in shares)),
            sum((trial.seconds or 0.0) * share for trial, share in shares),
        )

    def _record_rivals(self, numbers: tuple[int, ...], reason: str) -> None:
        """Store the decision of `selection: auto`: later readings rank these."""
        if not reason and not any(each.name == AUTO for each in self._list_stored()):
            return
        now = now_ms()
        decision = Retraining(
            self._context.name,
            self._best[0].number,
            AUTO,
            0,
            "complete",
            None,
            (),
            {},
            None,
            0.0,
            now,
            now,
            reason=reason,
            parts=numbers,
        )
        self._recorder.record_decision(decision)

    def _rank(self) -> None:
        selection, objective = self._context.spec.selection, self._context.objective
        self.finalists = rank_finalists(self._best, self._list_stored(), selection, objective)
        if self.finalists:
            self.winner = next(trial for trial in self._best if trial.number == self.finalists[0].number)

    def _compute_best_epochs(self, winner: TrialSummary) -> int:
        """Return the best number of epochs for the winner: the mean over its retrainings, or else its own."""
        names = list_retrainings(self._context.spec.selection) if self.finalists else ()
        found = [
            each.epochs
            for each in self._list_stored()
            if each.number == winner.number and each.name in names and each.epochs is not None
        ]
        return round(sum(found) / len(found)) if found else winner.best_epoch or 1

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
            listener=_DivisionListener(self._study.control),
        )

    def _list_stored(self) -> tuple[Retraining, ...]:
        return self._retrainings.list(self._context.name)


class _DivisionListener(CheckListener):
    def __init__(self, control: StudyControl) -> None:
        self._control = control

    def keep_alive(self) -> None:
        """Keep the study's lease; a pause or a cancellation ends the preparation."""
        self._control.keep_alive_unless_halted()
