"""The running trials of a study: their start, their epochs and their end.

Every end is recorded in one order, so that a kill in between leaves no doubt: the worker's files, then the rows for
MLflow, then Optuna. An attempt that only cost its worker is recorded, and the trial continues in another worker.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median, median_low
from typing import Literal

from pipelines.engines.attempts import WORKER_LOST, RetryPolicy
from pipelines.engines.base import Failed
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch
from pipelines.search.trial_summaries import Attempt, TrialSummary, find_best
from pipelines.study.context import StudyContext
from pipelines.study.objective import Goal
from pipelines.supervisor.events import EpochEnded, TrialEnded, TrialPaused, TrialTriedAgain
from pipelines.supervisor.trial_jobs import make_trial_job
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.messages import EpochDone, TrialJob, TrialOutcome, TrialResult
from pipelines.training.trial_folder import (
    ARTIFACTS,
    read_epochs,
    read_pause,
    read_result,
    remove_pause,
    write_result,
)
from pipelines.workspace.atomic_files import write_text
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value
from tracking.outbox.records import TrialState
from tracking.testing.failpoints import hit
from tracking.timings.stopwatch import measure_calls

_FAILURE_FILE = "failure.json"
_TIMED_TRIALS = 20  # chosen: the last ones, from which an epoch's length is known


@dataclass
class RunningTrial:
    """A trial in a worker.

    Attributes:
        values: hyperparameters that it was started with.
        started: when it was started, by the supervisor's clock.
        params: these, and those that its user model has requested since.
        unsent: epochs that are not recorded for MLflow yet.
        recorded_epochs: epochs of its first training that were recorded before it was paused.
        recorded_params: number of its parameters that were recorded since it started.
        retraining: always empty: it is no retraining.
    """

    number: int
    values: Mapping[str, Value]
    params: Mapping[str, Value]
    started: float
    unsent: list[EpochDone] = field(default_factory=list)
    recorded_params: int = 0
    recorded_epochs: int = 0
    retraining: str = ""


@dataclass(frozen=True)
class _Failure:
    """Failure of a trial, stored in its folder until Optuna has it."""

    reason: str
    seconds: float


class RunningTrials:
    """The running trials of one study.

    Args:
        context: the study.
        search: the study in Optuna.
        recorder: writes the rows for MLflow.
        clock: see `Supervisor`.

    Attributes:
        best: the best trial of the study so far.
    """

    def __init__(
        self,
        context: StudyContext,
        search: OptunaSearch,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._objective = context.objective
        self._limits = context.spec.limits
        self._search = search
        self._recorder = recorder
        self._clock = clock
        self._running: dict[int, RunningTrial] = {}
        self.best = find_best(search.trials, context.objective)
        self._epoch_s: deque[float] = deque(maxlen=_TIMED_TRIALS)
        if context.spec.budget.time is not None:
            self._time_earlier_trials()

    def __bool__(self) -> bool:
        return bool(self._running)

    def __contains__(self, number: int) -> bool:
        return number in self._running

    @property
    def epoch_s(self) -> float | None:
        """Return the seconds of an epoch in the last trials, their median; None before the first."""
        return median(self._epoch_s) if self._epoch_s else None

    @measure_calls("recording trials")
    def start(self, number: int, values: Mapping[str, Value], tags: Mapping[str, str]) -> TrialJob:
        """Record that a trial starts or goes on, with tags for its run, and return the payload of its job."""
        before = self._search.get_reached(number)
        self._running[number] = running = RunningTrial(number, values, values, self._clock())
        if before is not None:
            running.recorded_epochs = before.epochs or 0
            remove_pause(self._folder(number))
        self._recorder.record_trial_start(number, values, tags, resumed=before is not None)
        hit("trial-start-recorded")
        job = make_trial_job(self._context, number, values, rungs=self._search.rungs)
        if before is None:
            return job
        return replace(job, resumed_after=before.epochs or 0, spent_s=before.seconds or 0.0, spent=before.resources)

    def compute_left_s(self, number: int) -> float | None:
        """Return the seconds left for a trial after its earlier attempts; None where there is no limit."""
        limit_s = self._compute_limit_s(number)
        if limit_s is None:
            return None
        return limit_s - sum(attempt.seconds for attempt in self._search.list_failed_attempts(number))

    def _compute_limit_s(self, number: int) -> float | None:
        """Return the seconds of a trial's attempts since its last pause; None where there is no limit."""
        before, limit_s = self._search.get_reached(number), self._limits.trial_time
        return limit_s if limit_s is None or before is None else limit_s - (before.seconds or 0.0)

    @measure_calls("recording epochs")
    def record_epoch(self, number: int, done: EpochDone) -> EpochEnded:
        """Record an epoch that a trial's worker reported."""
        running = self._running[number]
        # Else they were recorded with the pause, and the worker reports them again.
        if done.fold > 0 or done.epoch >= running.recorded_epochs:
            running.unsent.append(done)
        # By their number: a trial's values are only added to.
        if self._context.user_model is not None and running.recorded_params != len(running.params):
            running.recorded_params = len(running.params)
            self._recorder.record_parameters(number, running.params)
        value = done.metrics[self._objective.metric]
        if done.fold == 0:  # the curves of the others start again with the first epoch
            self._search.report_epoch(number, done.epoch + 1, value)
        return EpochEnded(number, done.epoch + 1, done.of, value)

    @measure_calls("recording epochs")
    def flush_epochs(self) -> None:
        """Record the reported epochs for MLflow, at most once a second."""
        self._recorder.flush_epochs(self._running.values())

    def suggest_value(self, number: int, request: HyperparameterRequest) -> Value:
        """Return a trial's value of a hyperparameter that its user model requests."""
        running = self._running[number]
        value = self._search.suggest_value(number, request)
        running.params = {**running.params, request.name: value}
        return value

    @measure_calls("recording trials")
    def complete(self, number: int, outcome: TrialOutcome) -> TrialEnded | TrialPaused:
        """Record the end or the pause of a trial that its worker reported."""
        running = self._running.pop(number)
        if outcome.kind == "paused" and outcome.result is not None:
            return self._record_pause(running, outcome.result)
        if outcome.result is not None:
            return self._record_result(running, outcome.result)
        if outcome.kind == "rejected":
            return self._record_end(running, self._summarize(running, "pruned", outcome.reason), None)
        self._write_traceback(number, outcome.traceback)
        return self._record_failure(running, self._write_failure(running, outcome.reason))

    def handle_worker_failure(self, number: int, event: Failed) -> TrialEnded | TrialPaused | TrialTriedAgain:
        """Record the failure of a trial's job: the files in its folder decide whether the trial had ended before."""
        running = self._running.pop(number)
        # The worker may have been lost after it wrote the result.
        if (found := self._record_files(running)) is not None:
            return found
        self._write_traceback(number, event.traceback)
        if event.kind not in WORKER_LOST:
            return self._record_failure(running, self._write_failure(running, event.reason))
        return self._record_attempt(running, event)

    def detach(self, number: int) -> TrialEnded | TrialPaused | RunningTrial:
        """Remove a trial whose fleet failed: return its end if it has one, else the trial, to continue elsewhere."""
        running = self._running.pop(number)
        return self._record_files(running) or running

    def recover(self, number: int, values: Mapping[str, Value]) -> TrialEnded | None:
        """Record the end of a trial that had ended before a crash; return None for one that had not."""
        folder = self._folder(number)
        # All of its epochs: which were recorded is unknown, and MLflow stores a repeated point once.
        running = RunningTrial(number, values, values, self._clock(), list(read_epochs(folder)))
        if (result := read_result(folder)) is not None:
            return self._record_result(running, result)
        if (failure := _read_failure(folder)) is not None:
            return self._record_failure(running, failure)
        return None

    def restore_pause(self, number: int, values: Mapping[str, Value]) -> bool:
        """Return whether a trial of an earlier supervisor is paused; record its pause where that did not happen.

        The file of the pause decides: a trial that has ended, or goes on, is not paused any more.
        """
        folder = self._folder(number)
        if read_result(folder) is not None or (result := read_pause(folder)) is None:
            return False
        if self._search.get_paused(number) is None:
            epochs = list(read_epochs(folder))
            self._record_pause(RunningTrial(number, values, values, self._clock(), epochs), result)
        return True

    def get_resumed_after(self, number: int) -> int:
        """Return the epochs that a running trial had trained when it was last paused."""
        return self._running[number].recorded_epochs

    def end_paused(self, number: int, reason: str) -> TrialEnded:
        """Record that a paused trial ends as pruned, with the result of its last rung."""
        paused = self._search.get_paused(number)
        assert paused is not None, f"trial {number} is not paused"
        running = RunningTrial(number, paused.params, paused.params, self._clock())
        if (result := read_pause(self._folder(number))) is not None:
            write_result(self._folder(number), result)
        summary = replace(paused, state="pruned", reason=f"{paused.reason} {reason}")
        return self._record_end(running, summary, result)

    def end_carried(self) -> None:
        """Record for MLflow the end of trials that were paused in another space, and remove what they left."""
        best = self.best.value if self.best else None
        for trial in self._search.trials:
            if trial.has_ended and read_pause(self._folder(trial.number)) is not None:
                self._recorder.record_trial_end(trial, [], best_so_far=best)
                remove_checkpoints(self._folder(trial.number))
                remove_pause(self._folder(trial.number))

    def cancel(self, number: int, values: Mapping[str, Value]) -> TrialEnded:
        """Record that a trial ends because its study was cancelled, unless it had ended before."""
        if (running := self._running.pop(number, None)) is None:
            # Not started in this run: all of its epochs, as in `recover`.
            running = RunningTrial(number, values, values, self._clock(), list(read_epochs(self._folder(number))))
        if (result := read_result(self._folder(number))) is not None:
            return self._record_result(running, result)
        before = self._search.get_reached(number)
        spent_s = self._clock() - running.started + ((before.seconds if before else None) or 0.0)
        return self._record_end(
            running, self._summarize(running, "cancelled", "the study was cancelled", spent_s), None
        )

    def _record_files(self, running: RunningTrial) -> TrialEnded | TrialPaused | None:
        """Record the end or the pause that the files of a trial show; return None where they show neither."""
        if (result := read_result(self._folder(running.number))) is not None:
            return self._record_result(running, result)
        if (paused := read_pause(self._folder(running.number))) is not None:
            return self._record_pause(running, paused)
        return None

    def _record_pause(self, running: RunningTrial, result: TrialResult) -> TrialPaused:
        """Record that a trial is paused: the rows for MLflow first, then Optuna."""
        self._take_curve(running.number, result.epochs)
        reason = f"paused after epoch {len(result.epochs)} of {result.epochs[-1].of}"
        summary = self._summarize_result(running, result, "paused", reason)
        hit("trial-pause-due")
        self._recorder.record_trial_pause(summary, running.unsent)
        hit("trial-pause-recorded")
        self._search.pause(summary)
        hit("trial-paused")
        return TrialPaused(running.number, result.value, reason)

    def _record_attempt(self, running: RunningTrial, event: Failed) -> TrialEnded | TrialTriedAgain:
        number, limit_s = running.number, self._limits.trial_time
        over_time = f"over its time limit of {limit_s:g} s" if limit_s is not None and event.kind == "time" else ""
        failed = Attempt(over_time or _join_lines(event.reason), self._clock() - running.started)
        spent_s = [*(attempt.seconds for attempt in self._search.list_failed_attempts(number)), failed.seconds]
        policy = RetryPolicy(self._limits.attempts, time_s=self._compute_limit_s(number))
        if policy.allows_retry(event, spent_s):
            self._search.record_failed_attempt(number, failed)
            return TrialTriedAgain(number, running.values, failed.reason, len(spent_s) + 1, policy.attempts)
        counted = f"{failed.reason} (attempt {len(spent_s)} of {policy.attempts})" if len(spent_s) > 1 else ""
        failure = self._write_failure(running, counted or failed.reason)  # first: a kill must not add an attempt
        self._search.record_failed_attempt(number, failed)
        return self._record_failure(running, failure)

    def _record_result(self, running: RunningTrial, result: TrialResult) -> TrialEnded:
        self._take_curve(running.number, result.epochs)
        if result.state == "complete" and (missing := _find_missing_goal(self._objective.goals, result)):
            reason = f"{missing} was no number, or not reported, in epoch {result.best_epoch + 1}, the best one"
            return self._record_failure(running, self._write_failure(running, reason))
        reasons = [] if result.state == "complete" else [f"pruned after epoch {len(result.epochs)}"]
        if attempts := self._search.list_failed_attempts(running.number):
            several = f"{len(attempts)} failed attempts" if len(attempts) > 1 else "1 failed attempt"
            reasons.append(f"after {several}: {attempts[-1].reason}")
        summary = self._summarize_result(running, result, result.state, "; ".join(reasons))
        self.best = find_best([self.best, summary] if self.best else [summary], self._objective)
        return self._record_end(running, summary, result)

    def _take_curve(self, number: int, epochs: Sequence[EpochDone]) -> None:
        """Report a trial's epochs to the search, where their reports went to an earlier supervisor, and time them."""
        for done in epochs:
            if done.fold == 0:
                self._search.report_epoch(number, done.epoch + 1, done.metrics[self._objective.metric])
        self._time_epochs(epochs)

    def _time_epochs(self, epochs: Sequence[EpochDone]) -> None:
        """Take note of how long an epoch of a trial took; the first one, which includes compiling, does not count."""
        ended_ms = [done.at_ms for done in epochs if done.fold == 0]
        # Not the mean: between two epochs a pause or a kill may have lasted a night.
        if taken_ms := [after - before for before, after in pairwise(ended_ms)]:
            self._epoch_s.append(median_low(taken_ms) / 1000)

    def _time_earlier_trials(self) -> None:
        """Take note of how long the epochs of the last trials took that an earlier supervisor trained."""
        ended = [(trial.ended, trial.number) for trial in self._search.trials if trial.ended is not None]
        for _, number in sorted(ended)[-_TIMED_TRIALS:]:
            self._time_epochs(read_epochs(self._folder(number)))

    def _summarize_result(
        self, running: RunningTrial, result: TrialResult, state: Literal["complete", "pruned", "paused"], reason: str
    ) -> TrialSummary:
        goals = self._objective.goals[1:] if state == "complete" else ()
        return TrialSummary(
            number=running.number,
            state=state,
            value=result.value,
            params={**running.params, **result.drawn},
            best_epoch=result.best_epoch + 1,
            seconds=result.seconds,
            reason=reason,
            metrics=result.metrics,
            parameters=result.parameters,
            trainer=result.trainer,
            goals=tuple(_extract_goal(goal, result) for goal in goals),
            epochs=self._count_epochs(running.number),
            resources=result.resources,
        )

    def _summarize(
        self, running: RunningTrial, state: TrialState, reason: str, seconds: float | None = None
    ) -> TrialSummary:
        """Return the summary of a trial that ended without a result, after so many seconds or just now."""
        spent_s = self._clock() - running.started if seconds is None else seconds
        return TrialSummary(running.number, state, None, running.params, seconds=spent_s, reason=reason)

    def _record_failure(self, running: RunningTrial, failure: _Failure) -> TrialEnded:
        return self._record_end(running, self._summarize(running, "failed", failure.reason, failure.seconds), None)

    def _record_end(self, running: RunningTrial, summary: TrialSummary, result: TrialResult | None) -> TrialEnded:
        """Record a trial's end: the rows for MLflow first, then Optuna."""
        best = self.best.value if self.best else None
        curve = result.epochs if result else ()
        if summary.epochs is None:
            summary = replace(summary, epochs=self._count_epochs(summary.number))
        hit("trial-end-due")
        self._recorder.record_trial_end(summary, running.unsent, best_so_far=best, curve=curve)
        hit("trial-end-recorded")
        # Before Optuna has the end: a trial that has ended is not looked at again.
        remove_checkpoints(self._folder(summary.number))
        remove_pause(self._folder(summary.number))
        hit("checkpoints-removed")
        self._search.tell(summary)
        hit("trial-reported")
        # By identity: of trials with equal scores one is the best.
        is_best = self.best is summary
        return TrialEnded(summary.number, summary.state, summary.value, summary.reason, summary.seconds, is_best)

    def _write_failure(self, running: RunningTrial, reason: str) -> _Failure:
        """Write a trial's failure to its folder, for a supervisor that finds it there after a crash."""
        failure = _Failure(_join_lines(reason), self._clock() - running.started)
        write_text(self._folder(running.number) / _FAILURE_FILE, json.dumps(asdict(failure)))
        return failure

    def _write_traceback(self, number: int, traceback: str) -> None:
        if traceback:
            write_text(self._folder(number) / ARTIFACTS / "traceback.txt", traceback)

    def _count_epochs(self, number: int) -> int:
        """Return the epochs that a trial has trained, over all its folds and seeds."""
        return len(read_epochs(self._folder(number)))

    def _folder(self, number: int) -> Path:
        return self._context.home.locate_trial(self._context.name, number)


def _extract_goal(goal: Goal, result: TrialResult) -> float:
    """Return a trial's value of an objective after the first one."""
    if goal.metric == "parameters":
        return float(result.parameters)
    return result.measures[goal.name] if goal.format else result.metrics[goal.metric]


def _find_missing_goal(goals: Sequence[Goal], result: TrialResult) -> str:
    """Return the first objective that a trial has no value of: metrics that are not finite are left out; else ''."""
    of_training = (goal.metric for goal in goals[1:] if not goal.format and goal.metric != "parameters")
    return next((metric for metric in of_training if metric not in result.metrics), "")


def _join_lines(reason: str) -> str:
    return "; ".join(reason.splitlines())


def _read_failure(folder: Path) -> _Failure | None:
    file = folder / _FAILURE_FILE
    return _Failure(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None
