"""Tables that came with schema 7, as they were. Never changed."""

import sqlalchemy as sa

metadata = sa.MetaData()

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

notifications = sa.Table(
    "kerastudy_notifications",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

notification_receivers = sa.Table(
    "kerastudy_notification_receivers",
    metadata,
    sa.Column("receiver", sa.String(80), primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
)

deletions = sa.Table(
    "kerastudy_deletions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("with_promoted", sa.Boolean, nullable=False),
    sa.Column("requested_ms", sa.BigInteger, nullable=False),
)
