"""Homes that earlier versions of kerastudy have written, stored beside the tests.

`homes/schema-6.sql` is the store of the first state with a schema that later versions upgrade, and
`homes/schema-6-files.tar.gz` the folders of its studies: `iris`, finished with two trials, and `waiting`, submitted.
Its MLflow, plots and logs were left out.
"""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

HOMES = Path(__file__).parent / "homes"
WRITTEN_AT = "/srv/kerastudy/home"


def write_old_home(folder: Path, schema: int) -> None:
    """Write the home of a schema into a new folder, as if it had been made there."""
    folder.mkdir(parents=True)
    # The paths in the records that MLflow has taken; a home that was moved is another matter.
    statements = (HOMES / f"schema-{schema}.sql").read_text().replace(WRITTEN_AT, str(folder))
    with closing(sqlite3.connect(folder / "kerastudy.db")) as connection:
        connection.executescript(statements)
    with tarfile.open(HOMES / f"schema-{schema}-files.tar.gz") as archive:
        archive.extractall(folder, filter="data")
