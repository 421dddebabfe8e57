"""End of a study: its models written, its winner chosen and scored, its end recorded and delivered to MLflow."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipelines.baselines.results import read_baselines
from pipelines.engines.base import Job, Payload, Result
from pipelines.engines.run_job import JobError, run_job
from pipelines.recording.records import StudyOutcome
from pipelines.search.stopping import decide_outcome
from pipelines.search.trial_summaries import TrialSummary, count_by_state, count_epochs
from pipelines.selection.evaluate import list_trials_with_scores
from pipelines.selection.finalists import REFIT
from pipelines.selection.model_backend import choose_backend
from pipelines.selection.model_locations import find_winning_model, make_models_job, make_winner_job
from pipelines.supervisor.event_text import format_trial_name
from pipelines.supervisor.events import Delivering, StudyEnded, StudyEvent
from pipelines.supervisor.final_selection import FinalSelection
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.registration import check_registration
from pipelines.supervisor.study_control import HaltedError
from pipelines.supervisor.work_aside import WorkAside
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.trial_folder import (
    explain_missing_model,
    has_model,
)
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.outbox.delivery import Delivery
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import StudyState
from tracking.store.study_queue import StudyQueue
from tracking.testing.failpoints import hit
from tracking.timings.stopwatch import measure, measure_calls

# Chosen. What is not delivered then, `kerastudy sync` delivers.
_FLUSH_S = 120.0
_SHORT_FLUSH_S = 5.0
_PAUSED = "resume it to go on"


class StudyEnd:
    """The steps after a study's search.

    Args:
        study: the study.
        delivery: delivers its records to MLflow.
        started: start of the supervisor by the monotonic clock, in seconds.

    Attributes:
        is_flushing: whether the records are being flushed, so that a pause can only shorten that.
    """

    def __init__(self, study: OpenStudy, delivery: Delivery, started: float) -> None:
        self._study = study
        self._context = study.context
        self._control = study.control
        self._delivery = delivery
        self._outbox = Outbox(study.store)
        self._started = started
        self.is_flushing = False

    def run(self, aside: WorkAside, planner: FleetPlanner) -> Iterator[StudyEvent]:
        """Choose the winner, record the end, and deliver the records that wait.

        Args:
            aside: work beside the trials that may still go on.
            planner: the programs of trials that train in fleets.
        """
        selection, test, notes = FinalSelection(self._study, planner, aside.collect), dict[str, float](), ""
        try:
            if not self._control.halt:
                if selection.winner is not None:
                    aside.begin_report()
                notes = self._write_models(aside)
            if not (self._control.halt or self._control.fatal):
                if selection.prepares_data:
                    yield from aside.finish()
                notes += yield from self._choose(selection)
                notes += self._explain_missing_model(selection.winner)
                notes += self._prove_winner(selection.winner)
                notes += self._note_earlier_winners(selection.winner)
                test = dict(self._score_winner(selection.winner, aside))
                yield from aside.finish()
        except JobError as error:
            lacks = (
                "scores on the test rows" if self._context.summary.rows.get("test") else "summary of its predictions"
            )
            notes += f"; the winner has no {lacks}: {error}"
        # `_find_outcome` reads what was requested.
        except HaltedError:
            pass
        aside.remove_models()
        aside.finish_report()
        hit("winner-tested")
        state, reason = self._find_outcome()
        if state != "paused":
            self._remove_checkpoints()
        reason += notes
        self._study.recorder.record_study_end(
            StudyOutcome(
                state,
                reason,
                selection.winner,
                test,
                selection.finalists,
                selection.winning_retraining,
                selection.refit_reason,
                selection.ensemble_reason,
                selection.finalists_reason,
            )
        )
        self._control.count_time()
        yield from self._flush(state)
        yield self._describe(state, reason, test, selection)

    def pause_for_outage(self, reason: str) -> StudyEnded:
        """Pause the study, whose disk is full or whose engine is lost; all that was recorded before is complete."""
        name = self._context.name
        with suppress(Exception):  # if even that cannot be written, the next run finds an interrupted study
            StudyQueue(self._study.store).set_state(name, "paused", reason)
            self._study.recorder.record_study_end(StudyOutcome("paused", reason, self._study.trials.best))
        return self._describe("paused", reason, {})

    @measure_calls("writing models")
    def _write_models(self, aside: WorkAside) -> str:
        """Write the kept models of trials from fleets; return an addition to the study's reason if that fails.

        Models that were written before a kill are recorded too: nothing shows whether they were recorded.
        """
        recorder = self._study.recorder
        try:
            aside.move_models()
            if missing := recorder.find_missing_models():
                context = self._context
                job = make_models_job(context.home, context.name, missing)
                job = replace(job, backend=choose_backend(context.study, context.summary, job.payload))
                self._run_job(job, aside)
                hit("models-written")
        except JobError as error:
            return f"; some models could not be written: {error}"
        finally:
            recorder.record_written_models()
            hit("models-recorded")
        return ""

    def _choose(self, selection: FinalSelection) -> Generator[StudyEvent, None, str]:
        """Choose the winner; return an addition to the study's reason if that fails."""
        try:
            yield from selection.run()
        except (JobError, InputError) as error:
            return f"; the winner could not be chosen as selection asks for: {error}"
        return "".join(f"; {note}" for note in selection.notes)

    def _explain_missing_model(self, winner: TrialSummary | None) -> str:
        """Return an addition to the study's reason where its winner has a score, and no model."""
        if winner is None:
            return ""
        folder = Path(find_winning_model(self._context.study, self._context.home, winner.number).folder)
        return "" if has_model(folder) else f"; the winner has no model: {explain_missing_model(folder)}"

    @measure_calls("proving the registration")
    def _prove_winner(self, winner: TrialSummary | None) -> str:
        """Return an addition to the study's reason where MLflow cannot load the winner's model; the families load."""
        context = self._context
        if winner is None or not context.study.has_user_model:
            return ""
        trial = find_winning_model(context.study, context.home, winner.number)
        if not has_model(Path(trial.folder)):
            return ""
        reason = check_registration(trial, self._study.engine, self._control.keep_alive_unless_halted)
        return f"; the winner's model is not registered in MLflow: {reason}" if reason else ""

    def _note_earlier_winners(self, winner: TrialSummary | None) -> str:
        """Return an addition to the study's reason where the test rows have scored the model of another trial."""
        earlier = list_trials_with_scores(self._context.home, self._context.name)
        names = [format_trial_name(number) for number in earlier if winner and number != winner.number]
        if not names:
            return ""
        return f"; the test rows have scored {', '.join(names)} before: a choice between these scores uses them up"

    @measure_calls("scoring the winner")
    def _score_winner(self, winner: TrialSummary | None, aside: WorkAside) -> Mapping[str, float]:
        """Return the winner's metrics on the test rows, which have chosen nothing; sum up its predictions."""
        context, summary = self._context, self._context.summary
        if winner is None:
            return {}
        job = make_winner_job(
            context.study, context.home, winner.number, context.training, rows=summary.rows, folds=summary.folds
        )
        if not job.payload.parts:
            return {}
        backend = choose_backend(self._context.study, summary, [job.payload.trial])
        return self._run_job(replace(job, backend=backend), aside)

    def _run_job(self, job: Job[Payload, Result], aside: WorkAside) -> Result:
        return run_job(self._study.engine, job, self._control.keep_alive_unless_halted, bystander=aside.collect)

    def _remove_checkpoints(self) -> None:
        """Remove the checkpoints of retrainings that were cut off, and that the study's end did not need."""
        for folder in self._context.home.locate_study(self._context.name).glob("retrainings/*/*"):
            remove_checkpoints(folder)

    def _find_outcome(self) -> tuple[StudyState, str]:
        if self._control.halt == "cancel":
            return "cancelled", "cancelled on request"
        if self._control.halt == "pause":
            return "paused", _PAUSED
        if self._control.fatal:
            return "failed", self._control.fatal
        return decide_outcome(self._study.search.trials, self._study.trials.best, self._control.stop_reason)

    def _flush(self, state: StudyState) -> Iterator[StudyEvent]:
        yield Delivering(self._outbox.count_pending(self._context.name), self._delivery.last_error)
        self.is_flushing = True
        # A person who paused or cancelled the study should not wait for MLflow, and neither should one without MLflow.
        is_patient = state == "finished" and not self._delivery.is_away
        with measure("flushing to MLflow"):
            self._delivery.stop(_FLUSH_S if is_patient else _SHORT_FLUSH_S)

    def _describe(
        self, state: StudyState, reason: str, test: Mapping[str, float], selection: FinalSelection | None = None
    ) -> StudyEnded:
        backlog = self._outbox.read_backlog(self._context.name)
        best = selection.winner if selection else self._study.trials.best
        baselines = read_baselines(self._context.home.locate_study(self._context.name))
        return StudyEnded(
            study=self._context.name,
            state=state,
            reason=reason,
            metric=self._context.objective.metric,
            winner=best.number if best else None,
            value=best.value if best else None,
            test=test,
            trials=count_by_state(self._study.search.trials),
            seconds=self._control.clock() - self._started,
            undelivered=backlog.pending + backlog.set_aside,
            undelivered_error=backlog.last_error,
            is_requested=bool(self._control.halt),
            finalists=selection.finalists if selection else (),
            refit=bool(selection and selection.winning_retraining == REFIT),
            refit_reason=selection.refit_reason if selection else "",
            ensemble=selection.ensemble.value if selection and selection.ensemble else None,
            ensemble_reason=selection.ensemble_reason if selection else "",
            baselines=baselines,
            unbeaten=baselines.explain_unbeaten(_find_score(best, selection)) if baselines else "",
            epochs=count_epochs(self._study.search.trials),
        )


def _find_score(best: TrialSummary | None, selection: FinalSelection | None) -> float | None:
    """Return the winner's score: the mean over its retrainings, which is less biased than the one that it won by."""
    if selection and selection.finalists:
        return selection.finalists[0].mean
    return best.value if best else None


def explain_full_disk(home: Home) -> str:
    """Return why a study stops whose disk is full."""
    return f"no room is left on the disk of {home.folder}: free some and run the same file again"
