"""Supervising processes of all hosts that share a store: which there are, how much they run, whether they are alive.

A row is a statement of its process, renewed every ten seconds by the database's clock. It decides nothing: leases do.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from tracking.store.clock import read_now
from tracking.store.database import Store
from tracking.store.processes import describe_owner, find_host, is_alive
from tracking.store.tables import supervisors

SupervisorState = Literal["ready", "draining"]
SEEN_EVERY_S: Final = 10.0
LOST_AFTER_S: Final = 60.0
"""After so long without a sign of life, a process of another host counts as lost."""
_FORGOTTEN_AFTER_S: Final = 86_400.0


@dataclass(frozen=True)
class SupervisingProcess:
    """One process that runs studies.

    Attributes:
        id: random id.
        host: name of its host.
        process: the process in words.
        owner: the process, as `identify_process` names it.
        version: version of kerastudy.
        state: `ready`, `draining` while it puts its studies back, `lost` without a sign of life.
        studies: most studies that it runs at a time.
        seen_s: seconds since its last sign of life.
    """

    id: str
    host: str
    process: str
    owner: str
    version: str
    state: str
    studies: int
    seen_s: float


class Supervisors:
    """Table of supervising processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, owner: str, version: str, studies: int) -> str:
        """Add a process, and forget those that were lost a day ago; return its id."""
        id_ = secrets.token_hex(8)
        with self._store.write() as connection:
            now = read_now(connection)
            old = supervisors.c.seen_ms < now - int(_FORGOTTEN_AFTER_S * 1000)
            connection.execute(sa.delete(supervisors).where(old))
            row = {"id": id_, "host": find_host(owner), "owner": owner, "version": version, "studies": studies}
            connection.execute(sa.insert(supervisors).values(**row, state="ready", started_ms=now, seen_ms=now))
        return id_

    def sign(self, id_: str, state: SupervisorState) -> bool:
        """Store a sign of life of a process, and its state; return whether it is known."""
        with self._store.write() as connection:
            values = {"state": state, "seen_ms": read_now(connection)}
            signed = connection.execute(sa.update(supervisors).where(supervisors.c.id == id_).values(**values))
            return signed.rowcount == 1

    def remove(self, id_: str) -> None:
        """Remove a process that ends."""
        with self._store.write() as connection:
            connection.execute(sa.delete(supervisors).where(supervisors.c.id == id_))

    def list(self) -> tuple[SupervisingProcess, ...]:
        """Return all processes, by host and start."""
        columns = supervisors.c
        with self._store.read() as connection:
            query = sa.select(supervisors, (read_now(connection) - columns.seen_ms).label("age_ms"))
            rows = connection.execute(query.order_by(columns.host, columns.started_ms, columns.id)).all()
        return tuple(_parse_row(row) for row in rows)


def _parse_row(row: sa.Row[tuple[object, ...]]) -> SupervisingProcess:
    values = row._mapping
    seen_s = max(0.0, values["age_ms"] / 1000)
    alive = is_alive(values["owner"])
    # A suspended process on this host is neither alive nor dead: its signs decide, as those of another host.
    is_lost = alive is False or (alive is None and seen_s > LOST_AFTER_S)
    return SupervisingProcess(
        id=values["id"],
        host=values["host"],
        process=describe_owner(values["owner"]),
        owner=values["owner"],
        version=values["version"],
        state="lost" if is_lost else values["state"],
        studies=values["studies"],
        seen_s=seen_s,
    )
