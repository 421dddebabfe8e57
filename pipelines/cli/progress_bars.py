"""What `kerastudy run` shows while it works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pipelines.supervisor import events as said

_PLAIN_EVERY_S = 10.0
_ROOMY = 90


class Display(Protocol):
    """Shows what a supervisor says, for as long as it is entered."""

    def show(self, event: said.Progress) -> None:
        """Show one event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(console: Console) -> Display:
    """Return bars for a terminal, and lines for a file or a pipe."""
    return Bars(console) if console.is_terminal else Lines(console)


class Pace:
    """How far a study is, how long it has gone on, and how long it will go on."""

    def __init__(self, begun: said.SearchBegun) -> None:
        self.begun = begun
        self.ended = begun.done
        self.best = begun.best
        self.best_trial: int | None = None
        self.states: dict[str, int] = {}
        self._started = time.monotonic()

    def count(self, event: said.TrialEnded) -> None:
        """Take note of a trial's end."""
        self.ended += 1
        self.states[event.state] = self.states.get(event.state, 0) + 1
        if event.is_best:
            self.best, self.best_trial = event.value, event.number

    def left_s(self) -> float | None:
        """Return the seconds left at the pace so far; None before the first trial has ended."""
        here = self.ended - self.begun.done
        if here == 0:
            return None
        return (time.monotonic() - self._started) / here * (self.begun.budget - self.ended)

    def describe(self) -> str:
        """Return the state of the study in one line."""
        return ", ".join(part for part in (self.distance(), self.standing()) if part)

    def distance(self) -> str:
        """Return how far the study is, and how long it will go on."""
        left = self.left_s()
        done = f"{self.ended} of {counted(self.begun.budget, 'trial')}"
        return done if left is None or self.ended >= self.begun.budget else f"{done}, {duration(left)} left"

    def standing(self) -> str:
        """Return the best score so far, and how many trials came to no score; empty while there is neither."""
        parts = [f"{count} {state}" for state, count in sorted(self.states.items()) if state != "complete"]
        if self.best is not None:
            which = f" ({trial_name(self.best_trial)})" if self.best_trial is not None else ""
            parts.insert(0, f"best {self.begun.objective.metric} {self.best:.5g}{which}")
        return ", ".join(parts)


class Lines:
    """One line for each trial that ends; for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace: Pace | None = None
        self._epoch_line_at = time.monotonic()

    def show(self, event: said.Progress) -> None:
        """Print what is worth a line."""
        if isinstance(event, said.SearchBegun):
            self._pace = Pace(event)
            self._print(opening(event))
        elif isinstance(event, said.TrialEnded) and self._pace:
            self._pace.count(event)
            self._epoch_line_at = time.monotonic()
            self._print(f"{trial_line(event)}  [{self._pace.describe()}]")
        elif isinstance(event, said.EpochEnded) and time.monotonic() - self._epoch_line_at > _PLAIN_EVERY_S:
            self._epoch_line_at = time.monotonic()
            self._print(f"{trial_name(event.number)} epoch {event.epoch}/{event.of}: {event.value:.5g}")
        elif (line := aside(event)) is not None:
            self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Bars:
    """A bar for the trials and one for the epochs of each running trial, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        roomy = console.width >= _ROOMY
        self._trials = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(40 if roomy else 20), TextColumn("{task.fields[note]}")
        )
        self._standing = Text(style="dim", overflow="ellipsis", no_wrap=True)
        self._epochs = Progress(
            TextColumn("  {task.description}"),
            BarColumn(30 if roomy else 15, style="dim"),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}  {task.fields[note]}"),
        )
        bars = Group(self._trials, self._standing, self._epochs)
        self._live = Live(bars, console=console, refresh_per_second=5, transient=True)
        self._running: dict[int, TaskID] = {}
        self._pace: Pace | None = None
        self._all: TaskID | None = None

    def show(self, event: said.Progress) -> None:
        """Move the bars."""
        if isinstance(event, said.SearchBegun):
            self._begin(event)
        elif isinstance(event, said.TrialBegun):
            self._drop(event.number)
            total = event.params.get("epochs")
            self._running[event.number] = self._epochs.add_task(
                trial_name(event.number), total=total if isinstance(total, int) else None, note=""
            )
        elif isinstance(event, said.EpochEnded):
            self._epochs.update(
                self._running[event.number], completed=event.epoch, total=event.of, note=f"{event.value:.5g}"
            )
        elif isinstance(event, said.TrialEnded):
            self._end(event)
        elif (line := aside(event)) is not None:
            if isinstance(event, said.TrialTriedAgain):
                self._drop(event.number)
            self._live.console.print(Text(line, style="dim"))

    def _begin(self, event: said.SearchBegun) -> None:
        self._pace = Pace(event)
        self._live.console.print(opening(event), highlight=False)
        self._all = self._trials.add_task("trials", total=event.budget, completed=event.done, note="")
        self._tell()

    def _end(self, event: said.TrialEnded) -> None:
        self._drop(event.number)
        if self._pace is None:
            return
        self._pace.count(event)
        self._tell()
        if event.is_best or event.state == "failed":
            style = "red" if event.state == "failed" else "green"
            self._live.console.print(Text(trial_line(event), style=style))

    def _drop(self, number: int) -> None:
        if (task := self._running.pop(number, None)) is not None:
            self._epochs.remove_task(task)

    def _tell(self) -> None:
        if self._pace is not None and self._all is not None:
            self._trials.update(self._all, completed=self._pace.ended, note=self._pace.distance())
            self._standing.plain = f"       {self._pace.standing()}"

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def opening(event: said.SearchBegun) -> str:
    """Return what is known as the search begins, in two or three lines."""
    rows = ", ".join(f"{count} {part}" for part, count in event.data.rows.items() if count)
    budget = counted(event.budget, "trial")
    over = f"going on after {event.done} of {budget}" if event.done else f"over {budget}"
    return (
        f"{event.study}: {event.data.task.kind}, rows: {rows}\n"
        f"{event.objective.direction} {event.objective.metric} {over}, {counted(event.workers, 'worker')}"
        f"{f'{chr(10)}trials train {event.trained}' if event.trained else ''}"
    )


def trial_line(event: said.TrialEnded) -> str:
    """Return a trial's end in one line."""
    value = "" if event.value is None else f" {event.value:.5g}"
    reason = f": {event.reason}" if event.reason else ""
    seconds = "" if event.seconds is None else f" in {duration(event.seconds)}"
    return f"{trial_name(event.number)} {event.state}{value}{seconds}{reason}{'  *best*' if event.is_best else ''}"


def execution_line(event: said.ExecutionEnded) -> str:
    """Return the end of a trial's further training in one line."""
    value = "" if event.value is None else f" {event.value:.5g}"
    reason = f": {event.reason}" if event.reason else ""
    return f"{trial_name(event.number)} {event.execution} {event.state}{value} in {duration(event.seconds)}{reason}"


def aside(event: said.Progress) -> str | None:
    """Return what is worth a line besides how trials begin and end; None for what is not."""
    if isinstance(event, said.TrialTriedAgain):
        again = f"goes on, attempt {event.attempt} of {event.of}"
        return f"{trial_name(event.number)} lost its worker: {event.reason}; {again}"
    if isinstance(event, said.FleetDivided):
        return f"a fleet of {counted(event.trials, 'trial')} failed: {event.reason}; they go on in smaller ones"
    if isinstance(event, said.Watching):
        seen = f"seeing for {event.seconds:.0f} s whether it is alive"
        return f"the study is held by {event.holder}: {seen}"
    if isinstance(event, said.FinalistsChosen):
        names = ", ".join(map(trial_name, event.numbers))
        return f"{names} are trained again to choose the winner: {counted(event.trainings, 'training')} to go"
    if isinstance(event, said.ExecutionEnded):
        return execution_line(event)
    return _delivering(event) if isinstance(event, said.Delivering) and event.waiting else None


def _delivering(event: said.Delivering) -> str:
    away = f" (MLflow does not answer: {event.error})" if event.error else ""
    return f"sending {counted(event.waiting, 'record')} to MLflow{away}"


def trial_name(number: int) -> str:
    """Return a trial's short name, as MLflow shows it behind the study's."""
    return f"t{number:03d}"


def counted(count: int, noun: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration as a person reads it.

    >>> [duration(s) for s in (0.42, 7.5, 75, 5400)]
    ['0.4s', '7.5s', '1m15s', '1h30m']
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def table_cell(value: object) -> str:
    """Return a value as tables show it, true and false as they are written in a study file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def metrics_line(metrics: Mapping[str, float]) -> str:
    """Return metrics in one line."""
    return ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())
