"""Where MLflow is, and the addresses of its pages.

A fresh browser opens MLflow 3 in a mode where an experiment looks empty; every address therefore says
`workflowType=machine_learning`. The pages live behind the `#`, so an address without a host works as a link on any
MLflow page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

_MODE: Final = "workflowType=machine_learning"
_DATABASES: Final = ("sqlite:", "postgresql", "mysql", "mssql")


def resolve(home: Path, environ: Mapping[str, str]) -> str:
    """Return the tracking URI: `MLFLOW_TRACKING_URI` if it is set, otherwise an SQLite file under the home."""
    return environ.get("MLFLOW_TRACKING_URI", "").strip() or home_tracking_uri(home)


def home_tracking_uri(home: Path) -> str:
    """Return the tracking URI of the SQLite file under the home."""
    return f"sqlite:///{home.resolve() / 'mlflow.db'}"


def artifact_root(home: Path, environ: Mapping[str, str]) -> str | None:
    """Return the URI under which new experiments keep artifacts; None where a server decides.

    A database that is named by itself decides nothing: MLflow would write to the folder it happens to run in.
    """
    return home_artifacts(home).as_uri() if resolve(home, environ).startswith(_DATABASES) else None


def home_artifacts(home: Path) -> Path:
    """Return the artifact folder under the home."""
    return home.resolve() / "mlartifacts"


def view_id(*parts: str) -> str:
    """Return a stable identifier for a shared view."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def leaderboard_url(base: str, experiment_id: str, view: str) -> str:
    """Return the address of an experiment's runs, shown as the shared view `view`.

    Args:
        base: MLflow's address in a browser; empty for a link that is followed on an MLflow page.
        experiment_id: MLflow's identifier of the experiment.
        view: see `view_id`.
    """
    return f"{_root(base)}#/experiments/{experiment_id}/runs?viewStateShareKey={view}&{_MODE}"


def experiment_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's runs."""
    return f"{_root(base)}#/experiments/{experiment_id}/runs?{_MODE}"


def run_url(base: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run."""
    return f"{_root(base)}#/experiments/{experiment_id}/runs/{run_id}?{_MODE}"


def models_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's logged models."""
    return f"{_root(base)}#/experiments/{experiment_id}/models?{_MODE}"


def registered_model_url(base: str, name: str, version: str | None = None) -> str:
    """Return the address of a registered model, or of one of its versions."""
    page = f"{_root(base)}#/models/{quote(name, safe='')}"
    return f"{page}/versions/{version}?{_MODE}" if version else f"{page}?{_MODE}"


def _root(base: str) -> str:
    return f"{base.rstrip('/')}/" if base else ""
