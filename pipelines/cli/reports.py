"""Verbs that write pages: the report of a study, and the comparison of several."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, pass_client, study_argument
from search_spaces.errors import InputError

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


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY STUDY...")
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="FILE", help="HTML file to write, too.")
@_open_option
@json_option
@pass_client
def compare(client: StudyClient, studies: tuple[str, ...], target: Path | None, opens: bool, as_json: bool) -> None:
    """Compare two studies or more.

    Their results, spaces and data, and their winners on the same test rows: where data or split differ, a worker scores
    the winners on those of the first study.
    """
    from pipelines.cli import output
    from pipelines.cli.comparison_output import print_comparison
    from pipelines.cli.status_line import show_status

    if opens and target is None:
        raise InputError("--open: expected --to FILE, which is opened")
    with show_status("reading the studies") as report:
        found, page = client.compare(studies, target, report)
    if as_json:
        output.print_json(found)
    else:
        print_comparison(found)
    if page is not None:
        click.echo(f"{page.file}: comparison, {page.bytes / 1000:,.0f} kB", err=as_json)
        if opens:
            open_page(Path(page.file))
