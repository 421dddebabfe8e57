"""MLflow's database of files that were moved: the addresses of its files follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

_ADDRESSES: Final = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
SERVED: Final = "mlflow-artifacts:/"
"""Beginning of the addresses of files that an MLflow server keeps and serves."""


def move_database(file: Path, moves: Sequence[tuple[str, str]]) -> None:
    """Replace the beginnings of the addresses of MLflow's files in its database.

    Args:
        file: MLflow's SQLite database.
        moves: beginnings as they are and as they become; see `list_moves`. Of each address the first that fits counts.
    """
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, columns in _ADDRESSES.items():
            for column in columns:
                _move_column(connection, table, column, [(old, new) for old, new in moves if old != new])


def list_moves(before: Path, after: str) -> list[tuple[str, str]]:
    """Return the moves of a folder's files, to be given to `move_database`.

    Args:
        before: the folder when the files were written.
        after: where they are now: a folder's path, or `SERVED`.
    """
    # With the slash: /a/home is no part of /a/home-2. As a URI and as a path, since MLflow stores both.
    to_uri, to_path = (SERVED, SERVED) if after == SERVED else (f"{Path(after).as_uri()}/", f"{after}/")
    return [(f"{before.as_uri()}/", to_uri), (f"{before}/", to_path)]


def _move_column(connection: sqlite3.Connection, table: str, column: str, moves: Sequence[tuple[str, str]]) -> None:
    if not moves:
        return
    # In one statement, so that no address is moved twice. `substr` and not `replace`: at the beginning alone.
    cases = " ".join(f"WHEN substr({column}, 1, ?) = ? THEN ? || substr({column}, ?)" for _ in moves)
    values = [value for old, new in moves for value in (len(old), old, new, len(old) + 1)]
    connection.execute(f"UPDATE {table} SET {column} = CASE {cases} ELSE {column} END", values)
