"""MLflow's database of a home that was moved: the addresses of its files follow."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

_ADDRESSES: Final = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def move_database(file: Path, before: Path, after: Path) -> None:
    """Replace the folder of MLflow's files in its database.

    Args:
        file: MLflow's SQLite database.
        before: the folder when the files were written.
        after: the folder now.
    """
    # With the slash: /a/home is no part of /a/home-2. As a URI and as a path, since MLflow stores both.
    pairs = [(f"{before.as_uri()}/", f"{after.as_uri()}/"), (f"{before}/", f"{after}/")]
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, columns in _ADDRESSES.items():
            for column in columns:
                for old, new in pairs:
                    # `substr` and not `replace`: at the beginning alone.
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, len(old), old),
                    )
