"""Check of a backup: its form, the checksum of each file, and its store, which is opened and counted."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from pipelines.operations.backup import FORMAT, MANIFEST, Manifest, is_archive
from search_spaces.errors import InputError, KerastudyError
from tracking.store.connections import FILE_NAME as STORE
from tracking.store.snapshot import SnapshotReader

_manifest = TypeAdapter(Manifest)


@dataclass(frozen=True)
class VerificationResult:
    """Result of a check.

    Attributes:
        made: when the backup was made.
        trials: number of trials in its store.
        problems: what is wrong with it; none for a backup that can be restored.
    """

    backup: str
    made: str
    studies: int
    trials: int
    files: int
    bytes: int
    problems: tuple[str, ...]


def verify_backup(backup: Path) -> VerificationResult:
    """Check a backup as a whole.

    Raises:
        InputError: if there is no backup of this form.
    """
    with unpack_backup(backup) as (folder, manifest):
        problems = [*find_problems(folder, manifest)]
        trials = 0
        if not any(problem.startswith(STORE) for problem in problems):
            try:
                trials = _count_trials(folder / STORE, manifest)
            except KerastudyError as error:
                problems.append(str(error))
        size = sum(file.bytes for file in manifest.files)
    return VerificationResult(
        str(backup), manifest.made, len(manifest.studies), trials, len(manifest.files), size, tuple(problems)
    )


@contextmanager
def unpack_backup(backup: Path, beside: Path | None = None) -> Iterator[tuple[Path, Manifest]]:
    """Yield the folder of a backup, unpacked if it is one file, and its manifest.

    Args:
        backup: the folder or file.
        beside: the folder for a temporary one; the system's by default.

    Raises:
        InputError: if it is no backup, or its form is newer.
    """
    if not backup.exists():
        raise InputError(f"there is no backup {backup}")
    with tempfile.TemporaryDirectory(dir=beside, prefix=".kerastudy-backup-") as scratch:
        folder = backup
        if is_archive(backup):
            folder = Path(scratch)
            try:
                with tarfile.open(backup) as archive:
                    # Refuses links, devices and paths that lead out of the folder.
                    archive.extractall(folder, filter="data")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise InputError(f"{backup} is damaged, or no archive: {error}") from None
        yield folder, _read_manifest(backup, folder / MANIFEST)


def find_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what differs between a backup's files and its manifest."""
    for expected in manifest.files:
        file = folder / expected.path
        if not file.is_file():
            yield f"{expected.path} is missing"
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != expected.sha256:
            yield f"{expected.path} is damaged: its checksum is another one"


def _read_manifest(backup: Path, file: Path) -> Manifest:
    try:
        content = json.loads(file.read_bytes())
        if content.get("format", 0) > FORMAT:
            raise InputError(f"{backup} was made by a newer kerastudy ({content.get('kerastudy')}): upgrade this one")
        manifest = _manifest.validate_python(content)
    except (OSError, ValueError, ValidationError, AttributeError):
        raise InputError(f"{backup} is no backup of kerastudy: it has no readable {MANIFEST}") from None
    for each in manifest.files:
        path = PurePosixPath(each.path)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{backup}: {MANIFEST} names {each.path}, which is outside of it")
    return manifest


def _count_trials(store: Path, manifest: Manifest) -> int:
    """Return the number of trials in a backup's store.

    Raises:
        KerastudyError: if it cannot be read, or has other studies than the manifest.
    """
    reader = SnapshotReader(store)
    try:
        if reader.list_studies() != manifest.studies:
            raise KerastudyError(f"{STORE} has other studies than {MANIFEST}")
        return sum(len(numbers) for numbers in reader.list_trials().values())
    finally:
        reader.close()
