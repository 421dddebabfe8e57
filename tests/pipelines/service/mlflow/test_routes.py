"""Which of MLflow's routes a token reaches behind the service."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipelines.service.mlflow import routes as mlflow_routes
from pipelines.service.mlflow.proxy import MlflowProxy
from pipelines.service.mlflow.routes import classify_route
from tracking.store.accounts import Identity

# Every route that MLflow registers, a line each: its methods and its path, with the prefixes of its routers. What has
# no methods, such as a mount, has its kind in their place.
_LIST_ROUTES = """
import warnings
warnings.simplefilter("ignore")
from mlflow.server import app
from mlflow.server.fastapi_app import app as fastapi
def walk(routes, prefix):
    for route in routes:
        if hasattr(route, "original_router"):
            walk(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            for method in getattr(route, "methods", None) or (type(route).__name__,):
                print("ROUTE", method, prefix + getattr(route, "path", "") or "/")
for rule in app.url_map.iter_rules():
    for method in rule.methods - {"HEAD", "OPTIONS"}:
        print("ROUTE", method, rule.rule)
walk(fastapi.routes, "")
from graphql import GraphQLObjectType, GraphQLSchema, print_schema
from mlflow.server.graphql.graphql_schema_extensions import schema
whole = schema.graphql_schema
names = ("mlflowGetExperiment", "mlflowGetMetricHistoryBulkInterval", "mlflowGetRun", "mlflowSearchRuns")
query = GraphQLObjectType("Query", {name: whole.query_type.fields[name] for name in names})
print("GRAPHQL")
print(print_schema(GraphQLSchema(query, directives=whole.directives)))
"""
_CLOSED = Path(__file__).with_name("mlflow_closed_routes.txt")
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
def listed() -> str:
    """What the installed MLflow registers."""
    command = [sys.executable, "-c", _LIST_ROUTES]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def routes(listed: str) -> list[tuple[str, str]]:
    """Methods and paths of all of MLflow's routes."""
    return [(m, p) for _, m, p in (line.split() for line in listed.splitlines() if line.startswith("ROUTE"))]


def _simplify(path: str) -> str:
    """Return a path with one kind of placeholder and one root for the API."""
    return re.sub(r"(?<=[^ ])/$", "", re.sub(r"<[^>]+>|\{[^}]+\}", "<>", path).replace("/ajax-api/", "/api/"))


def _ask(scope: str, method: str, path: str, query: str = "") -> tuple[int, list[tuple[str, str]]]:
    """Return the status of the answer, and what reached MLflow."""
    reached: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append((request.method, request.url.path))
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    async def send_request() -> int:
        answers = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message) -> None:
            answers.append(message)

        token = Identity("a1", "ann", scope)
        request = {
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [],
        }
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await MlflowProxy(client, None)({**request, "kerastudy.caller": token}, receive, send)
        return answers[0]["status"]

    return asyncio.run(send_request()), reached


def test_every_route_of_mlflow_has_a_decision(routes: list[tuple[str, str]]) -> None:
    """A route that appears in a new MLflow, or vanishes, fails here: list it as open, or as closed to everybody."""
    found = {f"{method} {_simplify(path)}" for method, path in routes}
    pages = [route for route in mlflow_routes._PAGES.split("\n") if route]
    api = (mlflow_routes._API + mlflow_routes._NOTES + mlflow_routes._ADMIN).split("\n")
    opened = {_simplify(route) for route in [*pages, *(each.replace(" ", " /api/") for each in api if each)]}
    closed = set(_CLOSED.read_text().splitlines())
    assert opened & closed == set()
    assert found - opened - closed == set()
    assert (opened | closed) - found == set()


def test_a_closed_route_is_closed_to_every_token(routes: list[tuple[str, str]]) -> None:
    """No pattern of an open route opens another one; each open route has its kind."""
    closed = set(_CLOSED.read_text().splitlines())
    kinds: dict[str, set[str]] = {}
    for method, path in routes:
        concrete = re.sub(r"<[^>]+>|\{[^}]+\}", "x", path)
        kinds.setdefault(classify_route(method, concrete), set()).add(f"{method} {_simplify(path)}")
    assert kinds["closed"] == closed
    assert len(kinds["read"]) >= 40
    assert len(kinds["note"]) == 4


def test_reading_routes_change_nothing(routes: list[tuple[str, str]]) -> None:
    """No route that is open to readers writes, runs or reveals a secret, by its method and its name."""
    open_to_readers = {(method, path) for method, path in routes if classify_route(method, path) == "read"}
    assert {method for method, _ in open_to_readers} == {"GET", "POST"}
    wrong = [(m, p) for m, p in open_to_readers for word in _CHANGES if word in p.replace("registered", "")]
    assert wrong == []


def test_the_graphql_schema_is_the_one_of_mlflow(listed: str) -> None:
    """The part of the installed MLflow's that its pages need, each of whose fields only looks: copy it after a look."""
    shipped = Path(mlflow_routes.__file__).parents[1] / "templates" / "mlflow.graphql"
    assert listed.partition("GRAPHQL\n")[2] == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize("scope", ["read", "submit"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/experiments/create"),
        ("DELETE", "/ajax-api/2.0/mlflow/registered-models/alias"),
        ("POST", "/api/2.0/mlflow/runs/set-tag"),
        ("POST", "/api/2.0/mlflow/runs/log-batch"),
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
        ("GET", "/graphql"),
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
    ],
)
def test_readers_read(method: str, path: str) -> None:
    """The requests of a browser and of a client that loads a model are forwarded."""
    assert _ask("read", method, f"/mlflow{path}") == (200, [(method, f"/mlflow{path}")])


@pytest.mark.parametrize(
    "query", ["path=../../x", "path=/etc/passwd", "path=file:///etc/passwd", "path=a%2f..%2fb", "path=%252e%252e/x",
              "run_id=r&artifact_file_path=..%5Cx"],
)  # fmt: skip
def test_a_path_leads_nowhere_else(query: str) -> None:
    """A file is named below the files of its run or model, by readers and by admins."""
    for scope in ("read", "admin"):
        assert _ask(scope, "GET", "/mlflow/get-artifact", query) == (422, [])
    assert _ask("read", "GET", "/mlflow/get-artifact", "run_id=r&path=plots/a%20b.html")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/experiments/create"),
        ("POST", "/api/2.0/mlflow/model-versions/create"),
        ("POST", "/ajax-api/3.0/mlflow/webhooks"),
        ("GET", "/ajax-api/3.0/mlflow/gateway/secrets/list"),
        ("POST", "/ajax-api/3.0/jobs/"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/x"),
    ],
)
def test_an_admin_changes_what_holds_no_location(method: str, path: str) -> None:
    """An admin deletes a run; nobody makes an experiment or a version at a place of their choice, or runs a gateway."""
    assert _ask("admin", "POST", "/mlflow/api/2.0/mlflow/runs/delete")[0] == 200
    assert _ask("admin", method, f"/mlflow{path}") == (403, [])


def test_a_raw_hash_is_part_of_the_path() -> None:
    """It begins no fragment, which would cut the address that the list was compared with."""
    assert _ask("read", "GET", "/mlflow/static-files/a#b") == (200, [("GET", "/mlflow/static-files/a#b")])
    assert _ask("read", "GET", "/mlflow/static-files/a\x01b") == (422, [])
