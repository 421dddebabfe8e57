"""The trials under way: how each begins, what is heard of it, and how it ends.

Every end is written in one order, so that a kill in between leaves nothing to guess: the worker's files, then the rows
for MLflow, then Optuna. A try at a trial that only cost its worker is recorded, and the trial is tried again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipelines.engines.base import Failed, FailureKind
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import Attempt, OptunaSearch, TrialSummary, best_of
from pipelines.study.objective import Goal, Objective
from pipelines.study.study import Study
from pipelines.supervisor.events import EpochEnded, TrialEnded, TrialTriedAgain
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.messages import EpochDone, TrialJob, TrialOutcome, TrialResult, UserModel
from pipelines.training.trial_folder import ARTIFACTS, read_epochs, read_result
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value
from tracking.outbox.records import TrialState
from tracking.testing.failpoints import hit

_FAILURE_FILE = "failure.json"
COST_A_WORKER: frozenset[FailureKind] = frozenset({"died", "stall", "memory", "time"})
"""What may go better in another worker; code that raises an error will raise it again."""


@dataclass
class Running:
    """A trial in a worker.

    Attributes:
        values: what it was started with.
        params: these, and what its model's own code has asked for since.
        unsent: epochs that MLflow was not told of yet.
        told: how many of its parameters were recorded since it started.
        retraining: empty: it is the trial itself.
    """

    number: int
    values: Mapping[str, Value]
    params: Mapping[str, Value]
    started: float
    unsent: list[EpochDone] = field(default_factory=list)
    told: int = 0
    retraining: str = ""

    @property
    def seconds(self) -> float:
        """Return the seconds since it was started."""
        return time.monotonic() - self.started


@dataclass(frozen=True)
class _Failure:
    """How a trial failed; kept in its folder until Optuna knows."""

    reason: str
    seconds: float


class RunningTrials:
    """The trials of one study that are under way.

    Args:
        own: the study's own model; None for a shipped family.

    Attributes:
        best: the best trial of the study so far.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        home: Home,
        search: OptunaSearch,
        recorder: Recorder,
        user_model: UserModel | None,
    ) -> None:
        self._study = study
        self._objective = objective
        self._home = home
        self._search = search
        self._recorder = recorder
        self._user_model = user_model
        self._running: dict[int, Running] = {}
        self.best = best_of(search.trials(), objective)

    def __bool__(self) -> bool:
        return bool(self._running)

    def __contains__(self, number: int) -> bool:
        return number in self._running

    def begin(self, number: int, values: Mapping[str, Value], tags: Mapping[str, str]) -> TrialJob:
        """Record that a trial begins, with these tags, and return it as a worker gets it."""
        self._running[number] = Running(number, values, values, time.monotonic())
        self._recorder.record_trial_start(number, values, tags)
        hit("trial-start-recorded")
        return make_trial_job(
            self._study,
            self._objective,
            self._home,
            number,
            values,
            user_model=self._user_model,
            rungs=self._search.rungs,
        )

    def time_left_s(self, number: int) -> float | None:
        """Return what is left of a trial's time, over all tries at it; None where there is no limit."""
        limit_s = self._study.spec.limits.trial_time
        if limit_s is None:
            return None
        return limit_s - sum(attempt.seconds for attempt in self._search.failed_attempts(number))

    def record_epoch(self, number: int, done: EpochDone) -> EpochEnded:
        """Take note of an epoch that a trial's worker reported."""
        running = self._running[number]
        running.unsent.append(done)
        if self._user_model is not None and running.told != len(running.params):
            running.told = len(running.params)
            self._recorder.record_parameters(number, running.params)
        return EpochEnded(number, done.epoch + 1, done.of, done.metrics[self._objective.metric])

    def flush_epochs(self) -> None:
        """Pass on what was heard, every now and then."""
        self._recorder.flush_epochs(self._running.values())

    def answer(self, number: int, request: HyperparameterRequest) -> Value:
        """Return a trial's value of a hyperparameter that its model's own code asks for."""
        running = self._running[number]
        value = self._search.answer(number, request)
        running.params = {**running.params, request.name: value}
        return value

    def complete(self, number: int, outcome: TrialOutcome) -> TrialEnded:
        """Record the end of a trial that its worker reported."""
        running = self._running.pop(number)
        if outcome.result is not None:
            return self._finished(running, outcome.result)
        if outcome.kind == "rejected":
            return self._ended(running, self._scored(running, "pruned", outcome.reason), None)
        if outcome.traceback:
            write_text(self._folder(number) / ARTIFACTS / "traceback.txt", outcome.traceback)
        return self._failed(running, self._noted(running, outcome.reason))

    def handle_worker_failure(self, number: int, event: Failed) -> TrialEnded | TrialTriedAgain:
        """Record that the job of a trial failed: what it left says whether the trial is over."""
        running = self._running.pop(number)
        folder = self._folder(number)
        if (result := read_result(folder)) is not None:  # its worker died when the trial was over
            return self._finished(running, result)
        if event.traceback:
            write_text(folder / ARTIFACTS / "traceback.txt", event.traceback)
        if event.kind not in COST_A_WORKER:
            return self._failed(running, self._noted(running, event.reason))
        limit_s = self._study.spec.limits.trial_time
        over_time = f"over its time limit of {limit_s:g} s" if limit_s is not None and event.kind == "time" else ""
        failed = Attempt(over_time or _one_line(event.reason), running.seconds)
        attempts, most = len(self._search.failed_attempts(number)) + 1, self._study.spec.limits.attempts
        left_s = self.time_left_s(number)
        if attempts < most and (left_s is None or failed.seconds < left_s):
            self._search.attempt_failed(number, failed)
            return TrialTriedAgain(number, running.values, failed.reason, attempts + 1, most)
        counted = f"{failed.reason} (attempt {attempts} of {most})" if attempts > 1 else failed.reason
        failure = self._noted(running, counted)  # first, so that a kill in between gives it no further attempt
        self._search.attempt_failed(number, failed)
        return self._failed(running, failure)

    def detach(self, number: int) -> TrialEnded | Running:
        """Take out a trial whose fleet is gone: return its end if it left one, else what it was, to go on elsewhere."""
        running = self._running.pop(number)
        if (result := read_result(self._folder(number))) is not None:
            return self._finished(running, result)
        return running

    def recover(self, number: int, values: Mapping[str, Value]) -> TrialEnded | None:
        """Record the end of a trial that was over before a crash; return None for one that was not."""
        folder = self._folder(number)
        running = Running(number, values, values, time.monotonic(), list(read_epochs(folder)))
        if (result := read_result(folder)) is not None:
            return self._finished(running, result)
        if (failure := _read_failure(folder)) is not None:
            return self._failed(running, failure)
        return None

    def cancel(self, number: int, values: Mapping[str, Value]) -> TrialEnded:
        """Record that a trial, under way or not, ends because its study was cancelled, unless it was over already."""
        running = self._running.pop(number, None) or Running(number, values, values, time.monotonic())
        if (result := read_result(self._folder(number))) is not None:
            return self._finished(running, result)
        return self._ended(running, self._scored(running, "cancelled", "the study was cancelled"), None)

    def _finished(self, running: Running, result: TrialResult) -> TrialEnded:
        reasons = [] if result.state == "complete" else [f"pruned after epoch {len(result.epochs)}"]
        if attempts := self._search.failed_attempts(running.number):
            several = f"{len(attempts)} failed attempts" if len(attempts) > 1 else "1 failed attempt"
            reasons.append(f"after {several}: {attempts[-1].reason}")
        scored = TrialSummary(
            number=running.number,
            state=result.state,
            value=result.value,
            params={**running.params, **result.drawn},
            best_epoch=result.best_epoch + 1,
            seconds=result.seconds,
            reason="; ".join(reasons),
            metrics=result.metrics,
            parameters=result.parameters,
            trainer=result.trainer,
            goals=self._goals(result),
        )
        self.best = best_of([self.best, scored] if self.best else [scored], self._objective)
        return self._ended(running, scored, result)

    def _goals(self, result: TrialResult) -> tuple[float, ...]:
        if result.state != "complete":
            return ()
        return tuple(_value_of(goal, result) for goal in self._objective.goals[1:])

    def _failed(self, running: Running, failure: _Failure) -> TrialEnded:
        return self._ended(running, self._scored(running, "failed", failure.reason, failure.seconds), None)

    def _noted(self, running: Running, reason: str) -> _Failure:
        """Note a trial's failure in its folder, for a supervisor that finds it there after a crash."""
        failure = _Failure(_one_line(reason), running.seconds)
        write_text(self._folder(running.number) / _FAILURE_FILE, json.dumps(asdict(failure)))
        return failure

    @staticmethod
    def _scored(running: Running, state: TrialState, reason: str, seconds: float | None = None) -> TrialSummary:
        spent_s = running.seconds if seconds is None else seconds
        return TrialSummary(running.number, state, None, running.params, seconds=spent_s, reason=reason)

    def _ended(self, running: Running, scored: TrialSummary, result: TrialResult | None) -> TrialEnded:
        """Record a trial's end: the rows for MLflow first, then Optuna."""
        best = self.best.value if self.best else None
        curve = result.epochs if result else ()
        hit("trial-end-due")
        self._recorder.record_trial_end(scored, running.unsent, best_so_far=best, curve=curve)
        hit("trial-end-recorded")
        remove_checkpoints(self._folder(scored.number))
        hit("checkpoints-removed")
        self._search.tell(scored)
        hit("trial-reported")
        is_best = self.best is scored
        return TrialEnded(scored.number, scored.state, scored.value, scored.reason, scored.seconds, is_best)

    def _folder(self, number: int) -> Path:
        return self._home.trial(self._study.name, number)


def make_trial_job(
    study: Study,
    objective: Objective,
    home: Home,
    number: int,
    values: Mapping[str, Value],
    *,
    user_model: UserModel | None,
    rungs: frozenset[int] = frozenset(),
) -> TrialJob:
    """Return a trial as a worker gets it.

    Args:
        study: the trial's study.
        objective: what it is scored on.
        home: where its files go.
        number: its number.
        values: active hyperparameters.
        own: what it knows besides, where the model is the study's own.
        rungs: epochs after which it asks whether it is to be pruned.
    """
    spec = study.spec
    return TrialJob(
        study=spec.study,
        number=number,
        values=values,
        per_layer=study.per_layer,
        seed=compute_trial_seed(spec.search.seed, number),
        model=spec.model,
        training=spec.training,
        data=str(home.data(spec.study)),
        folder=str(home.trial(spec.study, number)),
        metric=objective.metric,
        direction=objective.direction,
        rungs=rungs,
        most_parameters=spec.limits.parameters,
        most_model_bytes=spec.limits.model_memory,
        user_model=user_model,
    )


def compute_trial_seed(seed: int, number: int) -> int:
    """Return the seed of a trial: it depends on the study's seed and the trial's number alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _value_of(goal: Goal, result: TrialResult) -> float:
    """Return a trial's value of an objective besides the one that it is scored on."""
    if goal.metric == "parameters":
        return float(result.parameters)
    return result.measures[goal.name] if goal.format else result.metrics[goal.metric]


def _one_line(reason: str) -> str:
    return "; ".join(reason.splitlines())


def _read_failure(folder: Path) -> _Failure | None:
    file = folder / _FAILURE_FILE
    return _Failure(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None
