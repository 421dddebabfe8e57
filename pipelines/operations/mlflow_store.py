"""Places of MLflow's records and files, for a copy of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.mlflow import urls

STORE_VARIABLE = "KERASTUDY_MLFLOW_STORE"
FILES_VARIABLE = "KERASTUDY_MLFLOW_FILES"


@dataclass(frozen=True)
class MlflowStore:
    """Where MLflow keeps its records and its files.

    Attributes:
        tracking: address that kerastudy records to, without a password.
        database: URI of the database; empty if it is not known.
        files: folder of the files; None if it is not known.
        is_home: whether the database is the file in the home.
        is_served: whether a server of its own keeps the files, and not kerastudy in the home.
    """

    tracking: str
    database: str
    files: Path | None
    is_home: bool
    is_served: bool

    @property
    def shown(self) -> str:
        """The database without a password."""
        return urls.hide_password(self.database)


def find_mlflow_store(home: Home, environ: Mapping[str, str]) -> MlflowStore:
    """Return where MLflow keeps what it has.

    It is known for the file in the home and for a PostgreSQL database in `MLFLOW_TRACKING_URI`. Of a server, an address
    alone is known: `KERASTUDY_MLFLOW_STORE` names its database, and `KERASTUDY_MLFLOW_FILES` the folder of its files.

    Raises:
        InputError: if `KERASTUDY_MLFLOW_STORE` names no such database, or `KERASTUDY_MLFLOW_FILES` no absolute path.
    """
    uri = urls.resolve_tracking_uri(home.folder, environ)
    tracking, folder = urls.hide_password(uri), urls.get_artifact_folder(home.folder)
    if uri == urls.make_home_tracking_uri(home.folder):
        return MlflowStore(tracking, uri, folder, is_home=True, is_served=False)
    if uri.startswith("postgresql"):
        return MlflowStore(tracking, uri, folder, is_home=False, is_served=False)
    database, files = (environ.get(name, "").strip() for name in (STORE_VARIABLE, FILES_VARIABLE))
    if database and not database.startswith("postgresql"):
        raise InputError(
            f"{STORE_VARIABLE}: expected the database of the MLflow server at {tracking}, such as "
            f"postgresql://mlflow@host/mlflow, got {urls.hide_password(database)}"
        )
    if files and not Path(files).is_absolute():
        raise InputError(
            f"{FILES_VARIABLE}: expected the absolute path of the folder that the MLflow server at {tracking} keeps "
            f"its files in (its --artifacts-destination), got {files}"
        )
    return MlflowStore(tracking, database, Path(files) if files else None, is_home=False, is_served=True)
