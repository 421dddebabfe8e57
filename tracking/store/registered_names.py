"""Names of registered models, each with the first study that registers its winner under it, and its owner."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.accounts import Identity
from tracking.store.tables import registered_names


@dataclass(frozen=True)
class RegisteredName:
    """Name of a registered model.

    Attributes:
        study: the first study that registers under it.
        owner: name of that study's submitter, for display; empty where the operator ran it.
        owner_id: id of the account that owns the name; empty where the operator ran it.
    """

    name: str
    study: str
    owner: str
    owner_id: str


def claim_registered_name(connection: sa.Connection, name: str, study: str, owner: Identity) -> RegisteredName:
    """Return whom a registered model's name belongs to: to `study` and `owner` if it was free until now."""
    if (known := find_registered_name(connection, name)) is not None:
        return known
    claimed = RegisteredName(name, study, owner.name, owner.id)
    # Where two transactions found the name free on PostgreSQL, the primary key refuses the second.
    connection.execute(sa.insert(registered_names).values(**vars(claimed)))
    return claimed


def find_registered_name(connection: sa.Connection, name: str) -> RegisteredName | None:
    """Return whom a registered model's name belongs to; None if no study has claimed it."""
    row = connection.execute(sa.select(registered_names).where(registered_names.c.name == name)).one_or_none()
    return None if row is None else RegisteredName(**row._mapping)
