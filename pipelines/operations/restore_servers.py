"""The part of a restoration that goes to database servers: the store's rows, MLflow's records, and its server's files.

It waits in a folder of the home, beside the mark of the restoration, and each database is filled in one transaction.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.operations.backup import MLFLOW, MLFLOW_FILES, Manifest
from pipelines.operations.mlflow_store import FILES_VARIABLE, STORE_VARIABLE, MlflowStore
from pipelines.workspace.home import Home
from pipelines.workspace.restoration_mark import FILE_NAME, FOLDER
from search_spaces.errors import ConflictError, InputError
from tracking.mlflow import urls
from tracking.mlflow.database_copy import check_mlflow_empty, load_mlflow_snapshot
from tracking.mlflow.relocation import SERVED, list_moves, move_database
from tracking.store.connections import FILE_NAME as STORE
from tracking.store.snapshot import check_empty, load_snapshot
from tracking.testing.failpoints import hit


def check_servers(home: Home, manifest: Manifest, target: MlflowStore) -> None:
    """Check, before anything is written, that what the backup has can go to the places in the settings.

    Raises:
        InputError: if MLflow's records or files have no place.
        ConflictError: if a place is not empty.
        KerastudyError: if a database cannot be opened.
    """
    names = [each.path for each in manifest.files]
    if _is_server(home.store):
        check_empty(home.store)
    if MLFLOW in names:
        if not target.database:
            raise InputError(
                f"the backup has MLflow's records, and MLFLOW_TRACKING_URI names the server {target.tracking}: set "
                f"{STORE_VARIABLE} to its database, or unset MLFLOW_TRACKING_URI to restore them into the home"
            )
        if not target.is_home:
            check_mlflow_empty(target.database)
    has_files = any(name.startswith((f"{MLFLOW_FILES}/", f"{_ARTIFACTS}/")) for name in names)
    if has_files and target.is_served:
        if target.files is None:
            raise InputError(
                f"the backup has MLflow's files: set {FILES_VARIABLE} to the folder in which the server "
                f"{target.tracking} keeps its own"
            )
        if target.files.exists() and any(target.files.iterdir()):
            raise ConflictError(f"{target.files} is not empty: expected an empty folder to restore MLflow's files into")


def relocate_mlflow(home: Home, file: Path, manifest: Manifest, target: MlflowStore) -> None:
    """Let the addresses in MLflow's records be those that its files get."""
    before = urls.get_artifact_folder(Path(manifest.home))
    after = urls.get_artifact_folder(home.folder)
    served = Path(manifest.mlflow_files) if manifest.mlflow_files else None
    if target.is_served:
        moves = list_moves(before, SERVED)
        moves += list_moves(served, str(target.files)) if served and target.files else []
    else:
        moves = [*list_moves(before, str(after)), (SERVED, f"{after.as_uri()}/")]
        moves += list_moves(served, str(after)) if served else []
    move_database(file, moves)


def place_mlflow_files(aside: Path, target: MlflowStore) -> None:
    """Move MLflow's files within a new home to where they are kept, or wait for their server."""
    kept, other = (MLFLOW_FILES, _ARTIFACTS) if target.is_served else (_ARTIFACTS, MLFLOW_FILES)
    if (aside / other).exists():
        shutil.copytree(aside / other, aside / kept, dirs_exist_ok=True)
        shutil.rmtree(aside / other)


def set_servers_part_aside(home: Home, aside: Path, target: MlflowStore) -> bool:
    """Move what goes to servers into a folder of its own in a new home; return whether there is any."""
    names = [STORE] if _is_server(home.store) else []
    names += [] if target.is_home else [MLFLOW]
    names += [MLFLOW_FILES] if target.is_served else []
    found = [name for name in names if (aside / name).exists()]
    if found:
        (aside / FOLDER).mkdir(mode=0o700)
    for name in found:
        (aside / name).rename(aside / FOLDER / name)
    return bool(found)


def complete_restoration(home: Home, target: MlflowStore, *, replaces: bool) -> None:
    """Bring to servers what waits for them in a home, if anything does, and remove its mark.

    Args:
        home: the home.
        target: where MLflow keeps what it has.
        replaces: whether databases may have what an earlier attempt has brought.

    Raises:
        ConflictError: if another process does it now, or a database was filled meanwhile.
        KerastudyError: if a database cannot be written.
    """
    if not (home.folder / FILE_NAME).exists():
        return
    waiting, done = home.folder / FOLDER, home.folder / f"{FOLDER}-done"
    with _lock(home):
        if waiting.exists():
            if (waiting / STORE).exists():
                load_snapshot(waiting / STORE, home.store, replaces=replaces)
                hit("restoration-store-loaded")
            if (waiting / MLFLOW).exists():
                load_mlflow_snapshot(waiting / MLFLOW, target.database, replaces=replaces)
                hit("restoration-mlflow-loaded")
            if (waiting / MLFLOW_FILES).exists() and target.files is not None:
                shutil.copytree(waiting / MLFLOW_FILES, target.files, dirs_exist_ok=True)
            os.sync()
            hit("restoration-files-copied")
            waiting.rename(done)  # at once: a part of it must not be brought again
            hit("restoration-part-done")
        shutil.rmtree(done, ignore_errors=True)
        (home.folder / FILE_NAME).unlink()


@contextmanager
def _lock(home: Home) -> Iterator[None]:
    """Hold the mark, so that one process brings what waits."""
    with (home.folder / FILE_NAME).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(f"{home.folder} is being restored by another process: wait for its end") from None
        yield


def _is_server(store: str) -> bool:
    return "://" in store


_ARTIFACTS = urls.get_artifact_folder(Path("/")).name
