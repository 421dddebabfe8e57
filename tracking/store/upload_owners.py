"""Owners of uploaded data files. The same content uploaded by several accounts is one file with several owners."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.tables import now_ms, uploads


@dataclass(frozen=True)
class OwnedUpload:
    """Uploaded file of one account.

    Attributes:
        file: its name in the folder of uploads.
        owner: name of the account, for display.
        owner_id: id of the account.
        bytes: its size.
        created_ms: when the account first uploaded it.
    """

    file: str
    owner: str
    owner_id: str
    bytes: int
    created_ms: int


class UploadOwners:
    """Table of the owners of uploads. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, file: str, size: int, owner: Identity, connection: sa.Connection) -> None:
        """Add an owner of a file, unless it is one already."""
        present = sa.select(uploads.c.file).where(uploads.c.file == file, uploads.c.owner_id == owner.id)
        if connection.execute(present).one_or_none() is None:
            row = OwnedUpload(file, owner.name, owner.id, size, now_ms())
            connection.execute(sa.insert(uploads).values(**vars(row)))

    def list(self, owner_id: str | None = None, connection: sa.Connection | None = None) -> tuple[OwnedUpload, ...]:
        """Return the uploads of an account, or of all, the earliest first."""
        if connection is None:
            with self._store.read() as reading:
                return self.list(owner_id, reading)
        query = sa.select(uploads).order_by(uploads.c.created_ms, uploads.c.file, uploads.c.owner_id)
        if owner_id is not None:
            query = query.where(uploads.c.owner_id == owner_id)
        return tuple(OwnedUpload(**row._mapping) for row in connection.execute(query))

    def remove(self, file: str, connection: sa.Connection, owner_id: str | None = None) -> None:
        """Remove one owner of a file, or all."""
        statement = sa.delete(uploads).where(uploads.c.file == file)
        connection.execute(statement if owner_id is None else statement.where(uploads.c.owner_id == owner_id))
