"""Deliveries of records to an MLflow database in a folder, and its content by study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow_picture
from mlflow import MlflowClient
from mlflow.entities import Run

from tracking.mlflow.projection import MlflowProjection
from tracking.outbox.records import Record


def uri(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def connect(home: Path, **options: Any) -> MlflowProjection:
    return MlflowProjection(uri(home), artifact_root=(home / "artifacts").as_uri(), **options)


def deliver(projection: MlflowProjection, records: Iterable[Record]) -> None:
    """Deliver records one by one."""
    for record in records:
        projection.deliver([record])


def list_runs(client: MlflowClient, study: str) -> tuple[Run, dict[int, Run]]:
    """Return a study's parent and its children by number."""
    return mlflow_picture.list_runs(client, f"{study}-experiment")


def read_picture(client: MlflowClient, study: str) -> Any:
    """Return all that MLflow shows of a study, for comparing."""
    return mlflow_picture.read_picture(client, f"{study}-experiment")
