"""Verbs for what came out: studies, trials, the best of them, and what becomes of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import Whole, json_option, study_argument, with_door
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from pipelines.client.http import Remote
    from pipelines.client.local import Here

_EXPORT_FORMATS = "keras, keras_int8, saved_model, litert, litert_float16, litert_dynamic, litert_int8, onnx, openvino"


@click.command(name="list")
@json_option
@with_door
def list_studies(door: Here | Remote, as_json: bool) -> None:
    """List all studies."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_studies)(door.studies())


@click.command()
@study_argument
@json_option
@with_door
def show(door: Here | Remote, study: str, as_json: bool) -> None:
    """Show how STUDY stands."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_study)(door.study(study))


@click.command()
@study_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@with_door
def trials(door: Here | Remote, study: str, as_csv: bool, as_json: bool) -> None:
    """List the trials of STUDY."""
    from pipelines.cli import output

    if as_csv and as_json:
        raise InputError("--csv and --json: expected one of them")
    print_trials = output.print_json if as_json else output.print_csv if as_csv else output.print_trials
    print_trials(door.trials(study))


@click.command()
@study_argument
@json_option
@with_door
def best(door: Here | Remote, study: str, as_json: bool) -> None:
    """Show the best trial of STUDY."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_best)(door.best(study))


@click.command()
@study_argument
@click.option("--trial", type=Whole(0), metavar="N", help="Which trial; the winner by default.")
@click.option(
    "--at-most",
    multiple=True,
    metavar="OBJECTIVE=VALUE",
    help="Of several objectives: the best trial by the first whose others are at most so large.",
)
@click.option("--at-least", multiple=True, metavar="OBJECTIVE=VALUE", help="Likewise, at least so large.")
@click.option("--ensemble", is_flag=True, help="The mean of the finalists' models, where it beat the winner.")
@click.option("--format", "formats", metavar="A,B", help=f"{_EXPORT_FORMATS}; default: the study file's.")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@json_option
@with_door
def export(
    door: Here | Remote,
    study: str,
    trial: int | None,
    at_most: tuple[str, ...],
    at_least: tuple[str, ...],
    ensemble: bool,
    formats: str | None,
    target: Path,
    as_json: bool,
) -> None:
    """Write the best model of STUDY, proven equal.

    Each file is loaded again in a fresh process, and compared with the Keras model on real rows before anything is
    handed over. The formats onnx and openvino need the extras of these names.
    """
    from pipelines.cli import output
    from pipelines.queries.views import point_on_front

    chosen = None if formats is None else [name.strip() for name in formats.split(",")]
    if at_most or at_least:
        if trial is not None or ensemble:
            raise InputError("expected one way to choose a model: --trial, --ensemble, or bounds of objectives")
        trial = point_on_front(door.best(study), _bounds("--at-most", at_most), _bounds("--at-least", at_least))
    written = door.export(study, trial, chosen, target, ensemble=ensemble)
    (output.print_json if as_json else output.print_export)(written)


def _bounds(option: str, written: Sequence[str]) -> dict[str, float]:
    """Return the bounds in an option that is given as `NAME=VALUE`."""
    bounds = {}
    for each in written:
        name, _, value = each.partition("=")
        try:
            bounds[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"{option}: expected OBJECTIVE=VALUE such as size_mb=0.5, got {each!r}") from None
    return bounds


@click.command()
@study_argument
@click.option("--trial", type=Whole(0), metavar="N", help="Which trial; the best one by default.")
@click.option("--alias", metavar="NAME", help="Which alias; default: the study file's, champion where it names none.")
@click.option("--force", is_flag=True, help="Also if it is worse, or cannot be compared.")
@json_option
@with_door
def promote(door: Here | Remote, study: str, trial: int | None, alias: str | None, force: bool, as_json: bool) -> None:
    """Make the best model of STUDY the champion.

    It is compared on the study's test rows with the version that holds the alias, and gets the alias if it is at least
    as good. The exit code is 1 where it is not, and nothing was changed.
    """
    from pipelines.cli import output

    done = door.promote(study, trial, alias, force=force)
    (output.print_json if as_json else output.print_promoted)(done)
    sys.exit(0 if done.is_promoted else 1)


@click.command()
@study_argument
@click.argument("trial", type=Whole(0))
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder to create for what the training leaves.")
@json_option
@with_door
def replay(door: Here | Remote, study: str, trial: int, target: Path | None, as_json: bool) -> None:
    """Train TRIAL of STUDY again, and report every difference.

    Its data is prepared anew; data, code, environment, seed, values, each epoch, score and weights are compared with
    what was recorded. The exit code is 0 where the training came out equal, but for rounding, and 1 otherwise; what
    else differs does not count. Nothing of the study is changed.
    """
    from pipelines.cli import output

    replayed = door.replay(study, trial, target)
    (output.print_json if as_json else output.print_replayed)(replayed)
    sys.exit(1 if replayed.verdict == "different" else 0)
