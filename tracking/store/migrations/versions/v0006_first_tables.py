"""Schema 6: the tables of the first state that later versions upgrade."""

from alembic import op

from tracking.store.migrations.schema_6 import metadata

revision = "0006"
down_revision = None


def upgrade() -> None:
    """Create the tables in an empty database; a store of schema 6 has them already."""
    metadata.create_all(op.get_bind())
