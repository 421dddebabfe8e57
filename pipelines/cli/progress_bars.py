"""Display of a running study: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pipelines.cli.safe_console import make_text
from pipelines.supervisor import events
from pipelines.supervisor.event_text import (
    EventLines,
    StudyProgress,
    format_event,
    format_opening,
    format_trial_end,
    format_trial_name,
)

_ROOMY = 90  # columns; below that, full bars would push the score out of the line


class StudyDisplay(Protocol):
    """Display of a supervisor's events, for as long as it is entered."""

    def show(self, event: events.StudyEvent) -> None:
        """Show one event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def choose_display(console: Console) -> StudyDisplay:
    """Return bars for a terminal, and lines for a file or a pipe."""
    return ProgressBars(console) if console.is_terminal else PlainLines(console)


class PlainLines:
    """One line for each trial that ends; for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = EventLines()

    def show(self, event: events.StudyEvent) -> None:
        """Print an event, unless logs leave it out."""
        if (line := self._lines.format_event(event)) is not None:
            # A reason may hold square brackets, and a line that rich breaks is two lines of a log.
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ProgressBars:
    """A bar for the trials and one for the epochs of each running trial, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        roomy = console.width >= _ROOMY
        self._trials = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(40 if roomy else 20), TextColumn("{task.fields[note]}")
        )
        self._score_line = Text(style="dim", overflow="ellipsis", no_wrap=True)
        self._epochs = Progress(
            TextColumn("  {task.description}"),
            BarColumn(30 if roomy else 15, style="dim"),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}  {task.fields[note]}"),
        )
        bars = Group(self._trials, self._score_line, self._epochs)
        # The bars vanish at the end, so that the terminal keeps only the printed lines.
        self._live = Live(bars, console=console, refresh_per_second=5, transient=True)
        self._running: dict[int, TaskID] = {}
        self._progress: StudyProgress | None = None
        self._all: TaskID | None = None

    def show(self, event: events.StudyEvent) -> None:
        """Move the bars."""
        if isinstance(event, events.SearchStarted):
            self._begin(event)
        elif isinstance(event, events.TrialPaused):
            self._drop(event.number)
            self._count_pause(event)
        elif isinstance(event, events.TrialBegan):
            self._count_pause(event)
            # A trial that begins again after a failed attempt still has its old bar.
            self._drop(event.number)
            total = event.params.get("epochs")
            # Without a number of epochs the bar pulses until the first epoch reports one.
            self._running[event.number] = self._epochs.add_task(
                format_trial_name(event.number), total=total if isinstance(total, int) else None, note=""
            )
        elif isinstance(event, events.EpochEnded):
            self._epochs.update(
                self._running[event.number], completed=event.epoch, total=event.of, note=f"{event.value:.5g}"
            )
        elif isinstance(event, events.TrialEnded):
            self._end(event)
        elif isinstance(event, events.ImprovementEstimated) and self._progress is not None:
            self._progress.improvement = event.value
            self._update()
        elif (line := format_event(event)) is not None:
            if isinstance(event, events.TrialTriedAgain):
                self._drop(event.number)
            # A `Text` is not read as markup; through the live console, it is printed above the bars.
            self._live.console.print(make_text(line, "dim"))

    def _begin(self, event: events.SearchStarted) -> None:
        self._progress = StudyProgress(event)
        self._live.console.print(make_text(format_opening(event)))  # a note may hold square brackets
        self._all = self._trials.add_task("trials", total=event.budget, completed=event.done, note="")
        self._update()

    def _end(self, event: events.TrialEnded) -> None:
        self._drop(event.number)
        if self._progress is None:
            return
        self._progress.count_trial(event)
        self._update()
        if event.is_best or event.state == "failed":
            style = "red" if event.state == "failed" else "green"
            self._live.console.print(make_text(format_trial_end(event), style))

    def _count_pause(self, event: events.TrialPaused | events.TrialBegan) -> None:
        if self._progress is not None:
            self._progress.count_pause(event)
            self._update()

    def _drop(self, number: int) -> None:
        if (task := self._running.pop(number, None)) is not None:
            self._epochs.remove_task(task)

    def _update(self) -> None:
        if self._progress is not None and self._all is not None:
            self._trials.update(self._all, completed=self._progress.ended, note=self._progress.format_distance())
            self._score_line.plain = f"       {self._progress.format_score()}"

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
