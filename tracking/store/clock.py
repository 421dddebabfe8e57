"""The database's clock: one for all hosts that share a store, however theirs differ."""

from __future__ import annotations

import sqlalchemy as sa

from tracking.store.tables import now_ms


def read_now(connection: sa.Connection) -> sa.ColumnElement[int]:
    """Return an expression for the time in milliseconds since 1970, by the clock of a connection's database."""
    if connection.dialect.name == "postgresql":
        # Not `now()`, which is the start of the transaction.
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)
    # An SQLite file has no clock but that of its machine.
    return sa.literal(now_ms(), sa.BigInteger)
