"""MLflow's tables, made once in a process and copied to each further database: making them takes a second."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tracking.mlflow import database

write_tables = database._write_tables


@contextmanager
def make_tables_once(folder: Path) -> Iterator[None]:
    """Let new databases of this process be copies of one in a folder."""
    made = folder / "tables.db"

    def copy(file: Path) -> None:
        if not made.exists():
            write_tables(made)
        shutil.copyfile(made, file)

    with patch.object(database, "_write_tables", copy):
        yield
