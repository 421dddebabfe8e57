"""Uploaded data files: named by their content, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.reading.source_paths import SUFFIXES, find_suffix
from pipelines.operations.uploads import UPLOADS, UploadRow, list_uploads, remove_upload
from pipelines.queries.views import UploadedFile
from pipelines.service.config import ServiceSpec
from pipelines.service.errors import ForbiddenError, NoRoomError, TooMuchError, require_scope
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.upload_owners import OwnedUpload, UploadOwners

_one_at_a_time = threading.Lock()


class Uploads:
    """Uploaded files of one service."""

    def __init__(self, home: Home, store: Store, spec: ServiceSpec) -> None:
        self._home = home
        self._store = store
        self._spec = spec

    def start(self, name: str, caller: Identity) -> Upload:
        """Return an open upload of a data file for studies; the caller closes it.

        Args:
            name: the file's name; its suffix is the kind of data.
            caller: who sends it, and owns it.

        Raises:
            ForbiddenError: if this service takes no uploads, or none of the caller.
            InputError: if the suffix is no kind of data.
        """
        require_scope(caller, "submit")
        if self._spec.uploads is None:
            raise ForbiddenError("this service takes no uploads: its operator can allow them with `uploads`")
        each = None if caller.has_scope("admin") else self._spec.ceilings.uploads
        limits = UploadLimits(self._spec.uploads, each, self._spec.all_uploads)
        return Upload(self._home.folder / UPLOADS, name, limits, self._store, caller)

    def list(self, caller: Identity) -> tuple[UploadRow, ...]:
        """Return the uploads of the caller, or of everybody for an admin."""
        return list_uploads(self._home, self._store, None if caller.has_scope("admin") else caller.id)

    def remove(self, name: str, caller: Identity) -> None:
        """Remove an upload of the caller, or of anybody for an admin.

        Raises:
            ForbiddenError: if the caller may only read.
            UnknownError: if the caller has no such upload.
            ConflictError: if a study that has not ended names it.
        """
        require_scope(caller, "submit")
        with _one_at_a_time:
            remove_upload(self._home, self._store, name, caller)


@dataclass(frozen=True)
class UploadLimits:
    """Most bytes of one file, of all files of one submitter (None for any number), and of all files together."""

    file: int
    submitter: int | None
    total: int


class Upload:
    """Upload of one file, received in parts.

    Args:
        folder: the folder of all uploaded files.
        name: the file's name; its suffix is the kind of data.
        limits: most bytes.
        store: records who owns the file.
        owner: who sends it.

    Raises:
        InputError: if the suffix is no kind of data.
    """

    def __init__(self, folder: Path, name: str, limits: UploadLimits, store: Store, owner: Identity) -> None:
        # All that is kept of a name that a client chose.
        self._suffix = find_suffix(name)
        if self._suffix not in SUFFIXES:
            raise InputError(f'expected a name that ends in {", ".join(sorted(SUFFIXES))}, got "{name}"')
        folder.mkdir(parents=True, exist_ok=True)
        self._limits = limits
        self._owners = UploadOwners(store)
        self._owner = owner
        self._store = store
        self._folder = folder
        # Hidden: a part of a file is not counted below.
        self._aside = folder / f".{secrets.token_hex(8)}"
        self._file = self._aside.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Add the next part.

        Raises:
            TooMuchError: if the file has become too large.
        """
        self._size += len(chunk)
        if self._size > self._limits.file:
            raise TooMuchError(f"the file is larger than the {self._limits.file:,} bytes that are allowed")
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self) -> UploadedFile:
        """Keep the file durably; the same content again is the same file.

        Raises:
            InputError: if it is empty.
            NoRoomError: if the submitter's files, or all, would be too large together.
        """
        if self._size == 0:
            raise InputError("the file is empty")
        self._file.flush()
        # Before the rename: after a power cut, a name must not stand for half a file.
        os.fsync(self._file.fileno())
        # By its digest, so nobody can replace another's file, and the same file twice takes no room.
        target = self._folder / f"{self._digest.hexdigest()[:32]}{self._suffix}"
        # Two uploads that each fit could be too large together.
        with _one_at_a_time:
            taken = sum(each.stat().st_size for each in self._folder.iterdir() if each.name[:1] != ".")
            if not target.exists() and taken + self._size > self._limits.total:
                raise NoRoomError(
                    "all uploads together would be too large (all_uploads): remove some with kerastudy uploads remove"
                )
            with self._store.write() as connection:
                self._check_ceiling(target.name, self._owners.list(self._owner.id, connection))
                self._owners.put(target.name, self._size, self._owner, connection)
                # Within the transaction: after a kill there is at most a file that only an admin can remove.
                self._aside.replace(target)
        return UploadedFile(f"{UPLOADS}/{target.name}", self._size, self._digest.hexdigest())

    def _check_ceiling(self, name: str, mine: Sequence[OwnedUpload]) -> None:
        taken = sum(each.bytes for each in mine if each.file != name)
        if self._limits.submitter is not None and taken + self._size > self._limits.submitter:
            raise NoRoomError(
                f"your uploads would take more than the {self._limits.submitter:,} bytes that one submitter may "
                "(ceilings.uploads): remove some with kerastudy uploads remove"
            )

    def close(self) -> None:
        """Remove the file, unless it was kept."""
        self._file.close()
        self._aside.unlink(missing_ok=True)
