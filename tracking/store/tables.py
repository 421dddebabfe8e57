"""Tables of the store, as this version reads and writes them.

A change here needs a migration (`migrations/versions/`), which brings stores of earlier versions to the same tables;
`scripts/new_migration.py` writes its first draft. Optuna's tables are Optuna's.
"""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

SCHEMA_VERSION: Final = 9
"""Number of the newest migration."""

metadata = sa.MetaData()

about = sa.Table(
    "kerastudy_about",
    metadata,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

studies = sa.Table(
    "kerastudy_studies",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("elapsed_s", sa.Float, nullable=False),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_token", sa.String(40)),
    sa.Column("lease_renewals", sa.BigInteger, nullable=False),
    sa.Column("winner", sa.Integer),
    # 53 bits, so that every database returns the same number.
    sa.Column("best_value", sa.Float(53)),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Column("control_request", sa.String(10)),
    # Since when the study has its state; null in rows of schema 6.
    sa.Column("changed_ms", sa.BigInteger),
    # When a person archived it; null while it is listed.
    sa.Column("archived_ms", sa.BigInteger),
    # When the lease ends unless it is renewed, by the database's clock.
    sa.Column("lease_expires_ms", sa.BigInteger),
)

supervisors = sa.Table(
    "kerastudy_supervisors",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    # The process, as leases name it.
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    # Most studies that it runs at a time.
    sa.Column("studies", sa.Integer, nullable=False),
    # Times by the database's clock.
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
)

submissions = sa.Table(
    "kerastudy_submissions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("submitter", sa.String(100), nullable=False, index=True),
    # Who owns the study; the name above is for display.
    sa.Column("submitter_id", sa.String(120), nullable=False, server_default=sa.text("''")),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("submitted_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("trials_at_once", sa.Integer),
    sa.Column("notified_bytes", sa.BigInteger, nullable=False),
)

requests = sa.Table(
    "kerastudy_requests",
    metadata,
    # The id of the submitter's account.
    sa.Column("submitter", sa.String(100), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

accounts = sa.Table(
    "kerastudy_accounts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("scope", sa.String(10), nullable=False),
    sa.Column("running_trials", sa.Integer),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

access_tokens = sa.Table(
    "kerastudy_access_tokens",
    metadata,
    sa.Column("handle", sa.String(16), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(10), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("used_ms", sa.BigInteger),
    sa.Index("ix_kerastudy_access_tokens_account", "account", "label"),
)

sign_ins = sa.Table(
    "kerastudy_sign_ins",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    # An Argon2 hash; null for an account of a provider.
    sa.Column("password", sa.Text),
    sa.Column("issuer", sa.String(500)),
    sa.Column("subject", sa.String(255)),
    sa.UniqueConstraint("issuer", "subject"),
)

sessions = sa.Table(
    "kerastudy_sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False, index=True),
    # The handle of the token that it was begun with.
    sa.Column("token", sa.String(16)),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("used_ms", sa.BigInteger, nullable=False),
)

audit_lines = sa.Table(
    "kerastudy_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("identity", sa.String(120), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("request", sa.String(300), nullable=False),
    sa.Column("operation", sa.String(100), nullable=False),
    sa.Column("object", sa.String(300), nullable=False),
    sa.Column("outcome", sa.String(10), nullable=False),
    sa.Column("details", sa.String(300), nullable=False),
    # An id is never used again: a gap shows that lines were removed.
    sqlite_autoincrement=True,
)
sa.event.listen(
    audit_lines,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]
        "CREATE TRIGGER kerastudy_audit_is_final BEFORE UPDATE ON kerastudy_audit "
        "BEGIN SELECT RAISE(ABORT, 'lines of the audit log are final'); END"
    ).execute_if(dialect="sqlite"),
)
for _statement in (
    # The function stays when the table is dropped.
    "CREATE OR REPLACE FUNCTION kerastudy_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'lines of the audit log are final'; END $$",
    "CREATE TRIGGER kerastudy_audit_is_final BEFORE UPDATE OR TRUNCATE ON kerastudy_audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION kerastudy_refuse_audit_change()",
):
    _ddl = sa.DDL(_statement).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
    sa.event.listen(audit_lines, "after_create", _ddl)

registered_names = sa.Table(
    "kerastudy_registered_names",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("study", sa.String(100), nullable=False),
    # Of its own, because the study may be deleted; the name is for display.
    sa.Column("owner", sa.String(100), nullable=False, server_default=sa.text("''")),
    sa.Column("owner_id", sa.String(120), nullable=False, server_default=sa.text("''")),
)

uploads = sa.Table(
    "kerastudy_uploads",
    metadata,
    sa.Column("file", sa.String(60), primary_key=True),
    sa.Column("owner_id", sa.String(120), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

model_grants = sa.Table(
    "kerastudy_model_grants",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("account", sa.String(120), primary_key=True),
    sa.Column("moves_protected", sa.Boolean, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

model_digests = sa.Table(
    "kerastudy_model_digests",
    metadata,
    sa.Column("model", sa.String(300), primary_key=True),
    sa.Column("study", sa.String(100), nullable=False, index=True),
    sa.Column("files", sa.Text, nullable=False),
    sa.Column("recorded_ms", sa.BigInteger, nullable=False),
)

retrainings = sa.Table(
    "kerastudy_retrainings",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("value", sa.Float(53)),
    sa.Column("details", sa.Text, nullable=False),
)

notifications = sa.Table(
    "kerastudy_notifications",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    # Receivers remember ids, so those of deleted rows must not come again.
    sqlite_autoincrement=True,
)

notification_receivers = sa.Table(
    "kerastudy_notification_receivers",
    metadata,
    sa.Column("receiver", sa.String(80), primary_key=True),
    # Id of the last notification that it took.
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
)

deletions = sa.Table(
    "kerastudy_deletions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    # Whether versions that have an alias go too, decided before the first thing is removed.
    sa.Column("with_promoted", sa.Boolean, nullable=False),
    sa.Column("requested_ms", sa.BigInteger, nullable=False),
)

outbox = sa.Table(
    "kerastudy_outbox",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("study", sa.String(100), nullable=False, index=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    # SQLite must not reuse the ids of deleted rows: `id` is the order of delivery.
    sqlite_autoincrement=True,
)


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
