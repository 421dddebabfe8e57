"""What the verbs of the command line do while a person watches: run, validate, export, ui."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from pipelines import control, tables
from pipelines.display import counted, display, duration, metrics_line, trial_name
from pipelines.engines.local import LocalEngine
from pipelines.export.export import Exported, check_target, export_trial
from pipelines.home import Home
from pipelines.lookup import Lookup, nothing_left
from pipelines.progress import StudyEnded
from pipelines.running import cancelling, supervised
from pipelines.study_file import Study
from pipelines.submit import check_study
from tracking import links
from tracking.study_queue import Wish

INTERRUPTED = 130


def run_in_foreground(study: Study, home: Home, *, evolve: bool = False) -> int:
    """Submit a study and work on it until it ends or Ctrl-C parks it; return the exit code.

    Raises:
        InputError: if its data or model cannot be used, or the study exists and searches something else.
    """
    console = Console()
    if (ended := nothing_left(study, home, evolve=evolve)) is not None:
        console.print("nothing is left to do; for more trials: --trials N, or budget.trials", highlight=False)
        _print_end(console, ended, home)
        return 0
    trying = console.status("reading the data, trying the smallest and the largest model")
    supervising = supervised(study, home, trying, evolve=evolve)
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
    with tempfile.TemporaryDirectory(prefix="kerastudy-") as folder, closing(LocalEngine(1)) as engine:
        checked = check_study(study, Path(folder) / "study", engine, timed=True)
    if as_json:
        tables.print_json(checked)
    else:
        tables.print_checked(study.name, tuple(study.space.parameters), checked)


def export_in_foreground(
    home: Home, study: str, trial: int | None, formats: Sequence[str] | None, target: Path
) -> Exported:
    """Export a trial's model, the best one's unless a trial is named.

    Raises:
        InputError: if study, trial or format are unknown, or the target exists.
        ExportError: if a file differs from the Keras model.
    """
    check_target(target)
    with Lookup.open(home) as lookup:
        number = lookup.complete_trial(study, trial)
        chosen = formats or lookup.formats(study)
        test = lookup.best(study).test if trial is None else {}
    with closing(LocalEngine(1)) as engine:
        files = export_trial(home, study, number, chosen, target, engine)
    return Exported(study, number, str(target), files, test)


def ui_in_foreground(home: Home, host: str, port: int) -> None:
    """Run the MLflow UI on a home until Ctrl-C.

    Raises:
        KerastudyError: if the UI does not start.
    """
    from tracking import ui

    stopped = threading.Event()
    console = Console(highlight=False)
    with _on_signal(stopped.set):
        with console.status("starting the MLflow UI"):
            serving = ui.serve(home.folder, os.environ, host=host, port=port)
            address = serving.__enter__()
        try:
            console.print(f"MLflow UI: {address}/#/experiments?workflowType=machine_learning", soft_wrap=True)
            for board in ui.boards(links.resolve(home.folder, os.environ), address):
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
        say(f"best: {trial_name(ended.winner)} with {ended.metric} {ended.value:.6g}{test}")
    if ended.undelivered:
        error = f" ({ended.undelivered_error})" if ended.undelivered_error else ""
        waiting = counted(ended.undelivered, "record")
        say(f"not in MLflow yet: {waiting}{error}; kept, and sent by the next run of the same file")
    option = "" if home.folder == Home.at(None).folder else f" --home {home.folder}"
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
