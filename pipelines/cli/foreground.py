"""What the verbs of the command line do while a person watches, from `run` to `ui`."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pipelines.cli import output
from pipelines.cli.progress_bars import counted, display, duration, metrics_line, trial_name
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations import control, sync
from pipelines.operations.replay.replay import Replayed, replay
from pipelines.operations.run import cancelling, supervised
from pipelines.operations.submit import check_study
from pipelines.queries.study_reader import nothing_left
from pipelines.study.load import Study
from pipelines.supervisor.events import StudyEnded
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.store.study_queue import Wish

INTERRUPTED = 130
_SAY_EVERY_S = 10.0
_SYNC_S = 120.0


def run_in_foreground(study: Study, home: Home, *, evolve: bool = False) -> int:
    """Submit a study and work on it until it ends or Ctrl-C parks it; return the exit code.

    Raises:
        InputError: if its data or model cannot be used, or the study exists and searches something else.
    """
    console = Console()
    if (ended := nothing_left(study, home, evolve=evolve)) is not None:
        console.print("nothing is left to do; for more trials: --trials N, or budget.trials", highlight=False)
        if ended.undelivered:
            with _watching() as watch:
                (done,) = sync.sync(home, [study.name], _SYNC_S, watch)
            ended = replace(ended, undelivered=done.left, undelivered_error=done.reason)
        _print_end(console, ended, home)
        return 0
    trying = console.status("reading the data, trying the smallest and the largest model")
    supervising = supervised(study, home, trying, evolve=evolve, own_process=True)
    with supervising as supervisor, _on_signal(supervisor.park), display(console) as shown:
        for event in supervisor.run():
            shown.show(event)
    if not isinstance(event, StudyEnded):
        raise AssertionError("a supervisor's last word is StudyEnded")
    _print_end(console, event, home)
    if event.asked_for:
        return INTERRUPTED
    return 0 if event.state == "finished" else 1


def resume_in_foreground(study: str, home: Home) -> int:
    """Go on with a study as it was submitted; return the exit code.

    Raises:
        InputError: if there is no such study, it was cancelled, or somebody works on it.
    """
    return run_in_foreground(control.to_resume(home, study), home)


def control_in_foreground(study: str, home: Home, wish: Wish) -> control.Standing:
    """Ask whoever works on a study to pause, stop or cancel it; return how it stands then.

    Raises:
        InputError: if there is no such study, or it is in no state to do that.
        KerastudyError: if whoever works on it does not answer.
    """
    if (standing := control.ask_for(home, study, wish)) is not None:
        return standing
    with cancelling(control.to_resume(home, study), home) as supervisor:
        for event in supervisor.run():
            ended = event
    if not isinstance(ended, StudyEnded):
        raise AssertionError("a supervisor's last word is StudyEnded")
    return control.Standing(ended.study, ended.state, ended.reason)


def validate_in_foreground(study: Study, *, as_json: bool) -> None:
    """Check a study's data and models and print what was found.

    Raises:
        InputError: if the data or the model cannot be used.
    """
    engine = LocalEngine(1, own_code=study.has_own_model)
    with tempfile.TemporaryDirectory(prefix="kerastudy-") as folder, closing(engine):
        checked = check_study(study, Path(folder) / "study", engine, timed=True)
    if as_json:
        output.print_json(checked)
    else:
        output.print_checked(study.name, tuple(study.space.parameters), checked)


def sync_in_foreground(home: Home, studies: Sequence[str], wait_s: float, *, as_json: bool) -> int:
    """Deliver what waits for MLflow, of these studies or of all, and print it; return the exit code.

    Raises:
        InputError: if there is no study of such a name.
        StudyBusyError: if another process works on a study that was named.
    """
    with _watching() as watch:
        done = tuple(sync.sync(home, studies, wait_s, watch))
    (output.print_json if as_json else output.print_synced)(done)
    if watch.is_over:
        return INTERRUPTED
    return 1 if any(each.left and not each.is_busy for each in done) else 0


def rebuild_in_foreground(home: Home, study: str, wait_s: float, *, as_json: bool) -> int:
    """Tell MLflow of a study anew and print what came of it; return the exit code.

    Raises:
        InputError: if there is no such study, it has not begun, or it cannot be told from the home alone.
        StudyBusyError: if another process works on it.
    """
    with _watching() as watch:
        done = sync.rebuild(home, study, wait_s, watch)
    (output.print_json if as_json else output.print_rebuilt)(done)
    if watch.is_over:
        return INTERRUPTED
    return 1 if done.left else 0


def replay_in_foreground(home: Home, study: str, trial: int, target: Path | None) -> Replayed:
    """Train a trial again and compare it with what was recorded, saying on a terminal how far it is.

    Raises:
        InputError: see `replaying.replay`.
    """
    with Console(stderr=True).status("looking the trial up") as line:
        return replay(home, study, trial, target, lambda step: line.update(escape(step)))


class _Watch(sync.Watch):
    """Shows a delivery in one line on a terminal, or a line now and then elsewhere; the first Ctrl-C ends it."""

    def __init__(self, console: Console, line: Status) -> None:
        self._console = console
        self._line = line
        self._said_at = time.monotonic()
        self._is_over = False

    def show(self, step: sync.Step) -> None:
        error = f" ({step.error})" if step.error else ""
        text = f"{step.study}: {counted(step.left, 'record')} to go{error}"
        if self._console.is_terminal:
            self._line.update(escape(text))
        elif time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        self._is_over = True

    @property
    def is_over(self) -> bool:
        return self._is_over


@contextmanager
def _watching() -> Iterator[_Watch]:
    console = Console(stderr=True)
    with console.status("connecting to MLflow") as line:
        watch = _Watch(console, line)
        with _on_signal(watch.end):
            yield watch


def ui_in_foreground(home: Home, host: str, port: int) -> None:
    """Run the MLflow UI on a home until Ctrl-C.

    Raises:
        KerastudyError: if the UI does not start.
    """
    from tracking.mlflow import ui

    stopped = threading.Event()
    console = Console(highlight=False)
    with _on_signal(stopped.set):
        with console.status("starting the MLflow UI"):
            serving = ui.serve(home.folder, os.environ, host=host, port=port)
            address = serving.__enter__()
        try:
            console.print(f"MLflow UI: {address}/#/experiments?workflowType=machine_learning", soft_wrap=True)
            for board in ui.boards(urls.resolve(home.folder, os.environ), address):
                console.print(f"  {board.study}: {board.leaderboard}", soft_wrap=True)
            console.print("Ctrl-C ends it.")
            while not stopped.wait(0.2):
                pass
        finally:
            serving.__exit__(None, None, None)


def _print_end(console: Console, ended: StudyEnded, home: Home) -> None:
    say: Callable[[str], None] = lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)  # noqa: E731
    put_back = {"running": "to be run again"} if ended.state == "parked" else {}
    counts = ", ".join(f"{count} {put_back.get(state, state)}" for state, count in ended.trials.items())
    counted_trials = f" ({counts})" if counts else ""
    say(f"{ended.study} {ended.state}: {ended.reason}{counted_trials} after {duration(ended.seconds)}")
    if ended.winner is not None:
        test = f"; on the test rows: {metrics_line(ended.test)}" if ended.test else ""
        mean = f" (mean {ended.finalists[0].in_words()})" if ended.finalists else ""
        say(f"best: {trial_name(ended.winner)} with {ended.metric} {ended.value:.6g}{mean}{test}")
        if ended.ensemble is not None:
            say(f"the finalists' mean has {ended.ensemble:.6g}: kerastudy export {ended.study} --ensemble writes it")
    option = "" if home.folder == Home.at(None).folder else f" --home {home.folder}"
    if ended.undelivered:
        error = f" ({ended.undelivered_error})" if ended.undelivered_error else ""
        waiting = counted(ended.undelivered, "record")
        say(f"not in MLflow yet: {waiting}{error}; kept, and sent by: kerastudy sync {ended.study}{option}")
    if ended.winner is not None:
        say(f"next: kerastudy best {ended.study}{option}")
        say(f"      kerastudy export {ended.study} --to FOLDER{option}")
    say(f"{'      ' if ended.winner is not None else 'next: '}kerastudy ui{option}")


@contextmanager
def _on_signal(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` at the first SIGINT or SIGTERM; a second one ends the process as usual."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        action()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
