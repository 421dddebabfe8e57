"""Verbs that write pages: the report of a study."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, pass_client, study_argument

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient

_open_option = click.option("--open", "opens", is_flag=True, help="Open it in a browser.")


@click.command()
@study_argument
@click.option(
    "--to", "target", type=click.Path(path_type=Path), metavar="FILE", help="HTML file; default: STUDY-report.html."
)
@_open_option
@json_option
@pass_client
def report(client: StudyClient, study: str, target: Path | None, opens: bool, as_json: bool) -> None:
    """Write a report on STUDY to one HTML file.

    What was searched and found, how sure that is, what mattered, failed and cost, and what to try next. The file needs
    no network. An earlier report there is replaced, any other file is not.
    """
    from pipelines.cli import output

    written = client.write_report(study, target or Path(f"{study.replace('/', '-')}-report.html"))
    if as_json:
        output.print_json(written)
    else:
        click.echo(f"{written.file}: report of {study}, {written.bytes / 1000:,.0f} kB")
    if opens:
        open_page(Path(written.file))


def open_page(file: Path) -> None:
    """Open a page in the user's browser; where there is none, state that."""
    if not webbrowser.open(file.absolute().as_uri()):
        click.echo(f"note: there is no browser here; open {file} in one", err=True)
