"""Verbs that hand studies in, follow and steer them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import (
    Whole,
    file_argument,
    json_option,
    print_notes,
    set_option,
    study_argument,
    with_door,
    with_home,
)
from pipelines.workspace.home import Home

if TYPE_CHECKING:
    from pipelines.client.http import Remote
    from pipelines.client.local import Here
    from tracking.store.study_queue import Wish


@click.command()
@file_argument
@click.option("--trials", type=Whole(1), metavar="N", help="Trials in total; same as --set budget.trials=N.")
@click.option("--workers", type=Whole(1), metavar="N", help="Worker processes; as many as cores by default.")
@click.option("--evolve", is_flag=True, help="Go on in a changed space, with the trials that still fit it.")
@set_option
@with_home
def run(
    home: Home, file: Path, trials: int | None, workers: int | None, evolve: bool, overrides: tuple[str, ...]
) -> None:
    """Run the study in FILE; run it again to resume it.

    Ctrl-C parks the study: running trials are put back, and the same command goes on with them. It works here, on the
    home: `kerastudy submit` hands a study to a service.
    """
    from pipelines.engines.local_engine import LocalEngine
    from pipelines.study.load import load_study

    if trials is not None:
        overrides = (*overrides, f"budget.trials={trials}")
    if workers is not None:
        overrides = (*overrides, f"resources.workers={workers}")
    study = load_study(file, overrides)
    print_notes(study.notes())
    # Takes seconds, in a process of its own, while more is imported here.
    LocalEngine(own_code=study.has_own_model).warm("tensorflow")
    from pipelines.cli.foreground import run_in_foreground

    sys.exit(run_in_foreground(study, home, evolve=evolve))


@click.command()
@file_argument
@click.option("--priority", type=Whole(-100, 100), default=0, metavar="N", help="Higher begins first; 0 by default.")
@click.option("--wait", is_flag=True, help="Follow its log until it ends.")
@click.option("--upload", is_flag=True, help="Send the data files that FILE names along to the service.")
@set_option
@json_option
@with_door
def submit(
    door: Here | Remote,
    file: Path,
    priority: int,
    wait: bool,
    upload: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Hand the study in FILE to the service.

    Without KERASTUDY_URL it is put in the queue of the home, for the service that runs there.
    """
    from pipelines.cli import output
    from pipelines.client.submission import followed, handed_in
    from pipelines.study.load import load_study

    study = load_study(file, overrides)
    print_notes(study.notes())
    submitted = handed_in(door, study, priority, upload=upload)
    (output.print_json if as_json else output.print_submitted)(submitted)
    if wait:
        sys.exit(followed(door, submitted.study))


@click.command()
@study_argument
@json_option
@with_door
def wait(door: Here | Remote, study: str, as_json: bool) -> None:
    """Wait until STUDY ends, or is parked.

    The exit code is 0 where it is finished, and 1 otherwise.
    """
    from pipelines.cli import output
    from pipelines.client.submission import waited

    ended = waited(door, study)
    (output.print_json if as_json else output.print_standing)(ended)
    sys.exit(0 if ended.state == "finished" else 1)


@click.command()
@study_argument
@click.argument("trial", type=Whole(0), required=False)
@click.option("--follow", is_flag=True, help="Go on until the study ends.")
@with_door
def logs(door: Here | Remote, study: str, trial: int | None, follow: bool) -> None:
    """Print the log of STUDY, or what the worker of its trial TRIAL printed."""
    for piece in door.log(study, trial, follow=follow):
        click.echo(piece, nl=False)


@click.command()
@study_argument
@json_option
@with_door
def resume(door: Here | Remote, study: str, as_json: bool) -> None:
    """Go on with STUDY, as it was submitted.

    Running trials of a paused or interrupted study go on from their last checkpoints: in the foreground, or by the
    service that KERASTUDY_URL names.
    """
    from pipelines.cli import output
    from pipelines.client.local import Here

    if not isinstance(door, Here):
        (output.print_json if as_json else output.print_standing)(door.resume(study))
        return
    from pipelines.cli.foreground import resume_in_foreground

    sys.exit(resume_in_foreground(study, door.home))


def _controls(wish: Wish, door: Here | Remote, study: str, *, as_json: bool) -> None:
    from pipelines.cli import output

    (output.print_json if as_json else output.print_standing)(door.ask(study, wish))


@click.command()
@study_argument
@json_option
@with_door
def pause(door: Here | Remote, study: str, as_json: bool) -> None:
    """Pause STUDY: running trials are put back.

    They go on from their last checkpoints with `kerastudy resume STUDY`.
    """
    _controls("pause", door, study, as_json=as_json)


@click.command()
@study_argument
@json_option
@with_door
def stop(door: Here | Remote, study: str, as_json: bool) -> None:
    """End STUDY early: running trials may finish, none begins.

    The best model so far is registered, as at the end of the budget.
    """
    _controls("stop", door, study, as_json=as_json)


@click.command()
@study_argument
@json_option
@with_door
def cancel(door: Here | Remote, study: str, as_json: bool) -> None:
    """End STUDY at once and for good.

    Running trials are cancelled; what was finished stays, and can be exported.
    """
    _controls("cancel", door, study, as_json=as_json)
