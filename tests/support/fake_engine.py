"""Engine without processes; its trials follow scripts, one step for each call of `events`.

A script is a generator function over a `TrialJob`. It yields the reports (`EpochDone`) and requests (`RungReached`,
answered through `send`) of a worker and returns the `TrialResult` or `TrialOutcome`, or raises `Ends`.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.engines.base import Backend, Event, Failed, FailureKind, Finished, Job, Layout, Reported, Requested
from pipelines.selection.jobs import WinnerJob
from pipelines.training.fleet.messages import FleetEpoch, FleetJob, RungsReached, SlotsFree
from pipelines.training.messages import EpochDone, RungDecision, RungReached, TrialJob, TrialOutcome, TrialResult
from pipelines.training.trial_folder import (
    ARTIFACTS,
    MODEL_FILE,
    RESULT_FILE,
    locate_epochs_file,
    parse_epochs,
    write_pause,
)
from pipelines.workspace.atomic_files import write_text

Script = Callable[[TrialJob], Generator[EpochDone | RungReached, Any, TrialResult | TrialOutcome]]


class Ends(Exception):  # noqa: N818  # the end that a script wants, not a defect
    """The trial's job fails."""

    def __init__(self, kind: FailureKind, reason: str, traceback: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.traceback = traceback


class FakeEngine:
    """See `base.Engine`.

    Args:
        test_scores: result of the job that scores the winner; None lets it fail.
        others: results of other jobs that train nothing, by their names.
        on_event: called before each event is given out; an `EngineLostError` that it raises loses the engine.
        on_restart: called at each restart; an `EngineLostError` that it raises is raised.

    Attributes:
        jobs: every trial's job, in the order begun, in fleets or by itself.
        functions: path of each trial's job function.
        fleets: every fleet's job.
        other_jobs: every job that trains nothing.
        stopped: names of the jobs that were stopped.
        warmed: backends that were prepared ahead of their jobs.
    """

    def __init__(
        self,
        script: Script,
        *,
        workers: int = 1,
        test_scores: Mapping[str, float] | None = None,
        others: Mapping[str, Any] = MappingProxyType({}),
        on_event: Callable[[Event], None] = lambda event: None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._script = script
        self._size = workers
        self._test_scores = test_scores
        self._others = others
        self._on_event = on_event
        self._on_restart = on_restart
        self._under_way: dict[str, Generator[Any, bool, Any]] = {}
        self._answers: dict[str, bool | None] = {}
        self._waits: set[str] = set()
        self._aside: set[str] = set()
        self.jobs: list[TrialJob] = []
        self.functions: list[str] = []
        self.fleets: list[FleetJob] = []
        self.other_jobs: list[Job[Any, Any]] = []
        self.stopped: list[str] = []
        self.warmed: list[Backend] = []

    layout = Layout()
    worker_memory_bytes = 10**10

    @property
    def workers(self) -> int:
        return self._size

    @property
    def idle(self) -> int:
        return self._size - len(self._under_way.keys() - self._aside)

    @property
    def busy(self) -> Sequence[str]:
        return tuple(self._under_way)

    def warm(self, backend: Backend) -> None:
        self.warmed.append(backend)

    def submit(self, job: Job[Any, Any]) -> None:
        assert self.idle > 0 or job.aside
        self._aside |= {job.name} if job.aside else set()
        assert job.name not in self._under_way
        trial = job.payload[0] if isinstance(job.payload, tuple) else job.payload
        if isinstance(trial, TrialJob):
            self.jobs.append(trial)
            self.functions.append(job.function.path)
            self._under_way[job.name] = self._run(trial)
        elif isinstance(job.payload, FleetJob):
            self.fleets.append(job.payload)
            self._under_way[job.name] = self._fleet(job.payload)
        else:
            self.other_jobs.append(job)
            self._under_way[job.name] = self._other(job)
        self._answers[job.name] = None

    def answer(self, job: str, message: Any) -> None:
        self._answers[job] = message
        self._waits.discard(job)

    def stop(self, job: str) -> None:
        self._under_way.pop(job, None)
        self.stopped.append(job)

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return one step of each job under way."""
        events = []
        for name in list(self._under_way):
            if name not in self._waits:
                event = self._step(name)
                self._on_event(event)
                events.append(event)
        assert events, "every job waits for an answer"
        return events

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        self._on_restart()
        while_waiting()
        self._under_way.clear()
        self._waits.clear()
        self._aside.clear()

    def close(self) -> None:
        self._under_way.clear()

    def _run(self, trial: TrialJob) -> Generator[Any, bool, TrialOutcome]:
        ended = yield from self._script(trial)
        return TrialOutcome("completed", ended) if isinstance(ended, TrialResult) else ended

    def _step(self, name: str) -> Event:
        answer, self._answers[name] = self._answers[name], None
        try:
            waiting = self._under_way[name].send(answer)
        except StopIteration as end:
            del self._under_way[name]
            return Finished(name, end.value)
        except Ends as end:
            del self._under_way[name]
            return Failed(name, end.kind, end.reason, end.traceback)
        if isinstance(waiting, (RungReached, RungsReached, SlotsFree)):
            self._waits.add(name)
            return Requested(name, waiting)
        return Reported(name, waiting)

    def _fleet(self, job: FleetJob) -> Generator[Any, Any, None]:
        """Train trials by their scripts, one epoch of each at a time; a script that `Ends` ends the whole fleet."""
        members: dict[int, Generator[Any, bool, TrialOutcome]] = {}
        waiting: dict[int, Any] = {}
        ended: dict[int, Any] = {}
        while True:
            given = yield SlotsFree(job.slots - len(members), ended)
            assert len(given) <= job.slots - len(members)
            self.jobs += given
            members |= {trial.number: self._run(trial) for trial in given}
            ended = {}
            if not members:
                return
            while not ended:
                decisions: Mapping[int, RungDecision] = {}
                rungs = {number: (rung.epoch, rung.best) for number, rung in waiting.items()}
                if rungs:
                    decisions = yield RungsReached(rungs)
                epochs = {}
                for number, member in list(members.items()):
                    try:
                        epochs[number] = member.send(decisions[number] if number in waiting else None)
                        waiting.pop(number, None)
                    except StopIteration as end:
                        ended[number] = end.value
                        waiting.pop(number, None)
                        del members[number]
                waiting = {number: each for number, each in epochs.items() if isinstance(each, RungReached)}
                done = {number: each for number, each in epochs.items() if isinstance(each, EpochDone)}
                if done:
                    yield FleetEpoch(done)

    def _other(self, job: Job[Any, Any]) -> Generator[Any, bool, Any]:
        if job.name in self._others:
            return self._others[job.name]
        if isinstance(job.payload, WinnerJob) and "test" not in job.payload.parts:
            return {}  # its predictions on the validation rows are summed up in files
        if self._test_scores is None:
            raise Ends("error", "ValueError: no scores in this test")
        return self._test_scores
        yield


def training(
    job: TrialJob,
    scores: Sequence[float],
    *,
    parameters: int = 7,
    measures: Mapping[str, float] = MappingProxyType({}),
) -> Generator[EpochDone | RungReached, Any, TrialResult | TrialOutcome]:
    """Reach a score in each epoch, as a worker does: with its files, its rungs, and the times of an earlier attempt."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    choose_best = min if job.direction == "minimize" else max
    earlier = {done.epoch: done.at_ms for done in parse_epochs(locate_epochs_file(folder, 0))}
    checkpoint = folder / "fold-0.checkpoint"
    done = int(checkpoint.read_text(encoding="utf-8")) if checkpoint.exists() else 0
    epochs: list[EpochDone] = []
    decision: RungDecision = "go_on"
    for epoch, score in enumerate(scores):
        at_ms = earlier.get(epoch, time.time_ns() // 1_000_000)
        epochs.append(EpochDone(epoch, len(scores), 0, at_ms, {job.metric: score, "loss": 2 * score}))
        with locate_epochs_file(folder, 0).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(epochs[-1])) + "\n")
        yield epochs[-1]
        # As a worker does: a trial that goes on after a pause has passed its rung.
        if epoch in job.rungs and epoch >= done and epoch + 1 < len(scores):
            decision = yield RungReached(epoch, choose_best(scores[: epoch + 1]))
        if decision != "go_on":
            break
    best = choose_best(epochs, key=lambda done: done.metrics[job.metric])
    result = TrialResult(
        "complete" if decision == "go_on" else "pruned",
        best.metrics[job.metric],
        best.epoch,
        best.metrics,
        tuple(epochs),
        parameters=parameters,
        seconds=job.spent_s + 0.5,
        measures=dict(measures),
    )
    if decision == "pause":
        checkpoint.write_text(str(len(epochs)), encoding="utf-8")
        write_pause(folder, result)
        return TrialOutcome("paused", result)
    leave_files(folder, result, with_model=decision == "go_on")
    return result


def leave_files(folder: Path, result: TrialResult, *, with_model: bool = True) -> None:
    """Write what a worker leaves of a trial that ended: a model that contains nothing but its name, and the result."""
    write_text(folder / ARTIFACTS / "history.csv", "epoch,loss\n0,1.0\n")
    if with_model:
        with zipfile.ZipFile(folder / MODEL_FILE, "w") as archive:
            archive.writestr("config.json", json.dumps({"config": {"name": folder.name}}))
    write_text(folder / RESULT_FILE, json.dumps(asdict(result)))
