"""Verbs that run, submit, follow and control studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import (
    TrialNumber,
    WholeNumber,
    file_argument,
    json_option,
    pass_client,
    pass_home,
    print_notes,
    set_option,
    study_argument,
)
from pipelines.workspace.home import Home

if TYPE_CHECKING:
    from pipelines.client.http import HttpClient
    from pipelines.client.local import LocalClient
    from pipelines.client.submission import StudyClient
    from tracking.store.study_queue import ControlRequest

_LONGEST_END = 10_000  # characters of a log's end that can hold its last line


@click.command()
@file_argument
@click.option("--trials", type=WholeNumber(1), metavar="N", help="Trials in total; same as --set budget.trials=N.")
@click.option("--workers", type=WholeNumber(1), metavar="N", help="Worker processes; as many as cores by default.")
@click.option("--evolve", is_flag=True, help="Resume in a changed space, with the trials that still fit it.")
@click.option("--timings", is_flag=True, help="Print at the end what the time went into.")
@set_option
@pass_home
def run(
    home: Home,
    file: Path,
    trials: int | None,
    workers: int | None,
    evolve: bool,
    timings: bool,
    overrides: tuple[str, ...],
) -> None:
    """Run the study in FILE; run it again to resume it.

    Ctrl-C pauses the study: running trials are put back, and the same command resumes them. It works on this machine,
    on the home: `kerastudy submit` submits a study to a service.
    """
    from pipelines.cli.kept_command import prepare_next, run_forked

    if (code := run_forked()) is not None:
        sys.exit(code)
    from pipelines.engines.local_engine import LocalEngine
    from pipelines.study.load import load_study

    # Appended, so they win over `--set`: the last override of a key counts.
    if trials is not None:
        overrides = (*overrides, f"budget.trials={trials}")
    if workers is not None:
        overrides = (*overrides, f"resources.workers={workers}")
    study = load_study(file, overrides)
    # Before the seconds of loading, so that a study with a wrong setting can be stopped at once.
    print_notes(study.list_notes())
    if study.spec.resources.engine == "local":
        # A backend takes seconds to load: a worker process does that while this one imports the rest.
        from pipelines.operations.first_backends import list_first_backends

        engine = LocalEngine(user_code=study.has_user_model)
        for backend in list_first_backends(study):
            engine.warm(backend)
    from pipelines.cli.foreground import run_in_foreground

    code = run_in_foreground(study, home, evolve=evolve, with_timings=timings)
    if line := prepare_next():
        click.echo(line)
    sys.exit(code)


@click.command()
@file_argument
@click.option(
    "--priority", type=WholeNumber(-100, 100), default=0, metavar="N", help="Higher starts first; 0 by default."
)
@click.option("--wait", is_flag=True, help="Follow its log until it ends.")
@click.option("--upload", is_flag=True, help="Upload the data files of FILE to the service.")
@set_option
@json_option
@pass_client
def submit(
    client: StudyClient,
    file: Path,
    priority: int,
    wait: bool,
    upload: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Submit the study in FILE to the service.

    Without KERASTUDY_URL it is put into the queue of the home, for the service that runs there.
    """
    from pipelines.cli import output
    from pipelines.client import submission
    from pipelines.study.load import load_study

    study = load_study(file, overrides)
    print_notes(study.list_notes())
    submitted = submission.submit(client, study, priority, upload=upload)
    (output.print_json if as_json else output.print_submission)(submitted)
    if wait:
        sys.exit(_print_log(client, submitted.study))


def _print_log(client: StudyClient, study: str) -> int:
    """Print a study's log until the study ends; return the exit code."""
    from pipelines.cli import output
    from pipelines.client import submission

    end = ""
    for part in submission.follow(client, study):
        # The last part is the status; all before it are text.
        if isinstance(part, str):
            click.echo(part, nl=False)
            end = (end + part)[-_LONGEST_END:]
        else:
            status = part
    # The log of a study that failed or was cancelled before its first trial does not have it.
    if not end.endswith(f"{status.study} {status.state}: {status.reason}\n"):
        output.print_status(status)
    return 0 if status.state == "finished" else 1


@click.command()
@study_argument
@json_option
@pass_client
def wait(client: StudyClient, study: str, as_json: bool) -> None:
    """Wait until STUDY ends or is paused; a terminal shows its progress meanwhile.

    The exit code is 0 if it is finished, and 1 otherwise.
    """
    from pipelines.cli import output
    from pipelines.cli.safe_console import make_console
    from pipelines.cli.watching import watch_study

    # On standard error: the status alone is the result.
    ended = watch_study(client, study, make_console(stderr=True))
    (output.print_json if as_json else output.print_status)(ended)
    sys.exit(0 if ended.state == "finished" else 1)


@click.command(name="logs")
@study_argument
@click.argument("trial", type=TrialNumber(), required=False)
@click.option("--follow", is_flag=True, help="Continue until the study ends.")
@pass_client
def print_logs(client: StudyClient, study: str, trial: int | None, follow: bool) -> None:
    """Print the log of STUDY, or the output of the worker of its trial TRIAL."""
    for piece in client.read_log(study, trial, follow=follow):
        click.echo(piece, nl=False)


@click.command()
@study_argument
@json_option
@pass_client
def resume(client: LocalClient | HttpClient, study: str, as_json: bool) -> None:
    """Resume STUDY, as it was submitted.

    Running trials of a paused or interrupted study are resumed from their last checkpoints: in the foreground, or by
    the service that KERASTUDY_URL names.
    """
    from pipelines.cli import output
    from pipelines.client.local import LocalClient

    if not isinstance(client, LocalClient):
        (output.print_json if as_json else output.print_status)(client.resume(study))
        return
    from pipelines.cli.foreground import run_in_foreground
    from pipelines.operations.control import load_resumable

    # A home has no process that could go on with the study, so this one does.
    sys.exit(run_in_foreground(load_resumable(client.home, study), client.home))


def _control(control_request: ControlRequest, client: StudyClient, study: str, *, as_json: bool) -> None:
    from pipelines.cli import output

    (output.print_json if as_json else output.print_status)(client.control(study, control_request))


@click.command()
@study_argument
@json_option
@pass_client
def pause(client: StudyClient, study: str, as_json: bool) -> None:
    """Pause STUDY: running trials are put back.

    `kerastudy resume STUDY` resumes them from their last checkpoints.
    """
    _control("pause", client, study, as_json=as_json)


@click.command()
@study_argument
@json_option
@pass_client
def stop(client: StudyClient, study: str, as_json: bool) -> None:
    """End STUDY early: running trials may finish, no other starts.

    A paused trial that leads goes on to its end. The best model so far is registered, as at the end of the budget.
    """
    _control("stop", client, study, as_json=as_json)


@click.command()
@study_argument
@json_option
@pass_client
def cancel(client: StudyClient, study: str, as_json: bool) -> None:
    """End STUDY at once and finally.

    Running trials are cancelled; finished ones stay, and can be exported.
    """
    _control("cancel", client, study, as_json=as_json)
