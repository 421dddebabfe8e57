"""What a submitter writes in MLflow: notes, tags and views of its own studies; the attacks of others are refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from served import study_text, submit

from pipelines.service.mlflow.notes import MlflowNotes
from pipelines.service.mlflow.proxy import MlflowProxy
from pipelines.service.studies.ownership import Ownership
from tracking.mlflow.names import is_writable_tag
from tracking.store.tokens import Tokens

NOTE = "mlflow.note.content"
VIEW = "mlflow.sharedViewState.abc"


@pytest.fixture
def write(service, ann, bob, admin, reader):
    """Send a body to a route of MLflow as somebody; return the status, and the bodies that reached MLflow."""
    submit(service, ann, study_text("hers"))
    submit(service, ann, study_text("shared") + "tracking: {experiment: team}\n")
    submit(service, bob, study_text("his") + "tracking: {experiment: team}\n")
    who = {"ann": ann, "bob": bob, "admin": admin, "reader": reader}
    namespace = service.store.identity
    runs = {"r1": (f"{namespace}/hers/3", "hers"), "r2": (f"{namespace}/gone", "gone"), "r3": ("other/hers", "hers")}
    experiments = {"1": "hers", "2": "team", "0": "Default"}
    reached: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        if request.url.path.endswith("runs/get") and asked["run_id"] in runs:
            key, study = runs[asked["run_id"]]
            tags = [{"key": "kerastudy.key", "value": key}, {"key": "kerastudy.study", "value": study}]
            return httpx.Response(200, json={"run": {"data": {"tags": tags}}})
        if request.url.path.endswith("experiments/get") and asked["experiment_id"] in experiments:
            return httpx.Response(200, json={"experiment": {"name": experiments[asked["experiment_id"]]}})
        if request.method == "GET":
            return httpx.Response(404)
        reached.append((request.url.path.rpartition("/")[2], request.url.query, json.loads(request.content)))
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    def send(name: str, route: str, body: Any) -> int:
        reached.clear()
        caller = Tokens(service.store).check(who[name]["Authorization"].removeprefix("Bearer "))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(_send(service, caller, route, content, answer))

    send.reached = reached
    return send


async def _send(service, caller, route, content, answer) -> int:
    answers = []

    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message):
        answers.append(message)

    path = f"/mlflow/ajax-api/2.0/mlflow/{route}"
    scope = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"run_id=r2"}
    scope |= {"headers": [(b"content-length", str(len(content)).encode())], "kerastudy.caller": caller}
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/mlflow") as client:
        notes = MlflowNotes(service.study_service.reader, Ownership(service.store), client, service.store.identity)
        await MlflowProxy(client, None, notes=notes)(scope, receive, send)
    return answers[0]["status"]


def test_a_submitter_annotates_its_own_studies(write) -> None:
    """Runs and experiments, in the words of MLflow's UI; only the fields that were checked arrive."""
    assert write("ann", "runs/set-tag", {"run_uuid": "r1", "key": NOTE, "value": "good"}) == 200
    assert write.reached == [("set-tag", b"", {"run_id": "r1", "key": NOTE, "value": "good"})]
    assert write("ann", "runs/delete-tag", {"run_id": "r1", "key": "mine"}) == 200
    assert write.reached == [("delete-tag", b"", {"run_id": "r1", "key": "mine"})]
    assert write("ann", "experiments/set-experiment-tag", {"experiment_id": "1", "key": VIEW, "value": "{}"}) == 200
    assert write("ann", "experiments/delete-experiment-tag", {"experiment_id": "1", "key": VIEW}) == 200
    assert write.reached == [("delete-experiment-tag", b"", {"experiment_id": "1", "key": VIEW})]


@pytest.mark.parametrize(
    ("name", "route", "body", "status"),
    [
        ("bob", "runs/set-tag", {"run_id": "r1", "key": NOTE, "value": "x"}, 403),
        ("bob", "runs/delete-tag", {"run_id": "r1", "key": NOTE}, 403),
        ("bob", "experiments/set-experiment-tag", {"experiment_id": "1", "key": VIEW, "value": "x"}, 403),
        ("ann", "experiments/set-experiment-tag", {"experiment_id": "2", "key": VIEW, "value": "x"}, 403),
        ("ann", "experiments/set-experiment-tag", {"experiment_id": "0", "key": VIEW, "value": "x"}, 403),
        ("reader", "runs/set-tag", {"run_id": "r1", "key": NOTE, "value": "x"}, 403),
        ("ann", "runs/set-tag", {"run_id": "r2", "key": NOTE, "value": "x"}, 404),
        ("ann", "runs/set-tag", {"run_id": "r3", "key": NOTE, "value": "x"}, 403),
        ("ann", "runs/set-tag", {"run_id": "r9", "key": NOTE, "value": "x"}, 404),
        ("ann", "runs/set-tag", {"run_id": "r1", "key": "kerastudy.key", "value": "x"}, 403),
        ("ann", "runs/set-tag", {"run_id": "r1", "key": "mlflow.user", "value": "x"}, 403),
        ("ann", "runs/set-tag", {"run_id": "r1", "run_uuid": "r2", "key": NOTE, "value": "x"}, 422),
        ("ann", "runs/set-tag", {"run_id": "r1", "key": NOTE, "value": "x", "runId": "r2"}, 422),
        ("ann", "runs/set-tag", {"run_id": ["r1"], "key": NOTE, "value": "x"}, 422),
        ("ann", "runs/set-tag", b"run_id=r1", 422),
        ("ann", "runs/set-tag", b" " * 70_000, 413),
        ("ann", "runs/log-batch", {"run_id": "r1", "tags": []}, 403),
        ("ann", "runs/delete", {"run_id": "r1"}, 403),
    ],
)  # fmt: skip
def test_all_else_is_refused(write, name: str, route: str, body: Any, status: int) -> None:
    """Others' studies, shared experiments, kerastudy's tags, and bodies that could be read in two ways."""
    assert (write(name, route, body), write.reached) == (status, [])


def test_an_admin_writes_any_tag(write) -> None:
    """Also of runs that are of no study."""
    assert write("admin", "runs/set-tag", {"run_id": "r3", "key": "kerastudy.key", "value": "x"}) == 200


@pytest.mark.parametrize("name", [NOTE, VIEW, "mlflow.customView.view.v1.a", "team", "reviewed by"])
def test_people_write_notes_views_and_tags_of_their_own(name: str) -> None:
    """By their names."""
    assert is_writable_tag(name)


@pytest.mark.parametrize("name", ["mlflow.user", "mlflow.runName", "MLFLOW.user", "kerastudy.x", "state", "State"])
def test_people_write_no_tag_of_kerastudy(name: str) -> None:
    """Nor of MLflow's, in any case of letters."""
    assert not is_writable_tag(name)
