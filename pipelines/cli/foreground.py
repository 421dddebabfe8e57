"""Verbs that run until they are ended on a terminal: run, ui."""

from __future__ import annotations

import os
import shlex
import threading
from dataclasses import replace

from rich.console import Console

from pipelines.cli.kept_command import find_start
from pipelines.cli.progress_bars import choose_display
from pipelines.cli.safe_console import make_console, make_text
from pipelines.cli.status_line import INTERRUPTED, StatusListener
from pipelines.cli.timings_output import print_runs
from pipelines.operations.interrupt import handle_signals
from pipelines.operations.run import find_finished, run_to_end, supervise
from pipelines.study.study import Study
from pipelines.supervisor.event_text import format_count, format_end
from pipelines.supervisor.events import StudyEnded
from pipelines.training.trial_folder import has_model
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.timings.spans import read_runs
from tracking.timings.stopwatch import time_run


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
            # Here, since no other run needs it.
            from pipelines.cli.deliveries import sync_one

            done = sync_one(home, study.name)
            ended = replace(ended, undelivered=done.left, undelivered_error=done.reason)
        _print_end(console, ended, home)
        if with_timings:
            print_runs(read_runs(home.locate_study(study.name)))
        return 0
    checking = console.status("reading the data, trying the smallest and the largest model")
    listener = StatusListener(checking)
    supervising = supervise(study, home, checking, evolve=evolve, own_process=True, listener=listener)
    # The signals are handled once the check is over: a Ctrl-C before that has nothing to put back, and ends the
    # process.
    with time_run(find_start()), supervising as supervisor, handle_signals(supervisor.pause):
        with choose_display(console) as display:
            ended = run_to_end(supervisor, display.show)
        _print_end(console, ended, home)
    if with_timings:
        print_runs(read_runs(home.locate_study(study.name))[-1:])
    if ended.is_requested:
        return INTERRUPTED
    return 0 if ended.state == "finished" else 1


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
    option = "" if home.folder == Home.find(None).folder else f" --home {shlex.quote(str(home.folder))}"
    if ended.undelivered:
        error = f" ({ended.undelivered_error})" if ended.undelivered_error else ""
        waiting = format_count(ended.undelivered, "record")
        write(f"not in MLflow yet: {waiting}{error}; kept, and sent by: kerastudy sync {ended.study}{option}")
    if ended.winner is not None:
        write(f"next: kerastudy best {ended.study}{option}")
        if ended.refit or has_model(home.locate_trial(ended.study, ended.winner)):
            write(f"      kerastudy export {ended.study} --to FOLDER{option}")
    write(f"{'      ' if ended.winner is not None else 'next: '}kerastudy ui{option}")
