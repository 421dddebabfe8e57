"""Migrations, one for each version of the schema since the first that is upgraded."""
