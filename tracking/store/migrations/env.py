"""Environment that Alembic runs for every command: our tables, on the caller's connection and transaction."""

from alembic import context

from tracking.store.schema import VERSION_TABLE, is_ours
from tracking.store.tables import metadata

# Whoever calls holds the store's lock and commits: see `tracking/store/schema.py`.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_object=is_ours,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
