"""Audit log: who changed what, as lines of a table that are added and never changed.

Nothing here updates a line, and a trigger of the database refuses it. Lines leave with their age alone, see `prune`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.tables import audit_lines, now_ms

Outcome = Literal["done", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_MAX_TEXT = 300


@dataclass(frozen=True)
class AuditLine:
    """One line of the audit log.

    Attributes:
        time_ms: when it was done.
        identity: id of the account that did it; `local:` and a name for the operator on the home itself.
        name: name of that account then.
        request: id of the HTTP request; empty on the home itself.
        operation: what was done, such as `submit` or `token.create`.
        object: the study, account or other thing that it was done to.
        outcome: `done`, `refused` for lack of rights, or `failed`.
        details: what else there is to know, such as the status of the answer.
    """

    id: int
    time_ms: int
    identity: str
    name: str
    request: str
    operation: str
    object: str
    outcome: Outcome
    details: str


class AuditLog:
    """Table of what was done."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(
        self,
        operation: str,
        object_: str,
        caller: Identity | None,
        *,
        outcome: Outcome = "done",
        details: str = "",
        request: str = "",
        connection: sa.Connection | None = None,
    ) -> None:
        """Add a line.

        Args:
            operation: what was done, such as `study.delete`.
            object_: the study, account or other thing that it was done to.
            caller: who did it; None for somebody who is not signed in.
            outcome: whether it was done.
            details: what else there is to know; never a secret.
            request: id of the HTTP request.
            connection: join this transaction, so that the act and its line are stored together.
        """
        row = {
            "time_ms": now_ms(),
            "identity": caller.id if caller else "",
            "name": caller.name if caller else "",
            "request": request[:_MAX_TEXT],
            "operation": operation[:100],
            "object": object_[:_MAX_TEXT],
            "outcome": outcome,
            "details": details[:_MAX_TEXT],
        }
        with self._store.write(connection) as writing:
            writing.execute(sa.insert(audit_lines).values(**row))

    def list(
        self,
        *,
        name: str | None = None,
        operation: str | None = None,
        object_: str | None = None,
        outcome: Outcome | None = None,
        since_ms: int = 0,
        before: int | None = None,
        limit: int = 100,
    ) -> tuple[AuditLine, ...]:
        """Return lines, the newest first.

        Args:
            name: only of accounts with this name or id.
            operation: only of this operation.
            object_: only on this object.
            outcome: only with this outcome.
            since_ms: only from this time on.
            before: only lines with a smaller id, for the next page.
            limit: most lines.
        """
        table = audit_lines.c
        query = sa.select(audit_lines).where(table.time_ms >= since_ms).order_by(table.id.desc()).limit(limit)
        if name is not None:
            query = query.where(sa.or_(table.name == name, table.identity == name))
        for column, value in ((table.operation, operation), (table.object, object_), (table.outcome, outcome)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(table.id < before)
        with self._store.read() as connection:
            return tuple(AuditLine(**row._mapping) for row in connection.execute(query))

    def prune(self, age_s: float) -> int:
        """Remove the lines older than some seconds; return how many."""
        with self._store.write() as connection:
            old = sa.delete(audit_lines).where(audit_lines.c.time_ms < now_ms() - int(age_s * 1000))
            return connection.execute(old).rowcount
