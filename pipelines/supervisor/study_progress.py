"""Progress of a study, from its events: what it has reached, what runs, and how long the rest takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pipelines.supervisor import events
from pipelines.supervisor.event_text import format_count, format_duration, format_trial_name

_HOUR_S = 3600.0
_VISIBLE_GAIN = 1e-5  # of the best score, which is shown with five digits


@dataclass(frozen=True)
class RunningProgress:
    """A trial in a worker: epochs done, the most there will be, and its last score; None where it is not known."""

    fleet: str = ""
    epoch: int = 0
    of: int | None = None
    value: float | None = None


@dataclass(frozen=True)
class Phase:
    """A phase after the search: what is done, how much of it has ended, and how much there is."""

    name: str
    done: int
    total: int


class StudyProgress:
    """Progress of a study since its search started.

    Args:
        started: facts of the search.
        now_s: when it started, by the clock of the later calls.

    Attributes:
        ended: trials that have ended, those of earlier runs included.
        best: best score so far.
        best_trial: number of the trial with that score; None where there is none.
        curve: the best score so far, after each complete trial.
        states: trials that ended in this run, by state.
        paused: trials that are paused.
        running: trials in workers, by number.
        improvement: how much better a further trial is expected to be; None where the sampler does not estimate it.
        phase: what happens after the search; None before.
    """

    def __init__(self, started: events.SearchFacts, now_s: float | None = None) -> None:
        self.started = started
        self.ended = started.done
        self.best = started.best
        self.best_trial = started.best_trial
        self.curve = list(started.curve)
        self.states: dict[str, int] = {}
        self.paused = set(started.paused)
        self.running: dict[int, RunningProgress] = {}
        self.improvement: float | None = None
        self.phase: Phase | None = None
        self._started_at = time.monotonic() if now_s is None else now_s

    def update(self, event: events.StudyEvent) -> None:
        """Add an event."""
        match event:
            case events.TrialBegan():
                self.paused.discard(event.number)
                most = event.params.get("epochs")
                epochs = most if isinstance(most, int) else None
                self.running[event.number] = RunningProgress(event.fleet, event.resumed_after, epochs)
            case events.EpochEnded():
                before = self.running.get(event.number, RunningProgress())
                now = replace(before, epoch=event.epoch, of=event.of, value=event.value)
                self.running[event.number] = now
            case events.TrialPaused():
                self.running.pop(event.number, None)
                self.paused.add(event.number)
            case events.TrialTriedAgain():
                self.running.pop(event.number, None)
            case events.TrialEnded():
                self._add_end(event)
            case events.ImprovementEstimated():
                self.improvement = event.value
            case _:
                self._update_phase(event)

    def _add_end(self, event: events.TrialEnded) -> None:
        self.ended += 1
        self.paused.discard(event.number)
        self.running.pop(event.number, None)
        self.states[event.state] = self.states.get(event.state, 0) + 1
        if event.is_best:
            self.best, self.best_trial = event.value, event.number
        if event.state == "complete" and self.best is not None:
            self.curve.append(self.best)

    def _update_phase(self, event: events.StudyEvent) -> None:
        match event:
            case events.FinalistsChosen() if event.trainings:
                self.phase = Phase("choosing the winner", 0, event.trainings)
            case events.RefitComparing():
                self.phase = Phase("comparing a refit", 0, event.trainings)
            case events.EnsembleTraining():
                self.phase = Phase("training an ensemble", 0, event.trainings)
            case events.RetrainingEnded() if self.phase is not None:
                self.phase = replace(self.phase, done=min(self.phase.done + 1, self.phase.total))
            case events.EngineLost():
                self.running.clear()
                self.phase = Phase("waiting for the cluster to come back", 0, 0)
            case events.Delivering() if event.waiting:
                self.phase = Phase(f"sending {format_count(event.waiting, 'record')} to MLflow", 0, 0)

    def count_by_state(self) -> dict[str, int]:
        """Return the number of all trials by state, in the order in which a display names them."""
        counts = dict(self.started.states)
        for state, count in self.states.items():
            counts[state] = counts.get(state, 0) + count
        counts |= {"paused": len(self.paused), "running": len(self.running)}
        known = ("running", "complete", "failed", "pruned", "paused", "cancelled")
        return {state: counts[state] for state in known if counts.get(state)}

    def group_running(self) -> dict[str, list[int]]:
        """Return the numbers of running trials by their fleet; those that train alone by an empty name."""
        groups: dict[str, list[int]] = {}
        for number, trial in self.running.items():
            groups.setdefault(trial.fleet, []).append(number)
        return groups

    def estimate_left_s(self, now_s: float | None = None) -> float | None:
        """Return the seconds left at the pace so far, or of the budget's time; None while neither is known."""
        elapsed_s = self._measure_s(now_s)
        of_time = None if self.started.left_s is None else max(0.0, self.started.left_s - elapsed_s)
        done, done_now = self._count_done()
        if done_now <= 0:
            return of_time
        of_trials = elapsed_s / done_now * max(0, self.started.budget - done)
        return of_trials if of_time is None else min(of_time, of_trials)

    def compute_pace(self, now_s: float | None = None) -> float | None:
        """Return the trials an hour since the search started; None before the first has ended."""
        done_now, elapsed_s = self._count_done()[1], self._measure_s(now_s)
        return done_now / elapsed_s * _HOUR_S if done_now > 0 and elapsed_s > 0 else None

    def _count_done(self) -> tuple[int, int]:
        """Return the trials that are done: of all runs, and of this one."""
        # A paused trial is nearly done: most of them never go on.
        done = self.ended + len(self.paused)
        return done, done - self.started.done - len(self.started.paused)

    def _measure_s(self, now_s: float | None) -> float:
        return (time.monotonic() if now_s is None else now_s) - self._started_at

    def format_line(self) -> str:
        """Return the state of the study in one line."""
        return ", ".join(part for part in (self.format_distance(), self.format_score()) if part)

    def format_distance(self, now_s: float | None = None) -> str:
        """Return the number of trials that have ended, and the expected time for the others."""
        left_s = self.estimate_left_s(now_s)
        budget = format_count(self.started.budget, "trial")
        is_over = self.ended > self.started.budget  # after an earlier run with a larger budget
        done = format_count(self.ended, "trial") if is_over else f"{self.ended} of {budget}"
        return (
            done if left_s is None or self.ended >= self.started.budget else f"{done}, {format_duration(left_s)} left"
        )

    def format_score(self) -> str:
        """Return the best score, and the number of trials without one; empty while there is neither."""
        others = {
            state: count for state, count in self.count_by_state().items() if state not in ("complete", "running")
        }
        parts = [f"{count} {state}" for state, count in sorted(others.items())]
        if self.best is not None:
            parts.insert(0, f"best {self.started.metric} {self.best:.5g}{self.name_best()}")
        if gain := self.format_gain():
            parts.append(f"a further trial is expected to gain {gain}")
        return ", ".join(parts)

    def format_gain(self) -> str:
        """Return how much better a further trial is expected to be; empty where there is no estimate.

        A gain that would show in none of the best score's digits is "next to nothing".
        """
        if self.improvement is None:
            return ""
        if self.best is not None and self.improvement < _VISIBLE_GAIN * abs(self.best):
            return "next to nothing"
        return f"{self.improvement:.2g}"

    def name_best(self) -> str:
        """Return the best trial's name in brackets; empty where it is not known."""
        return f" ({format_trial_name(self.best_trial)})" if self.best_trial is not None else ""
