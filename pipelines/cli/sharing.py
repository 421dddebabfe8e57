"""Verbs for what accounts share: registered models and uploaded data files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, pass_client

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient


@click.group()
def model() -> None:
    """List registered models, and grant their names to other submitters."""


@model.command(name="list")
@json_option
@pass_client
def list_models(client: StudyClient, as_json: bool) -> None:
    """List registered models, whom they belong to, and who else may use them."""
    from pipelines.cli import output, sharing_output

    (output.print_json if as_json else sharing_output.print_models)(client.list_models())


@model.command(name="grant")
@click.argument("name")
@click.argument("submitter")
@click.option("--protected", is_flag=True, help="Protected aliases too; only admins grant that.")
@json_option
@pass_client
def grant_model(client: StudyClient, name: str, submitter: str, protected: bool, as_json: bool) -> None:
    """Let SUBMITTER register under the model NAME and move its aliases.

    The owner and admins may: the owner is the submitter of the first study that registered under the name.
    """
    from pipelines.cli import output, sharing_output

    granted = client.grant_model(name, submitter, moves_protected=protected)
    output.print_json(granted) if as_json else sharing_output.print_models([granted])


@model.command(name="revoke")
@click.argument("name")
@click.argument("submitter")
@json_option
@pass_client
def revoke_model(client: StudyClient, name: str, submitter: str, as_json: bool) -> None:
    """Take the grant of the model NAME to SUBMITTER back; versions and aliases stay."""
    from pipelines.cli import output, sharing_output

    left = client.revoke_model(name, submitter)
    output.print_json(left) if as_json else sharing_output.print_models([left])


@click.group()
def uploads() -> None:
    """List and remove the data files that were uploaded to a service."""


@uploads.command(name="list")
@json_option
@pass_client
def list_uploads(client: StudyClient, as_json: bool) -> None:
    """List your uploads; an admin sees everybody's."""
    from pipelines.cli import output, sharing_output

    (output.print_json if as_json else sharing_output.print_uploads)(client.list_uploads())


@uploads.command(name="remove")
@click.argument("name")
@pass_client
def remove_upload(client: StudyClient, name: str) -> None:
    """Remove the upload NAME, such as uploads/0123456789abcdef.csv.

    One that a study names is kept until the study has ended.
    """
    client.remove_upload(name)
