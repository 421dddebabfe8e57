"""Alembic's environment: the migrations of the store's schema, a module each in `versions/`."""
