"""Backup of a home while its studies run: the store at one moment, MLflow's database, and the files of its studies.

The order keeps it consistent. The store is copied first: what it refers to was written before. MLflow's database
follows, so that it has all that the store counts as delivered. Files come last; those of trials that began after the
copy of the store stay out. A study that goes on from the backup repeats what happened since, as after a kill.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from pipelines.operations.mlflow_store import FILES_VARIABLE, STORE_VARIABLE, MlflowStore, find_mlflow_store
from pipelines.queries.study_reader import StudyReader
from pipelines.spec.home_rules import FILE_NAME as RULES
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow.database_copy import take_mlflow_snapshot
from tracking.store.connections import FILE_NAME as STORE
from tracking.store.database import Store, classify_store_error
from tracking.store.snapshot import SnapshotReader, take_snapshot
from tracking.store.study_queue import StudyQueue

MANIFEST = "manifest.json"
FORMAT = 2
MLFLOW = "mlflow.db"
MLFLOW_FILES = "mlflow-files"
"""Folder, in a backup, of the files that an MLflow server keeps."""
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
# Of a running study or a process, and made anew.
_NOT_COPIED = ("reserve", "supervisor-failure.json")
_GROWING = (".jsonl", ".log")
_MEMORY_BYTES = 64 * 2**20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class BackupFile:
    """One file of a backup."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Content of a backup.

    Attributes:
        format: version of this form.
        kerastudy: version that made it.
        schema: schema of its store.
        made: when, in UTC.
        home: the home's folder, which its files may name.
        mlflow: where MLflow's records are, if not in the backup; empty if they are.
        studies: names of its studies.
        mlflow_files: the folder of an MLflow server whose files are in `mlflow-files`; empty without one.
    """

    format: int
    kerastudy: str
    schema: int
    made: str
    home: str
    mlflow: str
    studies: tuple[str, ...]
    files: tuple[BackupFile, ...]
    mlflow_files: str = ""


@dataclass(frozen=True)
class BackupResult:
    """Result of a backup.

    Attributes:
        target: the file or folder.
        bytes: size of its files.
        notes: what is not in it.
    """

    target: str
    studies: int
    files: int
    bytes: int
    notes: tuple[str, ...]


def is_archive(target: Path) -> bool:
    """Return whether a backup of this name is one file."""
    return target.name.endswith(_ARCHIVES)


def back_up(home: Home, target: Path) -> BackupResult:
    """Write a backup of a home to a new folder, or to a new file whose name ends in `.tar`, `.tar.gz` or `.tgz`.

    Raises:
        InputError: if the target exists, the home has no studies, or the settings for MLflow's server are wrong.
        KerastudyError: if a study was deleted meanwhile, or the disk has no room; nothing is left behind.
    """
    mlflow = find_mlflow_store(home, os.environ)
    if target.exists():
        raise InputError(f"{target} exists already: name a new file or folder")
    with StudyReader.open(home):  # an error for a home without studies: Store.open would create a store
        pass
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        manifest = _write_aside(home, mlflow, target)
    except (OSError, sqlite3.Error) as error:
        is_full = classify_store_error(error, target.parent) == "full"
        reason = "no room is left on that disk: free some, or name one elsewhere" if is_full else str(error)
        raise KerastudyError(f"{target} was not written: {reason}") from error
    size = sum(file.bytes for file in manifest.files)
    return BackupResult(str(target), len(manifest.studies), len(manifest.files), size, tuple(_list_notes(mlflow)))


def _write_aside(home: Home, mlflow: MlflowStore, target: Path) -> Manifest:
    """Write a backup beside its target, so that the rename at the end is atomic."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        aside = Path(scratch) / target.name
        with _open_writer(aside) as writer, Store.open(home.store) as store:
            manifest = _write(home, store, mlflow, Path(scratch), writer)
        # A backup that a power cut could take back is none.
        os.sync()
        # Its store holds what accounts and sessions are checked against.
        aside.chmod(0o600 if aside.is_file() else 0o700)
        aside.rename(target)
    return manifest


def _list_notes(mlflow: MlflowStore) -> Iterator[str]:
    """Yield what is not in a backup."""
    if not mlflow.database:
        yield f"MLflow's records are not in it: they are at {mlflow.tracking}; {STORE_VARIABLE} names its database"
    if mlflow.is_served and mlflow.files is None:
        yield f"the files that the MLflow server keeps are not in it; {FILES_VARIABLE} names their folder"


class _Writer(Protocol):
    """Target of a backup."""

    def add(self, path: str, content: IO[bytes], size: int) -> None:
        """Add a file with the next `size` bytes of a stream."""


class _FolderWriter:
    """Backup that is a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, path: str, content: IO[bytes], size: int) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)


class _ArchiveWriter:
    """Backup that is one file."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, path: str, content: IO[bytes], size: int) -> None:
        entry = tarfile.TarInfo(path)
        entry.size = size
        entry.mode = 0o600
        self._archive.addfile(entry, content)


@contextmanager
def _open_writer(aside: Path) -> Iterator[_Writer]:
    if is_archive(aside):
        with aside.open("wb") as file, tarfile.open(fileobj=file, mode="w" if aside.suffix == ".tar" else "w:gz") as to:
            yield _ArchiveWriter(to)
    else:
        aside.mkdir()
        yield _FolderWriter(aside)


def _write(home: Home, store: Store, mlflow: MlflowStore, scratch: Path, writer: _Writer) -> Manifest:
    files: list[BackupFile] = []
    snapshot = scratch / "store"
    take_snapshot(store, snapshot)
    files.append(_add(writer, STORE, snapshot))
    if mlflow.database and (not mlflow.is_home or (home.folder / MLFLOW).exists()):
        take_mlflow_snapshot(mlflow.database, scratch / MLFLOW)
        files.append(_add(writer, MLFLOW, scratch / MLFLOW))
    reader = SnapshotReader(snapshot)
    try:
        studies, trials = reader.list_studies(), reader.list_trials()
    finally:
        reader.close()
    for name, path in _list_files(home, studies, trials, mlflow):
        if (added := _add_growing(writer, name, path, scratch)) is not None:
            files.append(added)
    if gone := [name for name in studies if StudyQueue(store).find(name) is None]:
        raise KerastudyError(f"{', '.join(gone)} was deleted while the backup ran: make it again")
    manifest = Manifest(
        FORMAT,
        importlib.metadata.version("kerastudy"),
        reader.schema,
        datetime.now(UTC).isoformat(timespec="seconds"),
        str(home.folder.resolve()),
        "" if mlflow.database else mlflow.tracking,
        studies,
        tuple(files),
        str(mlflow.files) if mlflow.is_served and mlflow.files else "",
    )
    content = json.dumps(asdict(manifest), indent=1).encode()
    writer.add(MANIFEST, io.BytesIO(content), len(content))
    return manifest


def _list_files(
    home: Home, studies: tuple[str, ...], trials: Mapping[str, Set[int]], mlflow: MlflowStore
) -> Iterator[tuple[str, Path]]:
    """Yield the files that a snapshot of the store refers to, with their names in the backup."""
    for path in _list_home_files(home, studies, trials):
        yield path.relative_to(home.folder).as_posix(), path
    if mlflow.files is not None:
        folder = MLFLOW_FILES if mlflow.is_served else mlflow.files.name
        for path in _walk(mlflow.files):
            yield f"{folder}/{path.relative_to(mlflow.files).as_posix()}", path


def _list_home_files(home: Home, studies: tuple[str, ...], trials: Mapping[str, Set[int]]) -> Iterator[Path]:
    if (home.folder / RULES).exists():
        yield home.folder / RULES
    yield from _walk(home.uploads)
    for study in studies:
        # An evolved study has its trials under several names in Optuna.
        numbers = {number for name, found in trials.items() if name.partition("~")[0] == study for number in found}
        folder = home.locate_study(study)
        for path in _walk(folder):
            parts = path.relative_to(folder).parts
            # A trial that began later would be drawn again, and take the files of the other for its own.
            is_later = parts[0] == "trials" and parts[1].isdecimal() and int(parts[1]) not in numbers
            if not is_later and path.name not in _NOT_COPIED:
                yield path


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            yield path


def _add(writer: _Writer, name: str, path: Path) -> BackupFile:
    """Add a file that nobody writes to any more."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        writer.add(name, file, size)
    return BackupFile(name, size, digest)


def _add_growing(writer: _Writer, name: str, path: Path, scratch: Path) -> BackupFile | None:
    """Add a file that may grow, be replaced or be removed meanwhile; None for one that is gone."""
    with tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(scratch)) as copy:
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, copy, _CHUNK_BYTES)
        except FileNotFoundError:
            return None
        size = copy.tell()
        if path.name.endswith(_GROWING):
            size = _find_last_line(copy, size)
            copy.truncate(size)
        copy.seek(0)
        digest = hashlib.sha256()
        while chunk := copy.read(_CHUNK_BYTES):
            digest.update(chunk)
        copy.seek(0)
        writer.add(name, copy, size)
    return BackupFile(name, size, digest.hexdigest())


def _find_last_line(copy: IO[bytes], size: int) -> int:
    """Return where the last whole line ends: a part of one would join the line that follows after a restore."""
    step = min(size, _CHUNK_BYTES)
    copy.seek(size - step)
    end = copy.read(step).rfind(b"\n")
    return size - step + end + 1 if end >= 0 else size
