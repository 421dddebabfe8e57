"""The fleets of a study that are under way: the supervisor's end of what a fleet says and asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.engines.base import Engine, Event, Failed, Finished, Job, Reported, Requested
from pipelines.search.optuna_search import OptunaSearch
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.supervisor.events import FleetDivided, StudyEvent, TrialBegan, TrialEnded
from pipelines.supervisor.fleet_planner import FleetPlanner, Trial
from pipelines.supervisor.running_trials import RunningTrials
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.messages import FleetEpoch, FleetJob, RungsReached, SlotsFree
from pipelines.training.jobs import TRAIN_FLEET
from pipelines.workspace.home import Home
from tracking.testing.failpoints import hit


@dataclass
class _Fleet:
    """A fleet in a worker: the trials that wait to be handed over to it, and those that sit in it."""

    envelope: Envelope
    assigned: list[Trial]
    running: set[int] = field(default_factory=set)


class FleetJobs:
    """The fleets that are under way.

    Args:
        fleets: which trials train together, and who waits.
        draw: lets the next trial wait for a worker or a slot; None where there is no further one.
        memory_bytes: what one worker may hold.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        home: Home,
        engine: Engine,
        search: OptunaSearch,
        trials: RunningTrials,
        fleets: FleetPlanner,
        draw: Callable[[], list[StudyEvent] | None],
        memory_bytes: int,
    ) -> None:
        self._study = study
        self._objective = objective
        self._home = home
        self._engine = engine
        self._search = search
        self._trials = trials
        self._fleets = fleets
        self._draw = draw
        self._memory_bytes = memory_bytes
        self._underway: dict[str, _Fleet] = {}
        self._begun = 0

    def __len__(self) -> int:
        return len(self._underway)

    def __contains__(self, job: str) -> bool:
        return job in self._underway

    def start(self, envelope: Envelope, slots: int) -> None:
        """Start a fleet; it asks for its trials when its program is ready."""
        spec = self._study.spec
        self._begun += 1
        name = f"fleet-{self._begun}"
        self._underway[name] = _Fleet(envelope, self._fleets.take(envelope, slots))
        job = make_fleet_job(self._study, self._objective, self._home.data(spec.study), envelope, slots)
        self._engine.submit(
            Job(
                name,
                TRAIN_FLEET,
                job,
                self._home.study(spec.study) / f"{name}.log",
                stall_s=spec.limits.stall,
                memory_bytes=self._memory_bytes,
                backend="jax",
            )
        )

    def handle(self, event: Event) -> Iterator[StudyEvent]:
        """Take note of what a fleet said, and answer what it asked."""
        fleet = self._underway[event.job]
        if isinstance(event, Reported) and isinstance(event.message, FleetEpoch):
            for number, done in event.message.epochs.items():
                yield self._trials.record_epoch(number, done)
        elif isinstance(event, Requested) and isinstance(event.message, RungsReached):
            reached = event.message.best.items()
            pruned = [number for number, (epoch, best) in reached if self._search.should_prune(number, epoch, best)]
            self._engine.answer(event.job, frozenset(pruned))
        elif isinstance(event, Requested) and isinstance(event.message, SlotsFree):
            for number, result in event.message.ended.items():
                fleet.running.discard(number)
                yield self._trials.complete(number, result)
            yield from self._fill_slots(fleet, event.job, event.message.free)
        elif isinstance(event, Finished):
            del self._underway[event.job]
        elif isinstance(event, Failed):
            del self._underway[event.job]
            yield from self._gone(fleet, event)

    def _fill_slots(self, fleet: _Fleet, job: str, free: int) -> Iterator[StudyEvent]:
        """Answer a fleet with trials for its free slots: those that wait for its program, then new ones."""
        while len(fleet.assigned) < free and not self._fleets.crowded(fleet.envelope):
            if waiting := self._fleets.take(fleet.envelope, free - len(fleet.assigned)):
                fleet.assigned += waiting
                continue
            ended = self._draw()
            if ended is None:
                break
            yield from ended
        jobs = tuple(self._trials.begin(number, values, {}) for number, values in fleet.assigned[:free])
        fleet.assigned = fleet.assigned[free:]
        fleet.running |= {trial.number for trial in jobs}
        self._engine.answer(job, jobs)
        hit("slots-answered")
        for trial in jobs:
            yield TrialBegan(trial.number, trial.values)

    def _gone(self, fleet: _Fleet, event: Failed) -> Iterator[StudyEvent]:
        """Take up what a fleet left whose job failed: who was over is over, all others are trained again."""
        again = list(fleet.assigned)
        for number in sorted(fleet.running):
            left = self._trials.detach(number)
            if isinstance(left, TrialEnded):
                yield left
            else:
                again.append((number, left.values))
        reason = "; ".join(event.reason.splitlines())
        self._fleets.broke(fleet.envelope, again, reason)
        yield FleetDivided(len(again), reason)


def make_fleet_job(study: Study, objective: Objective, data: Path, envelope: Envelope, slots: int) -> FleetJob:
    """Return a fleet of a study's as a worker gets it; `data` is the folder of the prepared data."""
    return FleetJob(
        envelope=envelope,
        slots=slots,
        data=str(data),
        training=study.spec.training,
        metric=objective.metric,
        direction=objective.direction,
        per_layer=study.per_layer,
        trial_s=study.spec.limits.trial_time,
    )
