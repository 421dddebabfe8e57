"""Retrainings in fleets: their trials trained in one, so the program is at hand, and no other backend is loaded."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pipelines.engines.base import Event, Failed, Finished, Job, Reported, Requested
from pipelines.supervisor.events import RetrainingEnded
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.retraining_job import RetrainingJob
from pipelines.supervisor.trial_jobs import make_fleet_job
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.messages import FleetEpoch, SlotsFree
from pipelines.training.jobs import TRAIN_FLEET
from pipelines.training.messages import TrialOutcome


@dataclass
class _Fleet:
    """Retrainings of one name, so that each trial is in it once.

    Attributes:
        waiting: those that wait for a slot.
        training: those in its slots, by their trials.
    """

    name: str
    envelope: Envelope
    slots: int
    waiting: list[RetrainingJob] = field(default_factory=list)
    training: dict[int, RetrainingJob] = field(default_factory=dict)


class RetrainingFleets:
    """The retrainings of one study that train in fleets.

    Args:
        study: the study.
        planner: the programs of the study's trials; None where each trains alone.
        begin: records the start of a retraining.
        end: records its end.

    Attributes:
        alone: retrainings whose fleet failed; each trains by itself.
    """

    def __init__(
        self,
        study: OpenStudy,
        planner: FleetPlanner | None,
        begin: Callable[[RetrainingJob], None],
        end: Callable[[RetrainingJob, TrialOutcome], RetrainingEnded],
    ) -> None:
        self._study = study
        self._planner = planner
        self._begin = begin
        self._end = end
        self._waiting: dict[str, _Fleet] = {}
        self._running: dict[str, _Fleet] = {}
        self.alone: list[RetrainingJob] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __contains__(self, job: str) -> bool:
        return job in self._running

    @property
    def training(self) -> Iterator[RetrainingJob]:
        """The retrainings in a slot."""
        return (each for fleet in self._running.values() for each in fleet.training.values())

    def add(self, due: Iterable[RetrainingJob]) -> None:
        """Divide retrainings into fleets; `alone` gets those that no program trains."""
        for each in due:
            program = self._planner.find_program(each.params) if self._planner and each.may_join_fleet else None
            if program is None:
                self.alone.append(each)
                continue
            name = self._name(each.retraining, program[0])
            self._waiting.setdefault(name, _Fleet(name, *program)).waiting.append(each)

    def start_next(self) -> None:
        """Start fleets while a worker is idle, at most as many at once as the search had: these have the programs."""
        while self._waiting and self._study.engine.idle:
            if self._planner is None or self._planner.has_enough(len(self._running)):
                return
            name = next(iter(self._waiting))
            fleet = self._running[name] = self._waiting.pop(name)
            context = self._study.context
            data = context.home.locate_data(context.name)
            log = context.home.locate_study(context.name) / f"{name}.log"
            payload = make_fleet_job(context, data, fleet.envelope, fleet.slots)  # a compiled program has its slots
            stall_s, memory = context.spec.limits.stall, self._study.memory_bytes
            job = Job(name, TRAIN_FLEET, payload, log, stall_s=stall_s, memory_bytes=memory, backend="jax", data=data)
            self._study.engine.submit(job)

    def handle(self, event: Event) -> Iterator[RetrainingEnded]:
        """Record an event of a fleet's job, or answer its request.

        Raises:
            OSError: if the disk is full.
        """
        fleet = self._running[event.job]
        if isinstance(event, Reported) and isinstance(event.message, FleetEpoch):
            for number, done in event.message.epochs.items():
                fleet.training[number].unsent.append(done)
        elif isinstance(event, Requested) and isinstance(event.message, SlotsFree):
            for number, outcome in event.message.ended.items():
                yield self._end(fleet.training.pop(number), outcome)
            self._fill_slots(fleet, event.message.free)
        elif isinstance(event, Finished | Failed):
            del self._running[event.job]
            if isinstance(event, Failed) and event.kind == "disk":
                raise OSError(errno.ENOSPC, event.reason)
            self.alone += [*fleet.training.values(), *fleet.waiting]

    def _fill_slots(self, fleet: _Fleet, free: int) -> None:
        given, fleet.waiting = fleet.waiting[:free], fleet.waiting[free:]
        for each in given:
            self._begin(each)
            fleet.training[each.number] = each
        self._study.engine.answer(fleet.name, tuple(each.job for each in given))

    def _name(self, retraining: str, envelope: Envelope) -> str:
        """Return the name of the waiting fleet of a retraining and a program, or of a new one."""
        names = (f"fleet-{retraining}{f'-{index}' if index else ''}" for index in range(len(self._waiting) + 1))
        return next(name for name in names if name not in self._waiting or self._waiting[name].envelope == envelope)
