"""Uploaded data files of a home: list them, and remove those that no study needs."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, UnknownError, suggest_choice
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES
from tracking.store.tables import studies
from tracking.store.upload_owners import OwnedUpload, UploadOwners

UPLOADS = "uploads"
"""First part of an uploaded file's path in a study, and its folder in the home."""


@dataclass(frozen=True)
class UploadRow:
    """Uploaded file.

    Attributes:
        source: its name in a study file.
        owner: name of the account that uploaded it; empty for a file from before owners were recorded.
        bytes: its size.
        created_ms: when it was uploaded.
        studies: studies that have not ended and name it.
    """

    source: str
    owner: str
    bytes: int
    created_ms: int
    studies: tuple[str, ...]


def list_uploads(home: Home, store: Store, owner_id: str | None = None) -> tuple[UploadRow, ...]:
    """Return the uploads of one account, or of all."""
    owned = UploadOwners(store).list(owner_id)
    rows = [_make_row(store, each) for each in owned]
    if owner_id is None:
        known = {each.file for each in owned}
        found = sorted(file for file in (home.folder / UPLOADS).glob("[!.]*") if file.name not in known)
        rows += [
            _make_row(store, OwnedUpload(file.name, "", "", file.stat().st_size, int(file.stat().st_mtime * 1000)))
            for file in found
        ]
    return tuple(rows)


def remove_upload(home: Home, store: Store, name: str, caller: Identity) -> None:
    """Remove an upload: an owner its own, an admin everybody's.

    Args:
        home: the home.
        store: its store.
        name: the file's name, with or without `uploads/`.
        caller: who removes it.

    Raises:
        UnknownError: if the caller has no such upload.
        ConflictError: if a study that has not ended names it.
    """
    file = name.removeprefix(f"{UPLOADS}/")
    mine = None if caller.has_scope("admin") else caller.id
    known = [row.source.removeprefix(f"{UPLOADS}/") for row in list_uploads(home, store, mine)]
    if file not in known:
        raise UnknownError(f"you have no upload {file}; {suggest_choice(file, known)}")
    owners = UploadOwners(store)
    with store.write() as connection:
        # In the transaction in which a submission would name it.
        if naming := _list_studies(file, connection):
            raise ConflictError(f"{file} is kept while a study names it: {', '.join(naming)}; cancel it, or wait")
        owners.remove(file, connection, mine)
        if not any(each.file == file for each in owners.list(connection=connection)):
            (home.folder / UPLOADS / file).unlink(missing_ok=True)


def _make_row(store: Store, owned: OwnedUpload) -> UploadRow:
    with store.read() as connection:
        naming = _list_studies(owned.file, connection)
    return UploadRow(f"{UPLOADS}/{owned.file}", owned.owner, owned.bytes, owned.created_ms, naming)


def _list_studies(file: str, connection: sa.Connection) -> tuple[str, ...]:
    # The name is a digest, so that a text that holds it means it.
    named = studies.c.document.contains(f"{UPLOADS}/{file}", autoescape=True)
    query = sa.select(studies.c.name).where(named, studies.c.state.not_in(ENDED_STATES)).order_by(studies.c.name)
    return tuple(connection.execute(query).scalars())
