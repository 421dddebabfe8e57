"""Digests of the files of registered models, in the store: MLflow's copy can be written by others.

A model is checked against them before kerastudy loads, promotes or exports it. A model without a row was never
registered, or before kerastudy recorded digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.tables import model_digests, now_ms


class ModelDigests:
    """Table of digests by model. Methods that take a `connection` join its transaction.

    A model is named by its folder below the home, or by `make_mlflow_key`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, model: str, study: str, files: Mapping[str, str], connection: sa.Connection | None = None) -> None:
        """Record the digests of a model's files by their paths, in place of earlier ones."""
        row = {"model": model, "study": study, "files": json.dumps(dict(files)), "recorded_ms": now_ms()}
        with self._store.write(connection) as writing:
            writing.execute(sa.delete(model_digests).where(model_digests.c.model == model))
            writing.execute(sa.insert(model_digests).values(**row))

    def forget(self, models: Iterable[str], connection: sa.Connection | None = None) -> None:
        """Remove the digests of models that are written anew."""
        with self._store.write(connection) as writing:
            writing.execute(sa.delete(model_digests).where(model_digests.c.model.in_(list(models))))

    def find(self, model: str) -> dict[str, str] | None:
        """Return the digests of a model's files by their paths; None where none are recorded."""
        with self._store.read() as connection:
            query = sa.select(model_digests.c.files).where(model_digests.c.model == model)
            files = connection.execute(query).scalar_one_or_none()
        return None if files is None else dict(json.loads(files))


def make_mlflow_key(model_id: str) -> str:
    """Return the name in the table of a logged model of MLflow."""
    return f"mlflow:{model_id}"


def compute_digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their paths below a folder."""
    found = {}
    for file in files:
        with file.open("rb") as opened:
            found[file.relative_to(folder).as_posix()] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def describe_changes(recorded: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return which files were changed, added or removed; empty where all are as they were recorded."""
    kinds = {
        "changed": [name for name in recorded if name in found and found[name] != recorded[name]],
        "added": [name for name in found if name not in recorded],
        "removed": [name for name in recorded if name not in found],
    }
    return "; ".join(f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names)
