"""Schema 7: accounts that own studies by id, sessions, the audit log, notifications, uploads."""

from alembic import op

from tracking.store.migrations.schema_7 import metadata

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
    # Each token becomes an account with one token. A handle is random and no secret, so it serves as the id.
    "INSERT INTO kerastudy_accounts (id, name, scope, running_trials, created_ms) "
    "SELECT handle, name, scope, running_trials, created_ms FROM kerastudy_tokens",
    "INSERT INTO kerastudy_access_tokens (handle, account, label, digest, scope, created_ms) "
    "SELECT handle, handle, 'default', digest, scope, created_ms FROM kerastudy_tokens",
    "DROP TABLE kerastudy_tokens",
    "ALTER TABLE kerastudy_submissions ADD COLUMN submitter_id VARCHAR(120) NOT NULL DEFAULT ''",
    # Submitters without a token get an id that no account can have.
    "UPDATE kerastudy_submissions SET submitter_id = COALESCE("
    "(SELECT id FROM kerastudy_accounts WHERE name = submitter), 'local:' || submitter)",
    "DELETE FROM kerastudy_requests WHERE submitter NOT IN (SELECT name FROM kerastudy_accounts)",
    "UPDATE kerastudy_requests SET submitter = (SELECT id FROM kerastudy_accounts WHERE name = submitter)",
    "ALTER TABLE kerastudy_registered_names ADD COLUMN owner VARCHAR(100) NOT NULL DEFAULT ''",
    "ALTER TABLE kerastudy_registered_names ADD COLUMN owner_id VARCHAR(120) NOT NULL DEFAULT ''",
    "UPDATE kerastudy_registered_names SET "
    "owner = COALESCE((SELECT submitter FROM kerastudy_submissions AS s "
    "WHERE s.study = kerastudy_registered_names.study), ''), "
    "owner_id = COALESCE((SELECT submitter_id FROM kerastudy_submissions AS s "
    "WHERE s.study = kerastudy_registered_names.study), '')",
    "ALTER TABLE kerastudy_studies ADD COLUMN changed_ms BIGINT",
    "ALTER TABLE kerastudy_studies ADD COLUMN archived_ms BIGINT",
)


def upgrade() -> None:
    """Bring a store of schema 6 to schema 7."""
    metadata.create_all(op.get_bind())
    for statement in _STATEMENTS:
        op.execute(statement)
