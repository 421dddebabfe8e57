"""Tables of schema 6, the first that later versions upgrade, as they were. Never changed."""

import sqlalchemy as sa

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
    sa.Column("best_value", sa.Float(53)),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Column("control_request", sa.String(10)),
)

submissions = sa.Table(
    "kerastudy_submissions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("submitter", sa.String(100), nullable=False, index=True),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("submitted_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("trials_at_once", sa.Integer),
    sa.Column("notified_bytes", sa.BigInteger, nullable=False),
)

requests = sa.Table(
    "kerastudy_requests",
    metadata,
    sa.Column("submitter", sa.String(100), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

registered_names = sa.Table(
    "kerastudy_registered_names",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("study", sa.String(100), nullable=False),
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
    sqlite_autoincrement=True,
)

tokens = sa.Table(
    "kerastudy_tokens",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("handle", sa.String(16), nullable=False, unique=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(10), nullable=False),
    sa.Column("running_trials", sa.Integer),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)
