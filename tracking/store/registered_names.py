"""Names of registered models, each with the first study that registers its winner under it."""

from __future__ import annotations

import sqlalchemy as sa

from tracking.store.database import registered_names


def claim_registered_name(connection: sa.Connection, name: str, study: str) -> str:
    """Return the study that a registered model's name belongs to: `study` itself if the name was free until now."""
    owner = sa.select(registered_names.c.study).where(registered_names.c.name == name)
    known = connection.execute(owner).scalar_one_or_none()
    if known is not None:
        return str(known)
    # Where two transactions found the name free on PostgreSQL, the primary key refuses the second.
    connection.execute(sa.insert(registered_names).values(name=name, study=study))
    return study


def find_registered_name(connection: sa.Connection, name: str) -> str | None:
    """Return the study that a registered model's name belongs to; None if no study has claimed it."""
    owner = sa.select(registered_names.c.study).where(registered_names.c.name == name)
    found = connection.execute(owner).scalar_one_or_none()
    return None if found is None else str(found)
