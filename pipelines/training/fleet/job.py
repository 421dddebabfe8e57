"""Run of a fleet in a worker: fills its slots with trials, and writes the files of those that end."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.data.prepared_folder import load_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.objectives import calculate_class_weights
from pipelines.training.artifacts import write_artifacts
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import Checkpoint, CheckpointStore
from pipelines.training.epoch_log import EpochLog
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.fleet.fleet import EndedMember, Fleet
from pipelines.training.fleet.gpu_memory import read_gpu_peak
from pipelines.training.fleet.member import Member, build_member
from pipelines.training.fleet.messages import FleetEpoch, FleetJob, RungsReached
from pipelines.training.fleet.program import Program
from pipelines.training.fleet.trial_requests import TrialRequests
from pipelines.training.messages import RungDecision, TrialJob, TrialOutcome, TrialResult
from pipelines.training.resource_use import ResourceMeter, ResourceUse
from pipelines.training.schedule import Schedule, make_schedule
from pipelines.training.trial_folder import WEIGHTS_FILE, write_pause, write_result
from pipelines.training.weight_files import save_weights
from tracking.testing.failpoints import hit
from tracking.timings.stopwatch import measure_calls

_programs: dict[str, Program] = {}
"""Programs of this process by everything that they depend on: compiling one takes seconds."""

_MOST_PROGRAMS = 4  # as many as `grouping` gives a study


def train_fleet(job: FleetJob, channel: Channel) -> None:
    """Train trials together until the supervisor sends no more of them."""
    runner = FleetRunner(job, _load_program(job), channel)
    while runner.fill_slots():
        runner.train_epoch()


@dataclass
class _Trial:
    """A trial in a slot of the fleet; `used` grows with its epochs."""

    job: TrialJob
    member: Member
    log: EpochLog
    checkpoints: CheckpointStore
    started: float
    used: ResourceUse


class FleetRunner:
    """Trials of a fleet, and their messages to the supervisor."""

    def __init__(self, job: FleetJob, program: Program, channel: Channel) -> None:
        self._job = job
        self._program = program
        self._channel = channel
        self._fleet: Fleet[int] = Fleet(
            program, job.slots, metric=job.metric, direction=job.direction, per_layer=job.per_layer
        )
        self._trials: dict[int, _Trial] = {}
        self._ended: dict[int, TrialOutcome] = {}
        self._requests = TrialRequests(channel, job.slots, spread=not program.trains_at_once)
        self._meter = ResourceMeter(read_gpu_peak)

    def fill_slots(self) -> bool:
        """Report trials that ended and admit others that are due; return whether any slot is taken."""
        while self._requests.is_open or self._request_trials():
            given = self._requests.receive(is_idle=not self._trials)
            if given is None:
                break
            self._admit(given)
        return bool(self._trials)

    def _request_trials(self) -> bool:
        """Request trials for free slots, if there may be some; return whether that was done."""
        # Also where a new trial was over the ceiling: its slot is still free.
        is_begun = self._requests.begin(self._fleet.free, self._ended)
        self._ended.clear()
        return is_begun

    def _admit(self, given: Collection[TrialJob]) -> None:
        prepared = {trial.number: self._prepare(trial) for trial in given}
        members = {number: member for number, member in prepared.items() if member is not None}
        for member, _ in members.values():
            self._requests.set_epochs(member.epochs)
        checkpoints = self._read_checkpoints(members)
        self._fleet.admit(members, checkpoints)
        hit("fleet-filled")
        undecided = [number for number in checkpoints if self._is_undecided(number)]
        for number, ended in self._fleet.end_restored(self._request_decisions(undecided)).items():
            self._ended[number] = self._end(self._trials.pop(number), ended)

    def train_epoch(self) -> None:
        """Train every trial for an epoch; end those that are done, pruned, paused, or over their time limit."""
        scores = self._fleet.train_epoch()
        self._requests.count_epoch()
        self._add_use(scores)
        epochs = {
            number: self._trials[number].log.add(done, self._trials[number].member.epochs, metrics)
            for number, (done, metrics) in scores.items()
        }
        self._channel.report(FleetEpoch(epochs))
        for number, ended in self._fleet.take_ended(self._request_decisions(epochs)).items():
            self._ended[number] = self._end(self._trials.pop(number), ended)
        for number in self._find_overdue():
            # Its time includes that of the other slots, which a CPU trains in turn.
            self._fleet.release(number)
            del self._trials[number]
            self._ended[number] = TrialOutcome("failed", reason=f"over its time limit of {self._job.trial_s:g} s")
        for number, trial in self._trials.items():
            trial.checkpoints.offer(partial(self._fleet.capture, number))

    def _add_use(self, numbers: Collection[int]) -> None:
        """Add what an epoch used to the trials that it trained, in equal parts."""
        use = self._meter.read().divide(max(1, len(numbers)))
        for number in numbers:
            self._trials[number].used = self._trials[number].used.add(use)

    def _read_checkpoints(self, numbers: Iterable[int]) -> Mapping[int, Checkpoint]:
        """Return the checkpoints of earlier attempts at trials, and report their epochs again."""
        found = {}
        for number in numbers:
            trial = self._trials.get(number)
            if trial is None or (checkpoint := trial.checkpoints.read()) is None:
                continue
            print(f"trial {number} resumes after epoch {len(checkpoint.history)}", flush=True)
            found[number] = checkpoint
            for epoch, metrics in enumerate(checkpoint.history):
                self._channel.report(FleetEpoch({number: trial.log.add(epoch, trial.member.epochs, metrics)}))
        return found

    def _prepare(self, trial: TrialJob) -> tuple[Member, Schedule] | None:
        """Prepare a trial for its slot; return None where its model is over the ceiling."""
        member = build_member(trial.values, trial.per_layer, trial.model)
        _, parameters = self._program.layout.count_parameters(member)
        if trial.most_parameters is not None and parameters > trial.most_parameters:
            error = ModelTooLargeError.from_parameters(parameters, trial.most_parameters)
            self._ended[trial.number] = TrialOutcome("rejected", reason=str(error))
            return None
        folder = Path(trial.folder)
        folder.mkdir(parents=True, exist_ok=True)
        schedule = make_schedule(trial, 0, epochs=member.epochs, batch_size=member.batch_size)
        identity = (self._job.envelope, self._job.metric, trial.values, schedule)
        checkpoints = CheckpointStore(folder, 0, identity, sharing=self._job.slots)
        self._trials[trial.number] = _Trial(
            trial, member, EpochLog(folder, 0), checkpoints, time.monotonic() - trial.spent_s, trial.spent
        )
        return member, schedule

    def _is_undecided(self, number: int) -> bool:
        """Return whether a restored trial stands at a rung that it may not pass yet."""
        trial = self._trials[number]
        return trial.job.is_undecided(len(trial.log.epochs), trial.member.epochs)

    def _request_decisions(self, epochs: Collection[int]) -> Mapping[int, RungDecision]:
        """Return the decisions on the trials that reached a rung and have further epochs to go."""
        best = min if self._job.direction == "minimize" else max
        reached = {}
        for number in epochs:
            trial = self._trials[number]
            done = trial.log.epochs[-1]
            if done.epoch in trial.job.rungs and done.epoch + 1 < done.of:
                score = best(each.metrics[self._job.metric] for each in trial.log.epochs)
                reached[number] = (done.epoch, score)
        if not reached:
            return {}
        # The channel has one request at a time; its answer may come before it is due.
        self._requests.fetch()
        decisions: Mapping[int, RungDecision] = self._channel.request(RungsReached(reached))
        return decisions

    def _find_overdue(self) -> list[int]:
        limit_s = self._job.trial_s
        now = time.monotonic()
        return [
            number for number, trial in self._trials.items() if limit_s is not None and now - trial.started > limit_s
        ]

    def _end(self, trial: _Trial, ended: EndedMember) -> TrialOutcome:
        """Write a trial's files and return its outcome."""
        if ended.fitted is None:
            return TrialOutcome("failed", reason=str(ended.failure))
        fitted = ended.fitted
        result = TrialResult(
            state="pruned" if fitted.pruned else "complete",
            value=fitted.best_value,
            best_epoch=fitted.best_epoch,
            metrics=fitted.history[fitted.best_epoch],
            epochs=tuple(trial.log.epochs),
            parameters=self._program.layout.count_parameters(trial.member)[0],
            seconds=time.monotonic() - trial.started,
            trainer="fleet",
            resources=trial.used,
        )
        self._write_files(trial, ended, result)
        # Many trials may end with one epoch, and writing their files takes a while.
        self._channel.beat()
        return TrialOutcome("paused" if fitted.paused else "completed", result)

    @measure_calls("writing trials")
    def _write_files(self, trial: _Trial, ended: EndedMember, result: TrialResult) -> None:
        folder = Path(trial.job.folder)
        write_artifacts(trial.job, 0, trial.job.values, result)
        # The last file proves that all others are whole.
        if ended.checkpoint is not None:
            trial.checkpoints.write(ended.checkpoint)
            write_pause(folder, result)
            return
        if result.state == "complete":
            save_weights(ended.weights, folder / WEIGHTS_FILE)
        write_result(folder, result)


def _load_program(job: FleetJob) -> Program:
    # A text, because settings with lists have no hash.
    key = repr((job.envelope, job.data, job.training))
    if key not in _programs:
        while len(_programs) >= _MOST_PROGRAMS:
            del _programs[next(iter(_programs))]
        data = Path(job.data)
        summary = load_summary(data)
        weights = calculate_class_weights(summary.task, job.training)
        rows = Rows(load_part(data, "train", 0), load_part(data, "validation", 0), weights)
        _programs[key] = Program(job.envelope, summary.features, summary.task, job.training, rows)
    return _programs[key]
