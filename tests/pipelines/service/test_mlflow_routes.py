"""Which of MLflow's routes a token reaches behind the service."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import httpx
import pytest

from pipelines.service import mlflow_routes
from pipelines.service.mlflow_proxy import MlflowProxy
from pipelines.service.mlflow_routes import has_location, is_read_only
from tracking.store.tokens import Token

# Every route that MLflow registers, a line each: its methods and its path, as of 3.17.
_LIST_ROUTES = """
import warnings
warnings.simplefilter("ignore")
from mlflow.server import app
from mlflow.server.fastapi_app import app as fastapi
def walk(routes):
    for route in routes:
        if hasattr(route, "original_router"):
            walk(route.original_router.routes)
        else:
            for method in getattr(route, "methods", None) or ():
                print("ROUTE", method, getattr(route, "path", "") or "/")
for rule in app.url_map.iter_rules():
    for method in rule.methods - {"HEAD", "OPTIONS"}:
        print("ROUTE", method, rule.rule)
walk(fastapi.routes)
"""
# What else an innocent name could hide: methods that write, and words of routes that change, run or reveal something.
_CHANGES = (
    "create",
    "delete",
    "update",
    "set-",
    "log-",
    "restore",
    "rename",
    "transition",
    "upload",
    "presigned",
    "gateway",
    "webhooks",
    "secrets",
    "assistant",
    "invoke",
    "generate",
    "telemetry",
    "review-queues",
    "mpu",
    "link-",
    "register",
    "jobs",
)


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Methods and paths of all of MLflow's routes."""
    listed = subprocess.run(
        [sys.executable, "-c", _LIST_ROUTES], capture_output=True, text=True, check=True, timeout=120
    )
    return [(m, p) for _, m, p in (line.split() for line in listed.stdout.splitlines() if line.startswith("ROUTE"))]


def _ask(scope: str, method: str, path: str) -> tuple[int, list[tuple[str, str]]]:
    """Return the status of the answer, and what reached MLflow."""
    reached: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append((request.method, request.url.path))
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    async def send_request() -> int:
        answers = []

        async def send(message) -> None:
            answers.append(message)

        token = Token("ann", scope, None, 0)
        request = {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await MlflowProxy(client, None)({**request, "kerastudy.token": token}, None, send)
        return answers[0]["status"]

    return asyncio.run(send_request()), reached


def test_reading_routes_change_nothing(routes: list[tuple[str, str]]) -> None:
    """No route that is open to readers writes, runs or reveals a secret, by its method and its name."""
    open_to_readers = {(method, path) for method, path in routes if is_read_only(method, path)}
    assert len(open_to_readers) > 40
    assert {method for method, _ in open_to_readers} == {"GET", "POST"}
    wrong = [(m, p) for m, p in open_to_readers for word in _CHANGES if word in p.replace("registered", "")]
    assert wrong == []


def test_every_listed_route_exists(routes: list[tuple[str, str]]) -> None:
    """Most routes of MLflow are closed; the list holds none that this MLflow does not have."""
    closed = [route for route in routes if not is_read_only(*route)]
    assert len(closed) > 250
    known = {
        (method, re.sub(r"<[^>]+>|\{[^}]+\}", "<>", path).replace("/ajax-api/", "/api/")) for method, path in routes
    }
    listed = (mlflow_routes._PAGES + mlflow_routes._API.replace(" ", " /api/")).split("\n")
    wanted = {tuple(re.sub(r"<\w+>", "<>", route).split(" ")) for route in listed if route}
    assert wanted - known == set()


@pytest.mark.parametrize("scope", ["read", "submit"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/experiments/create"),
        ("DELETE", "/ajax-api/2.0/mlflow/registered-models/alias"),
        ("POST", "/api/2.0/mlflow/runs/set-tag"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts/MLmodel"),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/x"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
        ("POST", "/ajax-api/3.0/mlflow/review-queues/get-or-create-user"),
        ("GET", "/ajax-api/3.0/mlflow/gateway/secrets/list"),
        ("POST", "/gateway/openai/v1/embeddings"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/api/2.0/mlflow/some-new-thing/search"),
        ("POST", "/static-files/../api/2.0/mlflow/experiments/create"),
        ("GET", "/static-files/../ajax-api/3.0/mlflow/gateway/secrets/list"),
        ("GET", "//api/2.0/mlflow/webhooks"),
        ("TRACE", "/"),
    ],
)
def test_all_else_is_refused_but_to_admins(scope: str, method: str, path: str) -> None:
    """A route that is not on the list never reaches MLflow, whatever its name looks like."""
    assert _ask(scope, method, f"/mlflow{path}") == (403, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/static-files/static/js/main.js"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("GET", "/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/directories"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/report.html"),
        ("POST", "/graphql"),
    ],
)
def test_readers_read(method: str, path: str) -> None:
    """The requests of a browser and of a client that loads a model are forwarded."""
    assert _ask("read", method, f"/mlflow{path}") == (200, [(method, f"/mlflow{path}")])


def test_an_admin_changes_what_holds_no_location() -> None:
    """An admin deletes a run, and cannot make an experiment or a version at a place of their choice."""
    assert _ask("admin", "POST", "/mlflow/api/2.0/mlflow/runs/delete")[0] == 200
    for route in ("experiments/create", "model-versions/create"):
        assert has_location("POST", f"/api/2.0/mlflow/{route}")
        assert _ask("admin", "POST", f"/mlflow/api/2.0/mlflow/{route}") == (403, [])
