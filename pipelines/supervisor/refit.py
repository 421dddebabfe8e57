"""Refit of a study's winner: compared with the trial's own way of training, and trained where its way is better."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from pipelines.data.splits.division import Division
from pipelines.engines.run_job import JobError, run_job
from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.evaluate import make_comparison_job
from pipelines.selection.finalists import REFIT
from pipelines.selection.model_locations import discard_model, is_refitted
from pipelines.selection.refit import (
    COMPARED_TRAININGS,
    COMPARISON,
    REFIT_ROWS,
    SEEN,
    ComparedTraining,
    RefitComparison,
    make_comparison,
    read_comparison,
)
from pipelines.selection.score_noise import count_validation_rows
from pipelines.supervisor.events import RefitCompared, RefitComparing, StudyEvent
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.retraining_jobs import RetrainingJobs
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import RESULT_FILE
from search_spaces.errors import InputError
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.tables import now_ms


class Refit:
    """Refit of one study's winner.

    Args:
        study: the study.
        jobs: its retrainings.
        divide_data: prepares the study's data in another division, unless that is done.
        winner: the trial.
        epochs: number of epochs that the refit trains.
    """

    def __init__(
        self,
        study: OpenStudy,
        jobs: RetrainingJobs,
        divide_data: Callable[[Division], None],
        winner: TrialSummary,
        epochs: int,
    ) -> None:
        self._context = study.context
        self._engine = study.engine
        self._recorder = study.recorder
        self._keep_alive = study.control.keep_alive_unless_halted
        self._retrainings = Retrainings(study.store)
        self._jobs = jobs
        self._divide_data = divide_data
        self._winner = winner
        self._epochs = epochs

    def run(self) -> Iterator[StudyEvent]:
        """Compare the two ways of training, and train the refit where its way is better by more than noise.

        Raises:
            InputError: if the data cannot be divided again.
            JobError: if the data cannot be prepared.
            OSError: if the disk is full.
        """
        decision = self._list_stored().get(COMPARISON)
        # A further retraining may have changed the best number of epochs.
        if decision is None or decision.epochs != self._epochs:
            # First: no refit of other epochs may be taken for the one that is compared.
            self._discard_refit()
            decision = yield from self._decide()
        else:
            self._remove_compared()  # a kill may have left them
        if decision.state == "complete" and not self._is_trained(decision):
            yield from self._train(decision)

    def _decide(self) -> Generator[StudyEvent, None, Retraining]:
        """Compare the two ways of training, and store the decision."""
        started_ms, started = now_ms(), time.monotonic()
        found, reason = None, ""
        try:
            found = yield from self._compare()
        except (JobError, InputError) as error:
            if isinstance(error, JobError) and error.kind == "disk":
                raise OSError(errno.ENOSPC, error.reason) from None
            reason = f"it could not be compared with the trial's own model: {error}"
        metric = self._context.objective.metric
        decision = Retraining(
            study=self._context.name,
            number=self._winner.number,
            name=COMPARISON,
            # Nothing is drawn.
            seed=0,
            state="complete" if found and found.is_established else "failed",
            value=found.means[1] if found else None,
            scores=(*found.own, *found.refit) if found else (),
            metrics={f"own_{metric}": found.means[0], f"{SEEN}{metric}": found.seen} if found else {},
            # Without a comparison a further run tries again.
            epochs=self._epochs if found else None,
            seconds=time.monotonic() - started,
            started_ms=started_ms,
            ended_ms=now_ms(),
            reason=found.describe() if found else reason,
        )
        self._recorder.record_decision(decision)
        self._remove_compared()
        yield RefitCompared(self._winner.number, decision.state == "complete", decision.reason)
        return decision

    def _compare(self) -> Generator[StudyEvent, None, RefitComparison]:
        """Train both ways, and score them on the rows held out.

        Raises:
            InputError: if there are too few rows, a training failed, or the models have no score.
            JobError: if the data cannot be prepared, or the models cannot be evaluated.
        """
        for division in _list_divisions():
            self._divide_data(division)
        due = [training for training in COMPARED_TRAININGS if not self._is_done(training)]
        if due:
            yield RefitComparing(self._winner.number, len(due))
            yield from self._jobs.run(
                [
                    self._jobs.make_job(
                        self._winner, training.name, training.division, self._epochs if training.refits else None
                    )
                    for training in due
                ]
            )
        stored = self._list_stored()
        for training in COMPARED_TRAININGS:
            if (ended := stored[training.name]).state == "failed":
                raise InputError(f"{training.name} failed: {ended.reason}")
        context = self._context
        trials = [PastTrial(str(self._locate(each.name)), str(self._locate_data(each))) for each in COMPARED_TRAININGS]
        log = context.home.locate_study(context.name) / "compare-refit.log"
        job = make_comparison_job(context.study, context.training, trials, log)
        scores = run_job(self._engine, job, self._keep_alive)
        counts = count_validation_rows(context.summary, context.objective.metric)
        if (found := make_comparison(context.objective, scores, stored, counts)) is None:
            raise InputError(f"{context.objective.metric} cannot be computed on rows held out")
        return found

    def _train(self, decision: Retraining) -> Iterator[StudyEvent]:
        """Train the refit; a model with a defect counts as a failure."""
        # First: what a kill left of one was neither judged nor recorded.
        discard_model(self._locate(REFIT))
        self._divide_data(REFIT_ROWS)
        training = self._jobs.make_job(self._winner, REFIT, REFIT_ROWS, self._epochs)
        training.find_defect = read_comparison(self._context.objective, decision).find_defect
        yield from self._jobs.run([training])

    def _discard_refit(self) -> None:
        """Remove a refit that another one may take the place of, here and in MLflow."""
        stored = self._list_stored().get(REFIT)
        if stored is not None and stored.state == "complete":
            self._recorder.record_retraining_displaced(self._winner.number, REFIT)
        discard_model(self._locate(REFIT))

    def _is_trained(self, decision: Retraining) -> bool:
        """Return whether a refit was recorded since it was decided on, and its model is there."""
        stored = self._list_stored().get(REFIT)
        is_recorded = stored is not None and stored.state == "complete" and stored.ended_ms >= decision.ended_ms
        return is_recorded and is_refitted(self._context.study, self._context.home, self._winner.number)

    def _is_done(self, training: ComparedTraining) -> bool:
        """Return whether a compared training has ended in an earlier run, and its model is there to be scored."""
        stored = self._list_stored().get(training.name)
        if stored is None or stored.state == "failed" or not (self._locate(training.name) / RESULT_FILE).exists():
            return False
        return not training.refits or stored.epochs == self._epochs

    def _remove_compared(self) -> None:
        """Remove the models and the rows of a comparison, which would take up the space of several studies."""
        for training in COMPARED_TRAININGS:
            discard_model(self._locate(training.name))
        for division in _list_divisions():
            folder = self._context.home.locate_retraining_data(self._context.name, division.name)
            shutil.rmtree(folder, ignore_errors=True)

    def _list_stored(self) -> dict[str, Retraining]:
        stored = self._retrainings.list(self._context.name)
        return {each.name: each for each in stored if each.number == self._winner.number}

    def _locate(self, retraining: str) -> Path:
        return self._context.home.locate_retraining(self._context.name, self._winner.number, retraining)

    def _locate_data(self, training: ComparedTraining) -> Path:
        return self._context.home.locate_retraining_data(self._context.name, training.division.name)


def _list_divisions() -> tuple[Division, ...]:
    return tuple(dict.fromkeys(training.division for training in COMPARED_TRAININGS))
