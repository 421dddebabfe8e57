"""Verbs that show their progress on a terminal: run, validate, sync, rebuild-tracking, ui."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pipelines.cli import output
from pipelines.cli.progress_bars import choose_display
from pipelines.cli.safe_console import make_console, make_text
from pipelines.cli.timings_output import print_runs
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations import sync
from pipelines.operations.check import check_study
from pipelines.operations.interrupt import handle_signals
from pipelines.operations.run import find_finished, run_to_end, supervise
from pipelines.operations.starter.init_study import StarterFile, init_study
from pipelines.study.check_listener import CheckListener
from pipelines.study.study import Study
from pipelines.supervisor.event_text import format_count, format_end
from pipelines.supervisor.events import StudyEnded
from pipelines.training.trial_folder import has_model
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.timings.spans import read_runs
from tracking.timings.stopwatch import time_run

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells count
_LINE_EVERY_S = 10.0
_SYNC_S = 120.0  # the default of `kerastudy sync --wait`


def run_in_foreground(study: Study, home: Home, *, evolve: bool = False, with_timings: bool = False) -> int:
    """Submit a study and run it until it ends or Ctrl-C pauses it; return the exit code.

    Args:
        study: the study.
        home: the home that holds it.
        evolve: whether a study of this name may be resumed in a changed space.
        with_timings: whether to print at the end what the time went into.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
    """
    console = make_console()
    # First: the check below starts a worker and takes seconds, and a finished study needs none.
    if (ended := find_finished(study, home, evolve=evolve)) is not None:
        console.print("nothing is left to do; for more trials: --trials N, or budget.trials", highlight=False)
        if ended.undelivered:
            with _show_delivery() as display:
                (done,) = sync.sync(home, [study.name], _SYNC_S, display)
            ended = replace(ended, undelivered=done.left, undelivered_error=done.reason)
        _print_end(console, ended, home)
        if with_timings:
            print_runs(read_runs(home.locate_study(study.name)))
        return 0
    checking = console.status("reading the data, trying the smallest and the largest model")
    listener = _StatusListener(checking)
    supervising = supervise(study, home, checking, evolve=evolve, own_process=True, listener=listener)
    # The signals are handled once the check is over: a Ctrl-C before that has nothing to put back, and ends the
    # process.
    with time_run(psutil.Process().create_time()), supervising as supervisor, handle_signals(supervisor.pause):
        with choose_display(console) as display:
            ended = run_to_end(supervisor, display.show)
        _print_end(console, ended, home)
    if with_timings:
        print_runs(read_runs(home.locate_study(study.name))[-1:])
    if ended.is_requested:
        return INTERRUPTED
    return 0 if ended.state == "finished" else 1


class _StatusListener(CheckListener):
    def __init__(self, status: Status) -> None:
        self._status = status

    def describe(self, step: str) -> None:
        """Show the step beside the spinner."""
        self._status.update(escape(step))


def validate_in_foreground(study: Study, *, as_json: bool) -> None:
    """Check a study's data and models and print the results.

    Raises:
        InputError: if the data or the model cannot be used.
    """
    engine = LocalEngine(1, user_code=study.has_user_model)
    # Not in the home: a check leaves nothing that a later run would take for prepared data.
    with tempfile.TemporaryDirectory(prefix="kerastudy-") as folder, closing(engine):
        checked = check_study(study, Path(folder) / "study", engine, timed=True)
    if as_json:
        output.print_json(checked)
    else:
        output.print_check(study.name, checked)


def init_in_foreground(source: str, targets: Sequence[str], file: Path | None, name: str | None) -> StarterFile:
    """Write a study file for a data source, and show the steps on a terminal.

    Raises:
        InputError: if the data cannot be used, or the file exists; nothing is written.
    """
    # On standard error, so that `--json` output can be read by another program.
    status = make_console(stderr=True).status("reading the data")
    with status:
        return init_study(source, targets, file=file, name=name, listener=_StatusListener(status))


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


@contextmanager
def show_status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line on standard error, if it is a terminal; yield a function that replaces the line."""
    # On standard error, so that `--json` output can be read by another program.
    with make_console(stderr=True).status(text) as line:
        # rich reads square brackets as markup, and steps may hold file names.
        yield lambda step: line.update(escape(step))


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


def ui_in_foreground(home: Home, host: str, port: int) -> None:
    """Run the MLflow UI on a home until Ctrl-C.

    Raises:
        KerastudyError: if the UI does not start.
    """
    from tracking.mlflow.server import serve
    from tracking.mlflow.study_pages import list_study_pages

    stopped = threading.Event()
    console = make_console(highlight=False)
    with handle_signals(stopped.set):
        with console.status("starting the MLflow UI"):
            # Entered by hand: the status line ends once the UI answers, and the UI goes on.
            serving = serve(home.folder, os.environ, host=host, port=port)
            address = serving.__enter__()
        try:
            console.print(f"MLflow UI: {address}/#/experiments?workflowType=machine_learning", soft_wrap=True)
            for page in list_study_pages(urls.resolve_tracking_uri(home.folder, os.environ), address):
                console.print(f"  {page.study}: {page.leaderboard}", soft_wrap=True)
            console.print("Ctrl-C ends it.")
            while not stopped.wait(0.2):
                pass
        finally:
            serving.__exit__(None, None, None)


def _print_end(console: Console, ended: StudyEnded, home: Home) -> None:
    def write(line: str) -> None:
        # A reason may hold square brackets, which rich reads as markup; a broken line cannot be copied as a command.
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    for line in format_end(ended):
        # On a terminal in whole words; in a file one line each.
        console.print(make_text(line), soft_wrap=not console.is_terminal)
    if ended.ensemble_reason.startswith("ensemble kept"):
        write(f"kerastudy export {ended.study} --ensemble writes the ensemble")
    # The printed commands must work as they are in this terminal, wherever `--home` pointed.
    option = "" if home.folder == Home.find(None).folder else f" --home {home.folder}"
    if ended.undelivered:
        error = f" ({ended.undelivered_error})" if ended.undelivered_error else ""
        waiting = format_count(ended.undelivered, "record")
        write(f"not in MLflow yet: {waiting}{error}; kept, and sent by: kerastudy sync {ended.study}{option}")
    if ended.winner is not None:
        write(f"next: kerastudy best {ended.study}{option}")
        if ended.refit or has_model(home.locate_trial(ended.study, ended.winner)):
            write(f"      kerastudy export {ended.study} --to FOLDER{option}")
    write(f"{'      ' if ended.winner is not None else 'next: '}kerastudy ui{option}")
