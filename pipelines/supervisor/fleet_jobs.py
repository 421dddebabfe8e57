"""The running fleets of a study: their jobs, and the trials in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.engines.base import Event, Failed, Finished, Job, Reported, Requested
from pipelines.supervisor.events import FleetDivided, StudyEvent, TrialBegan
from pipelines.supervisor.fleet_planner import FleetPlanner, Trial
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.running_trials import RunningTrial
from pipelines.supervisor.trial_jobs import make_fleet_job
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.messages import FleetEpoch, RungsReached, SlotsFree
from pipelines.training.jobs import TRAIN_FLEET
from tracking.testing.failpoints import hit


@dataclass
class _Fleet:
    """A fleet in a worker.

    Attributes:
        assigned: trials that wait for one of its slots.
        training: numbers of the trials in its slots.
    """

    envelope: Envelope
    assigned: list[Trial]
    training: set[int] = field(default_factory=set)


class FleetJobs:
    """The running fleets of one study.

    Args:
        study: the study.
        planner: the groups of trials that train together, and those that wait.
        draw: adds the next trial to those that wait; returns None where there is no further one.
    """

    def __init__(self, study: OpenStudy, planner: FleetPlanner, draw: Callable[[], list[StudyEvent] | None]) -> None:
        self._study = study
        self._context = study.context
        self._engine = study.engine
        self._search = study.search
        self._trials = study.trials
        self._planner = planner
        self._draw = draw
        self._running: dict[str, _Fleet] = {}
        self._started = 0

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, job: str) -> bool:
        return job in self._running

    def start(self, envelope: Envelope, slots: int) -> None:
        """Start a fleet; it requests its trials when its program is ready."""
        context = self._context
        self._started += 1
        name = f"fleet-{self._started}"
        # Taken now, because another fleet may start while this one's program is compiled.
        self._running[name] = _Fleet(envelope, self._planner.take(envelope, slots))
        self._engine.submit(
            Job(
                name,
                TRAIN_FLEET,
                make_fleet_job(context, context.home.locate_data(context.name), envelope, slots),
                context.home.locate_study(context.name) / f"{name}.log",
                # No time limit for the job: the fleet ends each trial at the trial's limit.
                stall_s=context.spec.limits.stall,
                memory_bytes=self._study.memory_bytes,
                backend="jax",
                data=context.home.locate_data(context.name),
            )
        )

    def handle(self, event: Event) -> Iterator[StudyEvent]:
        """Record an event of a fleet's job, or answer its request."""
        fleet = self._running[event.job]
        if isinstance(event, Reported) and isinstance(event.message, FleetEpoch):
            for number, done in event.message.epochs.items():
                yield self._trials.record_epoch(number, done)
        elif isinstance(event, Requested) and isinstance(event.message, RungsReached):
            # Their epochs are reported: each is compared with the others that reached the rung at once.
            decisions = {
                number: self._search.decide_at_rung(number, epoch, best)
                for number, (epoch, best) in event.message.best.items()
            }
            self._engine.answer(event.job, decisions)
        elif isinstance(event, Requested) and isinstance(event.message, SlotsFree):
            # Before any draw below, so that the sampler knows these scores.
            for number, outcome in event.message.ended.items():
                fleet.training.discard(number)
                yield self._trials.complete(number, outcome)
            yield from self._fill_slots(fleet, event.job, event.message.free)
        elif isinstance(event, Finished):
            del self._running[event.job]
        elif isinstance(event, Failed):
            del self._running[event.job]
            yield from self._divide(fleet, event)

    def _fill_slots(self, fleet: _Fleet, job: str, free: int) -> Iterator[StudyEvent]:
        """Answer a fleet with trials for its free slots: those that wait for its program, then new ones."""
        while len(fleet.assigned) < free and not self._planner.should_end(fleet.envelope):
            if waiting := self._planner.take(fleet.envelope, free - len(fleet.assigned)):
                fleet.assigned += waiting
                continue
            ended = self._draw()
            if ended is None:
                break
            yield from ended
        jobs = tuple(self._trials.start(number, values, {}) for number, values in fleet.assigned[:free])
        fleet.assigned = fleet.assigned[free:]
        fleet.training |= {trial.number for trial in jobs}
        self._engine.answer(job, jobs)
        hit("slots-answered")
        for trial in jobs:
            yield TrialBegan(trial.number, trial.values, self._trials.get_resumed_after(trial.number), job)

    def _divide(self, fleet: _Fleet, event: Failed) -> Iterator[StudyEvent]:
        """Record the trials of a failed fleet that had ended; all others wait again, for smaller fleets."""
        unfinished = list(fleet.assigned)
        for number in sorted(fleet.training):
            left = self._trials.detach(number)
            if isinstance(left, RunningTrial):
                unfinished.append((number, left.values))
            else:
                yield left
        reason = "; ".join(event.reason.splitlines())
        alone = self._planner.divide(fleet.envelope, unfinished, reason)
        yield FleetDivided(len(unfinished), reason, alone)
