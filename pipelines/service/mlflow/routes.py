"""Routes of MLflow behind the service, by what they are: reading, notes of submitters, changes by admins.

A route that is not listed is closed to everybody, so a new route of a new MLflow stays closed until it is added here.
A test compares the lists with the routes that the installed MLflow registers. Paths are those of MLflow 3.17, without
the prefix `/mlflow`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

_PAGES: Final = """
GET /
GET /health
GET /version
GET /static-files/<path>
GET /get-artifact
GET /model-versions/get-artifact
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
# Tags of runs and experiments: notes, saved views and people's own tags; `MlflowNotes` decides which.
_NOTES: Final = """
POST 2.0/mlflow/experiments/delete-experiment-tag
POST 2.0/mlflow/experiments/set-experiment-tag
POST 2.0/mlflow/runs/delete-tag
POST 2.0/mlflow/runs/set-tag
"""
# None takes a location at which MLflow would read or write: routes that do, such as `experiments/create` and
# `model-versions/create`, are closed to admins too. So are its gateway, assistant, webhooks, jobs and all else that
# serves language models.
_ADMIN: Final = """
DELETE 2.0/mlflow-artifacts/artifacts/<path>
PUT 2.0/mlflow-artifacts/artifacts/<path>
POST 2.0/mlflow/upload-artifact
POST 2.0/mlflow/experiments/delete
POST 2.0/mlflow/experiments/restore
POST 2.0/mlflow/experiments/update
POST 2.0/mlflow/logged-models
DELETE 2.0/mlflow/logged-models/<name>
PATCH 2.0/mlflow/logged-models/<name>
POST 2.0/mlflow/logged-models/<name>/params
PATCH 2.0/mlflow/logged-models/<name>/tags
DELETE 2.0/mlflow/logged-models/<name>/tags/<name>
DELETE 2.0/mlflow/model-versions/delete
DELETE 2.0/mlflow/model-versions/delete-tag
POST 2.0/mlflow/model-versions/set-tag
POST 2.0/mlflow/model-versions/transition-stage
PATCH 2.0/mlflow/model-versions/update
DELETE 2.0/mlflow/registered-models/alias
POST 2.0/mlflow/registered-models/alias
POST 2.0/mlflow/registered-models/create
DELETE 2.0/mlflow/registered-models/delete
DELETE 2.0/mlflow/registered-models/delete-tag
POST 2.0/mlflow/registered-models/rename
POST 2.0/mlflow/registered-models/set-tag
PATCH 2.0/mlflow/registered-models/update
POST 2.0/mlflow/runs/create
POST 2.0/mlflow/runs/delete
POST 2.0/mlflow/runs/log-batch
POST 2.0/mlflow/runs/log-inputs
POST 2.0/mlflow/runs/log-metric
POST 2.0/mlflow/runs/log-model
POST 2.0/mlflow/runs/log-parameter
POST 2.0/mlflow/runs/outputs
POST 2.0/mlflow/runs/restore
POST 2.0/mlflow/runs/update
"""
_PLACEHOLDERS: Final = {"<path>": r".+", "<name>": r"[^/]+"}


RouteKind = Literal["read", "note", "admin", "closed"]


def classify_route(method: str, path: str) -> RouteKind:
    """Return what a request to MLflow does; `path` is without the prefix, and decoded."""
    found = (kind for kind, routes in _ROUTES.items() if _has_match(routes, method, path))
    return next(found, "closed")


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


_ROUTES: Final[dict[RouteKind, re.Pattern[str]]] = {
    "read": _compile([*(route for route in _PAGES.split("\n") if route), *_prefix_api(_API)]),
    "note": _compile(_prefix_api(_NOTES)),
    "admin": _compile(_prefix_api(_ADMIN)),
}
