"""Write the tables of the installed MLflow into `tracking/mlflow/schemas/`, as its own steps leave them in SQLite.

    .venv/bin/python scripts/write_mlflow_schema.py

After an upgrade of MLflow: without the file its steps run for each new home, a second of a core. The file of the
version before is removed.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from mlflow.version import VERSION

from tracking.mlflow.database import locate_schema, write_tables_by_steps


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.db"
        write_tables_by_steps(made)
        with closing(sqlite3.connect(made)) as connection:
            lines = "\n".join(connection.iterdump())
    schema = locate_schema(VERSION)
    schema.parent.mkdir(exist_ok=True)
    for other in schema.parent.glob("*.sql"):
        other.unlink()
    head = f"-- Tables that MLflow {VERSION} (Apache-2.0) makes in an SQLite file; by scripts/write_mlflow_schema.py."
    text = "\n".join(line.rstrip() for line in lines.splitlines())
    schema.write_text(f"{head}\n{text}\n", encoding="utf-8")
    print(schema)


if __name__ == "__main__":
    main()
