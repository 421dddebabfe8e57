"""Runs a fleet in a worker: seats the trials that the supervisor hands over, and leaves the files of those that end."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pipelines.data.prepare import load_part, load_summary
from pipelines.engines.base import Channel
from pipelines.models.objectives import class_weights
from pipelines.training.artifacts import write_artifacts
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import Checkpoint, CheckpointStore
from pipelines.training.epoch_log import EpochLog
from pipelines.training.errors import over_parameters
from pipelines.training.fleet.fleet import Ended, Fleet
from pipelines.training.fleet.member import Member, build_member
from pipelines.training.fleet.messages import FleetEpoch, FleetJob, RungsReached, SlotsFree
from pipelines.training.fleet.program import Program
from pipelines.training.messages import TrialJob, TrialResult
from pipelines.training.model_files import save_weights
from pipelines.training.schedule import Schedule, make_schedule
from pipelines.training.trial_folder import RESULT_FILE, WEIGHTS_FILE
from pipelines.workspace.atomic_files import write_text
from tracking.testing.failpoints import hit

_programs: dict[str, Program] = {}
"""Programs of this process by all that they depend on: compiling one takes seconds."""

_MOST_PROGRAMS = 4


def train_fleet(job: FleetJob, channel: Channel) -> None:
    """Train trials together until the supervisor has no more of them."""
    crew = _Crew(job, _program(job), channel)
    while crew.seat_trials():
        crew.train_epoch()


@dataclass(frozen=True)
class _Trial:
    """A trial that sits in the fleet."""

    job: TrialJob
    member: Member
    log: EpochLog
    checkpoints: CheckpointStore
    started: float


class _Crew:
    """The trials of a fleet and what is said about them."""

    def __init__(self, job: FleetJob, program: Program, channel: Channel) -> None:
        self._job = job
        self._program = program
        self._channel = channel
        self._fleet: Fleet[int] = Fleet(
            program, job.seats, metric=job.metric, direction=job.direction, per_layer=job.per_layer
        )
        self._trials: dict[int, _Trial] = {}
        self._ended: dict[int, TrialResult | Rejected | MemberFailed] = {}
        self._asks = True

    def seat_trials(self) -> bool:
        """Tell of trials that ended and seat those that come in their place; say whether anybody sits."""
        while self._asks or self._ended:
            given: tuple[TrialJob, ...] = self._channel.request(SlotsFree(self._fleet.free, dict(self._ended)))
            self._ended.clear()
            self._asks = False
            seated = {trial.number: self._seat(trial) for trial in given}
            self._fleet.admit({number: seat for number, seat in seated.items() if seat is not None}, self._kept(seated))
            hit("fleet-filled")
        return bool(self._trials)

    def train_epoch(self) -> None:
        """Train everybody for an epoch, and let those go who are done, pruned, or over their time."""
        scores = self._fleet.train_epoch()
        epochs = {
            number: self._trials[number].log.add(done, self._trials[number].member.epochs, metrics)
            for number, (done, metrics) in scores.items()
        }
        self._channel.report(FleetEpoch(epochs))
        pruned = self._pruned(epochs)
        for number, ended in self._fleet.settle(pruned).items():
            self._ended[number] = self._end(self._trials.pop(number), ended)
        for number in self._over_time():
            self._fleet.leave(number)
            del self._trials[number]
            self._ended[number] = MemberFailed(f"over its time limit of {self._job.trial_s:g} s")
        for number, trial in self._trials.items():
            trial.checkpoints.offer(partial(self._fleet.kept, number))

    def _kept(self, numbers: Iterable[int]) -> Mapping[int, Checkpoint]:
        """Return what earlier attempts left of trials that sit down, and report their epochs again."""
        found = {}
        for number in numbers:
            trial = self._trials.get(number)
            if trial is None or (kept := trial.checkpoints.read()) is None:
                continue
            print(f"trial {number} goes on after epoch {len(kept.history)}", flush=True)
            found[number] = kept
            for epoch, metrics in enumerate(kept.history):
                self._channel.report(FleetEpoch({number: trial.log.add(epoch, trial.member.epochs, metrics)}))
        return found

    def _seat(self, trial: TrialJob) -> tuple[Member, Schedule] | None:
        """Make a trial ready to sit; None where its model is over the ceiling."""
        member = build_member(trial.values, trial.per_layer)
        _, parameters = self._program.layout.parameters(member)
        if trial.most_parameters is not None and parameters > trial.most_parameters:
            self._ended[trial.number] = Rejected(over_parameters(parameters, trial.most_parameters))
            return None
        folder = Path(trial.folder)
        folder.mkdir(parents=True, exist_ok=True)
        schedule = make_schedule(trial, 0, epochs=member.epochs, batch_size=member.batch_size)
        checkpoints = CheckpointStore(folder, 0, (self._job.envelope, self._job.metric, trial.values, schedule))
        self._trials[trial.number] = _Trial(trial, member, EpochLog(folder, 0), checkpoints, time.monotonic())
        return member, schedule

    def _pruned(self, epochs: Collection[int]) -> frozenset[int]:
        """Return the trials to prune, of those that reached a rung and have further epochs to go."""
        best = min if self._job.direction == "minimize" else max
        reached = {}
        for number in epochs:
            trial = self._trials[number]
            done = trial.log.epochs[-1]
            if done.epoch in trial.job.rungs and done.epoch + 1 < done.of:
                score = best(each.metrics[self._job.metric] for each in trial.log.epochs)
                reached[number] = (done.epoch, score)
        pruned: frozenset[int] = self._channel.request(RungsReached(reached)) if reached else frozenset()
        return pruned

    def _over_time(self) -> list[int]:
        limit_s = self._job.trial_s
        now = time.monotonic()
        return [
            number for number, trial in self._trials.items() if limit_s is not None and now - trial.started > limit_s
        ]

    def _end(self, trial: _Trial, ended: Ended) -> TrialResult | MemberFailed:
        """Write a trial's files and return its result."""
        if ended.fitted is None:
            return MemberFailed(str(ended.failure))
        fitted = ended.fitted
        result = TrialResult(
            state="pruned" if fitted.pruned else "complete",
            value=fitted.best_value,
            best_epoch=fitted.best_epoch,
            metrics=fitted.history[fitted.best_epoch],
            epochs=tuple(trial.log.epochs),
            parameters=self._program.layout.parameters(trial.member)[0],
            seconds=time.monotonic() - trial.started,
            trainer="fleet",
        )
        folder = Path(trial.job.folder)
        write_artifacts(trial.job, 0, trial.job.values, result)
        if result.state == "complete":
            save_weights(ended.weights, folder / WEIGHTS_FILE)
        hit("result-due")
        write_text(folder / RESULT_FILE, json.dumps(asdict(result)))
        hit("result-written")
        self._channel.beat()
        return result


def _program(job: FleetJob) -> Program:
    key = repr((job.envelope, job.data, job.training))
    if key not in _programs:
        while len(_programs) >= _MOST_PROGRAMS:
            del _programs[next(iter(_programs))]
        data = Path(job.data)
        summary = load_summary(data)
        weights = class_weights(summary.task, job.training)
        rows = Rows(load_part(data, "train", 0), load_part(data, "validation", 0), weights)
        _programs[key] = Program(job.envelope, summary.features, summary.task, job.training, rows)
    return _programs[key]
