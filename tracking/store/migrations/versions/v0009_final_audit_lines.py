"""Schema 9: PostgreSQL refuses to change lines of the audit log, as SQLite does since schema 7."""

from alembic import op

revision = "0009"
down_revision = "0008"

_STATEMENTS = (
    "CREATE OR REPLACE FUNCTION kerastudy_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'lines of the audit log are final'; END $$",
    "CREATE TRIGGER kerastudy_audit_is_final BEFORE UPDATE OR TRUNCATE ON kerastudy_audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION kerastudy_refuse_audit_change()",
)


def upgrade() -> None:
    """Bring a store of schema 8 to schema 9."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in _STATEMENTS:
            op.execute(statement)
