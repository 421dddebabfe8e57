"""Verbs for the end of a study's life: archive and delete."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, pass_client, study_argument
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient


@click.command()
@study_argument
@click.option("--force", is_flag=True, help="Even if a promoted model or another study needs it.")
@click.option("--yes", is_flag=True, help="Without a question.")
@json_option
@pass_client
def delete(client: StudyClient, study: str, force: bool, yes: bool, as_json: bool) -> None:
    """Delete STUDY: its records, files, MLflow runs and registered versions.

    Refused while it runs, while one of its models has an alias other than challenger, and while a study that starts
    from it has not begun. Its name is free afterwards.
    """
    from pipelines.cli import output

    if not yes:
        _confirm(client, study)
    (output.print_json if as_json else output.print_deletion)(client.delete(study, force=force))


def _confirm(client: StudyClient, study: str) -> None:
    """Ask whether to delete a study; a script says so with `--yes`."""
    view = client.read_study(study)
    if not sys.stdin.isatty():
        raise InputError(f"{study} would be deleted for good: add --yes")
    trials = sum(view.trials.values())
    click.confirm(f"Delete {study} ({view.state}, {trials} trials) for good?", abort=True)


@click.command()
@study_argument
@json_option
@pass_client
def archive(client: StudyClient, study: str, as_json: bool) -> None:
    """Archive STUDY, which has ended: it is hidden from `list` and in MLflow.

    Its checkpoints go, and the models of all trials but the winner and those that are promoted. It can be shown and
    exported as before; `kerastudy unarchive` lists it again.
    """
    from pipelines.cli import output

    (output.print_json if as_json else output.print_archive)(client.archive(study))


@click.command()
@study_argument
@json_option
@pass_client
def unarchive(client: StudyClient, study: str, as_json: bool) -> None:
    """List STUDY again, here and in MLflow."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_archive)(client.unarchive(study))
