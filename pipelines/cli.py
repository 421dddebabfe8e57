"""The command line: one door over the flow, with no logic of its own.

Each verb imports what it needs when it runs, so that `kerastudy --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pipelines.home import Home
from search_spaces.errors import InputError, KerastudyError

_Command = Callable[..., None]


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    try:
        status = commands.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except KerastudyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:
        traceback.print_exc()
        print("This is a defect in kerastudy; please report it with the lines above.", file=sys.stderr)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="FOLDER", help="Where all state is kept; default: KERASTUDY_HOME or .kerastudy.")
@click.version_option(package_name="kerastudy", message="%(version)s")
@click.pass_context
def commands(context: click.Context, home: str | None) -> None:
    """Tune Keras models: run studies, browse their trials in MLflow, export the best model."""
    context.obj = home


def _with_home(command: _Command) -> _Command:
    """Give a command the home, also when `--home` stands behind the verb."""

    @click.option("--home", "own_home", metavar="FOLDER", help="As before the verb.")
    @click.pass_obj
    @wraps(command)
    def call(home: str | None, /, own_home: str | None, **options: Any) -> None:
        command(Home.at(own_home or home), **options)

    return call


_file = click.argument("file", type=click.Path(path_type=Path))
_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in --set space.l2.high=1e-3."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_study = click.argument("study")


@commands.command()
@_file
@click.option("--trials", type=click.IntRange(1), metavar="N", help="Trials in total; same as --set budget.trials=N.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Worker processes; as many as cores by default.")
@_set
@_with_home
def run(home: Home, file: Path, trials: int | None, workers: int | None, overrides: tuple[str, ...]) -> None:
    """Run the study in FILE; run it again to resume it.

    Ctrl-C parks the study: running trials are put back, and the same command goes on with them.
    """
    from pipelines.foreground import run_in_foreground
    from pipelines.study_file import load_study

    if trials is not None:
        overrides = (*overrides, f"budget.trials={trials}")
    if workers is not None:
        overrides = (*overrides, f"resources.workers={workers}")
    status = run_in_foreground(load_study(file, overrides), home)
    sys.exit(status)


@commands.command()
@_file
@_set
@_json
def validate(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check FILE, its data, and the smallest and largest model that its space can ask for."""
    from pipelines.foreground import validate_in_foreground
    from pipelines.study_file import load_study

    validate_in_foreground(load_study(file, overrides), as_json=as_json)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of study files."""
    from pipelines.study_file import schema as study_schema
    from pipelines.tables import print_json

    print_json(study_schema())


@commands.command(name="list")
@_json
@_with_home
def list_studies(home: Home, as_json: bool) -> None:
    """List all studies."""
    from pipelines import tables
    from pipelines.lookup import Lookup

    with Lookup.open(home) as lookup:
        (tables.print_json if as_json else tables.print_studies)(lookup.studies())


@commands.command()
@_study
@_json
@_with_home
def show(home: Home, study: str, as_json: bool) -> None:
    """Show how STUDY stands."""
    from pipelines import tables
    from pipelines.lookup import Lookup

    with Lookup.open(home) as lookup:
        (tables.print_json if as_json else tables.print_study)(lookup.study(study))


@commands.command()
@_study
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@_json
@_with_home
def trials(home: Home, study: str, as_csv: bool, as_json: bool) -> None:
    """List the trials of STUDY."""
    from pipelines import tables
    from pipelines.lookup import Lookup

    if as_csv and as_json:
        raise InputError("--csv and --json: expected one of them")
    with Lookup.open(home) as lookup:
        print_trials = tables.print_json if as_json else tables.print_csv if as_csv else tables.print_trials
        print_trials(lookup.trials(study))


@commands.command()
@_study
@_json
@_with_home
def best(home: Home, study: str, as_json: bool) -> None:
    """Show the best trial of STUDY."""
    from pipelines import tables
    from pipelines.lookup import Lookup

    with Lookup.open(home) as lookup:
        (tables.print_json if as_json else tables.print_best)(lookup.best(study))


@commands.command()
@_study
@click.option("--trial", type=click.IntRange(0), metavar="N", help="Which trial; the best one by default.")
@click.option("--format", "formats", metavar="A,B", help="keras, saved_model; default: the study file's.")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@_json
@_with_home
def export(home: Home, study: str, trial: int | None, formats: str | None, target: Path, as_json: bool) -> None:
    """Write the best model of STUDY for deployment, each file proven equal to the Keras model."""
    from pipelines import tables
    from pipelines.foreground import export_in_foreground

    written = export_in_foreground(home, study, trial, formats.split(",") if formats else None, target)
    (tables.print_json if as_json else tables.print_export)(written)


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535), help="Port to try first.")
@_with_home
def ui(home: Home, host: str, port: int) -> None:
    """Start the MLflow UI and print where each study is seen; Ctrl-C ends it."""
    from pipelines.foreground import ui_in_foreground

    ui_in_foreground(home, host, port)
