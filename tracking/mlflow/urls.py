"""Addresses of MLflow and of its pages.

A new browser opens MLflow 3 in a mode where an experiment looks empty; every address therefore contains
`workflowType=machine_learning`. The page is named behind the `#`, so an address without a host works as a link on any
MLflow page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

_MODE: Final = "workflowType=machine_learning"
_DATABASES: Final = ("sqlite:", "postgresql", "mysql", "mssql")


def resolve_tracking_uri(home: Path, environ: Mapping[str, str]) -> str:
    """Return the tracking URI: `MLFLOW_TRACKING_URI` if it is set, otherwise an SQLite file under the home."""
    return environ.get("MLFLOW_TRACKING_URI", "").strip() or make_home_tracking_uri(home)


def make_home_tracking_uri(home: Path) -> str:
    """Return the tracking URI of the SQLite file under the home."""
    return f"sqlite:///{home.resolve() / 'mlflow.db'}"


def hide_password(uri: str) -> str:
    """Return a tracking URI without the password in it."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", uri)


def resolve_artifact_root(home: Path, environ: Mapping[str, str]) -> str | None:
    """Return the URI under which new experiments keep artifacts; None where a server decides.

    Without a root, a database alone makes MLflow write to the folder it happens to run in.
    """
    return get_artifact_folder(home).as_uri() if resolve_tracking_uri(home, environ).startswith(_DATABASES) else None


def get_artifact_folder(home: Path) -> Path:
    """Return the artifact folder under the home."""
    return home.resolve() / "mlartifacts"


def find_external_server(home: Path, environ: Mapping[str, str]) -> str:
    """Return the address of the MLflow server that `MLFLOW_TRACKING_URI` names; empty where it names none."""
    uri = resolve_tracking_uri(home, environ)
    return uri if uri.startswith(("http://", "https://")) else ""


def make_view_id(*parts: str) -> str:
    """Return a stable identifier for a shared view."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def make_leaderboard_url(base: str, experiment_id: str, view: str) -> str:
    """Return the address of an experiment's runs, shown as the shared view `view`.

    Args:
        base: MLflow's address in a browser; empty for a link that is followed on an MLflow page.
        experiment_id: MLflow's identifier of the experiment.
        view: see `make_view_id`.
    """
    return f"{_make_root(base)}#/experiments/{experiment_id}/runs?viewStateShareKey={view}&{_MODE}"


def make_experiment_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's runs."""
    return f"{_make_root(base)}#/experiments/{experiment_id}/runs?{_MODE}"


def make_run_url(base: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run."""
    return f"{_make_root(base)}#/experiments/{experiment_id}/runs/{run_id}?{_MODE}"


def make_models_url(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's logged models."""
    return f"{_make_root(base)}#/experiments/{experiment_id}/models?{_MODE}"


def make_registered_model_url(base: str, name: str, version: str | None = None) -> str:
    """Return the address of a registered model, or of one of its versions."""
    page = f"{_make_root(base)}#/models/{quote(name, safe='')}"
    return f"{page}/versions/{version}?{_MODE}" if version else f"{page}?{_MODE}"


def _make_root(base: str) -> str:
    return f"{base.rstrip('/')}/" if base else ""
