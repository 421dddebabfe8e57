"""Verbs that deliver records to MLflow and show their progress on a terminal: sync, rebuild-tracking."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pipelines.cli import output
from pipelines.cli.safe_console import make_console
from pipelines.cli.status_line import INTERRUPTED
from pipelines.operations import sync
from pipelines.operations.interrupt import handle_signals
from pipelines.supervisor.event_text import format_count
from pipelines.workspace.home import Home

_LINE_EVERY_S = 10.0
_SYNC_S = 120.0  # the default of `kerastudy sync --wait`


def sync_one(home: Home, study: str) -> sync.SyncResult:
    """Deliver the records of a study that wait, and show the progress."""
    with _show_delivery() as display:
        (done,) = sync.sync(home, [study], _SYNC_S, display)
    return done


def sync_in_foreground(home: Home, studies: Sequence[str], wait_s: float, *, as_json: bool) -> int:
    """Deliver the records that wait for MLflow, of these studies or of all, and print that; return the exit code.

    Raises:
        InputError: if there is no study of such a name.
        StudyBusyError: if another process works on a study that was named.
    """
    with _show_delivery() as display:
        done = tuple(sync.sync(home, studies, wait_s, display))
    (output.print_json if as_json else output.print_sync)(done)
    if display.is_cancelled:
        return INTERRUPTED
    return 1 if any(each.left and not each.is_busy for each in done) else 0


def rebuild_in_foreground(home: Home, study: str, wait_s: float, *, as_json: bool) -> int:
    """Rebuild a study's MLflow runs and print the result; return the exit code.

    Raises:
        InputError: if there is no such study, it has not begun, or the home lacks what its runs are rebuilt from.
        StudyBusyError: if another process works on it.
    """
    with _show_delivery() as display:
        done = sync.rebuild(home, study, wait_s, display)
    (output.print_json if as_json else output.print_rebuild)(done)
    if display.is_cancelled:
        return INTERRUPTED
    return 1 if done.left else 0


class _DeliveryDisplay(sync.SyncMonitor):
    """A delivery in one line on a terminal, in a line now and then elsewhere; the first Ctrl-C cancels it."""

    def __init__(self, console: Console, line: Status) -> None:
        self._console = console
        self._line = line
        self._printed_at = time.monotonic()
        self._is_cancelled = False

    def show(self, progress: sync.SyncProgress) -> None:
        error = f" ({progress.error})" if progress.error else ""
        text = f"{progress.study}: {format_count(progress.left, 'record')} to go{error}"
        if self._console.is_terminal:
            self._line.update(escape(text))
        elif time.monotonic() - self._printed_at > _LINE_EVERY_S:
            self._printed_at = time.monotonic()
            # A log gets a line each ten seconds, not one for each record.
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def cancel(self) -> None:
        self._is_cancelled = True

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled


@contextmanager
def _show_delivery() -> Iterator[_DeliveryDisplay]:
    console = make_console(stderr=True)
    with console.status("connecting to MLflow") as line:
        display = _DeliveryDisplay(console, line)
        with handle_signals(display.cancel):
            yield display
