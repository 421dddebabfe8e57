"""Verbs for the author of a study file: validation, schema, spaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import WholeNumber, file_argument, json_option, print_notes, set_option
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from search_spaces.foreign.base import ExportResult

_FORMATS = "keras-tuner, wandb, katib, nni, optuna"


@click.command()
@file_argument
@set_option
@json_option
def validate(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check FILE, its data and its models.

    The smallest and the largest model of the space are built and timed; nothing is kept.
    """
    from pipelines.cli.checks import validate_in_foreground
    from pipelines.study.load import load_study

    study = load_study(file, overrides)
    print_notes(study.list_notes())
    validate_in_foreground(study, as_json=as_json)


@click.command()
@click.argument("source")
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Column to predict; may be repeated.")
@click.option(
    "--to", "file", type=click.Path(path_type=Path), metavar="FILE", help="File to write; default: NAME.yaml."
)
@click.option("--name", metavar="NAME", help="The study's name; that of SOURCE by default.")
@click.option("--time", metavar="COLUMN", help="Column of times: the study forecasts a series.")
@click.option("--by", metavar="COLUMN", help="Column that distinguishes several series, such as a shop.")
@click.option(
    "--horizon", type=WholeNumber(1), metavar="N", help="Rows ahead to forecast; by the usual step if left out."
)
@json_option
def init(
    source: str,
    targets: tuple[str, ...],
    file: Path | None,
    name: str | None,
    time: str | None,
    by: str | None,
    horizon: int | None,
    as_json: bool,
) -> None:
    """Write a study file for the data in SOURCE: a file, an image folder, or sklearn:NAME.

    The data is read as a study reads it. The file's comments state what was inferred, what looks wrong, and the key
    that changes it; model and space suit the columns and the rows. It is ready to run.

    With --time, --by or --horizon the study forecasts: the last rows of a series are an example, the rows after them
    its target. What is not named of the three is guessed, with the reason. A table that looks like a series has a note.
    """
    from pipelines.cli import output
    from pipelines.cli.checks import init_in_foreground
    from pipelines.operations.starter.series import SeriesRequest

    written = init_in_foreground(source, targets, file, name, SeriesRequest(time, by, horizon))
    (output.print_json if as_json else output.print_starter)(written)


@click.command(name="schema")
def print_schema() -> None:
    """Print the JSON Schema of study files."""
    from pipelines.cli.output import print_json
    from pipelines.study.load import build_schema

    print_json(build_schema())


@click.command(name="spaces")
@click.argument("name", required=False)
@click.option("--export", "to_format", metavar="FORMAT", help=f"Print it for another tool: {_FORMATS}.")
@json_option
def list_spaces(name: str | None, to_format: str | None, as_json: bool) -> None:
    """List the shipped spaces, or print the one called NAME, or the space of the file NAME in full."""
    from pipelines.cli import output
    from pipelines.operations import spaces as space_tools

    if to_format and (as_json or name is None):
        raise InputError(f"--export: expected {'no --json beside it' if name else 'the name of a space or a file'}")
    if name is None:
        (output.print_json if as_json else output.print_spaces)(space_tools.list_shipped_spaces())
    elif to_format:
        _print_with_notes(space_tools.export_space(name, to_format))
    elif as_json:
        output.print_json(space_tools.find_space(name).to_dict())
    else:
        click.echo(space_tools.format_space(name), nl=False)


@click.command(name="import-space")
@file_argument
@click.option("--format", "from_format", metavar="FORMAT", help=f"{_FORMATS}; default: by the content of FILE.")
def import_space(file: Path, from_format: str | None) -> None:
    """Print the space in another tool's FILE as ours; on standard error, what has no equivalent."""
    from pipelines.operations import spaces as space_tools

    _print_with_notes(space_tools.import_space_file(file, from_format))


def _print_with_notes(exported: ExportResult) -> None:
    # On standard error: the text itself is usually redirected into a file.
    print_notes(exported.notes)
    click.echo(exported.text, nl=False)
