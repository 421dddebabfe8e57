"""Mark of a home that is being restored: its files are there, and what belongs to database servers is not yet.

A restoration that was cut off is so seen by every command, and goes on when it is repeated.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "restoring.json"
FOLDER = "restoring"
"""Folder, beside the mark, of what goes to servers."""


@dataclass(frozen=True)
class RestorationMark:
    """A restoration under way.

    Attributes:
        backup: digest of the backup's manifest.
        path: where the backup was.
        made: when the backup was made.
        store: address of the store on a server, without a password; empty for one in the home.
        mlflow: address of MLflow's database on a server, without a password; empty for one in the home.
    """

    backup: str
    path: str
    made: str
    store: str
    mlflow: str


def write_mark(home: Path, mark: RestorationMark) -> None:
    """Write the mark of a home."""
    (home / FILE_NAME).write_text(json.dumps(asdict(mark), indent=1))


def read_mark(home: Path) -> RestorationMark | None:
    """Return the mark of a home; None for one that is whole."""
    file = home / FILE_NAME
    return RestorationMark(**json.loads(file.read_text())) if file.exists() else None
