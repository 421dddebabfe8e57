"""Schema 8: leases that end by the database's clock, and the supervisors of several hosts."""

import sqlalchemy as sa
from alembic import op

from tracking.store.migrations.schema_7 import metadata

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring a store of schema 7 to schema 8."""
    # Before Alembic, new tables came without a new version: a store of schema 7 may lack the latest of them.
    metadata.create_all(op.get_bind())
    op.add_column("kerastudy_studies", sa.Column("lease_expires_ms", sa.BigInteger))
    op.create_table(
        "kerastudy_supervisors",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("studies", sa.Integer, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
    )
