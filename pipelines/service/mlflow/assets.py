"""Files that the service adds to MLflow's pages: they leave out what it does not offer there."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from pipelines.service.http.security_middleware import MLFLOW

PAGE: Final = f"{MLFLOW}/"
"""Address of the page that MLflow's UI consists of."""

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
# In files and not in the page: a policy against scripts within pages may come with any release of MLflow.
_ADDED: Final = f'<link rel="stylesheet" href="{PAGE}kerastudy.css"><script src="{PAGE}kerastudy.js"></script>'


def find_asset(path: str) -> tuple[str, bytes] | None:
    """Return the media type and the content of a file of ours; None for any other path."""
    suffix = path.removeprefix(f"{PAGE}kerastudy.")
    if suffix not in _TYPES:
        return None
    return _TYPES[suffix], files("pipelines.service").joinpath("templates", f"mlflow.{suffix}").read_bytes()


def extend_page(page: bytes) -> bytes:
    """Return MLflow's page with our files, before its own script."""
    return page.replace(b"<script", _ADDED.encode() + b"<script", 1)
