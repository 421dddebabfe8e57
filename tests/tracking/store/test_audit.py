"""The audit log: its lines are final on both databases, and leave by age alone."""

import pytest
import sqlalchemy as sa

from tracking.store import schema
from tracking.store.audit import AuditLog
from tracking.store.tables import audit_lines, metadata

CHANGES = (
    sa.update(audit_lines).values(outcome="refused"),
    sa.update(audit_lines).where(audit_lines.c.operation == "delete").values(time_ms=1),
)


def change(store, statement):
    with store.write() as connection:
        connection.execute(statement)


@pytest.mark.parametrize("statement", CHANGES)
def test_a_line_is_final(store, statement):
    """The database itself refuses to change a line, whoever asks for it."""
    log = AuditLog(store)
    log.record("delete", "wine", None)
    before = log.list()
    with pytest.raises(sa.exc.DBAPIError, match="lines of the audit log are final"):
        change(store, statement)
    assert log.list() == before


def test_lines_are_not_emptied_at_once(store):
    """PostgreSQL's TRUNCATE would pass by a trigger on rows."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    AuditLog(store).record("delete", "wine", None)
    with pytest.raises(sa.exc.DBAPIError, match="lines of the audit log are final"):
        change(store, sa.text("TRUNCATE kerastudy_audit"))


def test_old_lines_leave(store):
    """What is older than the age goes, what is younger stays."""
    log = AuditLog(store)
    log.record("submit", "old", None)
    assert log.prune(3600) == 0
    assert log.prune(-1) == 1
    assert log.list() == ()


def test_lines_of_an_older_store_become_final(store):
    """A store that was made by schema 8 gets the guard with its upgrade."""
    with store.write() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text(f"DROP TABLE {schema.VERSION_TABLE}"))
        connection.execute(
            sa.text("CREATE TABLE kerastudy_about (key VARCHAR(40) NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
        )
        schema.upgrade(connection, 0, 8)
        connection.execute(sa.insert(audit_lines).values(**_LINE))
        schema.upgrade(connection, 8)
    with pytest.raises(sa.exc.DBAPIError, match="lines of the audit log are final"):
        change(store, CHANGES[0])


_LINE = {
    "time_ms": 1,
    "identity": "",
    "name": "",
    "request": "",
    "operation": "submit",
    "object": "wine",
    "outcome": "done",
    "details": "",
}
