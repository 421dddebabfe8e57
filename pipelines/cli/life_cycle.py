"""Verbs for the end of a study's life, for the room that studies take, and for backups."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, pass_client, pass_home, pass_unfinished_home, study_argument
from pipelines.workspace.home import Home
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
    from pipelines.cli import life_cycle_output, output

    if not yes:
        _confirm(client, study)
    (output.print_json if as_json else life_cycle_output.print_deletion)(client.delete(study, force=force))


def _confirm(client: StudyClient, study: str) -> None:
    """Prompt for the deletion of a study; a script gives `--yes` instead."""
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
    from pipelines.cli import life_cycle_output, output

    (output.print_json if as_json else life_cycle_output.print_archive)(client.archive(study))


@click.command()
@study_argument
@json_option
@pass_client
def unarchive(client: StudyClient, study: str, as_json: bool) -> None:
    """List STUDY again, here and in MLflow."""
    from pipelines.cli import life_cycle_output, output

    (output.print_json if as_json else life_cycle_output.print_archive)(client.unarchive(study))


@click.command()
@json_option
@pass_client
def usage(client: StudyClient, as_json: bool) -> None:
    """Show the room that studies take, by part and by submitter."""
    from pipelines.cli import life_cycle_output, output

    (output.print_json if as_json else life_cycle_output.print_usage)(client.read_usage())


@click.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing; print what would go.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="File with the rules; service.yaml in the home by default."
)
@json_option
@pass_home
def gc(home: Home, dry_run: bool, config: Path | None, as_json: bool) -> None:
    """Remove what the rules of the home let go: `retention` in its service.yaml.

    Prints what goes, with size and reason, and what stays although it is old. A service does the same once a day.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.operations.gc import collect_garbage
    from pipelines.spec.home_rules import read_home_rules

    done = collect_garbage(home, read_home_rules(home.folder, config).retention, dry_run=dry_run)
    (output.print_json if as_json else life_cycle_output.print_gc)(done)
    sys.exit(1 if done.failures else 0)


_backup_argument = click.argument("backup", type=click.Path(path_type=Path))


@click.command(name="backup")
@click.argument("target", type=click.Path(path_type=Path))
@json_option
@pass_home
def back_up(home: Home, target: Path, as_json: bool) -> None:
    """Back up the home to TARGET, while studies run.

    TARGET is a new folder, or a new file that ends in .tar, .tar.gz or .tgz. It holds the store, MLflow's database and
    files, the files of all studies, uploads and service.yaml. For an MLflow server, set KERASTUDY_MLFLOW_STORE to its
    database and KERASTUDY_MLFLOW_FILES to the folder of its files.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.operations.backup import back_up as write_backup

    done = write_backup(home, target)
    (output.print_json if as_json else life_cycle_output.print_backup)(done)


@click.command()
@_backup_argument
@json_option
def verify(backup: Path, as_json: bool) -> None:
    """Check BACKUP: the checksum of each file, and its store.

    The exit code is 0 for a backup that can be restored, and 1 otherwise.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.operations.verify_backup import verify_backup

    checked = verify_backup(backup)
    (output.print_json if as_json else life_cycle_output.print_verification)(checked)
    sys.exit(1 if checked.problems else 0)


@click.command()
@_backup_argument
@json_option
@pass_unfinished_home
def restore(home: Home, backup: Path, as_json: bool) -> None:
    """Restore BACKUP into the home, which must be empty.

    The store goes to the database of KERASTUDY_STORE if that is set, and MLflow's records to that of
    KERASTUDY_MLFLOW_STORE, with the files in KERASTUDY_MLFLOW_FILES; both must be empty. A restoration that was cut off
    goes on when it is repeated. The home that was backed up must not be used any more: both would record to the same
    runs of MLflow.
    """
    from pipelines.cli import life_cycle_output, output
    from pipelines.operations.restore import restore_backup

    done = restore_backup(home, backup)
    (output.print_json if as_json else life_cycle_output.print_restoration)(done)
