"""Restoration of a backup into an empty home, which may have another folder and another database."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.operations.backup import MANIFEST, MLFLOW, Manifest
from pipelines.operations.mlflow_store import MlflowStore, find_mlflow_store
from pipelines.operations.restore_servers import (
    check_servers,
    complete_restoration,
    place_mlflow_files,
    relocate_mlflow,
    set_servers_part_aside,
)
from pipelines.operations.verify_backup import find_problems, unpack_backup
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.stored import load_stored_study
from pipelines.workspace.home import Home
from pipelines.workspace.restoration_mark import RestorationMark, read_mark, write_mark
from search_spaces.errors import ConflictError, InputError, KerastudyError
from tracking.mlflow.urls import hide_password
from tracking.store.database import Store
from tracking.store.home_mark import forget_home
from tracking.store.snapshot import move_paths, release_leases
from tracking.store.study_queue import StudyQueue, StudyRecord
from tracking.testing.failpoints import hit

_LISTED = 5
_STORE = "KERASTUDY_STORE"


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

    The files are checked first. What goes to database servers is kept in the home, with a mark, until it is there, each
    in one transaction. So a kill leaves no home behind, or one that every command refuses and a repetition completes.

    Raises:
        InputError: if it is no backup, it is damaged, the home is not empty, or MLflow's records have no place.
        ConflictError: if a database has studies or runs, or another process restores into the home.
        KerastudyError: if a database cannot be written.
    """
    target = find_mlflow_store(home, os.environ)
    home.folder.parent.mkdir(parents=True, exist_ok=True)
    with unpack_backup(backup, home.folder.parent) as (folder, manifest):
        mark = _describe_restoration(home, target, backup, folder, manifest)
        notes: list[str] = []
        if is_new := not _is_begun(home, mark):
            if problems := [*find_problems(folder, manifest)]:
                shown = "; ".join(problems[:_LISTED])
                raise InputError(f"{backup} is damaged, and nothing was restored: {shown}")
            check_servers(home, manifest, target)
            notes = _bring_files(home, folder, manifest, target, mark)
    complete_restoration(home, target, replaces=not is_new)
    if manifest.mlflow:
        notes.append(f"MLflow's records are at {manifest.mlflow}: set MLFLOW_TRACKING_URI as before")
    return RestoreResult(str(home.folder), manifest.made, len(manifest.studies), len(manifest.files), tuple(notes))


def _describe_restoration(
    home: Home, target: MlflowStore, backup: Path, folder: Path, manifest: Manifest
) -> RestorationMark:
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    store = hide_password(home.store) if "://" in home.store else ""
    return RestorationMark(digest, str(backup.absolute()), manifest.made, store, "" if target.is_home else target.shown)


def _is_begun(home: Home, mark: RestorationMark) -> bool:
    """Return whether this restoration was begun earlier, and cut off after its files had come.

    Raises:
        InputError: if the home has something else.
    """
    if not home.folder.exists() or not any(home.folder.iterdir()):
        return False
    begun = read_mark(home.folder)
    if begun is None:
        raise InputError(f"{home.folder} is not empty: name a new --home to restore into")
    if begun.backup != mark.backup:
        raise InputError(
            f"{home.folder} has a restoration of another backup that was cut off: restore {begun.path} of {begun.made} "
            "again, or name a new --home"
        )
    for name, then, now in (
        (_STORE, begun.store, mark.store),
        ("MLflow's database", begun.mlflow, mark.mlflow),
    ):
        if then != now:
            raise InputError(
                f"the restoration of {home.folder} was cut off on its way to {then or 'the home'} ({name}), and goes "
                f"to {now or 'the home'} now: set the addresses as they were"
            )
    return True


def _bring_files(home: Home, folder: Path, manifest: Manifest, target: MlflowStore, mark: RestorationMark) -> list[str]:
    """Make the home of a backup's files, adapted to it; return notes."""
    # Beside the home, so that the rename at the end is atomic.
    with tempfile.TemporaryDirectory(dir=home.folder.parent, prefix=f".{home.folder.name}-") as scratch:
        aside = Path(scratch) / "home"
        _copy_files(folder, aside, manifest)
        notes = _adapt(home, aside, Path(manifest.home))
        if (aside / MLFLOW).exists():
            relocate_mlflow(home, aside / MLFLOW, manifest, target)
        place_mlflow_files(aside, target)
        if set_servers_part_aside(home, aside, target):
            write_mark(aside, mark)
        os.sync()
        hit("restoration-home-adapted")
        _place(aside, home)
        hit("restoration-home-placed")
    return notes


def _place(aside: Path, home: Home) -> None:
    """Rename a home that is whole to its place, which is empty or not there.

    Raises:
        ConflictError: if another process has filled it since it was checked.
    """
    try:
        # Over an empty folder too; the system refuses any other one.
        aside.rename(home.folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise ConflictError(
            f"{home.folder} was filled by another process meanwhile, such as a second restore, and stays as it is: "
            "nothing of this one was kept"
        ) from None


def _copy_files(folder: Path, aside: Path, manifest: Manifest) -> None:
    aside.mkdir(mode=0o700)
    # By the manifest, so that nothing else that lies there comes along.
    for each in manifest.files:
        target = aside / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / each.path, target)


def _adapt(home: Home, aside: Path, before: Path) -> list[str]:
    """Adapt the store to the home's folder; return notes."""
    after = home.folder.resolve()
    notes: list[str] = []
    with Store.open(aside) as store:
        moved = [_move_study(record, before, after, aside, notes) for record in StudyQueue(store).list()]
        with store.write() as connection:
            release_leases(connection)
            forget_home(connection)
            move_paths(store, before, after, connection)
            for record in moved:
                StudyQueue(store).move(record, connection=connection)
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
