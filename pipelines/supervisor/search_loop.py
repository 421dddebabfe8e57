"""The search of a study: it fills idle workers with trials until the budget is used up or the study is halted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.engines.base import Event, Failed, Finished, Job, Reported, Requested
from pipelines.export.jobs import TRAIN_AND_MEASURE
from pipelines.search.stopping import find_stop_reason
from pipelines.study.model_hyperparameters import read_notes
from pipelines.supervisor.baselines_job import BaselinesRun
from pipelines.supervisor.events import SearchStarted, StudyEvent, TrialBegan, TrialTriedAgain
from pipelines.supervisor.fleet_jobs import FleetJobs
from pipelines.supervisor.fleet_planner import FleetPlanner, Trial
from pipelines.supervisor.open_study import OpenStudy
from pipelines.training.jobs import TRAIN_TRIAL
from pipelines.training.messages import EpochDone, RungReached, TrialOutcome
from pipelines.training.trial_folder import ARTIFACTS
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.suggest import ConstraintViolation
from search_spaces.values import Value

# The lease is renewed and requests are read between two ticks.
_TICK_S = 0.5


class SearchLoop:
    """The loop that starts trials and handles the events of their jobs.

    Args:
        study: the study.
    """

    def __init__(self, study: OpenStudy) -> None:
        self._study = study
        self._context = study.context
        self._engine = study.engine
        self._control = study.control
        self._search = study.search
        self._trials = study.trials
        self._interrupted: list[Trial] = []
        self._planner = FleetPlanner(
            study.context.study,
            study.context.summary,
            trials=study.context.most_trials - study.ended_trials,
            workers=study.engine.workers,
            memory_bytes=study.memory_bytes,
        )
        self._fleets = FleetJobs(study, self._planner, self._draw)
        self._baselines = BaselinesRun(study)

    def describe_start(self) -> SearchStarted:
        """Return the event that opens the search."""
        best = self._trials.best
        return SearchStarted(
            study=self._context.name,
            data=self._context.summary,
            objective=self._context.objective,
            budget=self._context.most_trials,
            done=self._study.ended_trials,
            best=best.value if best else None,
            workers=self._engine.workers,
            trained=self._planner.describe(),
            notes=read_notes(self._context.home.locate_study(self._context.name)),
            combinations=self._context.combinations.describe(self._context.study),
        )

    def run(self) -> Iterator[StudyEvent]:
        """Train trials until there is a reason to stop; those that an earlier run left come first."""
        self._interrupted = list(self._search.resume_interrupted())
        while not self._control.is_halted:
            self._control.keep_alive()
            yield from self._fill_workers()
            self._baselines.start_once()  # after the first trials, which must not wait for it
            if not (self._trials or len(self._fleets) or self._baselines.is_running):
                return
            for event in self._engine.events(_TICK_S):
                yield from self._handle(event)
            self._trials.flush_epochs()
        self._study.stop_jobs()
        if self._control.halt == "cancel":
            yield from self._cancel_trials()

    def _cancel_trials(self) -> Iterator[StudyEvent]:
        for trial in self._search.trials:
            if trial.state == "running":
                yield self._trials.cancel(trial.number, trial.params)

    # Starting trials -------------------------------------------------------------------------------------------

    def _fill_workers(self) -> Iterator[StudyEvent]:
        """Give every idle worker a trial or a fleet, drawing trials while none waits."""
        while self._engine.idle and not self._control.is_halted:
            # First: for these a fleet takes no further trials (`FleetPlanner.should_end`).
            if (single := self._planner.pop_single()) is not None:
                (number, values), reason = single
                yield from self._start(number, values, reason)
            # A further fleet would compile its program for too few trials.
            elif self._planner.has_enough(len(self._fleets)):
                return
            elif (group := self._planner.choose_fleet()) is not None:
                self._fleets.start(*group)
            else:
                ended = self._draw()
                if ended is None:
                    return
                yield from ended

    def _draw(self) -> list[StudyEvent] | None:
        """Add the next trial to those that wait for a worker or a slot; None where there is no further one.

        Returns the end of a trial that had ended before a crash, as an event; otherwise no event.
        """
        if self._control.is_halted:
            return None
        if self._interrupted:
            number, values = self._interrupted.pop(0)
            if (ended := self._trials.recover(number, values)) is not None:
                return [ended]
        else:
            drawn = self._request_trial()
            if drawn is None:
                return None
            number, values = drawn
            # Files under the number of a new trial can only come from another store.
            shutil.rmtree(self._context.home.locate_trial(self._context.name, number), ignore_errors=True)
        self._planner.add(number, values)
        return []

    def _request_trial(self) -> Trial | None:
        control = self._control
        control.stop_reason = control.stop_reason or find_stop_reason(
            self._context.spec.budget,
            self._context.objective,
            self._search.trials,
            self._trials.best,
            control.compute_elapsed_s(),
        )
        if control.stop_reason:
            return None
        try:
            drawn = self._search.ask()
        except ConstraintViolation as violation:
            control.stop_reason = f"no further point keeps the constraints: {violation}"
            return None
        if drawn is None and self._search.is_exhausted:
            what = "the grid" if self._context.spec.search.sampler == "grid" else "the space"
            control.stop_reason = f"every combination of {what} was tried"
        return drawn

    def _start(self, number: int, values: Mapping[str, Value], reason: str) -> Iterator[StudyEvent]:
        """Start a trial in a worker of its own; its run's tag has the reason why it trains in no fleet."""
        payload = self._trials.start(number, values, {"kerastudy.why_alone": reason})
        job: Job[Any, TrialOutcome] = Job(
            _name_job(number),
            TRAIN_TRIAL,
            payload,
            Path(payload.folder) / ARTIFACTS / "worker.log",
            time_s=self._trials.compute_left_s(number),
            stall_s=self._context.spec.limits.stall,
            memory_bytes=self._study.memory_bytes,
        )
        measured = tuple(goal for goal in self._context.objective.goals if goal.format)
        if measured:  # converters leave traces in their process, so such a trial gets a fresh one
            job = replace(job, function=TRAIN_AND_MEASURE, payload=(payload, measured), fresh=True)
        self._engine.submit(job)
        yield TrialBegan(number, values)

    # Handling events -------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> Iterator[StudyEvent]:
        # A full disk ends the work of all trials, and costs none of them an attempt.
        if isinstance(event, Failed) and event.kind == "disk":
            self._control.full_disk = event.reason
        elif self._baselines.is_of(event):
            yield from self._baselines.handle(event)
        elif event.job in self._fleets:
            yield from self._fleets.handle(event)
        elif (number := _parse_number(event.job)) in self._trials:
            yield from self._handle_trial(number, event)

    def _handle_trial(self, number: int, event: Event) -> Iterator[StudyEvent]:
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            yield self._trials.record_epoch(number, event.message)
        elif isinstance(event, Requested) and isinstance(event.message, RungReached):
            reached = event.message
            decision = self._search.decide_at_rung(number, reached.epoch, reached.best, can_pause=reached.can_pause)
            self._engine.answer(event.job, decision)
        elif isinstance(event, Requested) and isinstance(event.message, HyperparameterRequest):
            self._engine.answer(event.job, self._trials.suggest_value(number, event.message))
        elif isinstance(event, Finished):
            if event.result.kind == "fatal":
                self._control.fatal = f"trial {number} ended the search: {event.result.reason}"
            yield self._trials.complete(number, event.result)
        elif isinstance(event, Failed):
            ended = self._trials.handle_worker_failure(number, event)
            yield ended
            if isinstance(ended, TrialTriedAgain):
                self._planner.add_again(number, ended.params, ended.reason)


def _name_job(number: int) -> str:
    return f"trial-{number}"


def _parse_number(job: str) -> int:
    return int(job.removeprefix("trial-")) if job.startswith("trial-") else -1
