"""Verbs for results: studies, trials, the best trial, its export, promotion and replay."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import (
    WholeNumber,
    json_option,
    pass_client,
    study_argument,
    trial_argument,
    trial_option,
)
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from pipelines.client.submission import StudyClient
    from pipelines.queries.views import TrialRow

# Written out: the registry takes half a second to import, and `--help` a tenth. A test compares the two.
_EXPORT_FORMATS = "keras, keras_int8, saved_model, litert, litert_float16, litert_dynamic, litert_int8, onnx, openvino"


@click.command(name="list")
@click.option("--archived", is_flag=True, help="Archived studies too.")
@json_option
@pass_client
def list_studies(client: StudyClient, archived: bool, as_json: bool) -> None:
    """List all studies."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_studies)(client.list_studies(archived=archived))


@click.command()
@study_argument
@click.option("--timings", is_flag=True, help="What the time of each run went into; with --json a list of spans.")
@json_option
@pass_client
def show(client: StudyClient, study: str, timings: bool, as_json: bool) -> None:
    """Show the state of STUDY."""
    from pipelines.cli import output

    if timings:
        from pipelines.cli import timings_output

        (timings_output.print_spans if as_json else timings_output.print_runs)(client.read_timings(study))
        return
    (output.print_json if as_json else output.print_study)(client.read_study(study))


@click.command(name="trials")
@study_argument
@click.option("--sort", "key", metavar="COLUMN", help="value: the best first; -time: the longest first; ...")
@click.option("--top", type=WholeNumber(1), metavar="N", help="The first N only; the best N without --sort.")
@click.option("--columns", metavar="A,B", help="Exactly these, metrics such as val_loss among them.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@pass_client
def list_trials(
    client: StudyClient,
    study: str,
    key: str | None,
    top: int | None,
    columns: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the trials of STUDY.

    A terminal gets the columns that fit, and notes on those left out: hyperparameters with one value in all trials, and
    those without room. CSV has all.
    """
    from pipelines.cli import output, trial_tables

    if as_csv and as_json:
        raise InputError("--csv and --json: expected one of them")
    if as_json and columns is not None:
        raise InputError("--json has all columns: expected no --columns beside it")
    trials: Sequence[TrialRow] = client.list_trials(study)
    shown = trial_tables.find_columns(trials, _split_names(columns), "--columns")
    if key is not None or top is not None:
        key = key or trial_tables.SCORE
        # Only the order by score depends on the study.
        direction = client.read_study(study).direction if key.endswith(trial_tables.SCORE) else ""
        trials = trial_tables.order_trials(trials, key, top, direction)
    if as_json:
        output.print_json(trials)
    else:
        (trial_tables.print_csv if as_csv else trial_tables.print_trials)(trials, shown)


def _split_names(written: str | None) -> list[str]:
    return [name.strip() for name in (written or "").split(",") if name.strip()]


@click.command(name="best")
@study_argument
@json_option
@pass_client
def show_best(client: StudyClient, study: str, as_json: bool) -> None:
    """Show the best trial of STUDY."""
    from pipelines.cli import output

    (output.print_json if as_json else output.print_best)(client.find_best_trial(study))


@click.command()
@study_argument
@trial_option("Number of a trial; the winner by default.")
@click.option(
    "--at-most",
    multiple=True,
    metavar="OBJECTIVE=VALUE",
    help="Of several objectives: the best trial by the first one, among those with OBJECTIVE at most VALUE.",
)
@click.option("--at-least", multiple=True, metavar="OBJECTIVE=VALUE", help="The same, with OBJECTIVE at least VALUE.")
@click.option("--ensemble", is_flag=True, help="The ensemble of the winner; see selection.ensemble.")
@click.option("--format", "formats", metavar="A,B", help=f"{_EXPORT_FORMATS}; default: the study file's.")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="Folder to create.")
@json_option
@pass_client
def export(
    client: StudyClient,
    study: str,
    trial: int | None,
    at_most: tuple[str, ...],
    at_least: tuple[str, ...],
    ensemble: bool,
    formats: str | None,
    target: Path,
    as_json: bool,
) -> None:
    """Write the best model of STUDY to files that are verified.

    Each file is loaded again in a fresh process and compared with the Keras model on real rows; FOLDER appears when
    all of them are equal. The formats onnx and openvino need the extras of these names.
    """
    from pipelines.cli import output
    from pipelines.queries.views import find_pareto_trial

    chosen = None if formats is None else [name.strip() for name in formats.split(",")]
    if at_most or at_least:
        if trial is not None or ensemble:
            raise InputError("expected one way to choose a model: --trial, --ensemble, or bounds of objectives")
        # Chosen here and not by the service: both clients return the whole Pareto front.
        trial = find_pareto_trial(
            client.find_best_trial(study), _parse_bounds("--at-most", at_most), _parse_bounds("--at-least", at_least)
        )
    written = client.export(study, trial, chosen, target, ensemble=ensemble)
    (output.print_json if as_json else output.print_export)(written)


def _parse_bounds(option: str, written: Sequence[str]) -> dict[str, float]:
    """Return the bounds in an option of the form `NAME=VALUE`."""
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
@click.argument("file", type=click.Path(path_type=Path))
@trial_option("Number of a trial; the winner by default.")
@click.option("--to", "target", type=click.Path(path_type=Path), help="CSV file to write; default: print the rows.")
@json_option
@pass_client
def predict(client: StudyClient, study: str, file: Path, trial: int | None, target: Path | None, as_json: bool) -> None:
    """Predict the rows of FILE with the best model of STUDY.

    FILE has the columns of the study's data; the target may be absent. Of a study of series it holds the newest rows,
    and the forecast of each series comes back with its times.
    """
    from pipelines.cli import output

    with tempfile.TemporaryDirectory() as scratch:
        done = client.predict(study, file, target or Path(scratch) / "predictions.csv", trial)
        output.print_notes(done.notes)
        if as_json:
            output.print_json(done)
        elif target is None:
            sys.stdout.write(Path(done.file).read_text(encoding="utf-8"))
        else:
            output.print_predictions(done)


@click.command()
@study_argument
@trial_option("Number of a trial; the best one by default.")
@click.option("--alias", metavar="NAME", help="Alias to move; default: the study file's, or champion.")
@click.option("--force", is_flag=True, help="Even if it is worse, or cannot be compared.")
@json_option
@pass_client
def promote(client: StudyClient, study: str, trial: int | None, alias: str | None, force: bool, as_json: bool) -> None:
    """Make the best model of STUDY the champion.

    It is compared on the study's test rows with the version that has the alias, and gets the alias if it is at least as
    good. Otherwise nothing is changed, and the exit code is 1.
    """
    from pipelines.cli import output

    done = client.promote(study, trial, alias, force=force)
    (output.print_json if as_json else output.print_promotion)(done)
    # So that a script can promote and deploy with `&&`.
    sys.exit(0 if done.is_promoted else 1)


@click.command()
@study_argument
@trial_argument
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder to create for the files of the training.")
@json_option
@pass_client
def replay(client: StudyClient, study: str, trial: int, target: Path | None, as_json: bool) -> None:
    """Train TRIAL of STUDY again, and report every difference.

    Its data is prepared anew. Data, code, environment, seed, values, each epoch, score and weights are compared with
    the record. The exit code is 0 if the training is equal, within rounding, and 1 otherwise; other differences do not
    count. Nothing of the study is changed.
    """
    from pipelines.cli import output
    from pipelines.cli.status_line import show_status

    with show_status("reading the trial") as report:
        replayed = client.replay(study, trial, target, report)
    (output.print_json if as_json else output.print_replay)(replayed)
    sys.exit(1 if replayed.agreement == "different" else 0)
