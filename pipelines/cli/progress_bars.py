"""Display of a running study: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from pipelines.cli.safe_console import make_text
from pipelines.cli.study_panel import StudyPanel
from pipelines.supervisor import events
from pipelines.supervisor.event_lines import EventLines
from pipelines.supervisor.event_text import format_event, format_opening, format_trial_end
from pipelines.supervisor.study_progress import StudyProgress

_REDRAWN = 5  # times a second


class StudyDisplay(Protocol):
    """Display of a supervisor's events, for as long as it is entered."""

    def show(self, event: events.StudyEvent) -> None:
        """Show one event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def choose_display(console: Console) -> StudyDisplay:
    """Return a panel for a terminal that can redraw it, and lines for a file, a pipe or a dumb terminal."""
    return ProgressBars(console) if can_redraw(console) else PlainLines(console)


def can_redraw(console: Console) -> bool:
    """Return whether lines can be drawn again in place."""
    return console.is_terminal and not console.is_dumb_terminal


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
    """A panel of the study's progress, redrawn in place; above it stay the start, new best trials and failures.

    Args:
        console: the terminal.
        clock: returns the time of the event that is shown.
        waiting: stands in place of the panel until the search starts.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic, waiting: str = "") -> None:
        self._clock = clock
        # The panel vanishes at the end, so that the terminal keeps only the printed lines.
        self._live = Live(make_text(waiting), console=console, refresh_per_second=_REDRAWN, transient=True)
        self._progress: StudyProgress | None = None

    def show(self, event: events.StudyEvent) -> None:
        """Update the panel, or print a line above it."""
        if isinstance(event, events.SearchStarted):
            for opening in format_opening(event).splitlines():
                self._print(opening, "yellow" if opening.startswith("note: ") else "")
            self.begin(event.summarize(), self._clock())
            return
        self.update(event)
        if isinstance(event, events.TrialEnded):
            if event.is_best or event.state == "failed":
                self._print(format_trial_end(event), "red" if event.state == "failed" else "green")
        # What the panel shows needs no line.
        elif not isinstance(event, events.TrialPaused | events.Delivering) and (line := format_event(event)):
            self._print(line, "dim")

    def begin(self, started: events.SearchFacts, at_s: float) -> None:
        """Show a search that started at a time of the clock."""
        self._progress = StudyProgress(started, at_s)
        self._live.update(StudyPanel(self._progress, self._clock))

    def update(self, event: events.StudyEvent) -> None:
        """Update the panel, and print nothing."""
        if self._progress is not None:
            self._progress.update(event)

    def _print(self, line: str, style: str = "") -> None:
        # A `Text` is not read as markup; through the live console, it is printed above the panel.
        self._live.console.print(make_text(line, style))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
