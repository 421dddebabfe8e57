"""Routes of MLflow that a token may use behind the service: reading for every token, the rest for admins.

A route that is not listed is refused, so a new route of a new MLflow stays closed until it is added here. Paths are
those of MLflow 3.17, without the prefix `/mlflow`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_PAGES: Final = """
GET /
GET /health
GET /version
GET /static-files/<path>
GET /get-artifact
GET /model-versions/get-artifact
GET /graphql
POST /graphql
"""
# Below `/api/` and `/ajax-api/` alike.
_API: Final = """
GET 2.0/mlflow-artifacts/artifacts
GET 2.0/mlflow-artifacts/artifacts/<path>
GET 2.0/mlflow/artifacts/list
GET 2.0/mlflow/experiments/get
GET 2.0/mlflow/experiments/get-by-name
GET 2.0/mlflow/experiments/search
POST 2.0/mlflow/experiments/search
POST 2.0/mlflow/experiments/search-datasets
GET 2.0/mlflow/logged-models/<name>
GET 2.0/mlflow/logged-models/<name>/artifacts/directories
GET 2.0/mlflow/logged-models/<name>/artifacts/files
POST 2.0/mlflow/logged-models/search
GET 2.0/mlflow/metrics/get-history
GET 2.0/mlflow/metrics/get-history-bulk
GET 2.0/mlflow/metrics/get-history-bulk-interval
GET 2.0/mlflow/model-versions/get
GET 2.0/mlflow/model-versions/get-download-uri
GET 2.0/mlflow/model-versions/search
GET 2.0/mlflow/registered-models/alias
GET 2.0/mlflow/registered-models/get
GET 2.0/mlflow/registered-models/get-latest-versions
POST 2.0/mlflow/registered-models/get-latest-versions
GET 2.0/mlflow/registered-models/search
GET 2.0/mlflow/runs/get
POST 2.0/mlflow/runs/search
GET 3.0/mlflow/datasets/search
POST 3.0/mlflow/datasets/search
GET 3.0/mlflow/label-schemas/list
GET 3.0/mlflow/scorers/list
GET 3.0/mlflow/server-info
POST 3.0/mlflow/traces/metrics
POST 3.0/mlflow/traces/search
GET 3.0/mlflow/workspaces
"""
# They take a location of files, and MLflow would read or write there: closed to admins too.
_WITH_LOCATION: Final = """
POST 2.0/mlflow/experiments/create
POST 2.0/mlflow/model-versions/create
POST 2.0/mlflow/runs/create-promptlab-run
POST 3.0/mlflow/workspaces
PATCH 3.0/mlflow/workspaces/<name>
"""
_PLACEHOLDERS: Final = {"<path>": r".+", "<name>": r"[^/]+"}


def is_read_only(method: str, path: str) -> bool:
    """Return whether a request only reads; `path` is without the prefix, and decoded."""
    return _has_match(_READING, method, path)


def has_location(method: str, path: str) -> bool:
    """Return whether a request can name a folder or a URL where MLflow keeps or reads files."""
    return _has_match(_LOCATED, method, path)


def _has_match(routes: re.Pattern[str], method: str, path: str) -> bool:
    # `<path>` would match `x/../../other`, and the server behind may resolve that to a route that is not listed.
    is_plain = ".." not in path.split("/") and "\\" not in path and "\0" not in path
    method = "GET" if method == "HEAD" else method
    # `fullmatch`: a prefix of a listed route must not open what is below it.
    return is_plain and routes.fullmatch(f"{method} {path.rstrip('/') or '/'}") is not None


def _compile(routes: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_make_pattern(route) for route in routes))


def _make_pattern(route: str) -> str:
    parts = re.split(r"(<\w+>)", route)
    return "".join(_PLACEHOLDERS.get(part, re.escape(part)) for part in parts)


def _prefix_api(routes: str) -> list[str]:
    return [
        route.replace(" ", f" /{root}/", 1) for root in ("api", "ajax-api") for route in routes.split("\n") if route
    ]


_READING = _compile([*(route for route in _PAGES.split("\n") if route), *_prefix_api(_API)])
_LOCATED = _compile(_prefix_api(_WITH_LOCATION))
