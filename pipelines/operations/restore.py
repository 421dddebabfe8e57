"""Restoration of a backup into an empty home, which may have another folder and another database."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.operations.backup import MLFLOW, Manifest
from pipelines.operations.verify_backup import find_problems, unpack_backup
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.stored import load_stored_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow import urls
from tracking.store.connections import FILE_NAME as STORE
from tracking.store.database import Store
from tracking.store.snapshot import load_snapshot, move_paths, release_leases
from tracking.store.study_queue import StudyQueue, StudyRecord

_LISTED = 5


@dataclass(frozen=True)
class RestoreResult:
    """Result of a restoration.

    Attributes:
        home: the folder.
        made: when the backup was made.
        notes: what to do, or what could not be adapted to the new folder.
    """

    home: str
    made: str
    studies: int
    files: int
    notes: tuple[str, ...]


def restore_backup(home: Home, backup: Path) -> RestoreResult:
    """Restore a backup into a home that does not exist yet, or is an empty folder.

    The files are checked first. A kill leaves no home behind, unless its store is a database server: that one is
    emptied by hand then.

    Raises:
        InputError: if it is no backup, it is damaged, or the home is not empty.
        KerastudyError: if the store cannot be written.
    """
    if home.folder.exists() and any(home.folder.iterdir()):
        raise InputError(f"{home.folder} is not empty: name a new --home to restore into")
    home.folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        unpack_backup(backup, home.folder.parent) as (folder, manifest),
        # Beside the home, so that the rename at the end is atomic.
        tempfile.TemporaryDirectory(dir=home.folder.parent, prefix=f".{home.folder.name}-") as scratch,
    ):
        if problems := [*find_problems(folder, manifest)]:
            shown = "; ".join(problems[:_LISTED])
            raise InputError(f"{backup} is damaged, and nothing was restored: {shown}")
        aside = Path(scratch) / "home"
        _copy_files(folder, aside, manifest)
        notes = _adapt(home, aside, Path(manifest.home))
        os.sync()
        if home.folder.exists():
            home.folder.rmdir()
        aside.rename(home.folder)
    if manifest.mlflow:
        notes.append(f"MLflow's records are at {manifest.mlflow}: set MLFLOW_TRACKING_URI as before")
    return RestoreResult(str(home.folder), manifest.made, len(manifest.studies), len(manifest.files), tuple(notes))


def _copy_files(folder: Path, aside: Path, manifest: Manifest) -> None:
    aside.mkdir(mode=0o700)
    # By the manifest, so that nothing else that lies there comes along.
    for each in manifest.files:
        target = aside / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / each.path, target)


def _adapt(home: Home, aside: Path, before: Path) -> list[str]:
    """Adapt the store and MLflow's database to the home's folder and store; return notes."""
    after = home.folder.resolve()
    notes: list[str] = []
    with Store.open(aside) as store:
        moved = [_move_study(record, before, after, aside, notes) for record in StudyQueue(store).list()]
        with store.write() as connection:
            release_leases(connection)
            move_paths(store, before, after, connection)
            for record in moved:
                StudyQueue(store).move(record, connection=connection)
    if (aside / MLFLOW).exists():
        from tracking.mlflow.relocation import move_database  # loads MLflow's modules

        move_database(aside / MLFLOW, urls.get_artifact_folder(before), urls.get_artifact_folder(after))
    if "://" in home.store:
        load_snapshot(aside / STORE, home.store)
        for file in aside.glob(f"{STORE}*"):
            file.unlink()
    return notes


def _move_study(record: StudyRecord, before: Path, after: Path, aside: Path, notes: list[str]) -> StudyRecord:
    """Return the record of a study with the paths and the digest that it has in the new folder."""
    # As JSON writes it, with the slash: /a/home is no part of /a/home-2.
    old, new = (json.dumps(f"{folder}/")[1:-1] for folder in (before, after))
    moved = replace(record, folder=_move_path(record.folder, before, after), document=record.document.replace(old, new))
    stored = StudyFingerprint.parse(record.digest)
    if moved == record or stored is None:
        return moved
    try:
        # The files are aside still; the digest holds their content, and the paths of the document.
        at_hand = replace(moved, folder=_move_path(record.folder, before, aside))
        fingerprint = load_stored_study(at_hand).compute_fingerprint().with_data(stored.data)
    except (KerastudyError, OSError) as error:
        notes.append(f"{record.name} can be read and exported, and not be submitted again: {error}")
        return moved
    return replace(moved, digest=fingerprint.format())


def _move_path(written: str, before: Path, after: Path) -> str:
    path = Path(written)
    return str(after / path.relative_to(before)) if path.is_relative_to(before) else written
