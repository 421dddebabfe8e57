"""The search of a study: it fills idle workers with trials until the budget is used up or the study is halted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.engines.base import Event, Failed, Finished, Job, Reported, Requested
from pipelines.export.jobs import TRAIN_AND_MEASURE
from pipelines.search.gp.settings import load_model
from pipelines.search.pruners import choose_pruner
from pipelines.search.sampler_choice import choose_sampler
from pipelines.search.starting_points import choose_starting_points
from pipelines.search.trial_summaries import count_by_state, list_best_so_far
from pipelines.study.model_hyperparameters import read_notes
from pipelines.supervisor.events import Noted, SearchStarted, StudyEvent, TrialBegan, TrialPaused, TrialTriedAgain
from pipelines.supervisor.fleet_jobs import FleetJobs
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.sparkline import sample_curve
from pipelines.supervisor.trial_supply import TrialSupply
from pipelines.supervisor.work_aside import WorkAside
from pipelines.training.jobs import TRAIN_TRIAL
from pipelines.training.messages import EpochDone, RungReached, TrialOutcome
from pipelines.training.trial_folder import ARTIFACTS
from pipelines.workspace.atomic_files import write_text
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value

# The lease is renewed and requests are read between two ticks.
_TICK_S = 0.5
_PLAN_FILE = "fleet_plan.json"
_MOST_CURVE = 200  # of earlier scores: more than a terminal has columns
_PARTS = (
    "workers have no GPU, so resources.devices divides the CPU into {devices}: a trial does the same as on GPUs, and "
    "takes longer than on one device; resources.gpus gives workers GPUs"
)
_STOPPING = (
    "kerastudy stop was requested before: no further trial starts, and those under way may finish; run the study again "
    "after its end for more"
)
_BY_COST = (
    "; gp proposes what improves most for its seconds of training, since budget.time is expected to end the search"
)
_FALLBACK = (
    "trials of this model cannot be paused, since its own training keeps its state to itself: those worse than the "
    "median end instead; search.pruner changes that"
)


class SearchLoop:
    """The loop that starts trials and handles the events of their jobs.

    Args:
        study: the study.
        load: see `Supervisor`.

    Attributes:
        planner: the trials' fleets and their programs.
        aside: work beside its trials, which may go on after it.
    """

    def __init__(self, study: OpenStudy, load: Callable[[], None] = lambda: None) -> None:
        self._study = study
        self._context = study.context
        self._engine = study.engine
        self._control = study.control
        self._search = study.search
        self._trials = study.trials
        trials, time_s = _read_plan(study)
        self.planner = FleetPlanner(
            study.context.study,
            study.context.summary,
            trials=trials,
            time_s=time_s,
            workers=study.engine.workers,
            memory_bytes=study.memory_bytes,
            gpu_bytes=study.engine.layout.gpu_bytes,
            learns=choose_sampler(study.context).learns,
        )
        self._has_gp = choose_sampler(self._context).has_gp
        self._weighs_costs = (
            self.planner.ends_by_time
            and self._has_gp
            # Its estimate is of the greatest improvement, whatever it costs.
            and self._context.spec.budget.improvement is None
        )
        if self._weighs_costs:
            study.search.weigh_costs(self.planner.estimate_training_s)
        self._supply = TrialSupply(study, self.planner)
        self._fleets = FleetJobs(study, self.planner, self._supply.draw)
        self._has_noted_fallback = False
        self.aside = WorkAside(study, load, trains_in_fleets=not self.planner.ineligible_reason)

    def describe_start(self) -> SearchStarted:
        """Return the event that opens the search."""
        best, left_s = self._trials.best, self._context.spec.budget.time
        ended = [trial for trial in self._search.trials if trial.has_ended]
        return SearchStarted(
            study=self._context.name,
            data=self._context.summary,
            objective=self._context.objective,
            budget=self._context.most_trials,
            done=self._study.ended_trials,
            best=best.value if best else None,
            best_trial=best.number if best else None,
            workers=self._engine.workers,
            trained=self.planner.describe(),
            notes=read_notes(self._context.home.locate_study(self._context.name)),
            combinations=self._context.combinations.describe(self._context.study),
            sampling=choose_sampler(self._context).describe() + (_BY_COST if self._weighs_costs else ""),
            pruning=choose_pruner(self._context).reason,
            starting=choose_starting_points(self._context).describe(),
            paused=tuple(trial.number for trial in self._search.trials if trial.state == "paused"),
            layout=self._engine.layout.text,
            states=count_by_state(ended),
            curve=tuple(sample_curve(list_best_so_far(ended, self._context.objective), _MOST_CURVE)),
            left_s=None if left_s is None else left_s - self._control.compute_elapsed_s(),
        )

    def run(self) -> Iterator[StudyEvent]:
        """Train trials until there is a reason to stop; those that an earlier run left come first."""
        resources = self._context.spec.resources
        has_gpus = resources.gpus if resources.engine == "ray" else self._engine.layout.gpu_bytes
        if resources.devices not in (1, "all") and not has_gpus:
            yield Noted(_PARTS.format(devices=resources.devices))
        if self._control.is_stop_requested:
            yield Noted(_STOPPING)
        self._supply.load()
        while not self._control.is_halted:
            self._control.keep_alive()
            yield from self._fill_workers()
            if self._control.is_halted:  # nothing ends but a search that is over: paused trials stay paused
                break
            if self._trials and self._has_gp:  # after the first draws, which do without it
                load_model()
            self.aside.begin_due()  # after the first trials, which must not wait for it
            if not (self._trials or len(self._fleets)):
                yield from self._supply.end_paused()
                return
            yield from self._handle_events()
            self._trials.flush_epochs()
        self._study.stop_jobs()
        if self._control.halt == "cancel":
            yield from self._cancel_trials()

    def _cancel_trials(self) -> Iterator[StudyEvent]:
        for trial in self._search.trials:
            if not trial.has_ended:
                yield self._trials.cancel(trial.number, trial.params)

    # Starting trials -------------------------------------------------------------------------------------------

    def _fill_workers(self) -> Iterator[StudyEvent]:
        """Give every idle worker a trial or a fleet, drawing trials while none waits."""
        while self._engine.idle and not self._control.is_halted:
            # First: for these a fleet takes no further trials (`FleetPlanner.should_end`).
            if (single := self.planner.pop_single()) is not None:
                (number, values), reason = single
                yield from self._start(number, values, reason)
            # A further fleet would compile its program for too few trials.
            elif self.planner.has_enough(len(self._fleets)):
                return
            elif (group := self.planner.choose_fleet()) is not None:
                self._fleets.start(*group)
            else:
                ended = self._supply.draw()
                if ended is None:
                    return
                yield from ended

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
            backend=payload.backend,
            devices=payload.cpu_devices,
            data=Path(payload.data),
        )
        measured = tuple(goal for goal in self._context.objective.goals if goal.format)
        if measured:  # converters leave traces in their process, so such a trial gets a fresh one
            job = replace(job, function=TRAIN_AND_MEASURE, payload=(payload, measured), fresh=True)
        self._engine.submit(job)
        yield TrialBegan(number, values, self._trials.get_resumed_after(number))

    # Handling events -------------------------------------------------------------------------------------------

    def _handle_events(self) -> Iterator[StudyEvent]:
        has_paused = False
        for event in self._engine.events(_TICK_S):
            for done in self._handle(event):
                has_paused = has_paused or isinstance(done, TrialPaused)
                yield done
        if has_paused:
            yield from self._supply.end_hopeless()

    def _handle(self, event: Event) -> Iterator[StudyEvent]:
        # A full disk ends the work of all trials, and costs none of them an attempt.
        if isinstance(event, Failed) and event.kind == "disk":
            self._control.outage = event.reason
        elif self.aside.is_of(event):
            yield from self.aside.handle(event)
        elif event.job in self._fleets:
            yield from self._fleets.handle(event)
        elif (number := _parse_number(event.job)) in self._trials:
            yield from self._handle_trial(number, event)

    def _handle_trial(self, number: int, event: Event) -> Iterator[StudyEvent]:
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            yield self._trials.record_epoch(number, event.message)
        elif isinstance(event, Requested) and isinstance(event.message, RungReached):
            reached = event.message
            if self._search.pauses_trials and not (reached.can_pause or self._has_noted_fallback):
                self._has_noted_fallback = True
                yield Noted(_FALLBACK)
            decision = self._search.decide_at_rung(number, reached.epoch, reached.best, can_pause=reached.can_pause)
            self._engine.answer(event.job, decision)
        elif isinstance(event, Requested) and isinstance(event.message, HyperparameterRequest):
            self._engine.answer(event.job, self._trials.suggest_value(number, event.message))
            yield from self._supply.estimate_improvement()
        elif isinstance(event, Finished):
            if event.result.kind == "fatal":
                self._control.fatal = f"trial {number} ended the search: {event.result.reason}"
            yield self._trials.complete(number, event.result)
        elif isinstance(event, Failed):
            ended = self._trials.handle_worker_failure(number, event)
            yield ended
            if isinstance(ended, TrialTriedAgain):
                self.planner.add_again(number, ended.params, ended.reason)


def _read_plan(study: OpenStudy) -> tuple[int, float | None]:
    """Return the trials that fleets are planned for, and the seconds for them; of those to come, or of an older plan.

    A checkpoint is of one program, and programs depend on both. So a study that was interrupted keeps its plan, and its
    trials train as they would have; with another budget, only where trials of fleets are paused.
    """
    budget = {"budget": study.context.most_trials, "time_s": study.context.spec.budget.time}
    file = study.context.home.locate_study(study.context.name) / _PLAN_FILE
    if file.exists():
        plan = json.loads(file.read_text(encoding="utf-8"))
        has_paused = any(trial.state == "paused" and trial.trainer == "fleet" for trial in study.search.trials)
        if has_paused or {key: plan.get(key) for key in budget} == budget:
            return int(plan["trials"]), plan.get("time_s")
    planned = study.context.most_trials - study.ended_trials
    write_text(file, json.dumps({"trials": planned, **budget}) + "\n")
    return planned, study.context.spec.budget.time


def _name_job(number: int) -> str:
    return f"trial-{number}"


def _parse_number(job: str) -> int:
    return int(job.removeprefix("trial-")) if job.startswith("trial-") else -1
