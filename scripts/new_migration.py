"""First draft of a migration: what differs between the tables of the code and the newest migration.

Usage: .venv/bin/python scripts/new_migration.py "Schema 9: what changes"

It is written to tracking/store/migrations/versions/. Read it, complete it, and set SCHEMA_VERSION in
tracking/store/tables.py to its number.
"""

from __future__ import annotations

import re
import sys

import sqlalchemy as sa
from alembic import command

from tracking.store import schema
from tracking.store.tables import about


def main() -> None:
    """Write the draft."""
    message = sys.argv[1].rstrip(".") if len(sys.argv) > 1 else sys.exit(__doc__)
    files = sorted((schema.MIGRATIONS / "versions").glob("v[0-9]*.py"))
    newest = int(files[-1].stem[1:5])
    with sa.create_engine("sqlite://").connect() as connection:
        about.create(connection)
        schema.upgrade(connection, 0, newest)
        config = schema.make_config(connection)
        slug = re.sub(r"\W+", "_", message.partition(":")[2].strip().lower() or message.lower())
        config.set_main_option("file_template", f"v%%(rev)s_{slug}")
        command.revision(config, message, autogenerate=True, rev_id=schema.format_revision(newest + 1))


if __name__ == "__main__":
    main()
