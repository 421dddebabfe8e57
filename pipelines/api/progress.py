"""Progress of a study that runs in this process: in place in a notebook or on a terminal, in lines elsewhere."""

from __future__ import annotations

import html
import importlib
import os
import shutil
import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

from pipelines.supervisor import events
from pipelines.supervisor.event_lines import EventLines
from pipelines.supervisor.event_text import format_event, format_opening, format_trial_end
from pipelines.supervisor.sparkline import choose_levels, draw_sparkline
from pipelines.supervisor.study_progress import StudyProgress
from search_spaces.safe_text import escape_controls

_REDRAWN_S = 0.3
_MOST_CURVE = 30
_CLEAR = "\r\x1b[2K"  # to the begin of the line, and all of it erased


class ProgressDisplay(Protocol):
    """Display of a study's events, for as long as it is entered."""

    def show(self, event: events.StudyEvent) -> None:
        """Show an event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def choose_display() -> ProgressDisplay:
    """Return the display for where this process prints."""
    if is_notebook():
        return InPlace(_NotebookCell())
    if sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown", ""):
        return InPlace(_TerminalLine())
    return Lines()


def is_notebook() -> bool:
    """Return whether this code runs in a cell whose output can be HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Lines:
    """A line for each trial that ends: for files, pipes and logs."""

    def __init__(self) -> None:
        self._lines = EventLines()

    def show(self, event: events.StudyEvent) -> None:
        """Print an event, unless logs leave it out."""
        if (line := self._lines.format_event(event)) is not None:
            print(escape_controls(line, keep="\n"), flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Place(Protocol):
    """A place whose text can be replaced."""

    def replace(self, progress: StudyProgress) -> None:
        """Show the progress in place of what was there."""

    def print(self, line: str) -> None:
        """Print a line that stays."""

    def clear(self) -> None:
        """Remove the progress."""


class InPlace:
    """One line that is replaced as the study goes on; the opening, new best trials and failures stay above it."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._progress: StudyProgress | None = None
        self._drawn_at = 0.0

    def show(self, event: events.StudyEvent) -> None:
        """Update the line, and print what is to stay."""
        if isinstance(event, events.SearchStarted):
            self._progress = StudyProgress(event.summarize())
            self._place.print(format_opening(event))
        elif self._progress is not None:
            self._progress.update(event)
        if (line := _find_line(event)) is not None:
            self._place.print(line)
            self._drawn_at = 0.0
        if self._progress is not None and time.monotonic() - self._drawn_at > _REDRAWN_S:
            self._place.replace(self._progress)
            self._drawn_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.clear()


def _find_line(event: events.StudyEvent) -> str | None:
    if isinstance(event, events.TrialEnded):
        return format_trial_end(event) if event.is_best or event.state == "failed" else None
    return None if isinstance(event, events.TrialPaused | events.Delivering) else format_event(event)


class _TerminalLine:
    """The last line of a terminal."""

    def replace(self, progress: StudyProgress) -> None:
        """Write the progress over the line, cut to the width."""
        levels = choose_levels(sys.stdout.encoding)
        curve = draw_sparkline(progress.curve, _MOST_CURVE, levels) if len(progress.curve) > 1 else ""
        text = escape_controls(" ".join(filter(None, (curve, progress.format_line(), _describe_phase(progress)))))
        room = shutil.get_terminal_size().columns - 1
        self._write(f"{_CLEAR}{text[:room]}")

    def print(self, line: str) -> None:
        """Print a line above the progress."""
        self._write(f"{_CLEAR}{escape_controls(line, keep=chr(10))}\n")

    def clear(self) -> None:
        """Erase the line."""
        self._write(_CLEAR)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class _NotebookCell:
    """An output of a notebook's cell that is replaced."""

    def __init__(self) -> None:
        self._handle: Any = None

    def replace(self, progress: StudyProgress) -> None:
        """Show the progress as HTML."""
        ipython: Any = importlib.import_module("IPython.display")  # it runs this cell
        shown = ipython.HTML(render_progress(progress))
        if self._handle is None:
            self._handle = ipython.display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def print(self, line: str) -> None:
        """Print a line into the cell's output."""
        print(escape_controls(line, keep="\n"), flush=True)

    def clear(self) -> None:
        """Leave the last state: a cell's output is what remains of it."""


def render_progress(progress: StudyProgress) -> str:
    """Return the progress as HTML: a bar, the counts, and the best score with its curve."""
    curve = draw_sparkline(progress.curve, _MOST_CURVE) if len(progress.curve) > 1 else ""
    text = ", ".join(filter(None, (progress.format_line(), _describe_phase(progress))))
    bar = f'<progress value="{progress.ended}" max="{max(1, progress.started.budget)}"></progress>'
    line = f'<span style="font-family: monospace">{curve}</span>' if curve else ""
    return f"<div>{bar} {html.escape(escape_controls(text))} {line}</div>"


def _describe_phase(progress: StudyProgress) -> str:
    phase = progress.phase
    if phase is None:
        return ""
    return f"{phase.name}: {phase.done} of {phase.total}" if phase.total else phase.name
