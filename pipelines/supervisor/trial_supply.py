"""Supply of a study's trials: those that a crash interrupted, paused ones that go on, and new ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

from pipelines.search.stopping import explain_convergence, find_early_reason, find_stop_reason
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import BudgetSpec
from pipelines.study.objective import Objective
from pipelines.supervisor.event_text import format_trial_name
from pipelines.supervisor.events import ImprovementEstimated, Noted, StudyEvent, TrialEnded
from pipelines.supervisor.fleet_planner import FleetPlanner, Trial
from pipelines.supervisor.open_study import OpenStudy
from search_spaces.suggest import ConstraintViolation
from search_spaces.values import Value
from tracking.testing.failpoints import hit
from tracking.timings.stopwatch import measure

_LEADER = "{name} leads and is paused, and only a complete trial can win: it trains to its end"
_NO_TIME = (
    "budget.time is nearly used up: the best paused trials go on to their ends, and no new one starts before them"
)


class TrialSupply:
    """The trials that wait for a worker or a slot, one after the other.

    Args:
        study: the study.
        planner: receives each trial, which then waits.
    """

    def __init__(self, study: OpenStudy, planner: FleetPlanner) -> None:
        self._context = study.context
        self._control = study.control
        self._search = study.search
        self._trials = study.trials
        self._engine = study.engine
        self._planner = planner
        self._interrupted: list[Trial] = []
        self._shown_improvement: float | None = None
        self._notes: list[Noted] = []
        self._has_noted_time = False

    def load(self) -> None:
        """Find the trials that earlier supervisors left interrupted or paused."""
        for number, values in self._search.resume_interrupted():
            if self._trials.restore_pause(number, values):
                continue
            # Without its file it is not paused, but was about to go on.
            if self._search.get_paused(number) is not None:
                self._search.resume_paused(number)
            self._interrupted.append((number, values))
        self._trials.end_carried()

    def draw(self) -> list[StudyEvent] | None:
        """Add the next trial to those that wait; None where there is no further one for now.

        Returns the end of a trial that had ended before a crash, as an event; otherwise no event.
        """
        if self._control.is_halted:
            return None
        if self._interrupted:
            number, values = self._interrupted.pop(0)
            if (ended := self._trials.recover(number, values)) is not None:
                return [ended]
            self._add(number, values)
            return []
        chosen = self._choose()
        if chosen is None:
            return None
        self._add(*chosen)
        events: list[StudyEvent] = [*self._notes, *self.estimate_improvement()]
        self._notes.clear()
        return events

    def estimate_improvement(self) -> Iterator[ImprovementEstimated]:
        """Yield how much better a further trial is expected to be, where that has changed."""
        last = self._search.improvements[-1:]
        if last and last[0] != self._shown_improvement:
            self._shown_improvement = last[0]
            yield ImprovementEstimated(last[0])

    def end_hopeless(self) -> Iterator[TrialEnded]:
        """End the paused trials that can never go on."""
        for number in self._search.find_hopeless(self._context.most_trials):
            yield self._trials.end_paused(number, "and too many were better")

    def end_paused(self) -> Iterator[TrialEnded]:
        """End all paused trials, after the last one that went on."""
        for trial in self._search.trials:
            if trial.state == "paused":
                yield self._trials.end_paused(trial.number, "and not promoted")

    def _choose(self) -> Trial | None:
        """Return a paused trial that goes on, or a new one."""
        control = self._control
        control.stop_reason = (
            control.stop_reason
            or find_stop_reason(*self._collect_facts())
            or explain_convergence(self._context.spec.budget, self._context.objective, self._search.improvements)
        )
        if not control.stop_reason:
            if (number := self._choose_contender()) is not None:
                return None if self._count_running() >= self._engine.workers else self._resume(number, to_end=True)
            if (number := self._search.choose_paused()) is not None:
                return self._resume(number)
            if (drawn := self._request_trial()) is not None:
                return drawn
        if not control.stop_reason:
            return None  # the last points may be drawn by running trials
        return self._choose_last()

    def _choose_last(self) -> Trial | None:
        """Return the paused trial that goes on although no new one starts; None where none does for now."""
        is_early = self._control.is_stop_requested or find_early_reason(*self._collect_facts())
        if not is_early and (number := self._search.choose_paused(is_last=True)) is not None:
            return self._resume(number)
        # What runs may still become the best.
        if self._count_running() or (leader := self._search.choose_leader()) is None:
            return None
        self._notes.append(Noted(_LEADER.format(name=format_trial_name(leader))))
        return self._resume(leader, to_end=True)

    def _choose_contender(self) -> int | None:
        """Return the best paused trial where `budget.time` leaves no more than it takes to its end; None otherwise.

        New trials would get to their first rungs, and none to its end.
        """
        time_s, epoch_s = self._context.spec.budget.time, self._trials.epoch_s
        if time_s is None or epoch_s is None or not self._search.pauses_trials:
            return None
        if (contender := self._search.find_contender(self._trials.best)) is None:
            return None
        left_s = time_s - self._control.compute_elapsed_s()
        if self._engine.layout.gpu_bytes is None:
            # A worker trains its trials in turns, and will have one.
            left_s *= max(1.0, (self._count_running() + 1) / self._engine.workers)
        most_epochs = self._context.most_epochs * self._context.trainings
        if (most_epochs - (contender.epochs or 0)) * epoch_s < left_s:
            return None
        if not self._has_noted_time:
            self._has_noted_time = True
            self._notes.append(Noted(_NO_TIME))
        return contender.number

    def _count_running(self) -> int:
        return sum(trial.state == "running" for trial in self._search.trials)

    def _resume(self, number: int, *, to_end: bool = False) -> Trial:
        resumed = self._search.resume_paused(number, to_end=to_end)
        hit("trial-promoted")
        return resumed

    def _request_trial(self) -> Trial | None:
        control = self._control
        try:
            with measure("drawing trials"):
                drawn = self._search.ask()
        except ConstraintViolation as violation:
            control.stop_reason = f"no further point that keeps the constraints was found: {violation}"
            return None
        if drawn is None:
            if self._search.is_exhausted:
                what = "the grid" if self._context.spec.search.sampler == "grid" else "the space"
                control.stop_reason = f"every combination of {what} was tried"
            return None
        # Files under the number of a new trial can only come from another store.
        shutil.rmtree(self._context.home.locate_trial(self._context.name, drawn[0]), ignore_errors=True)
        return drawn

    def _add(self, number: int, values: Mapping[str, Value]) -> None:
        reached = self._search.get_reached(number)
        if reached is None or reached.trainer == "fleet":
            self._planner.add(number, values)
        else:
            self._planner.add_again(number, values, f"it was paused in the trainer {reached.trainer}")

    def _collect_facts(self) -> tuple[BudgetSpec, Objective, Sequence[TrialSummary], TrialSummary | None, float]:
        trials, best = self._search.trials, self._trials.best
        elapsed_s = self._control.compute_elapsed_s()
        return self._context.spec.budget, self._context.objective, trials, best, elapsed_s
